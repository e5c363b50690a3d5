//! `--evaluate`: what rules would decide here. Nothing is run, copied or recorded.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use libloom_contract::evaluation::{Decision, Evaluation, JobEvaluation};
use libloom_contract::graph::{Graph, Node, Rule};
use libloom_contract::layout::{pipeline_id, run_id};
use libloom_contract::snapshot::{Facts, PathText};
use libloom_contract::{Document as _, Timestamp, version};
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_rules::{Applied, AppliedJob, Globs, Setting};
use libloom_variables::{Override, Predefined};
use libloom_workflow::Located;

use crate::Format;

/// What is said on the command line, as `loom run` takes it.
#[derive(Args, Debug)]
pub(crate) struct SettingArgs {
    /// With --evaluate: give a variable a value, above all that the workflow says; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", requires = "evaluate", value_parser = libloom_variables::assignment)]
    vars: Vec<Override>,
    /// With --evaluate: give variables the values of a file of NAME=value lines, below `--var`; may
    /// be repeated
    #[arg(long, value_name = "FILE", requires = "evaluate")]
    env_file: Vec<PathBuf>,
    /// With --evaluate: what `changes` rules compare with [default: where the default branch was
    /// left]
    #[arg(long, value_name = "REV", requires = "evaluate")]
    changes_base: Option<String>,
}

impl SettingArgs {
    /// Values above those of the workflow, the lowest first.
    pub(crate) fn overrides(&self, cwd: &Path) -> Result<Vec<Override>, Failure> {
        let mut overrides = Vec::new();
        for file in &self.env_file {
            let shown = file.display().to_string();
            let what = format!("cannot read the variables of `{shown}`");
            let text = fs::read_to_string(cwd.join(file)).or_could_not(&what)?;
            let found = libloom_variables::dotenv(&text, &shown)
                .map_err(|error| Failure::could_not(format!("{shown}:{error}")).context(&what))?;
            overrides.extend(found);
        }
        overrides.extend(self.vars.iter().cloned());
        Ok(overrides)
    }
}

/// `--format dot` and the like.
pub(crate) fn no_such_form(form: Format) -> Failure {
    let what = format!("decisions cannot be drawn as {form:?}").to_lowercase();
    Failure::usage(what).hint("use --format text or --format json with --evaluate")
}

/// What is to be evaluated.
pub(crate) struct Asked<'a> {
    pub(crate) located: &'a Located,
    pub(crate) graph: &'a Graph,
    pub(crate) overrides: Vec<Override>,
    pub(crate) setting: &'a SettingArgs,
}

/// Decides all rules. The inner error is the exit code of `loom-snapshot`, which has said why there
/// are no facts.
pub(crate) fn evaluate(
    asked: &Asked<'_>,
    context: &Context,
) -> Result<Result<Evaluation, u8>, Failure> {
    let mut facts = match facts(asked, context)? {
        Ok(facts) => facts,
        Err(code) => return Ok(Err(code)),
    };
    let texts = |paths: Vec<PathText>| paths.into_iter().map(|path| path.path).collect();
    let files: Vec<String> = facts.files.take().map(texts).unwrap_or_default();
    let changed: Option<Vec<String>> = facts.changed.clone().map(texts);
    let now = Timestamp::now();
    let (run_id, pipeline_id) = (run_id(now), pipeline_id(now));
    let root = &asked.located.root;
    let setting = Setting {
        predefined: Predefined {
            run_id: &run_id,
            pipeline_id: &pipeline_id,
            workflow_path: &asked.located.path,
            project_name: root.file_name().unwrap_or_default().to_string_lossy(),
            workspace: root,
            facts: &facts,
        },
        overrides: &asked.overrides,
        host: &|name| context.env.get(name).map(|value| value.to_string_lossy().into_owned()),
        changed: changed.as_deref(),
        exists: &|globs: &Globs| files.iter().find(|path| globs.matches(path)).cloned(),
    };
    let mut graph = asked.graph.clone();
    let applied = libloom_rules::apply(&mut graph, &setting).map_err(Failure::could_not)?;
    let mut evaluation = document(asked, &graph, facts.clone(), applied);
    hide_secrets(&mut evaluation, asked.graph);
    Ok(Ok(evaluation))
}

