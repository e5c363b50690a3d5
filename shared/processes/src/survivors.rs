//! Processes that outlived what started them, told by a variable of their environment.

use std::fs;

use crate::{all, end, has_ended, own_pid};

/// A process that outlived what started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its id.
    pub pid: i32,
    /// What it belonged to: the variable's value.
    pub owner: String,
    /// Its command line, blanks between arguments.
    pub command: String,
}

/// Every process on this machine, but this one, whose value of the variable `name` is one that
/// `is_dead` says belongs to something dead.
pub fn survivors(name: &str, is_dead: impl Fn(&str) -> bool) -> Vec<Survivor> {
    let prefix = format!("{name}=").into_bytes();
    let others = all().filter(|&pid| pid != own_pid());
    others.filter_map(|pid| survivor(pid, &prefix, &is_dead)).collect()
}

fn survivor(pid: i32, prefix: &[u8], is_dead: &impl Fn(&str) -> bool) -> Option<Survivor> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut entries = environment.split(|&byte| byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(prefix))?;
    let owner = std::str::from_utf8(value).ok().filter(|value| is_dead(value))?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    (!has_ended(pid)).then(|| Survivor { pid, owner: owner.to_owned(), command })
}

/// Ends all of them; says how many there were.
pub fn end_survivors(name: &str, is_dead: impl Fn(&str) -> bool) -> usize {
    end(|| survivors(name, &is_dead).into_iter().map(|survivor| survivor.pid).collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_what_belonged_to_something_dead_is_found_and_ended() {
        let name = "LOOM_TEST_OF_SURVIVORS";
        let mut children = ["dead", "alive"]
            .map(|value| Command::new("sleep").arg("62").env(name, value).spawn().unwrap());
        let is_dead = |value: &str| value == "dead";
        let found = survivors(name, is_dead);
        let pid = children[0].id().cast_signed();
        let command = "sleep 62".to_owned();
        assert_eq!(found, [Survivor { pid, owner: "dead".into(), command }]);
        assert_eq!(end_survivors(name, is_dead), 1);
        assert!(!children[0].wait().unwrap().success());
        assert!(children[1].try_wait().unwrap().is_none());
        children[1].kill().unwrap();
        children[1].wait().unwrap();
    }
}
