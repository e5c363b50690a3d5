//! Where each value of a job comes from, in order of the merged job, and what it overrode.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io;

use libloom_contract::graph::Origin;
use libloom_workflow::{Files, explain};

const WORKFLOW: &str = "\
version: v1
stages: [ci]
variables: {A: root}
default: {variables: {A: default}, cache: []}
.t: {variables: {A: template, B: x}, script: [one,   two]}
build:
  extends: .t
  stage: ci
  script: [three, four]
  variables: {A: job}
  invariant: {}
  image:
";

fn place(origin: &Origin) -> String {
    let position = origin.position.as_ref().unwrap();
    let template = origin.template.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{:?}{template} {}:{}", origin.layer, position.line, position.column)
}

fn lines(job: &str) -> Option<Vec<String>> {
    let read = |_: &str| Err(io::ErrorKind::NotFound.into());
    let files = Files { read: &read, exists: &|_| false };
    let found = explain(".loom/workflow.yml", WORKFLOW.into(), &files, job)?;
    let line = |value: libloom_workflow::Explained| {
        let below =
            value.overridden.iter().map(|(text, origin)| format!(" < {text} {}", place(origin)));
        format!(
            "{} = {} {}{}",
            value.key,
            value.value,
            place(&value.origin),
            below.collect::<String>()
        )
    };
    Some(found.into_iter().map(line).collect())
}

#[test]
fn every_value_of_a_job_says_where_it_stands_and_what_it_overrode() {
    let expected = [
        "variables.A = job Job 10:18 < template Template .t 5:21 < default Default 4:26 < root Root 3:16",
        "variables.B = x Template .t 5:34",
        "cache = [] Default 4:43",
        "script[0] = three Job 9:12 < [one, two] Template .t 5:46",
        "script[1] = four Job 9:19",
        "stage = ci Job 8:10",
        "invariant = {} Job 11:14",
        "image = null Job 12:3",
    ];
    assert_eq!(lines("build").unwrap(), expected);
}

#[test]
fn a_template_can_be_explained_and_an_unknown_job_cannot() {
    assert_eq!(lines(".t").unwrap().len(), 5);
    assert_eq!(lines("biuld"), None);
}
