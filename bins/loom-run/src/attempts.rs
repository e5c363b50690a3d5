//! A job that failed and is tried again: whether it is, and where the earlier attempts go.

use std::{fs, io, os::unix::fs::symlink, path::Path, time::Duration};

use libloom_contract::{
    Reason, Status,
    graph::{Node, Retry},
    layout::JobLayout,
    store::TEMPORARY_PREFIX,
};
use libloom_record::attempts::{parts, remove_parts};
use serde_json::Value;

use crate::{job::JobResult, run::Run, verdict::Verdict};

/// The longest wait, so that the clock is never at its end.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Attempts that the job has in all.
pub fn allowed(node: &Node) -> u32 {
    node.policy.retry.as_ref().map_or(1, |retry| retry.max.saturating_add(1))
}

/// How long to wait before the attempt after the one of this number, which ended like this;
/// `None`: there is none.
pub fn wait_before_next(node: &Node, verdict: &Verdict, number: u32) -> Option<Duration> {
    let retry = node.policy.retry.as_ref()?;
    let goes_on = verdict.status == Status::Failure
        && number <= retry.max
        && is_worth_it(retry, verdict.reason);
    let doubled = 1u64.checked_shl(number - 1).unwrap_or(u64::MAX);
    let wait = retry.backoff_ms.unwrap_or(0).saturating_mul(doubled);
    goes_on.then(|| Duration::from_millis(wait).min(WAIT_MAX))
}

/// `retry.when` speaks of causes; a step that failed did so by its exit code.
fn is_worth_it(retry: &Retry, reason: Option<Reason>) -> bool {
    let word = match reason {
        Some(Reason::StepFailed | Reason::ExitCode) => "exit_code",
        Some(Reason::Signal) => "signal",
        Some(Reason::Timeout) => "timeout",
        Some(Reason::OutOfMemory) => "out_of_memory",
        Some(Reason::SectionFailed) => "section_failed",
        Some(Reason::ProviderUnavailable) => "provider_unavailable",
        _ => "",
    };
    retry.when.is_empty() || retry.when.iter().any(|when| when == word)
}

/// Moves what the job's folder holds to `attempts/<number>`, so that the next attempt can take
/// its place.
///
/// # Errors
/// Something cannot be read or written.
pub fn set_aside(run: &Run, node: &Node, number: u32, attempt: &JobResult) -> io::Result<()> {
    let job = run.logs.job(&node.id);
    let [from, to] = [job.folder(), job.attempt(number).folder()].map(|f| run.logs.relative(f));
    move_attempt(&job, number, &Pointers { from: from + "/", to: to + "/" })?;
    let mut ledger = run.ledger.lock().expect("no thread panics while it holds the lock");
    ledger.forget_attempt(&node.id, attempt.steps);
    Ok(())
}

/// The attempt is whole in its new place before it is taken from the old one, so that there is
/// one at any moment.
fn move_attempt(job: &JobLayout, number: u32, pointers: &Pointers) -> io::Result<()> {
    let making = job.attempts().join(format!("{TEMPORARY_PREFIX}{number}"));
    fs::create_dir_all(&making)?;
    for part in &parts(job)? {
        let is_document = *part != job.artifacts() && *part != job.artifacts_manifest();
        copy(part, &making.join(part.file_name().unwrap_or_default()), pointers, is_document)?;
    }
    fs::rename(&making, job.attempt(number).folder())?;
    remove_parts(job)
}

/// Paths in documents, which are relative to the run's folder, and what they become.
struct Pointers {
    from: String,
    to: String,
}

/// Files are linked, not copied: nothing writes to them any more. What a job extracted may be
/// called like a document (`is_document` is false), and stays as it is.
fn copy(from: &Path, to: &Path, pointers: &Pointers, is_document: bool) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()), pointers, is_document)?;
        }
        Ok(())
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if is_document && from.extension().is_some_and(|extension| extension == "json") {
        let mut document: Value = serde_json::from_slice(&fs::read(from)?)?;
        pointers.rewrite(&mut document);
        fs::write(to, serde_json::to_vec(&document)?)
    } else {
        fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
    }
}

impl Pointers {
    /// The attempts before stay where they are.
    fn follow(&self, path: &mut String) {
        let inside = path.strip_prefix(&self.from).filter(|rest| !rest.starts_with("attempts/"));
        if let Some(rest) = inside {
            *path = format!("{}{rest}", self.to);
        }
    }

    /// Fields that hold paths are called so; what a job or a person wrote is in other ones.
    fn rewrite(&self, document: &mut Value) {
        match document {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(path) if name == "path" || name.ends_with("_path") => {
                            self.follow(path);
                        }
                        value => self.rewrite(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.rewrite(value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(retry: Option<Retry>) -> Node {
        let mut node = Node::host("a", "b");
        node.policy.retry = retry;
        node
    }

    #[test]
    fn attempts_end_with_success_the_limit_or_another_cause() {
        let retry = |when: &[&str]| Retry {
            max: 2,
            when: when.iter().map(|word| (*word).to_owned()).collect(),
            backoff_ms: Some(100),
        };
        let failure = |reason| Verdict::failure(reason, "");
        let wait = |node: &Node, verdict: &Verdict, number| {
            wait_before_next(node, verdict, number).map(|wait| wait.as_millis())
        };
        let any = node(Some(retry(&[])));
        let failed = failure(Reason::StepFailed);
        assert_eq!([1, 2, 3].map(|n| wait(&any, &failed, n)), [Some(100), Some(200), None]);
        assert_eq!(wait(&any, &Verdict::success(), 1), None);
        assert_eq!(wait(&any, &Verdict::cancelled(Reason::Interrupt, ""), 1), None);
        assert_eq!(wait(&node(None), &failed, 1), None);
        let some = node(Some(retry(&["timeout", "exit_code"])));
        for (reason, expected) in [
            (Reason::StepFailed, Some(100)),
            (Reason::ExitCode, Some(100)),
            (Reason::Timeout, Some(100)),
            (Reason::Signal, None),
            (Reason::SectionFailed, None),
            (Reason::LoomError, None),
        ] {
            assert_eq!(wait(&some, &failure(reason), 1), expected, "{reason:?}");
        }
    }

    #[test]
    fn only_pointers_into_the_jobs_folder_change() {
        let pointers = Pointers { from: "jobs/a/".into(), to: "jobs/a/attempts/1/".into() };
        let mut document = serde_json::json!({
            "summary_path": "jobs/a/summary.json",
            "command": "cat jobs/a/summary.json",
            "artifacts": {"path": "jobs/a/artifacts"},
            "steps": [{"events_path": "jobs/ab/events.jsonl"}],
        });
        pointers.rewrite(&mut document);
        let expected = serde_json::json!({
            "summary_path": "jobs/a/attempts/1/summary.json",
            "command": "cat jobs/a/summary.json",
            "artifacts": {"path": "jobs/a/attempts/1/artifacts"},
            "steps": [{"events_path": "jobs/ab/events.jsonl"}],
        });
        assert_eq!(document, expected);
    }
}
