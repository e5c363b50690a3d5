//! Gzip on several processors: one plain stream, the same bytes whatever the number of threads.
//!
//! Blocks of a fixed size are compressed each for itself, with the end of the block before as
//! dictionary, and each but the last ends on a byte boundary (a sync flush): put one after the
//! other they are one deflate stream, as pigz makes it. What fits in one block costs no thread.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes that are compressed at a time: they decide the bytes that come out.
const BLOCK_BYTES: usize = 256 * 1024;
/// How far deflate looks back.
const WINDOW_BYTES: usize = 32 * 1024;
/// What `gzip` does without being asked.
const LEVEL: u32 = 6;
/// More would wait for the one thread that reads.
const THREADS_MAX: usize = 16;
/// No time, no name, no system: the header is the same everywhere.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A writer that compresses into `inner`. What is written is complete only after [`Gzip::finish`].
pub struct Gzip<W: Write> {
    inner: W,
    threads: usize,
    /// What was written and is not yet a whole block.
    block: Vec<u8>,
    /// End of the block before.
    window: Vec<u8>,
    crc: Crc,
    /// Made when a second block is there.
    pool: Option<Pool>,
    own: Deflater,
}

impl<W: Write> Gzip<W> {
    /// Begins a stream; `threads`: how many may compress at a time.
    pub fn new(mut inner: W, threads: usize) -> io::Result<Self> {
        inner.write_all(&HEADER)?;
        Ok(Gzip {
            inner,
            threads: threads.clamp(1, THREADS_MAX),
            block: Vec::new(),
            window: Vec::new(),
            crc: Crc::new(),
            pool: None,
            own: Deflater::new(),
        })
    }

    /// Ends the stream and returns what it was written into.
    pub fn finish(mut self) -> io::Result<W> {
        self.compress(true)?;
        if let Some(pool) = self.pool.take() {
            pool.finish(&mut self.inner)?;
        }
        self.inner.write_all(&self.crc.sum().to_le_bytes())?;
        self.inner.write_all(&self.crc.amount().to_le_bytes())?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    /// Compresses the block that was collected; `is_last` ends the stream.
    fn compress(&mut self, is_last: bool) -> io::Result<()> {
        let data = mem::take(&mut self.block);
        let next_window = data[data.len().saturating_sub(WINDOW_BYTES)..].to_vec();
        let window = mem::replace(&mut self.window, next_window);
        let block = Block { data, window, is_last };
        if self.pool.is_none() && (is_last || self.threads == 1) {
            let (compressed, data) = self.own.deflate(block)?;
            self.inner.write_all(&compressed)?;
            self.block = emptied(data);
            return Ok(());
        }
        let pool = match &mut self.pool {
            Some(pool) => pool,
            pool => pool.insert(Pool::start(self.threads)?),
        };
        pool.hand_out(block)?;
        if let Some(data) = pool.write_ready(&mut self.inner)? {
            self.block = emptied(data);
        }
        Ok(())
    }
}

fn emptied(mut data: Vec<u8>) -> Vec<u8> {
    data.clear();
    data
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK_BYTES {
            self.compress(false)?;
        }
        let taken = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        self.crc.update(&bytes[..taken]);
        Ok(taken)
    }

    /// Does nothing: where a block ends must not depend on who flushes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A part of the stream.
struct Block {
    data: Vec<u8>,
    /// What stands before it.
    window: Vec<u8>,
    is_last: bool,
}

/// Compresses blocks.
struct Deflater {
    /// Made at the first block: its memory is not small.
    compress: Option<Compress>,
}

impl Deflater {
    fn new() -> Self {
        Deflater { compress: None }
    }

    /// The compressed bytes, and the block's own, to be used again.
    fn deflate(&mut self, block: Block) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let compress =
            self.compress.get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
        compress.reset();
        if !block.window.is_empty() {
            compress.set_dictionary(&block.window).map_err(io::Error::other)?;
        }
        let flush = if block.is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        let mut out = Vec::with_capacity(block.data.len() / 2 + 64);
        loop {
            let rest = usize::try_from(compress.total_in()).map_err(io::Error::other)?;
            let status = compress
                .compress_vec(&block.data[rest..], &mut out, flush)
                .map_err(io::Error::other)?;
            // Room that is left says that nothing more was to come.
            let is_done = match status {
                Status::StreamEnd => true,
                _ => !block.is_last && out.len() < out.capacity(),
            };
            if is_done {
                return Ok((out, block.data));
            }
            out.reserve(block.data.len() / 2 + 64);
        }
    }
}

