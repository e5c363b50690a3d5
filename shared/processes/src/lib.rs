//! The processes of this machine, from `/proc`: whose they are, and ending them.
//!
//! A set of processes is ended by stopping all of it first, so that none can fork while the others
//! are killed.

#![warn(missing_docs)]

mod survivors;

use std::{
    collections::HashSet,
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub use survivors::{Survivor, end_survivors, survivors};

/// Pause between two looks at processes that are going away.
const PAUSE: Duration = Duration::from_millis(1);
/// How long is tried to end what cannot be killed (stuck in the kernel).
const PATIENCE: Duration = Duration::from_secs(5);

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its state, as a letter.
    pub state: u8,
    /// Id of its parent.
    pub parent: i32,
    /// Id of its session.
    pub session: i32,
}

/// What is known of a process; `None`: there is none.
pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The command name may hold anything, so fields are counted from its last parenthesis.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let after = &text[memchr::memrchr(b')', text)? + 1..];
    let mut fields = std::str::from_utf8(after).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, parent, session })
}

/// Whether the process has ended and at most waits to be reaped.
pub fn has_ended(pid: i32) -> bool {
    stat(pid).is_none_or(|stat| stat.state == b'Z' || stat.state == b'X')
}

/// Direct children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(list.split_whitespace().filter_map(|p| p.parse::<i32>().ok())),
            // Some kernels lack the list.
            Err(_) if thread.path().exists() => return children_by_scan(pid),
            Err(_) => {}
        }
    }
    found
}

fn children_by_scan(parent: i32) -> Vec<i32> {
    let is_child = |pid: &i32| stat(*pid).is_some_and(|stat| stat.parent == parent);
    all().filter(is_child).collect()
}

/// Every process that can be seen.
pub fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `roots` and everything below them, parents first.
pub fn trees(roots: Vec<i32>) -> Vec<i32> {
    let mut found = roots;
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

/// This process.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Whether the environment a process was started with holds all of `marks` (`NAME=value`).
pub fn environment_has(pid: i32, marks: &[Vec<u8>]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let entries: HashSet<&[u8]> = environment.split(|&byte| byte == 0).collect();
    marks.iter().all(|mark| entries.contains(mark.as_slice()))
}

/// Stops and kills until `find` finds nothing; gives up after a while. Returns how many were found
/// first.
pub fn end(find: impl Fn() -> Vec<i32>) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut found = find();
    let count = found.len();
    while !found.is_empty() && Instant::now() < deadline {
        found.iter().for_each(|&pid| send(pid, Signal::STOP));
        found.iter().for_each(|&pid| send(pid, Signal::KILL));
        thread::sleep(PAUSE);
        found = find();
    }
    count
}

/// Sends a signal. A process that went away meanwhile, or is not ours to signal, is no error.
pub fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_of_a_hostile_name_is_parsed() {
        let text = b"42 (a) S 1 (b) Z 7 42 9 0 -1 4194560";
        assert_eq!(parse_stat(text), Some(Stat { state: b'Z', parent: 7, session: 9 }));
        assert_eq!(parse_stat(b"nonsense"), None);
    }

    #[test]
    fn own_children_are_found() {
        let mut child = std::process::Command::new("sleep").arg("61").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(children(own_pid()).contains(&pid));
        assert!(children_by_scan(own_pid()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
