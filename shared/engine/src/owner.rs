//! Whose an engine's objects are: the labels that everything Loom creates carries, and whether the
//! run behind them lives.
//!
//! The lock on the run's folder decides. Where that folder cannot be reached (it was removed, or
//! lies in another container or on another machine), the process does, as far as it can be seen
//! from here: an owner that cannot be judged counts as alive.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

/// Label of the run's id.
pub const RUN_ID: &str = "loom.run_id";
/// Label of the job's id; empty for what belongs to the whole run.
pub const JOB_ID: &str = "loom.job_id";
/// Label of the repository's top folder.
pub const REPO: &str = "loom.repo";
/// Label of the [`Owner`].
pub const OWNER: &str = "loom.owner";
/// Label of a volume whose changes lie in a folder of this machine, which goes with it.
pub const OVERLAY: &str = "loom.overlay";

/// The labels of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// See [`RUN_ID`].
    pub run_id: String,
    /// See [`JOB_ID`].
    pub job_id: String,
    /// See [`REPO`].
    pub repo: String,
    /// See [`OWNER`]; absent where it cannot be understood.
    pub owner: Option<Owner>,
    /// See [`OVERLAY`].
    pub overlay: Option<PathBuf>,
}

impl Labels {
    /// As the engine takes them.
    pub fn to_map(&self) -> HashMap<String, String> {
        let all = [(RUN_ID, &self.run_id), (JOB_ID, &self.job_id), (REPO, &self.repo)];
        let all = all.into_iter().map(|(name, value)| (name, value.clone()));
        let owner = self.owner.iter().map(|owner| (OWNER, owner.to_string()));
        let overlay =
            self.overlay.iter().map(|folder| (OVERLAY, folder.to_string_lossy().into_owned()));
        all.chain(owner).chain(overlay).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What the engine says an object has; `None`: it is not ours.
    pub fn of_map(map: &HashMap<String, String>) -> Option<Labels> {
        let get = |name| map.get(name).cloned().unwrap_or_default();
        let owner = map.get(OWNER)?.parse().ok();
        Some(Labels {
            run_id: map.get(RUN_ID)?.clone(),
            job_id: get(JOB_ID),
            repo: get(REPO),
            owner,
            overlay: map.get(OVERLAY).map(PathBuf::from),
        })
    }
}

/// A run's folder and one process of the run.
///
/// Its text is `PID START NAMESPACE BOOT MACHINE FOLDER`, divided by blanks, `-` for what is not
/// known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The run's folder, absolute.
    pub folder: PathBuf,
    pid: i32,
    /// When the process began, in ticks since the machine did.
    start: u64,
    /// Inode of its pid namespace.
    namespace: u64,
    /// Changes whenever the machine starts.
    boot: String,
    /// Stays.
    machine: String,
}

impl Owner {
    /// The run at `folder` and this process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn of_this_process(folder: &Path) -> io::Result<Owner> {
        let pid = rustix::process::getpid();
        Ok(Owner {
            folder: folder.to_owned(),
            pid: pid.as_raw_nonzero().get(),
            start: start(pid)?,
            namespace: own_namespace()?,
            boot: word_of("/proc/sys/kernel/random/boot_id")?,
            machine: machine(),
        })
    }

    /// Whether nothing of the run lives. `is_locked` says whether the lock on a folder is held, or
    /// `None` where the folder cannot be reached.
    pub fn is_dead(&self, is_locked: impl FnOnce(&Path) -> Option<bool>) -> bool {
        match is_locked(&self.folder) {
            Some(is_locked) => !is_locked,
            None => self.is_process_gone().unwrap_or(false),
        }
    }

    /// Fails where it cannot be told.
    fn is_process_gone(&self) -> io::Result<bool> {
        if own_namespace()? != self.namespace {
            return Ok(false);
        }
        if word_of("/proc/sys/kernel/random/boot_id")? != self.boot {
            // Either this machine has started anew, or it is another one.
            return Ok(!self.machine.is_empty() && machine() == self.machine);
        }
        let pid = Pid::from_raw(self.pid).ok_or(io::ErrorKind::InvalidData)?;
        // Another user's process may be hidden in /proc, but it can be asked for.
        match test_kill_process(pid) {
            Err(Errno::SRCH) => Ok(true),
            _ => Ok(start(pid)? != self.start),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner { folder, pid, start, namespace, boot, machine } = self;
        let machine = if machine.is_empty() { "-" } else { machine };
        write!(f, "{pid} {start} {namespace} {boot} {machine} {}", folder.display())
    }
}

