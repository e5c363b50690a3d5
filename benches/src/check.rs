//! What it costs to check a workflow: the whole process, of a small one and of a large one.

use std::{fmt::Write as _, io};

use crate::{
    bench::Bench,
    measure::{Contender, compare},
    repository::{Repository, workflow},
    table::{Row, Target},
};

const JOBS: usize = 1000;
const INCLUDES: usize = 50;

/// `loom-check` of 10 jobs, and of 1,000 jobs with 50 includes.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let small = Repository::create(bench, "small", 1, &workflow(10, &["make", "make test"]))?;
    let main = large();
    let large = Repository::create(bench, "large", 1, &main)?;
    let mut input = main.len();
    for number in 0..INCLUDES {
        let template = template(number);
        input += template.len();
        large.write(&path(number), &template)?;
    }
    let check = |name: &str, root| {
        Contender::new(name, move |_| {
            let mut command = bench.loom("loom-check");
            command.current_dir(root);
            command
        })
    };
    let contenders =
        [check("10 jobs", small.root()), check("1,000 jobs, 50 includes", large.root())];
    let samples = compare(bench.folder(), bench.rounds(20), &contenders)?;
    let [ten, thousand] = &samples[..] else { unreachable!("two contenders") };
    let megabytes = |bytes: f64| bytes / 1e6;
    #[expect(clippy::cast_precision_loss, reason = "far fewer bytes than a double counts exactly")]
    let (input, peak) = (megabytes(input as f64), megabytes(thousand.peak_bytes() as f64));
    let milliseconds = |seconds: f64| seconds * 1000.0;
    let limit = Some(Target::AtMost(8.0 + 20.0 * input));
    Ok(vec![
        Row::figure(&ten.name, milliseconds(ten.seconds()), "ms", Some(Target::AtMost(5.0)))
            .timed(ten),
        Row::figure(
            &thousand.name,
            milliseconds(thousand.seconds()),
            "ms",
            Some(Target::AtMost(100.0)),
        )
        .timed(thousand),
        Row::figure(&format!("the same: memory, of {input:.3} MB"), peak, "MB", limit),
    ])
}

fn path(number: usize) -> String {
    format!(".loom/templates/t{number}.yml")
}

fn template(number: usize) -> String {
    format!(
        ".t{number}:\n  image: alpine:3.{number}\n  before_script:\n    - echo {number}\n  \
         variables:\n    T: t{number}\n  cache:\n    paths: [a, b]\n  timeout: 10m\n"
    )
}

fn large() -> String {
    let mut text = String::from("version: v1\nstages: [build, test, deploy]\ninclude:\n");
    for number in 0..INCLUDES {
        let _ = writeln!(text, "  - local: {}", path(number));
    }
    text.push_str("default:\n  variables:\n    LEVEL: default\n    PATH: /opt/bin:$PATH\n");
    for number in 0..JOBS {
        let stage = ["build", "test", "deploy"][number % 3];
        let _ = write!(
            text,
            "job-{number}:\n  extends: .t{}\n  stage: {stage}\n  variables:\n    NAME: name-{number}\n  \
             script:\n    - make job-{number}\n    - make test-{number}\n",
            number % INCLUDES
        );
    }
    text
}
