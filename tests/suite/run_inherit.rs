//! What the processes of a job inherit, and what they do not.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use libloom_testkit::{Repo, Sandbox, wait_until};

use crate::ran::{Ran, document, workflow};

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// What a job of one entry wrote to stdout.
fn said_by(repo: &Repo<'_>, entry: &str) -> String {
    let job = workflow([("build", vec![entry])]);
    repo.workflow(&format!("{job}  timeout: 30s\n"));
    let ran = Ran::of(repo, &[]).expect_code(0);
    assert_eq!(ran.output_text("build", "script/01", "stderr"), "");
    ran.output_text("build", "script/01", "stdout")
}

#[test]
fn stdin_is_empty() {
    with_repo(|repo| assert_eq!(said_by(repo, "cat; read word || echo end"), "end\n"));
}

#[test]
fn no_descriptor_of_ours() {
    with_repo(|repo| {
        let direct = repo.program("ls").arg("/proc/self/fd").stdin(Stdio::null()).output().unwrap();
        let direct = String::from_utf8(direct.stdout).unwrap();
        assert_eq!(said_by(repo, "ls /proc/self/fd"), direct, "only what we inherited ourselves");
    });
}

#[test]
fn signals_as_after_a_fresh_login() {
    with_repo(|repo| {
        let said = said_by(repo, "grep -E 'Sig(Blk|Ign)' /proc/self/status");
        let sets = said.lines().filter_map(|line| line.split_whitespace().nth(1));
        let sets = sets.map(|set| u64::from_str_radix(set, 16).unwrap());
        // Signals from 32 on belong to the C library.
        assert_eq!(sets.map(|set| set & 0x7fff_ffff).collect::<Vec<_>>(), [0, 0], "{said}");
    });
}

#[test]
fn broken_pipe_is_silent_in_a_job() {
    with_repo(|repo| assert_eq!(said_by(repo, "yes | head -n 1"), "y\n"));
}

#[test]
fn session_of_its_own_and_no_terminal() {
    with_repo(|repo| {
        let entry =
            "cut -d ' ' -f 6 /proc/$$/stat; echo $$; (: </dev/tty) 2>/dev/null || echo none";
        let said = said_by(repo, entry);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], lines[1], "the shell leads its session");
        assert_eq!(lines[2], "none");
    });
}

#[test]
fn background_process_that_never_stops_writing_is_ended() {
    with_repo(|repo| {
        repo.workflow(&workflow([("build", vec!["yes & echo begun >&2"])]));
        let begun = Instant::now();
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert!(begun.elapsed() < Duration::from_secs(30), "it wrote for {:?}", begun.elapsed());
        assert_eq!(ran.output_text("build", "script/01", "stderr"), "begun\n");
    });
}

#[test]
fn escape_sequences_of_a_job_do_not_reach_the_terminal_in_the_summary() {
    with_repo(|repo| {
        repo.workflow(&workflow([("build", vec![r"printf 'a\033[2Jb\007\n'; exit 1"])]));
        let ran = Ran::of(repo, &[]).expect_code(1);
        assert!(ran.stderr.contains("  | a"), "{}", ran.stderr);
        assert!(!ran.stderr.contains(['\x1b', '\x07']), "{:?}", ran.stderr);
        let written = ran.output("build", "script/01", "stdout");
        assert_eq!(written, b"a\x1b[2Jb\x07\n", "the record has them");
    });
}

#[test]
fn run_whose_reader_went_away_goes_on_to_a_whole_record() {
    with_repo(|repo| {
        let entries =
            ["echo first", "i=0; while [ $i -lt 9 ]; do echo $i; i=$((i+1)); sleep 0.05; done"];
        repo.workflow(&workflow([("build", entries.to_vec())]));
        let mut command = repo.process("loom-run");
        let mut guard =
            command.arg("--stream").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert_eq!(first, "build | first\n");
        guard.wait().unwrap();
        let receipts = || std::fs::read_dir(repo.runtime().join("receipts")).unwrap().flatten();
        wait_until("the receipt is written", Duration::from_secs(20), || receipts().count() == 1);
        let receipt = document(&receipts().next().unwrap().path());
        assert_eq!(receipt["status"], "success");
        assert_eq!(receipt["executor_receipt"]["steps"], 2);
    });
}