/// The text is no owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an owner's label")]
pub struct NoOwner;

impl FromStr for Owner {
    type Err = NoOwner;

    fn from_str(text: &str) -> Result<Owner, NoOwner> {
        let parts: Vec<&str> = text.splitn(6, ' ').collect();
        let [pid, start, namespace, boot, machine, folder] = parts[..] else { return Err(NoOwner) };
        let known = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
        Ok(Owner {
            folder: folder.into(),
            pid: pid.parse().map_err(|_| NoOwner)?,
            start: start.parse().map_err(|_| NoOwner)?,
            namespace: namespace.parse().map_err(|_| NoOwner)?,
            boot: known(boot),
            machine: known(machine),
        })
    }
}

/// Field 22 of `/proc/PID/stat`; the name before it may hold blanks and brackets.
fn start(pid: Pid) -> io::Result<u64> {
    let text = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    let text = String::from_utf8_lossy(&text);
    let field = text.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19));
    field.and_then(|field| field.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
}

/// The number in `pid:[4026531836]`.
fn own_namespace() -> io::Result<u64> {
    let link = fs::read_link("/proc/self/ns/pid")?;
    let text = link.to_string_lossy();
    let number = text.trim_start_matches("pid:[").trim_end_matches(']').parse();
    number.map_err(|_| io::ErrorKind::InvalidData.into())
}

fn word_of(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.split_whitespace().collect())
}

/// Empty where it is not known, as in many containers.
fn machine() -> String {
    word_of("/etc/machine-id").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner::of_this_process(Path::new("/a b/run")).unwrap()
    }

    fn out_of_reach(_: &Path) -> Option<bool> {
        None
    }

    #[test]
    fn label_is_read_back() {
        let labels = Labels {
            run_id: "r".into(),
            job_id: "j".into(),
            repo: "/repo".into(),
            owner: Some(owner()),
            overlay: Some("/tmp/loom-overlay-r/j".into()),
        };
        assert_eq!(Labels::of_map(&labels.to_map()), Some(labels));
        assert_eq!(Labels::of_map(&HashMap::new()), None);
        assert_eq!("1 2 3".parse::<Owner>(), Err(NoOwner));
        let nameless = Owner { machine: String::new(), ..owner() };
        assert_eq!(nameless.to_string().parse(), Ok(nameless));
    }

    #[test]
    fn lock_decides_where_it_can_be_reached() {
        assert!(!owner().is_dead(|_| Some(true)));
        assert!(owner().is_dead(|folder| Some(folder != Path::new("/a b/run"))));
    }

    #[test]
    fn process_decides_where_the_folder_is_gone() {
        assert!(!owner().is_dead(out_of_reach));
        let recycled = Owner { start: owner().start + 1, ..owner() };
        assert!(recycled.is_dead(out_of_reach), "another process has the pid now");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let ended = Owner { pid: i32::try_from(child.id()).unwrap(), ..owner() };
        assert!(ended.is_dead(out_of_reach));
    }

    #[test]
    fn who_cannot_be_judged_lives() {
        let ended = || Owner { start: owner().start + 1, ..owner() };
        let elsewhere = Owner { namespace: owner().namespace + 1, ..ended() };
        assert!(!elsewhere.is_dead(out_of_reach), "another pid namespace");
        let other_machine = Owner { boot: "b".into(), machine: "m".into(), ..ended() };
        assert!(!other_machine.is_dead(out_of_reach), "another machine at the same engine");
        let nameless = Owner { boot: "b".into(), machine: String::new(), ..ended() };
        assert!(!nameless.is_dead(out_of_reach));
    }

    #[test]
    fn run_from_before_the_machine_started_is_dead() {
        let machine = machine();
        let before = Owner { boot: "b".into(), ..owner() };
        assert_eq!(before.is_dead(out_of_reach), !machine.is_empty());
    }
}
