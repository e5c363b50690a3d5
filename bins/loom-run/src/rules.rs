//! What the rules of the workflow and of its jobs decide in this workspace.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use libloom_contract::{
    Reason,
    graph::{AllowFailure, Graph, Node, Rule, Variable, When},
};
use libloom_rules::{Facts, Globs, decide};

use crate::{environment::Predefined, run::Run, tree, verdict::Verdict};

/// A graph as its rules leave it.
#[derive(Debug)]
pub struct Decided {
    /// Jobs with the `when`, `allow_failure` and variables that their rules give them.
    pub graph: Graph,
    /// Jobs that rules leave out.
    pub left: Vec<Option<Verdict>>,
}

/// Applies all rules.
///
/// # Errors
/// A rule that cannot be decided, with the job it belongs to; a folder that cannot be listed.
pub fn apply(run: &Run, graph: Graph) -> Result<Decided, String> {
    let mut decided = Decided { left: vec![None; graph.nodes.len()], graph };
    let facts = RunFacts::new(run);
    if let Some(verdict) = facts.workflow(&decided.graph.workflow_rules)? {
        decided.left.fill(Some(verdict));
        return Ok(decided);
    }
    for (node, left) in decided.graph.nodes.iter_mut().zip(&mut decided.left) {
        if !node.rules.is_empty() {
            *left = facts.job(node)?;
        }
    }
    Ok(decided)
}

/// What rules may ask for.
struct RunFacts<'a> {
    run: &'a Run,
    changed: Option<Vec<String>>,
    /// Files of the workspace, listed when first asked for.
    files: OnceCell<Vec<PathBuf>>,
}

impl<'a> RunFacts<'a> {
    fn new(run: &'a Run) -> Self {
        let paths = run.facts().changed.as_ref();
        let changed = paths.map(|paths| paths.iter().map(|path| path.path.clone()).collect());
        RunFacts { run, changed, files: OnceCell::new() }
    }

    /// `Some`: no entry of `workflow.rules` matches, and no job runs.
    fn workflow(&self, rules: &[Rule]) -> Result<Option<Verdict>, String> {
        if rules.is_empty() {
            return Ok(None);
        }
        let decision = self.decide(rules, &BTreeMap::new())?;
        let left = Verdict::skipped(Reason::Rules, format!("workflow.rules: {}", decision.reason));
        Ok(decision.rule.is_none().then_some(left))
    }

    /// Gives the job what its first matching rule says; `Some`: it is left out.
    fn job(&self, node: &mut Node) -> Result<Option<Verdict>, String> {
        let variables = self.variables_of(node);
        let decision = self
            .decide(&node.rules, &variables)
            .map_err(|error| format!("rules of job `{}`: {error}", node.id))?;
        let left = || Verdict::skipped(Reason::Rules, decision.reason.clone());
        let Some(rule) = decision.rule.map(|index| node.rules[index].clone()) else {
            return Ok(Some(left()));
        };
        take_over(node, &rule);
        Ok((node.policy.when == When::Never).then(left))
    }

    fn decide(
        &self,
        rules: &[Rule],
        variables: &BTreeMap<String, String>,
    ) -> Result<libloom_rules::Decision, String> {
        let lookup = |name: &str| variables.get(name).cloned().or_else(|| self.known(name));
        let exists = |globs: &Globs| self.files().iter().any(|path| matches(globs, path));
        let facts = Facts { variable: &lookup, changed: self.changed.as_deref(), exists: &exists };
        decide(rules, &facts).map_err(|error| error.to_string())
    }

    /// A variable that does not depend on the job: of the commit, or of the environment.
    fn known(&self, name: &str) -> Option<String> {
        let commit = self.predefined().of_commit().into_iter();
        let commit = commit.filter(|(known, _)| *known == name).find_map(|(_, value)| value);
        let host = || {
            let found = self.run.inherited.iter().find(|(known, _)| known == OsStr::new(name))?;
            Some(found.1.to_string_lossy().into_owned())
        };
        commit.or_else(host)
    }

    fn predefined(&self) -> Predefined<'_> {
        self.run.predefined()
    }

    fn variables_of(&self, node: &Node) -> BTreeMap<String, String> {
        let inherited = self.run.inherited.iter().map(|(n, v)| (n.as_os_str(), v.as_os_str()));
        let predefined = self.predefined().of_job(node);
        crate::environment::of_host_job(inherited, &predefined, node).own.into_iter().collect()
    }

    /// Files of the workspace. One that cannot be listed has none: the job itself will tell.
    fn files(&self) -> &[PathBuf] {
        self.files.get_or_init(|| tree::files(self.run.workspace()).unwrap_or_default())
    }
}

fn matches(globs: &Globs, path: &Path) -> bool {
    globs.matches(&path.to_string_lossy())
}

/// What the rule says goes before what the job says.
fn take_over(node: &mut Node, rule: &Rule) {
    if let Some(when) = rule.when {
        node.policy.when = when;
    }
    match rule.allow_failure {
        Some(true) => node.policy.allow_failure = Some(AllowFailure { exit_codes: Vec::new() }),
        Some(false) => node.policy.allow_failure = None,
        None => {}
    }
    for (name, value) in &rule.variables {
        node.variables.retain(|variable| variable.name != *name);
        let variable = Variable { name: name.clone(), value: value.clone(), origin: None };
        node.variables.push(variable);
    }
}
