//! Reports that a job leaves for Loom to read: tests, and variables for later jobs.
//!
//! As in GitLab they are read whatever became of the job. A test report that cannot be read is a
//! note; a variables report that cannot be read fails the job, because later jobs would run with
//! other values than they should.

mod dotenv;
mod junit;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use libloom_archive::{Folder, Kind, PatternError};
use libloom_contract::{
    graph::Reports,
    reports::{DotenvVariable, TestReport},
};

use crate::artifacts::select;

/// What the reports of a job say.
#[derive(Debug, Default)]
pub struct Read {
    /// Tests, where reports of tests are wanted.
    pub tests: Option<TestReport>,
    /// Variables for later jobs, by name.
    pub variables: Vec<DotenvVariable>,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
    /// What is wrong with the variables, in words.
    pub errors: Vec<String>,
}

/// Reads the reports in a workspace; their patterns are expanded already.
///
/// # Errors
/// The workspace cannot be opened, or a pattern is no glob.
pub fn read(workspace: &Path, reports: &Reports) -> io::Result<Read> {
    let mut folder = Folder::open(workspace)?;
    let mut read = Read::default();
    let found = files(&mut folder, &reports.junit, "junit", &mut read).map_err(io::Error::other)?;
    if !reports.junit.is_empty() {
        let mut tests = TestReport::default();
        for path in found {
            junit::read(&mut folder, &path, &mut tests);
        }
        read.notes.extend(tests.notes.iter().cloned());
        read.tests = Some(tests);
    }
    let found =
        files(&mut folder, &reports.dotenv, "dotenv", &mut read).map_err(io::Error::other)?;
    let mut variables = BTreeMap::new();
    for path in found {
        if let Err(error) = dotenv::read(&mut folder, &path, &mut variables) {
            read.errors.push(error);
        }
    }
    read.variables = variables
        .into_iter()
        .map(|(name, value)| DotenvVariable { name, value, hidden: false })
        .collect();
    Ok(read)
}

fn files(
    folder: &mut Folder,
    patterns: &[String],
    kind: &str,
    read: &mut Read,
) -> Result<Vec<PathBuf>, PatternError> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let selection = select::select(folder, patterns, &[])?;
    for pattern in selection.unmatched(patterns) {
        read.notes.push(format!("reports: {kind}: nothing matches `{pattern}`"));
    }
    let files = selection.chosen.into_iter().filter(|chosen| chosen.kind == Kind::File);
    Ok(files.map(|chosen| chosen.path).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_reports_are_read_and_what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        let xml = "<testsuite><testcase name='t'><failure/></testcase></testsuite>";
        fs::write(folder.path().join("out/a.xml"), xml).unwrap();
        fs::write(folder.path().join("out/b.xml"), "<testsuite><testcase").unwrap();
        fs::write(folder.path().join("x.env"), "A=1\nbad line\n").unwrap();
        let reports = Reports {
            junit: vec!["out/*.xml".into(), "none/*.xml".into()],
            dotenv: vec!["x.env".into()],
        };
        let read = read(folder.path(), &reports).unwrap();
        let tests = read.tests.unwrap();
        assert_eq!((tests.files, tests.total, tests.failed), (2, 1, 1));
        assert_eq!(read.notes.len(), 2, "{:?}", read.notes);
        assert_eq!(read.errors, ["x.env:2: expected NAME=value"]);
    }
}
