//! Whose processes are whose, and ending them.
//!
//! Guard and worker are child sub-reapers: a process that loses its parent becomes their child
//! instead of init's, so everything a job ever started is found below them. A set of processes
//! is ended by stopping all of it first, so that none can fork while the others are killed.

use std::{
    collections::HashSet,
    fs, io,
    path::PathBuf,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Pause between two looks at processes that are going away.
const PAUSE: Duration = Duration::from_millis(1);

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    parent: i32,
    session: i32,
}

fn stat(pid: i32) -> Option<Stat> {
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

/// Whether the process has ended and only waits to be reaped.
fn is_zombie(pid: i32) -> bool {
    stat(pid).is_none_or(|stat| stat.state == b'Z' || stat.state == b'X')
}

/// Direct children of a process.
fn children(pid: i32) -> Vec<i32> {
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
    all_processes().filter(is_child).collect()
}

fn all_processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `roots` and everything below them, parents first.
fn trees(roots: Vec<i32>) -> Vec<i32> {
    let mut found = roots;
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Children that this process started itself and waits for itself.
#[derive(Debug, Default)]
pub struct Registry {
    started: Mutex<HashSet<i32>>,
}

impl Registry {
    /// Starts a process. Nobody looks for adopted ones meanwhile: between fork and exec it would
    /// look like one, holding the pipes of every job.
    ///
    /// # Errors
    /// What the system says.
    pub fn start<T>(
        &self,
        spawn: impl FnOnce() -> io::Result<T>,
        pid: impl FnOnce(&T) -> i32,
    ) -> io::Result<T> {
        let mut started = self.lock();
        let process = spawn()?;
        started.insert(pid(&process));
        Ok(process)
    }

    /// The process was waited for.
    pub fn remove(&self, pid: i32) {
        self.lock().remove(&pid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<i32>> {
        self.started.lock().expect("no thread panics while it holds the lock")
    }

    /// Children that lost their parent and became ours.
    fn adopted(&self) -> Vec<i32> {
        let started = self.lock();
        let mut found = children(own_pid());
        found.retain(|pid| !started.contains(pid));
        found
    }
}

/// The processes of one job.
#[derive(Debug)]
pub struct Members<'a> {
    /// Who else this process started.
    pub registry: &'a Registry,
    /// The job's shell, which is its session's leader.
    pub shell: i32,
    /// The shell was waited for, so its number may mean another process.
    pub shell_gone: bool,
    /// `NAME=value` pairs that mark the job's processes.
    pub marks: Vec<Vec<u8>>,
    /// The pipes that the job writes to, as `/proc/<pid>/fd` names them.
    pub pipes: Vec<PathBuf>,
}

impl Members<'_> {
    /// The job's processes that still run.
    pub fn find(&self) -> Vec<i32> {
        let mut roots = self.registry.adopted();
        roots.retain(|&pid| reap_if_ended(pid).is_none() && self.owns(pid));
        if !self.shell_gone {
            roots.push(self.shell);
        }
        let mut found = trees(roots);
        found.retain(|&pid| !is_zombie(pid));
        found
    }

    fn owns(&self, pid: i32) -> bool {
        stat(pid).is_some_and(|stat| stat.session == self.shell)
            || environment_has(pid, &self.marks)
            || self.holds_pipe(pid)
    }

    /// What cleared its environment and left the session may still write to the job's output.
    fn holds_pipe(&self, pid: i32) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| self.pipes.contains(&target))
    }

    /// Sends a signal to every process of the job.
    pub fn signal(&self, signal: Signal) {
        self.find().into_iter().for_each(|pid| send(pid, signal));
    }

    /// Ends every process of the job at once. The shell, where it is not gone, is left to be
    /// waited for.
    pub fn end(&self) -> usize {
        end(|| self.find())
    }
}

/// Whether the environment a process was started with holds all of `marks`.
fn environment_has(pid: i32, marks: &[Vec<u8>]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let entries: HashSet<&[u8]> = environment.split(|&byte| byte == 0).collect();
    marks.iter().all(|mark| entries.contains(mark.as_slice()))
}

/// Ends everything below this process but what `registry` says it started itself.
pub fn end_adopted(registry: &Registry) -> usize {
    end(|| {
        let mut roots = registry.adopted();
        roots.retain(|&pid| reap_if_ended(pid).is_none());
        trees(roots)
    })
}

/// Ends every process on this machine whose value of the variable `name` is one that `is_dead`
/// says belongs to a dead run.
pub fn end_survivors(name: &str, is_dead: impl Fn(&str) -> bool) -> usize {
    let prefix = format!("{name}=").into_bytes();
    let survives = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let entries = environment.split(|&byte| byte == 0);
        let mut values = entries.filter_map(|entry| entry.strip_prefix(prefix.as_slice()));
        let value = values.next().and_then(|value| std::str::from_utf8(value).ok());
        value.is_some_and(&is_dead) && !is_zombie(*pid)
    };
    end(|| all_processes().filter(|&pid| pid != own_pid()).filter(survives).collect())
}

/// Stops, kills and reaps until `find` finds nothing; gives up on what cannot be killed (stuck
/// in the kernel) after a while. Returns how many were found first.
fn end(find: impl Fn() -> Vec<i32>) -> usize {
    let deadline = Instant::now() + Duration::from_secs(5);
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

/// A process that went away meanwhile, or is not ours to signal, is no error.
fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn reap_if_ended(pid: i32) -> Option<()> {
    let ended = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).ok()?;
    ended.map(|_| ())
}

/// Whether a child waits to be reaped.
pub fn has_ended(pid: i32) -> bool {
    is_zombie(pid)
}

/// What a process used and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 + n for signal n.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Processor time of it and its waited-for children, in milliseconds.
    pub cpu_ms: u64,
    /// Largest memory of one of them, in bytes.
    pub peak_rss_bytes: u64,
}

/// Waits for a child and says how it ended and what it used.
#[expect(unsafe_code, reason = "no safe wrapper of wait4 reports resource usage")]
pub fn wait(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: a zeroed rusage is valid; both pointers live through the call.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: as above.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    let exit_code = signal.map_or_else(|| libc::WEXITSTATUS(status), |signal| 128 + signal);
    let cpu_ms = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
    let peak_rss_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok(Ended { exit_code, signal, cpu_ms, peak_rss_bytes })
}

fn milliseconds(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_usec).unwrap_or(0) / 1000
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
    fn child_that_is_being_started_is_no_orphan() {
        let registry = Registry::default();
        thread::scope(|scope| {
            let starters = [0; 2].map(|_| {
                scope.spawn(|| {
                    let mut started = Vec::new();
                    for _ in 0..100 {
                        let mut command = std::process::Command::new("sleep");
                        let spawn = || command.arg("60").spawn();
                        let pid = |child: &std::process::Child| child.id().cast_signed();
                        started.push(registry.start(spawn, pid).unwrap());
                    }
                    started
                })
            });
            let mut taken = HashSet::new();
            while !starters.iter().all(thread::ScopedJoinHandle::is_finished) {
                taken.extend(registry.adopted());
            }
            for mut child in starters.into_iter().flat_map(|s| s.join().unwrap()) {
                child.kill().unwrap();
                child.wait().unwrap();
                assert!(!taken.contains(&child.id().cast_signed()));
            }
        });
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