/// Asks `loom-snapshot` for what the rules ask for.
fn facts(asked: &Asked<'_>, context: &Context) -> Result<Result<Facts, u8>, Failure> {
    let of_jobs = asked.graph.nodes.iter().flat_map(|node| &node.rules);
    let rules: Vec<&Rule> = asked.graph.workflow_rules.iter().chain(of_jobs).collect();
    let mut arguments: Vec<OsString> = ["facts", "--json"].map(Into::into).to_vec();
    match &asked.setting.changes_base {
        Some(base) => arguments.extend(["--changes-base".into(), base.into()]),
        None if rules.iter().any(|rule| rule.changes.is_some()) => {
            arguments.push("--changed".into());
        }
        None => {}
    }
    if rules.iter().any(|rule| rule.exists.is_some()) {
        arguments.push("--files".into());
    }
    let program = context.siblings.find("loom-snapshot")?;
    let output = Command::new(&program)
        .args(arguments)
        .current_dir(&asked.located.root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .or_could_not(format_args!("cannot run `{}`", program.display()))?;
    let strange = format!("cannot understand `{}`", program.display());
    match output.status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => serde_json::from_slice(&output.stdout).or_could_not(strange).map(Ok),
        Some(code) => Ok(Err(code)),
        None => {
            Err(Failure::could_not(format!("`{}` was ended: {}", program.display(), output.status)))
        }
    }
}

fn document(asked: &Asked<'_>, graph: &Graph, facts: Facts, applied: Applied) -> Evaluation {
    let before = &asked.graph.nodes;
    let jobs = graph.nodes.iter().zip(before).zip(applied.jobs);
    Evaluation {
        schema_version: version::EVALUATION.to_string(),
        kind: Evaluation::KIND.to_owned(),
        workflow_path: asked.located.path.clone(),
        graph_digest: graph.digest.clone(),
        facts,
        workflow: applied.workflow,
        jobs: jobs.map(|((node, before), applied)| job(node, before, applied)).collect(),
    }
}

fn job(node: &Node, before: &Node, applied: AppliedJob) -> JobEvaluation {
    let AppliedJob { left_out, decision } = applied;
    let rule = decision.as_ref().and_then(|decision| before.rules.get(decision.rule? - 1));
    JobEvaluation {
        id: node.id.clone(),
        label: node.label.clone(),
        stage: node.stage.clone(),
        included: left_out.is_none(),
        reason: left_out.or_else(|| decision.as_ref().map(|decision| decision.reason.clone())),
        when: node.policy.when,
        allow_failure: node.policy.allow_failure.clone(),
        variables: rule.map(|rule| rule.variables.clone()).unwrap_or_default(),
        decision,
    }
}

/// Replaces the values of variables that are a job's secret, or that one is taken from.
fn hide_secrets(evaluation: &mut Evaluation, graph: &Graph) {
    let secrets = graph.nodes.iter().flat_map(|node| &node.secrets);
    let names: BTreeSet<&str> = secrets
        .flat_map(|secret| [Some(&*secret.name), secret.reference.strip_prefix("env://")])
        .flatten()
        .collect();
    let of_jobs = evaluation.jobs.iter_mut().filter_map(|job| job.decision.as_mut());
    for Decision { rules, .. } in evaluation.workflow.iter_mut().chain(of_jobs) {
        let conditions = rules.iter_mut().filter_map(|rule| rule.condition.as_mut());
        for (name, value) in conditions.flat_map(|condition| &mut condition.variables) {
            if names.contains(&**name) && value.is_some() {
                *value = Some(format!("[REDACTED:SECRET_{name}]"));
            }
        }
    }
}
