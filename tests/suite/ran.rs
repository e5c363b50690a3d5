//! A run that is over, as its exit, its words and its documents tell it; used by the tests of
//! `loom run`. Everything is read from disk as a stranger would, through the fields of documents.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libloom_testkit::Repo;
use serde_json::Value;

/// What is left of a run.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// `Null` where no receipt was printed.
    pub(crate) receipt: Value,
}

impl Ran {
    /// Runs `loom-run` in `repo` with these arguments.
    pub(crate) fn of(repo: &Repo<'_>, arguments: &[&str]) -> Self {
        Self::by(repo.command("loom-run").args(arguments))
    }

    /// Runs a command that is, or becomes, `loom-run`.
    pub(crate) fn by(command: &mut Command) -> Self {
        Self::from_output(&command.output().expect("it can be started"))
    }

    /// From what a process left.
    pub(crate) fn from_output(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let path = stdout.lines().last().and_then(|line| line.strip_prefix("receipt: "));
        let receipt = path.map_or(Value::Null, |path| document(Path::new(path)));
        Ran { code: output.status.code(), stdout, stderr, receipt }
    }

    /// Fails with all that was said unless the run ended with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless all of `words` are on stderr.
    #[track_caller]
    pub(crate) fn expect_said(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
        self
    }

    /// A field of the receipt that holds text.
    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> &str {
        let value = self.receipt[field].as_str();
        value.unwrap_or_else(|| panic!("no `{field}` in {:#}\n{}", self.receipt, self.stderr))
    }

    /// The folder of the run's logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.text("logs_dir").into()
    }

    /// The isolated workspace.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.text("snapshot_path").into()
    }

    /// A document below the logs folder.
    pub(crate) fn document(&self, path: &str) -> Value {
        document(&self.logs().join(path))
    }

    /// The manifest of a job.
    pub(crate) fn job(&self, job: &str) -> Value {
        self.document(&format!("jobs/{job}/manifest.json"))
    }

    /// The summary of a step (`script/01`) of a job.
    pub(crate) fn step(&self, job: &str, step: &str) -> Value {
        self.document(&format!("jobs/{job}/user/execution/{step}/summary.json"))
    }

    /// What a step wrote to `stdout` or `stderr`; nothing where it never began.
    pub(crate) fn output(&self, job: &str, step: &str, stream: &str) -> Vec<u8> {
        let path = format!("jobs/{job}/user/execution/{step}/events.jsonl");
        bytes_of(&self.events(&path), stream)
    }

    /// The same as text.
    pub(crate) fn output_text(&self, job: &str, step: &str, stream: &str) -> String {
        String::from_utf8_lossy(&self.output(job, step, stream)).into_owned()
    }

    /// The records of an event file below the logs folder; none where there is no such file.
    pub(crate) fn events(&self, path: &str) -> Vec<Value> {
        events(&self.logs().join(path))
    }
}

/// Any JSON document.
#[track_caller]
pub(crate) fn document(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The records of an event file; none where there is no such file.
pub(crate) fn events(path: &Path) -> Vec<Value> {
    let Ok(file) = fs::File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map(|line| line.expect("records are UTF-8"));
    lines.map(|line| serde_json::from_str(&line).expect("a record is JSON")).collect()
}

/// The bytes that output records of `stream` hold, in order.
pub(crate) fn bytes_of(events: &[Value], stream: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events.iter().filter(|event| event["stream"] == stream) {
        bytes.extend(output_of(event));
    }
    bytes
}

/// The bytes of one output record, which are in `text` or in `bytes`.
pub(crate) fn output_of(event: &Value) -> Vec<u8> {
    match (event["text"].as_str(), event["bytes"].as_str()) {
        (Some(text), None) => text.as_bytes().to_owned(),
        (None, Some(bytes)) => BASE64_STANDARD.decode(bytes).expect("`bytes` is base64"),
        _ => panic!("neither `text` alone nor `bytes` alone in {event}"),
    }
}

/// A workflow of one stage from jobs and their scripts.
pub(crate) fn workflow<'a>(jobs: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> String {
    let mut text = String::from("version: v1\nstages: [ci]\n");
    for (job, entries) in jobs {
        // JSON is YAML, and quotes every entry whatever it holds.
        let script = serde_json::to_string(&entries).expect("strings are JSON");
        text.push_str(&format!("{job}:\n  stage: ci\n  script: {script}\n"));
    }
    text
}
