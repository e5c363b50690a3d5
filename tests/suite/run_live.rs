//! What a run looks like on a terminal: in tmux, whose screen is read as a person would read it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libloom_testkit::{Repo, Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// For what takes no time but on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// A terminal in which a command runs; closed when it is dropped.
struct Terminal<'a> {
    repo: &'a Repo<'a>,
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    /// Runs `command` in a shell, which says `ended: CODE` and stays.
    fn run(repo: &'a Repo<'a>, (columns, rows): (u16, u16), command: &str) -> Self {
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        // A server that is ending must not be asked for a session.
        let name = format!("tmux-{}", OPENED.fetch_add(1, Ordering::Relaxed));
        let terminal = Terminal { repo, socket: repo.sandbox().root().join(name) };
        let shell = format!("{command}; echo \"ended: $?\"; exec cat");
        let [columns, rows] = [columns, rows].map(|number| number.to_string());
        terminal.tmux(&["new-session", "-d", "-x", &columns, "-y", &rows, &shell]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux: Command = self.repo.program("tmux");
        tmux.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(arguments);
        let output = tmux.output().expect("tmux is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The second process of the run: the shell's child's child.
    fn worker(&self) -> Pid {
        let child = |pid: String| {
            let children = format!("/proc/{pid}/task/{pid}/children");
            let children = fs::read_to_string(children).unwrap();
            children.split_whitespace().next().expect("a child").to_owned()
        };
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let worker = child(child(shell.trim().to_owned()));
        Pid::from_raw(worker.parse().unwrap()).unwrap()
    }

    fn resize(&self, columns: u16, rows: u16) {
        let [columns, rows] = [columns, rows].map(|number| number.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// The lines of the screen; of the whole scrollback with `all`.
    fn lines(&self, all: bool) -> Vec<String> {
        let start = if all { "-" } else { "0" };
        let text = self.tmux(&["capture-pane", "-p", "-S", start]);
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// A screen that nobody was writing to while it was read: two captures that are alike.
    fn settled(&self) -> Vec<String> {
        let mut before = self.lines(false);
        wait_until("two screens that are alike", LIMIT, || {
            let after = self.lines(false);
            std::mem::replace(&mut before, after.clone()) == after
        });
        before
    }

    #[track_caller]
    fn wait_for(&self, what: &str, condition: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        let mut holds = || {
            lines = self.settled();
            condition(&lines)
        };
        let deadline = Instant::now() + LIMIT;
        while !holds() {
            assert!(Instant::now() < deadline, "no {what} in:\n{:#?}", self.lines(true));
        }
        lines
    }

    #[track_caller]
    fn wait_for_end(&self, code: i32) {
        let last = format!("ended: {code}");
        self.wait_for("end", |lines| lines.last() == Some(&last));
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.tmux(&["kill-server"]);
        }
    }
}

/// The path that jobs wait for, and an entry that waits for it.
fn gate(repo: &Repo<'_>) -> (PathBuf, String) {
    let gate = repo.sandbox().root().join("gate");
    let wait = format!("until [ -e '{}' ]; do sleep 0.05; done", gate.display());
    (gate, wait)
}

fn is_tally(line: &str) -> bool {
    line.contains(" running")
}

/// Fails unless every line is one that the run may show: an earlier one, whole, or a job's.
#[track_caller]
fn assert_whole(lines: &[String], columns: usize) {
    let torn = lines.iter().find(|line| {
        let of_job =
            line.starts_with("  many ") && (line.contains("  line ") || line.contains('$'));
        let said = ["isolated workspace: ", "job `", "ending: "];
        let wrapped = !line.contains(' ') && !line.is_empty();
        !(of_job || said.iter().any(|said| line.starts_with(said)) || is_tally(line) || wrapped)
    });
    assert_eq!(torn, None, "torn in:\n{lines:#?}");
    assert_eq!(lines.iter().filter(|line| is_tally(line)).count(), 1, "{lines:#?}");
    assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:#?}");
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "tmux is not installed")]
fn more_jobs_than_rows_are_drawn_whole_at_any_size_and_cleared_at_the_end() {
    with_repo(|repo| {
        let (gate, wait) = gate(repo);
        let script = format!(
            "for i in 1 2 3 4 5; do \
             printf 'line %d \\033[31mred\\033[2J\\033[1;1H \\346\\227\\245\\n' $i; sleep 0.1; done; {wait}"
        );
        let script = serde_json::to_string(&[script]).unwrap();
        repo.workflow(&format!(
            "version: v1\nstages: [ci]\nfirst:\n  stage: ci\n  script: ['true']\n\
             many:\n  stage: ci\n  parallel: 30\n  script: {script}\n"
        ));
        let terminal = Terminal::run(repo, (80, 24), "loom-run --jobs 40");
        let is_going = |lines: &[String]| {
            lines.iter().any(|line| line.starts_with("30 running"))
                && lines.iter().all(|line| !line.starts_with("  many ") || line.contains("  line "))
        };
        // Narrower comes last: what tmux wraps then, it partly moves out of reach.
        let sizes = [(80, 24, 13), (80, 10, 23), (120, 50, 0), (80, 24, 13), (40, 10, 23)];
        for (columns, rows, hidden) in sizes {
            terminal.resize(columns, rows);
            let fits = |lines: &[String]| {
                let shown = lines.iter().filter(|line| line.starts_with("  many ")).count();
                is_going(lines) && shown == 30 - hidden
            };
            let lines = terminal.wait_for("frame of this size", fits);
            assert_whole(&lines, columns.into());
            let tallies = terminal.lines(true).iter().filter(|line| is_tally(line)).count();
            assert_eq!(tallies, 1, "copies are left behind: {:#?}", terminal.lines(true));
        }
        assert!(terminal.lines(true).iter().any(|line| line.starts_with("job `first` success")));
        fs::write(gate, "").unwrap();
        terminal.wait_for_end(0);
        let all = terminal.lines(true);
        assert!(!all.iter().any(|line| is_tally(line)), "{all:#?}");
        for number in 1..=30 {
            let done = format!("job `many {number}/30` success in ");
            let times = all.iter().filter(|line| line.starts_with(&done)).count();
            assert_eq!(times, 1, "job {number} of {all:#?}");
        }
        assert!(all.iter().any(|line| line.starts_with("31 jobs: 31 succeeded in ")), "{all:#?}");
    });
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "tmux is not installed")]
fn interrupted_and_killed_runs_leave_the_terminal_as_it_was() {
    with_repo(|repo| {
        let (_, wait) = gate(repo);
        repo.workflow(&format!(
            "version: v1\nstages: [ci]\nmany-1:\n  stage: ci\n  script: [\"{wait}\"]\n"
        ));
        for (key, code) in [(Some("C-c"), 130), (None, 3)] {
            let terminal = Terminal::run(repo, (80, 24), "loom-run --grace 1");
            terminal.wait_for("job", |lines| lines.iter().any(|line| is_tally(line)));
            match key {
                Some(key) => drop(terminal.tmux(&["send-keys", key])),
                None => kill_process(terminal.worker(), Signal::KILL).unwrap(),
            }
            terminal.wait_for_end(code);
            let all = terminal.lines(true);
            assert!(!all.iter().any(|line| is_tally(line) || line.contains('$')), "{all:#?}");
            let cursor = terminal.tmux(&["display-message", "-p", "#{cursor_flag} #{wrap_flag}"]);
            assert_eq!(cursor, "1 1\n");
        }
    });
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "tmux is not installed")]
fn streamed_lines_scroll_above_the_running_jobs() {
    with_repo(|repo| {
        let (gate, wait) = gate(repo);
        let hostile = r"printf '\\033[31mred\\033[0m \\033[2J\\033[5;5Hhere\\r\\n1%%\\r99%%\\nend'";
        repo.workflow(&format!(
            "version: v1\nstages: [ci]\nmany-1:\n  stage: ci\n  script: [\"{hostile}\", \"{wait}\"]\n\
             many-2:\n  stage: ci\n  script: ['echo err >&2', \"{wait}\"]\n"
        ));
        let terminal = Terminal::run(repo, (80, 24), "loom-run --stream --jobs 2");
        let lines = terminal.wait_for("streamed lines", |lines| {
            let streamed = ["many-1 | red here", "many-1 | 99%", "many-1 | end", "many-2 | err"];
            streamed.iter().all(|line| lines.iter().any(|shown| shown == line))
                && lines.last().is_some_and(|line| is_tally(line))
        });
        let tally = lines.iter().position(|line| is_tally(line)).unwrap();
        assert!(lines[tally - 1].starts_with("  many-"), "{lines:#?}");
        fs::write(gate, "").unwrap();
        terminal.wait_for_end(0);
    });
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "tmux is not installed")]
fn nothing_is_drawn_where_it_cannot_be_or_is_not_wanted() {
    with_repo(|repo| {
        let (gate, wait) = gate(repo);
        repo.workflow(&format!(
            "version: v1\nstages: [ci]\nmany-1:\n  stage: ci\n  script: ['sleep 0.5', \"{wait}\"]\n"
        ));
        fs::write(gate, "").unwrap();
        let record = repo.sandbox().root().join("record");
        for (command, started) in
            [("TERM=dumb loom-run", true), ("CI=true loom-run", true), ("loom-run -q", false)]
        {
            let terminal = Terminal::run(repo, (80, 24), &format!("stty -echo; {command}"));
            let to = format!("cat >'{}'", record.display());
            terminal.tmux(&["pipe-pane", "-o", &to]);
            terminal.wait_for_end(0);
            let said = terminal.lines(true).join("\n");
            assert_eq!(said.contains("job `many-1` started (host)"), started, "{said}");
            // Everything that was sent to the terminal; the run outlives the start of the record.
            let sent = fs::read_to_string(&record).unwrap();
            assert!(sent.contains("ended: 0"), "{sent:?}");
            assert!(!sent.contains("\x1b[J") && !sent.contains(" running"), "{sent:?}");
            fs::remove_file(&record).unwrap();
        }
    });
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "tmux is not installed")]
fn shell_on_failure_opens_in_the_failed_jobs_workspace() {
    with_repo(|repo| {
        repo.workflow(
            "version: v1\nstages: [ci]\nmany-1:\n  stage: ci\n  variables: {SEEN: here}\n  \
             script: ['touch made; false']\n",
        );
        let terminal = Terminal::run(repo, (80, 24), "loom-run --shell-on-failure");
        let prompt =
            |lines: &[String]| lines.last().is_some_and(|line| line.starts_with("[loom many-1] "));
        terminal.wait_for("prompt", prompt);
        terminal.tmux(&["send-keys", "-l", "echo $SEEN/$(ls); sleep 100"]);
        terminal.tmux(&["send-keys", "Enter"]);
        terminal.wait_for("answer", |lines| lines.iter().any(|line| line == "here/made"));
        // Ctrl-C is for what the shell runs, not for the run.
        terminal.tmux(&["send-keys", "C-c"]);
        terminal.wait_for("prompt", prompt);
        terminal.tmux(&["send-keys", "-l", "exit 9"]);
        terminal.tmux(&["send-keys", "Enter"]);
        terminal.wait_for_end(1);
        let lines = terminal.lines(true);
        let receipt = lines.iter().rposition(|line| line.starts_with("receipt: "));
        let exit = lines.iter().rposition(|line| line.starts_with("[loom many-1] "));
        assert!(receipt > exit, "{lines:#?}");
    });
}
