//! The rules of a whole graph, and the values from outside that outrank the workflow's.

use std::collections::BTreeMap;

use libloom_contract::evaluation::Decision;
use libloom_contract::graph::{AllowFailure, Graph, Node, Provider, Rule, Variable, When};
use libloom_variables::{Override, Predefined, circles, expanded, put};

use crate::{DecideError, Facts, Globs, decide};

/// Where a graph is going to run.
pub struct Setting<'a> {
    /// What predefined variables are made of.
    pub predefined: Predefined<'a>,
    /// Values above those of the workflow and its rules, the highest last.
    pub overrides: &'a [Override],
    /// The environment around the run.
    pub host: &'a dyn Fn(&str) -> Option<String>,
    /// See [`Facts::changed`].
    pub changed: Option<&'a [String]>,
    /// See [`Facts::exists`].
    pub exists: &'a dyn Fn(&Globs) -> Option<String>,
}

/// What rules decided.
#[derive(Debug)]
pub struct Applied {
    /// Of `workflow.rules`; `None`: there are none.
    pub workflow: Option<Decision>,
    /// Of each job, in order of the graph's nodes.
    pub jobs: Vec<AppliedJob>,
}

/// What rules decided about one job.
#[derive(Clone, Debug, Default)]
pub struct AppliedJob {
    /// Why it is left out; `None`: it is not.
    pub left_out: Option<String>,
    /// Of its rules; `None`: it has none, or the workflow's decided.
    pub decision: Option<Decision>,
}

/// Why a graph cannot be run in a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A rule cannot be decided.
    #[error("the rules of {of} cannot be decided")]
    Rule {
        /// `the workflow`, or a job.
        of: String,
        /// Why.
        source: DecideError,
    },
    /// A value from outside has the name of a secret.
    #[error("`{name}` ({from}) is a secret of job `{job}`, and a variable cannot replace a secret")]
    Secret {
        /// The variable.
        name: String,
        /// Where it was given.
        from: String,
        /// The job.
        job: String,
    },
    /// Values from outside close a circle.
    #[error("variables of job `{job}` refer to each other in a circle: {chain}")]
    Circle {
        /// The job.
        job: String,
        /// Such as `$A -> $B -> $A`.
        chain: String,
    },
}

/// Gives every job the variables, `when` and `allow_failure` that it gets in this setting.
///
/// # Errors
/// See [`ApplyError`].
pub fn apply(graph: &mut Graph, setting: &Setting<'_>) -> Result<Applied, ApplyError> {
    graph.nodes.iter().try_for_each(|node| check_secrets(node, setting.overrides))?;
    let workflow = match &*graph.workflow_rules {
        [] => None,
        rules => Some(of_workflow(rules, &graph.variables, setting)?),
    };
    if let Some(decision) = workflow.as_ref().filter(|decision| decision.rule.is_none()) {
        let left_out = Some(format!("workflow.rules: {}", decision.reason));
        let jobs = vec![AppliedJob { left_out, decision: None }; graph.nodes.len()];
        return Ok(Applied { workflow, jobs });
    }
    let jobs = graph.nodes.iter_mut().map(|node| of_job(node, setting));
    Ok(Applied { jobs: jobs.collect::<Result<_, _>>()?, workflow })
}

fn check_secrets(node: &Node, overrides: &[Override]) -> Result<(), ApplyError> {
    let named = |given: &&Override| node.secrets.iter().any(|secret| secret.name == given.name);
    match overrides.iter().find(named) {
        None => Ok(()),
        Some(Override { name, from, .. }) => {
            Err(ApplyError::Secret { name: name.clone(), from: from.clone(), job: node.id.clone() })
        }
    }
}

fn of_workflow(
    rules: &[Rule],
    variables: &[Variable],
    setting: &Setting<'_>,
) -> Result<Decision, ApplyError> {
    let variables = with_overrides(variables, setting);
    let known = expanded(&variables, &setting.predefined.of_pipeline(), setting.host);
    decided(rules, &known, setting)
        .map_err(|source| ApplyError::Rule { of: "the workflow".to_owned(), source })
}

fn of_job(node: &mut Node, setting: &Setting<'_>) -> Result<AppliedJob, ApplyError> {
    let mut applied = AppliedJob::default();
    if !node.rules.is_empty() {
        let decision = decided(&node.rules, &known_to(node, setting), setting)
            .map_err(|source| ApplyError::Rule { of: format!("job `{}`", node.id), source })?;
        match decision.rule.and_then(|number| node.rules.get(number - 1)).cloned() {
            Some(rule) => take_over(node, &rule),
            None => applied.left_out = Some(decision.reason.clone()),
        }
        if node.policy.when == When::Never {
            applied.left_out = Some(decision.reason.clone());
        }
        applied.decision = Some(decision);
    }
    if !setting.overrides.is_empty() {
        node.variables = with_overrides(&node.variables, setting);
        refuse_circles(node)?;
    }
    Ok(applied)
}

/// What the conditions of a job's rules see: the values it would have without its rules.
fn known_to(node: &Node, setting: &Setting<'_>) -> BTreeMap<String, String> {
    let variables = with_overrides(&node.variables, setting);
    let predefined = setting.predefined.of_job(node);
    // In a container the environment around the run is not what references end in.
    let nothing = |_: &str| None;
    let outer = if node.provider == Provider::Host { setting.host } else { &nothing };
    expanded(&variables, &predefined, outer)
}

fn with_overrides(variables: &[Variable], setting: &Setting<'_>) -> Vec<Variable> {
    let mut variables = variables.to_vec();
    for given in setting.overrides {
        put(&mut variables, &given.name, &given.value, None);
    }
    variables
}

fn decided(
    rules: &[Rule],
    known: &BTreeMap<String, String>,
    setting: &Setting<'_>,
) -> Result<Decision, DecideError> {
    let variable = |name: &str| known.get(name).cloned().or_else(|| (setting.host)(name));
    let Setting { changed, exists, .. } = *setting;
    decide(rules, &Facts { variable: &variable, changed, exists })
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
        put(&mut node.variables, name, value, None);
    }
}

fn refuse_circles(node: &Node) -> Result<(), ApplyError> {
    let found = circles(&node.variables);
    let Some(members) = found.first() else { return Ok(()) };
    let names: Vec<String> =
        members.iter().chain(members.first()).map(|name| format!("${name}")).collect();
    Err(ApplyError::Circle { job: node.id.clone(), chain: names.join(" -> ") })
}
