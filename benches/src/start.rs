//! What a command costs that does almost nothing, beside a login shell that does nothing.

use std::io;

use crate::{
    bench::Bench,
    measure::{Contender, compare},
    repository::{Repository, workflow},
    table::{Row, Target},
};

/// `loom --version`, and `loom compile` of 10 jobs.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let repository = Repository::create(bench, "start", 20, &workflow(10, &["make", "make test"]))?;
    let root = repository.root();
    let contenders = [
        Contender::new("sh -lc true", |_| bench.login_shell()),
        Contender::new("loom --version", |_| {
            let mut command = bench.loom("loom");
            command.arg("--version");
            command
        }),
        Contender::new("loom compile, 10 jobs", |_| {
            let mut command = bench.loom("loom");
            command.arg("compile").current_dir(root);
            command
        }),
    ];
    let samples = compare(bench.folder(), bench.rounds(40), &contenders)?;
    let [shell, version, compile] = &samples[..] else { unreachable!("three contenders") };
    let target = Some(Target::AtMost(1.0));
    Ok(vec![
        Row::time(shell),
        Row::ratio(version, shell, target),
        Row::ratio(compile, shell, target),
    ])
}
