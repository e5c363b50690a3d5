//! Whose processes are whose, and ending them.
//!
//! Guard and worker are child sub-reapers: a process that loses its parent becomes their child
//! instead of init's, so everything a job ever started is found below them.

use std::{collections::HashSet, fs, io, path::PathBuf, sync::Mutex};

use libloom_processes::{children, end, environment_has, has_ended, own_pid, send, stat, trees};
use rustix::process::{Pid, Signal, WaitOptions, waitpid};

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
        found.retain(|&pid| !has_ended(pid));
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

/// Ends everything below this process but what `registry` says it started itself.
pub fn end_adopted(registry: &Registry) -> usize {
    end(|| {
        let mut roots = registry.adopted();
        roots.retain(|&pid| reap_if_ended(pid).is_none());
        trees(roots)
    })
}

fn reap_if_ended(pid: i32) -> Option<()> {
    let ended = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).ok()?;
    ended.map(|_| ())
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
    use std::thread;

    use super::*;

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
}
