//! Reports that a job leaves for Loom to read: tests, and variables for later jobs.
//!
//! As in GitLab they are read whatever became of the job. A test report that cannot be read is a
//! note; a variables report that cannot be read fails the job, because later jobs would run with
//! other values than they should.

mod dotenv;
mod junit;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use libloom_archive::{Folder, Kind, PatternError};
use libloom_contract::{
    graph::{Node, Reports},
    layout::JobLayout,
    reports::{DotenvDocument, DotenvVariable, TestReport},
    store,
};
use libloom_variables::{Override, put};

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

/// Variables that jobs of this run have left for later ones.
#[derive(Debug, Default)]
pub struct Handed {
    by_job: Mutex<HashMap<String, Left>>,
}

#[derive(Debug)]
struct Left {
    stage: String,
    variables: Vec<DotenvVariable>,
}

impl Handed {
    /// A job has left these, in place of what an earlier attempt left.
    pub fn leave(&self, node: &Node, variables: Vec<DotenvVariable>) {
        let left = Left { stage: node.stage.clone(), variables };
        let mut by_job = self.by_job.lock().expect("no thread panics while it holds the lock");
        by_job.insert(node.id.clone(), left);
    }

    /// A job of an earlier run has left what its folder holds; returns the names of variables
    /// whose values were not recorded.
    pub fn take_over(&self, node: &Node, job: &JobLayout) -> Vec<String> {
        let Ok(document) = store::read::<DotenvDocument>(&job.dotenv()) else { return Vec::new() };
        let (hidden, known): (Vec<_>, Vec<_>) =
            document.variables.into_iter().partition(|variable| variable.hidden);
        self.leave(node, known);
        hidden.into_iter().map(|variable| variable.name).collect()
    }

    /// The job with the variables it gets: of the jobs it needs with their artifacts or, where it
    /// has no `needs`, of all earlier stages. Later stages, then later ids, come on top; what the
    /// command line sets stays above them.
    pub fn give(&self, node: &Node, stages: &[String], overrides: &[Override]) -> Option<Node> {
        let by_job = self.by_job.lock().expect("no thread panics while it holds the lock");
        let place = |stage: &str| stages.iter().position(|name| name == stage);
        let own = place(&node.stage);
        let is_wanted = |id: &str, left: &Left| match &node.needs {
            Some(needs) => needs.iter().any(|need| need.job == id && need.artifacts),
            None => place(&left.stage) < own,
        };
        let mut wanted: Vec<(&String, &Left)> =
            by_job.iter().filter(|(id, left)| is_wanted(id, left)).collect();
        wanted.sort_by_key(|(id, left)| (place(&left.stage), *id));
        let variables: Vec<&DotenvVariable> = wanted
            .into_iter()
            .flat_map(|(_, left)| &left.variables)
            .filter(|variable| !overrides.iter().any(|given| given.name == variable.name))
            .collect();
        if variables.is_empty() {
            return None;
        }
        let mut node = node.clone();
        for variable in variables {
            // Nothing in a report is a reference.
            let value = variable.value.replace('$', "$$");
            put(&mut node.variables, &variable.name, &value, None);
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use libloom_contract::graph::Need;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<DotenvVariable> {
        let variable = |&(name, value): &(&str, &str)| DotenvVariable {
            name: name.into(),
            value: value.into(),
            hidden: false,
        };
        pairs.iter().map(variable).collect()
    }

    fn given(handed: &Handed, node: &Node, overrides: &[Override]) -> Vec<(String, String)> {
        let stages = ["build", "test", "deploy"].map(str::to_owned);
        let node = handed.give(node, &stages, overrides);
        let variables = node.map(|node| node.variables).unwrap_or_default();
        variables.into_iter().map(|variable| (variable.name, variable.value)).collect()
    }

    #[test]
    fn variables_go_to_later_stages_or_to_who_needs_them() {
        let handed = Handed::default();
        handed.leave(&Node::host("a", "build"), variables(&[("A", "1"), ("BOTH", "a")]));
        handed.leave(&Node::host("b", "test"), variables(&[("BOTH", "b$X")]));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());

        let later = Node::host("z", "deploy");
        assert_eq!(given(&handed, &later, &[]), [pair("A", "1"), pair("BOTH", "b$$X")]);
        let same_stage = Node::host("c", "test");
        assert_eq!(given(&handed, &same_stage, &[]), [pair("A", "1"), pair("BOTH", "a")]);
        let need = |artifacts| Need { job: "a".into(), optional: false, artifacts };
        let with = Node { needs: Some(vec![need(true)]), ..later.clone() };
        assert_eq!(given(&handed, &with, &[]), [pair("A", "1"), pair("BOTH", "a")]);
        let without = Node { needs: Some(vec![need(false)]), ..later.clone() };
        assert_eq!(given(&handed, &without, &[]), []);
        let over = Override { name: "A".into(), value: "9".into(), from: "--var".into() };
        assert_eq!(given(&handed, &later, &[over]), [pair("BOTH", "b$$X")]);
    }

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
