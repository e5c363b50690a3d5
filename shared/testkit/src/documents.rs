//! Every document a test wrote, held against the contract's JSON Schemas.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use libloom_contract::schema;
use serde_json::Value;

static SCHEMAS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
    let compiled = schema::all().into_iter().map(|(kind, schema)| {
        let validator = jsonschema::validator_for(schema.as_value());
        (kind, validator.expect("the contract's schemas are valid"))
    });
    compiled.collect()
});

/// Fails, naming every fault, if a document below `runtime` (`.loom/.runtime`) does not obey the
/// schema of its `kind`, or an `events.jsonl` has a gap, a torn line or a wrong record.
///
/// Extracted artifacts are the jobs' own files and are passed by; links are not followed.
#[track_caller]
pub fn check_documents(runtime: &Path) {
    let mut faults = Vec::new();
    for path in files(runtime) {
        let found = match path.file_name().and_then(|name| name.to_str()) {
            Some("events.jsonl") => event_faults(&path),
            Some(name) if name.ends_with(".json") => document_faults(&path),
            _ => Vec::new(),
        };
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", path.display())));
    }
    assert!(faults.is_empty(), "documents that break the contract:\n{}", faults.join("\n"));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let kind = entry.file_type().expect("the kind of an entry is known");
        if kind.is_dir() && entry.file_name() != "artifacts" {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// What in a document does not obey the schema of its `kind`.
pub fn document_faults(path: &Path) -> Vec<String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => return vec![format!("cannot be read: {error}")],
    };
    match serde_json::from_slice::<Value>(&text) {
        Ok(document) => {
            let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            schema_faults(&kind, &document)
        }
        Err(error) => vec![format!("is not JSON: {error}")],
    }
}

fn schema_faults(kind: &str, value: &Value) -> Vec<String> {
    let Some(schema) = SCHEMAS.get(kind) else {
        return vec![format!("no schema for the kind `{kind}`")];
    };
    schema.iter_errors(value).map(|e| format!("{} at `{}`", e, e.instance_path())).collect()
}

fn event_faults(path: &Path) -> Vec<String> {
    let file = fs::File::open(path).expect("own files can be read");
    let mut reader = BufReader::new(file);
    let mut faults = Vec::new();
    let mut line = Vec::new();
    let mut number = 0;
    while reader.read_until(b'\n', &mut line).expect("own files can be read") > 0 {
        number += 1;
        faults.extend(record_faults(&line, number).into_iter().map(|f| format!("{number}: {f}")));
        line.clear();
    }
    faults
}

fn record_faults(line: &[u8], number: u64) -> Vec<String> {
    if !line.ends_with(b"\n") {
        return vec!["torn line".to_owned()];
    }
    let record: Value = match serde_json::from_slice(line) {
        Ok(record) => record,
        Err(error) => return vec![format!("is not JSON: {error}")],
    };
    let mut faults = schema_faults(schema::EVENT, &record);
    if record["seq"] != number {
        faults.push(format!("seq is {}, not {number}", record["seq"]));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        check_documents(folder.path());
    }

    #[test]
    #[should_panic(expected = "no schema for the kind `loom-surprise`")]
    fn an_unknown_kind_is_a_fault() {
        check("receipts/a.json", r#"{"kind": "loom-surprise"}"#);
    }

    #[test]
    #[should_panic(expected = "break the contract")]
    fn a_missing_field_is_a_fault() {
        check(
            "snapshots/a.json",
            r#"{"kind": "loom-snapshot", "schema_version": "loom.snapshot.v1"}"#,
        );
    }

    #[test]
    #[should_panic(expected = "torn line")]
    fn a_torn_line_is_a_fault() {
        check("logs/r/events.jsonl", r#"{"seq":"#);
    }

    #[test]
    fn files_of_jobs_are_passed_by() {
        check("logs/r/jobs/a/artifacts/report.json", "not JSON");
        check("logs/r/jobs/a/note.txt", "not JSON");
    }
}
