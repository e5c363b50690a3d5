//! What a snapshot costs beside the plain ways to copy a repository.

use std::{io, path::Path};

use crate::{
    bench::Bench,
    measure::{Contender, Samples, compare},
    repository::{Repository, workflow},
    table::Row,
};

/// 1,000 and 20,000 files.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut rows = of_files(bench, 1_000, 15)?;
    rows.extend(of_files(bench, 20_000, 5)?);
    Ok(rows)
}

fn of_files(bench: &Bench, files: usize, rounds: usize) -> io::Result<Vec<Row>> {
    let name = format!("files-{files}");
    let repository = Repository::create(bench, &name, files, &workflow(1, &["true"]))?;
    let root = repository.root();
    let copy = |program: &str, arguments: &[&str], fresh: &Path| {
        let mut command = bench.command(program);
        command.args(arguments).arg(root).arg(fresh.join("copy"));
        command
    };
    let contenders = [
        Contender::new(format!("git clone --local, {files} files"), move |fresh| {
            copy("git", &["clone", "-q", "--local"], fresh)
        }),
        Contender::new("cp -a", move |fresh| copy("cp", &["-a"], fresh)),
        Contender::new("loom snapshot create", |fresh| {
            let mut command = bench.loom("loom");
            command.args(["snapshot", "create"]).current_dir(root).env("TMPDIR", fresh);
            command
        })
        .leaving(repository.runtime()),
    ];
    let samples = compare(bench.folder(), bench.rounds(rounds), &contenders)?;
    std::fs::remove_dir_all(root)?;
    let [clone, cp, snapshot] = &samples[..] else { unreachable!("three contenders") };
    let named = Samples::ratio;
    let beside_cp = Row::figure("  / cp -a", named(snapshot, cp), "", None);
    Ok(vec![
        Row::time(clone),
        Row::ratio(cp, clone, None),
        Row::ratio(snapshot, clone, None),
        beside_cp,
    ])
}
