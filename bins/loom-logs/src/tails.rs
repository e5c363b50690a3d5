//! The event streams of running jobs, each read on from where the last look ended.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use libloom_console::{Console, Label, printable};
use libloom_contract::{
    event::{Event, EventKind},
    layout::RunLayout,
};
use libloom_entry::{Failure, OrFail};

use crate::{
    lines::Lines,
    select::Wanted,
    show::Arguments,
    shown::Pick,
    steps::{jobs, steps_with_folders},
};

/// How much of one stream is read at once, so that memory stays bounded.
const PIECE: usize = 64 * 1024;

/// All streams that are read.
pub(crate) struct Tails<'a> {
    run: RunLayout,
    pick: Pick<'a>,
    raw: bool,
    wanted: Wanted,
    /// By path; a retried job's new stream has another inode at the same path.
    open: BTreeMap<PathBuf, Tail>,
    /// Jobs that were seen to end, with the attempt of which that was the end.
    over: BTreeMap<String, Option<u64>>,
}

struct Tail {
    file: File,
    inode: u64,
    /// The begin of a record whose end is not there yet.
    torn: Vec<u8>,
    lines: Lines,
}

/// Where the lines of a job go.
pub(crate) struct Sink<'a> {
    console: &'a Console,
    pending: Vec<u8>,
}

/// How the lines of a job are shown.
pub(crate) struct Dress<'a> {
    pub(crate) prefix: String,
    /// What each step runs, where that is known.
    pub(crate) commands: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Tails<'a> {
    pub(crate) fn new(run: &RunLayout, arguments: &'a Arguments, wanted: Wanted) -> Self {
        Tails {
            run: run.clone(),
            pick: arguments.pick(),
            raw: arguments.raw,
            wanted,
            open: BTreeMap::new(),
            over: BTreeMap::new(),
        }
    }

    /// Jobs that were not seen to end, in the order in which they are listed.
    pub(crate) fn live_jobs(&self, only: Option<&str>) -> Vec<String> {
        let ids = jobs(&self.run).unwrap_or_default().into_iter();
        let wanted = |id: &String| only.is_none_or(|only| only == id) && !self.is_over(id);
        ids.filter(wanted).collect()
    }

    /// A job that is tried again gets a new stream of events.
    fn is_over(&self, job_id: &str) -> bool {
        self.over.get(job_id).is_some_and(|then| *then == self.attempt(job_id))
    }

    /// What tells the present attempt at a job from any other: the inode of its events.
    pub(crate) fn attempt(&self, job_id: &str) -> Option<u64> {
        fs::metadata(self.run.job(job_id).events()).ok().map(|data| data.ino())
    }

    /// The job is over and was read to its end.
    pub(crate) fn close(&mut self, job_id: &str, attempt: Option<u64>) {
        let folder = self.run.job(job_id).folder().to_owned();
        self.open.retain(|path, _| !path.starts_with(&folder));
        self.over.insert(job_id.to_owned(), attempt);
    }

    /// Shows what a job wrote since the last look.
    pub(crate) fn read(
        &mut self,
        job_id: &str,
        dress: &Dress<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        let job = self.run.job(job_id);
        let mut streams = Vec::new();
        if self.wanted == Wanted::All && !self.raw {
            streams.push((job.execution_events(), None));
        }
        for step in steps_with_folders(&job) {
            let name = step.path();
            if self.wanted.includes(&name) {
                let command = dress.commands.and_then(|commands| commands.get(&name));
                streams.push((job.step(&step).events(), command.map(String::as_str)));
            }
        }
        let (raw, pick) = (self.raw, self.pick);
        for (path, command) in streams {
            let what = || format!("cannot read `{}`", path.display());
            let Some(tail) = self.tail(&path).or_could_not(what())? else { continue };
            let how = How { prefix: &dress.prefix, command, raw, pick };
            tail.read(&how, sink, &what)?;
        }
        Ok(())
    }

    /// Shows the lines of a job that never ended.
    pub(crate) fn finish(
        &mut self,
        job_id: &str,
        dress: &Dress<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        let folder = self.run.job(job_id).folder().to_owned();
        let (raw, pick) = (self.raw, self.pick);
        let how = How { prefix: &dress.prefix, command: None, raw, pick };
        let of_job = self.open.iter_mut().filter(|(path, _)| path.starts_with(&folder));
        for (_, tail) in of_job {
            tail.lines.finish(|_, line| sink.output_line(line, &how))?;
        }
        Ok(())
    }

    /// The stream at `path`; `None` while there is none.
    fn tail(&mut self, path: &Path) -> std::io::Result<Option<&mut Tail>> {
        let inode = match fs::metadata(path) {
            Ok(data) => data.ino(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if self.open.get(path).is_none_or(|tail| tail.inode != inode) {
            let file = File::open(path)?;
            let tail = Tail { file, inode, torn: Vec::new(), lines: Lines::default() };
            self.open.insert(path.to_owned(), tail);
        }
        Ok(self.open.get_mut(path))
    }
}

/// How the output of one stream is shown.
struct How<'a> {
    prefix: &'a str,
    command: Option<&'a str>,
    raw: bool,
    pick: Pick<'a>,
}

impl Tail {
    fn read(
        &mut self,
        how: &How<'_>,
        sink: &mut Sink<'_>,
        what: &dyn Fn() -> String,
    ) -> Result<(), Failure> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = self.file.read(&mut piece).or_could_not(what())?;
            if length == 0 {
                return Ok(());
            }
            self.torn.extend_from_slice(&piece[..length]);
            let Some(end) = self.torn.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = self.torn.split_off(end + 1);
            let records = std::mem::replace(&mut self.torn, rest);
            for record in records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                self.take(record, how, sink)?;
            }
        }
    }

    /// A record; one that is damaged is passed over here and named by `loom logs validate`.
    fn take(&mut self, record: &[u8], how: &How<'_>, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let Ok(event) = serde_json::from_slice::<Event>(record) else { return Ok(()) };
        match event.event {
            EventKind::Start => sink.command(how),
            EventKind::Output => {
                let Some((stream, bytes)) = how.pick.output(&event) else { return Ok(()) };
                if how.raw {
                    return sink.push(&bytes);
                }
                self.lines.push(stream, &bytes, |_, line| sink.output_line(line, how))
            }
            EventKind::Finish => self.lines.finish(|_, line| sink.output_line(line, how)),
            EventKind::Note | EventKind::Error => Ok(()),
        }
    }
}

impl<'a> Sink<'a> {
    pub(crate) fn new(console: &'a Console) -> Self {
        Sink { console, pending: Vec::new() }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if !self.pending.is_empty() {
            self.console.out_bytes(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn output_line(&mut self, line: &[u8], how: &How<'_>) -> Result<(), Failure> {
        match how.pick.line(line, self.console.out_paint()) {
            Some(line) => self.push(format!("{}{line}\n", how.prefix).as_bytes()),
            None => Ok(()),
        }
    }

    /// What a step runs, as it begins.
    fn command(&mut self, how: &How<'_>) -> Result<(), Failure> {
        let wanted = how.command.filter(|_| !how.raw && how.pick.grep.is_none());
        let Some(command) = wanted else { return Ok(()) };
        let command = format!("$ {}", printable(command));
        let command = self.console.out_paint().paint(Label::Dim, command);
        self.push(format!("{}{command}\n", how.prefix).as_bytes())
    }
}
