//! Heads of requests, and copying from one connection to another.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};

use serde_json::json;

use super::pattern::without_version;
use super::stream::Stream;

/// The longest head that is read.
const HEAD_BYTES_MAX: usize = 1 << 16;

/// Bytes of a frame's header in an attached stream: stream, three zeros, length in big endian.
const FRAME_HEADER: usize = 8;

/// The head of a request.
pub(super) struct Head {
    pub(super) method: String,
    /// Path and query, without the version of the API.
    pub(super) target: String,
    text: Vec<u8>,
}

impl Head {
    /// The head of a request; `None` where a client closes without one.
    pub(super) fn read(client: &Stream) -> io::Result<Option<Self>> {
        let text = read_head(client)?;
        let line = String::from_utf8_lossy(&text);
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let (method, target) = (method.to_owned(), without_version(target).to_owned());
        Ok(Some(Self { method, target, text }))
    }

    /// The head as it is passed on: the other side closes the connection after its answer, unless
    /// the request is for another protocol.
    pub(super) fn closing(&self) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.text);
        let is_connection = |line: &&str| line.to_ascii_lowercase().starts_with("connection:");
        let mut lines: Vec<&str> = text.trim_end().split("\r\n").collect();
        let asked = lines.iter().find(|line| is_connection(line));
        if asked.is_some_and(|line| line.to_ascii_lowercase().contains("upgrade")) {
            return self.text.clone();
        }
        lines.retain(|line| !is_connection(line));
        format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).into_bytes()
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// Up to and including the empty line; what there is where the connection ends before.
fn read_head(mut stream: &Stream) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut byte = [0];
    // Byte by byte: what follows the head is not ours to take.
    while !text.ends_with(b"\r\n\r\n") && text.len() < HEAD_BYTES_MAX {
        if stream.read(&mut byte)? == 0 {
            break;
        }
        text.extend(byte);
    }
    Ok(text)
}

/// An answer in the engine's manner.
pub(super) fn answer(status: u16, message: &str) -> String {
    let body = json!({ "message": message }).to_string();
    format!(
        "HTTP/1.1 {status} Disturbed\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Answers, and takes what the client still sends.
pub(super) fn reply(mut client: &Stream, answer: &str) -> io::Result<()> {
    client.write_all(answer.as_bytes())?;
    client.end_output();
    io::copy(&mut client, &mut io::sink()).map(drop)
}

/// Copies to the end, which it hands on; when nobody takes it, closes the side it comes from.
pub(super) fn copy(mut from: &Stream, mut to: &Stream) {
    match io::copy(&mut from, &mut to) {
        Ok(_) => to.end_output(),
        Err(_) => {
            from.close();
            to.close();
        }
    }
}

/// Copies this many bytes.
pub(super) fn copy_some(from: &Stream, mut to: &Stream, bytes: usize) -> io::Result<()> {
    let copied = io::copy(&mut from.take(bytes as u64), &mut to)?;
    if copied < bytes as u64 {
        to.end_output();
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Waits until an answer begins.
pub(super) fn first_byte(mut from: &Stream) -> io::Result<[u8; 1]> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte)
}

/// Copies this many bytes, the first of which was read before.
pub(super) fn copy_cut(
    first: [u8; 1],
    from: &Stream,
    mut to: &Stream,
    bytes: usize,
) -> io::Result<()> {
    let Some(rest) = bytes.checked_sub(1) else { return Ok(()) };
    to.write_all(&first)?;
    copy_some(from, to, rest)
}

/// Copies one byte as another.
pub(super) fn corrupt_one(mut from: &Stream, mut to: &Stream) -> io::Result<()> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    to.write_all(&[byte[0] ^ 1])
}

/// Copies the head of an answer, whole frames, and then the beginning of one.
pub(super) fn copy_frames(mut from: &Stream, mut to: &Stream, frames: usize) -> io::Result<()> {
    to.write_all(&read_head(from)?)?;
    for frame in 0..=frames {
        let mut header = [0; FRAME_HEADER];
        if let Err(error) = from.read_exact(&mut header) {
            to.end_output();
            return Err(error);
        }
        to.write_all(&header)?;
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        copy_some(from, to, if frame == frames { length / 2 } else { length })?;
    }
    Ok(())
}
