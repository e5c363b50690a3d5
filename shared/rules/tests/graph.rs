//! The rules of a whole graph in a setting: who runs, with which policy and which variables.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::borrow::Cow;
use std::path::Path;

use libloom_contract::graph::{
    AllowFailure, Condition, Graph, Node, Position, Provider, Rule, Secret, Variable, When,
};
use libloom_contract::snapshot::Facts;
use libloom_contract::{Document as _, version};
use libloom_rules::{Applied, ApplyError, Globs, Setting, apply, parse};
use libloom_variables::{Override, Predefined};

fn variable(name: &str, value: &str) -> Variable {
    Variable { name: name.to_owned(), value: value.to_owned(), origin: None }
}

fn given(name: &str, value: &str) -> Override {
    Override { name: name.to_owned(), value: value.to_owned(), from: "--var".to_owned() }
}

/// A rule with this condition.
fn on(text: &str) -> Rule {
    let condition = Condition { text: Some(text.to_owned()), expression: parse(text).unwrap() };
    Rule { condition: Some(condition), ..Rule::default() }
}

fn job(variables: &[(&str, &str)], rules: &[Rule]) -> Node {
    let variables = variables.iter().map(|(name, value)| variable(name, value)).collect();
    Node { variables, rules: rules.to_vec(), ..Node::host("build", "ci") }
}

fn graph(nodes: Vec<Node>) -> Graph {
    Graph {
        schema_version: version::GRAPH.to_string(),
        kind: Graph::KIND.to_owned(),
        digest: String::new(),
        stages: vec!["ci".to_owned()],
        workflow_rules: Vec::new(),
        variables: Vec::new(),
        nodes,
        edges: Vec::new(),
        sources: Vec::new(),
    }
}

/// Applies the rules on branch `main`, around which only `WHERE=here` is set.
fn applied(graph: &mut Graph, overrides: &[Override]) -> Result<Applied, ApplyError> {
    let facts = Facts { branch: Some("main".to_owned()), ..Facts::default() };
    let predefined = Predefined {
        run_id: "loom-run-local-1",
        pipeline_id: "loom-local-1",
        workflow_path: ".loom/workflow.yml",
        project_name: Cow::Borrowed("project"),
        workspace: Path::new("/workspace"),
        facts: &facts,
    };
    let host = |name: &str| (name == "WHERE").then(|| "here".to_owned());
    let exists = |_: &Globs| None;
    let setting = Setting { predefined, overrides, host: &host, changed: None, exists: &exists };
    apply(graph, &setting)
}

/// The same for a single job: what it is then, and why it is left out.
fn one(job: Node, overrides: &[Override]) -> (Node, Option<String>) {
    let mut graph = graph(vec![job]);
    let mut applied = applied(&mut graph, overrides).unwrap();
    (graph.nodes.remove(0), applied.jobs.remove(0).left_out)
}

#[test]
fn the_rule_that_matches_goes_before_what_the_job_says() {
    let chosen = Rule {
        when: Some(When::Manual),
        allow_failure: Some(true),
        variables: [("A", "of the rule"), ("B", "new")].map(|(k, v)| (k.into(), v.into())).into(),
        ..on("$CI_COMMIT_BRANCH == 'main'")
    };
    let rules = [on("$NONE"), chosen, Rule { when: Some(When::Always), ..Rule::default() }];
    let (node, left_out) = one(job(&[("A", "of the job"), ("C", "kept")], &rules), &[]);
    assert_eq!(left_out, None);
    assert_eq!(node.policy.when, When::Manual);
    assert_eq!(node.policy.allow_failure, Some(AllowFailure { exit_codes: Vec::new() }));
    let expected = [("A", "of the rule"), ("B", "new"), ("C", "kept")];
    assert_eq!(node.variables, expected.map(|(name, value)| variable(name, value)));
}

#[test]
fn a_rule_takes_back_that_failures_are_allowed_or_says_nothing_of_it() {
    let allowed = Some(AllowFailure { exit_codes: vec![2] });
    for (said, expected) in [(Some(false), None), (None, allowed.clone())] {
        let mut node = job(&[], &[Rule { allow_failure: said, ..Rule::default() }]);
        node.policy.allow_failure = allowed.clone();
        assert_eq!(one(node, &[]).0.policy.allow_failure, expected);
    }
}

#[test]
fn a_job_is_left_out_without_a_match_or_by_a_rule_that_says_never() {
    let reason = |rules: &[Rule]| one(job(&[], rules), &[]).1;
    assert_eq!(reason(&[]), None);
    assert_eq!(reason(&[on("$WHERE")]), None);
    assert_eq!(reason(&[on("$NONE")]).as_deref(), Some("its only rule does not match"));
    let never = Rule { when: Some(When::Never), ..on("$WHERE") };
    assert_eq!(reason(&[never]).as_deref(), Some("rule 1 matches: $WHERE"));
}

