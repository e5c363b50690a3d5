//! `artifacts`: what is taken out of the workspace after execution.

use libloom_contract::graph::{Artifacts, Outcome, Reports};
use libloom_rules::Globs;

use crate::check::Checker;
use crate::keywords::{OUTCOMES, policy};
use crate::problem::{Problem, code};
use crate::quantity::expiry_s;
use crate::tree::{Kind, Node};

const KEYS: &[&str] = &["paths", "exclude", "when", "name", "expire_in", "reports"];

/// `null` is none.
pub(crate) fn artifacts(check: &mut Checker<'_>, node: &Node, partial: bool) -> Option<Artifacts> {
    if node.kind() == Kind::Null {
        return None;
    }
    let fields = check.mapping(node, "artifacts")?;
    check.unknown_keys(fields, KEYS, "in artifacts");
    let mut artifacts = Artifacts {
        paths: Vec::new(),
        exclude: Vec::new(),
        when: Outcome::OnSuccess,
        name: None,
        expire_in_s: None,
        reports: None,
    };
    if let Some(paths) = fields.get("paths") {
        artifacts.paths = globs(check, paths, "artifacts.paths");
        warn_outside(check, paths, "artifacts.paths");
    }
    if let Some(exclude) = fields.get("exclude") {
        artifacts.exclude = globs(check, exclude, "artifacts.exclude");
        warn_outside(check, exclude, "artifacts.exclude");
    }
    if let Some(when) = fields.get("when") {
        artifacts.when = check.word(when, "artifacts.when", OUTCOMES).unwrap_or(artifacts.when);
    }
    if let Some(name) = fields.get("name") {
        artifacts.name = check.text(name, "artifacts.name").map(str::to_owned);
    }
    if let Some(expire) = fields.get("expire_in") {
        artifacts.expire_in_s = expire_in(check, expire);
    }
    if let Some(reports) = fields.get("reports") {
        artifacts.reports = self::reports(check, reports);
    }
    if !partial && fields.get("paths").is_none() && fields.get("reports").is_none() {
        check.missing(node.mark, "paths", "in artifacts");
    }
    Some(artifacts)
}

fn globs(check: &mut Checker<'_>, node: &Node, key: &str) -> Vec<String> {
    check_globs(check, node, key);
    check.some_texts(node, key).unwrap_or_default()
}

/// Notes every entry of a list that is no glob.
pub(crate) fn check_globs(check: &mut Checker<'_>, node: &Node, key: &str) {
    for item in node.as_sequence().unwrap_or_default() {
        let Some(glob) = item.as_string() else { continue };
        if let Err(error) = Globs::check(glob) {
            let problem = Problem::error(
                item.mark,
                format!("\"{key}\" has an invalid glob: {}", error.reason),
            );
            check.note(problem.fix("close brackets and braces, or escape them with \"\\\""));
        }
    }
}

/// Warns of paths that are absolute or step out of the workspace: they match nothing.
pub(crate) fn warn_outside(check: &mut Checker<'_>, node: &Node, key: &str) {
    for item in node.as_sequence().unwrap_or_default() {
        let Some(path) = item.as_string() else { continue };
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            let message = format!("\"{path}\" in \"{key}\" is outside the workspace");
            let problem = Problem::warning(code::OUTSIDE_WORKSPACE, item.mark, message);
            check.note(problem.fix("use a path relative to the workspace"));
        }
    }
}

/// In seconds; `never` is for good.
fn expire_in(check: &mut Checker<'_>, node: &Node) -> Option<u64> {
    if policy::note_without_unit(check, node, "artifacts.expire_in") {
        return None;
    }
    let text = check.name(node, "artifacts.expire_in")?;
    if text == "never" {
        return None;
    }
    let seconds = expiry_s(text);
    if seconds.is_none() {
        let problem = Problem::error(node.mark, format!("\"{text}\" is not a duration"));
        check.note(problem.fix("write it as \"30 days\", \"12h\" or \"never\""));
    }
    seconds
}

fn reports(check: &mut Checker<'_>, node: &Node) -> Option<Reports> {
    let fields = check.mapping(node, "artifacts.reports")?;
    check.unknown_keys(fields, &["junit", "dotenv"], "in artifacts.reports");
    let mut list = |key: &str| {
        let value = fields.get(key)?;
        let name = format!("artifacts.reports.{key}");
        check_globs(check, value, &name);
        check.one_or_more(value, &name)
    };
    let reports = Reports {
        junit: list("junit").unwrap_or_default(),
        dotenv: list("dotenv").unwrap_or_default(),
    };
    if fields.entries.is_empty() {
        let problem = Problem::error(node.mark, "\"artifacts.reports\" is empty");
        check.note(problem.fix("list junit or dotenv, or remove the key"));
    }
    Some(reports)
}
