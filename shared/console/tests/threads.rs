//! Lines of several threads never mix, on stdout as on stderr, whatever their length.
//!
//! This test is its own subject: it starts itself again with both streams on one pipe.

use std::process::{Command, Stdio};
use std::thread;

use libloom_console::{ColorChoice, ColorHints, Console, Verbosity};

const THREADS: usize = 8;
const LINES: usize = 100;

fn main() {
    if std::env::args().any(|argument| argument == "--speak") {
        return speak();
    }
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let own = std::env::current_exe().expect("the system tells");
    let mut command = Command::new(own);
    command.arg("--speak").stdout(Stdio::from(writer.try_clone().expect("a copy"))).stderr(writer);
    let mut child = command.spawn().expect("the test can start itself");
    drop(command);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).expect("UTF-8");
    assert!(child.wait().expect("it ends").success());
    let whole = |line: &str| {
        let first = line.chars().next().expect("no line is empty");
        (100..70_000).contains(&line.len()) && line.chars().all(|c| c == first)
    };
    assert_eq!(text.lines().count(), 2 * THREADS * LINES);
    assert!(text.lines().all(whole), "a torn line");
}

fn speak() {
    let console = Console::new(Verbosity::Normal, ColorChoice::Never, ColorHints::default());
    thread::scope(|scope| {
        for number in 0..THREADS {
            let console = &console;
            scope.spawn(move || {
                let letter = char::from(b'a' + u8::try_from(number).expect("few threads"));
                for line in 0..LINES {
                    // Up to more than a pipe holds: a write of that length happens in parts.
                    let text = letter.to_string().repeat(100 + line * 700);
                    console.out(&text).expect("the pipe is read");
                    console.line(text);
                }
            });
        }
    });
}