#[test]
fn only_a_job_with_rules_has_a_decision_and_it_names_their_places() {
    let position = Some(Position { file: "a.yml".to_owned(), line: 3, column: 5 });
    let placed = Rule { position: position.clone(), ..on("$WHERE") };
    let mut graph = graph(vec![job(&[], &[]), job(&[], &[placed])]);
    let jobs = applied(&mut graph, &[]).unwrap().jobs;
    assert!(jobs[0].decision.is_none());
    let decision = jobs[1].decision.as_ref().unwrap();
    assert_eq!(decision.rules[0].position, position);
}

#[test]
fn references_end_in_the_environment_on_the_host_alone() {
    let host = job(&[("A", "$WHERE")], &[on("$A == 'here'")]);
    let docker = Node { provider: Provider::Docker, ..host.clone() };
    assert_eq!(one(host, &[]).1, None);
    assert_eq!(one(docker, &[]).1.as_deref(), Some("its only rule does not match"));
}

#[test]
fn conditions_see_expanded_predefined_and_overriding_values() {
    for (condition, overrides) in [
        ("$A == 'a-main'", vec![]),
        ("$CI_JOB_NAME == 'build'", vec![]),
        ("$A == 'b'", vec![given("A", "b")]),
        ("$A == 'b-c'", vec![given("A", "b-$C"), given("C", "c")]),
    ] {
        let node = job(&[("A", "a-$CI_COMMIT_BRANCH")], &[on(condition)]);
        assert_eq!(one(node, &overrides).1, None, "{condition}");
    }
}

#[test]
fn values_from_outside_outrank_the_job_and_its_rules_and_the_last_wins() {
    let rule = Rule { variables: [("A".into(), "of the rule".into())].into(), ..Rule::default() };
    let outside = [given("A", "first"), given("B", "new"), given("A", "last")];
    let (node, _) = one(job(&[("A", "of the job")], &[rule]), &outside);
    assert_eq!(node.variables, [variable("A", "last"), variable("B", "new")]);
}

#[test]
fn a_value_from_outside_cannot_replace_a_secret() {
    let secret = Secret {
        name: "TOKEN".to_owned(),
        reference: "env://TOKEN".to_owned(),
        file: true,
        required: true,
        position: None,
    };
    let mut graph = graph(vec![Node { secrets: vec![secret], ..job(&[], &[]) }]);
    assert!(applied(&mut graph, &[given("OTHER", "x")]).is_ok());
    let error = applied(&mut graph, &[given("OTHER", "x"), given("TOKEN", "x")]).unwrap_err();
    let expected =
        "`TOKEN` (--var) is a secret of job `build`, and a variable cannot replace a secret";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn values_from_outside_may_not_close_a_circle() {
    let mut graph = graph(vec![job(&[("A", "$B"), ("B", "x")], &[])]);
    assert!(applied(&mut graph, &[given("B", "y")]).is_ok());
    let error = applied(&mut graph, &[given("B", "$A")]).unwrap_err();
    let expected = "variables of job `build` refer to each other in a circle: $A -> $B -> $A";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn rules_of_the_workflow_leave_all_jobs_out_or_none() {
    let mut graph = graph(vec![job(&[], &[on("$NONE")]), job(&[], &[])]);
    graph.workflow_rules = vec![on("$MODE == 'quick'")];
    graph.variables = vec![variable("MODE", "slow")];
    let reasons = |applied: Applied| -> Vec<Option<String>> {
        applied.jobs.into_iter().map(|job| job.left_out).collect()
    };
    let out = Some("workflow.rules: its only rule does not match".to_owned());
    assert_eq!(reasons(applied(&mut graph, &[]).unwrap()), [out.clone(), out]);
    let found = applied(&mut graph, &[given("MODE", "quick")]).unwrap();
    assert_eq!(found.workflow.as_ref().and_then(|decision| decision.rule), Some(1));
    assert_eq!(reasons(found), [Some("its only rule does not match".to_owned()), None]);
}

#[test]
fn rules_that_cannot_be_decided_name_whose_they_are() {
    let broken = on("$WHERE =~ $PATTERN");
    let pattern = given("PATTERN", "/(/");
    let mut jobs = graph(vec![job(&[], std::slice::from_ref(&broken))]);
    let error = applied(&mut jobs, std::slice::from_ref(&pattern)).unwrap_err();
    assert_eq!(error.to_string(), "the rules of job `build` cannot be decided");
    let mut workflow = graph(Vec::new());
    workflow.workflow_rules = vec![broken];
    let error = applied(&mut workflow, &[pattern]).unwrap_err();
    assert_eq!(error.to_string(), "the rules of the workflow cannot be decided");
}
