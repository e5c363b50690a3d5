//! A panic in any thread is reported as a bug and ends the process with 70, in a debug build
//! (where panics unwind) as in a release build (where they abort).
//!
//! This test is its own subject: it starts itself again as a command that panics.

use std::process::{Command, ExitCode};

use clap::Parser;
use libloom_entry::{Context, Failure};

#[derive(Clone, Copy, Parser)]
#[command(name = "loom-buggy")]
struct Arguments {
    /// Tells the two roles of this executable apart
    #[arg(long)]
    as_command: bool,
    #[arg(long)]
    in_thread: bool,
}

fn run(arguments: Arguments, _: &Context) -> Result<u8, Failure> {
    assert!(arguments.as_command);
    if arguments.in_thread {
        std::thread::spawn(|| panic!("thread trouble")).join().ok();
        return Ok(0);
    }
    panic!("main trouble");
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--as-command") {
        return libloom_entry::main(run);
    }
    for (option, trouble) in [("--in-thread", "thread trouble"), ("", "main trouble")] {
        check(option, trouble);
    }
    ExitCode::SUCCESS
}

fn check(option: &str, trouble: &str) {
    let own = std::env::current_exe().expect("the system tells");
    let mut command = Command::new(own);
    command.arg("--as-command").args(Some(option).filter(|option| !option.is_empty()));
    let output = command.output().expect("the test can start itself");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{said}");
    assert!(said.starts_with(&format!("error: this is a bug in loom: {trouble} (")), "{said}");
    assert!(said.contains("\nhint: please report it"), "{said}");
}