/// A compressed block and the block's own bytes, or why there is none.
type Deflated = io::Result<(Vec<u8>, Vec<u8>)>;
/// A block, and where its result goes.
type Task = (Block, Sender<Deflated>);

/// Threads that compress.
struct Pool {
    tasks: Sender<Task>,
    threads: Vec<JoinHandle<()>>,
    /// Results that are not written yet, in the stream's order.
    pending: VecDeque<Receiver<Deflated>>,
    pending_max: usize,
}

impl Pool {
    fn start(count: usize) -> io::Result<Self> {
        let (tasks, queue) = channel::<Task>();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new().name("gzip".into());
            threads.push(thread.spawn(move || work(&queue))?);
        }
        Ok(Pool { tasks, threads, pending: VecDeque::new(), pending_max: count * 2 })
    }

    fn hand_out(&mut self, block: Block) -> io::Result<()> {
        let (sender, receiver) = channel();
        self.pending.push_back(receiver);
        self.tasks.send((block, sender)).map_err(|_| thread_is_gone())
    }

    /// Writes the oldest result where too many wait; returns memory to use again.
    fn write_ready(&mut self, out: &mut impl Write) -> io::Result<Option<Vec<u8>>> {
        if self.pending.len() < self.pending_max {
            return Ok(None);
        }
        self.write_next(out)
    }

    fn write_next(&mut self, out: &mut impl Write) -> io::Result<Option<Vec<u8>>> {
        let Some(next) = self.pending.pop_front() else { return Ok(None) };
        let (compressed, data) = next.recv().map_err(|_| thread_is_gone())??;
        out.write_all(&compressed)?;
        Ok(Some(data))
    }

    fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        while self.write_next(out)?.is_some() {}
        drop(self.tasks);
        for thread in self.threads {
            thread.join().map_err(|_| thread_is_gone())?;
        }
        Ok(())
    }
}

fn work(queue: &Mutex<Receiver<Task>>) {
    let mut deflater = Deflater::new();
    loop {
        let task = queue.lock().ok().and_then(|queue| queue.recv().ok());
        let Some((block, result)) = task else { return };
        // Nobody waits for it any more where the writer has failed.
        let _ = result.send(deflater.deflate(block));
    }
}

fn thread_is_gone() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, process::Command};

    use flate2::read::GzDecoder;

    use super::*;

    /// Text that compresses, then bytes that do not, then zeros.
    fn mixed(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252u64;
        let random = std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        });
        let text = (0..).flat_map(|n| format!("line {n} of a log\n").into_bytes());
        let third = length / 3;
        let zeros = length - 2 * third;
        text.take(third).chain(random.take(third)).chain(vec![0; zeros]).collect()
    }

    fn gzipped(data: &[u8], threads: usize, chunk: usize) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new(), threads).unwrap();
        for bytes in data.chunks(chunk) {
            gzip.write_all(bytes).unwrap();
            gzip.flush().unwrap();
        }
        gzip.finish().unwrap()
    }

    #[test]
    fn one_stream_with_the_same_bytes_whoever_compresses() {
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 7] {
            let data = mixed(length);
            let one = gzipped(&data, 1, 1 << 20);
            for (threads, chunk) in [(2, 8192), (7, 100_003), (1, 4096)] {
                assert!(one == gzipped(&data, threads, chunk), "{length} bytes, {threads} threads");
            }
            let mut back = Vec::new();
            // This reader stops after the first member: there is only one.
            GzDecoder::new(&one[..]).read_to_end(&mut back).unwrap();
            assert!(back == data, "{length} bytes");
        }
    }

    #[test]
    fn gzip_itself_reads_it_and_makes_it_no_smaller() {
        let data = mixed(6 * BLOCK_BYTES);
        let own = gzipped(&data, 4, 65_536);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.gz");
        std::fs::write(&path, &own).unwrap();
        assert!(Command::new("gzip").arg("-t").arg(&path).status().unwrap().success());
        let plain = folder.path().join("plain");
        std::fs::write(&plain, &data).unwrap();
        let theirs = Command::new("gzip").args(["-6", "-c"]).arg(&plain).output().unwrap();
        let theirs = theirs.stdout.len();
        assert!(own.len() * 100 <= theirs * 105, "{} bytes, gzip makes {theirs}", own.len());
    }

    #[test]
    fn writer_that_fails_ends_it_with_that_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                match bytes.len() {
                    10 => Ok(10),
                    _ => Err(io::Error::from(io::ErrorKind::StorageFull)),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gzip = Gzip::new(Full, 3).unwrap();
        let written = gzip.write_all(&mixed(20 * BLOCK_BYTES));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
