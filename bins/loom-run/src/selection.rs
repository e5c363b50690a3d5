//! Which jobs of a graph a run is about: all of them, or those that the command line names.

use std::collections::HashMap;

use libloom_contract::{
    Reason,
    graph::{Graph, Node, When},
};
use libloom_entry::nearest;

use crate::{again::Earlier, schedule::Start, verdict::Verdict};

/// The options that choose jobs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SelectionArgs {
    /// Jobs to run, with what they need [default: all]
    #[arg(value_name = "JOB")]
    names: Vec<String>,

    /// Run this job, with what it needs; may be repeated. The name of a parallel job means all
    /// its copies
    #[arg(long, value_name = "NAME")]
    job: Vec<String>,

    /// Run the named jobs without what they need
    #[arg(long)]
    only: bool,

    /// Leave out the stages before this one
    #[arg(long, value_name = "STAGE")]
    from_stage: Option<String>,

    /// Start this manual job too; may be repeated
    #[arg(long, value_name = "NAME")]
    manual: Vec<String>,
}

/// Why jobs cannot be chosen.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectionError {
    /// No job has this name.
    #[error("there is no job `{name}`")]
    NoSuchJob {
        /// What was asked for.
        name: String,
        /// Jobs with a similar name.
        near: Vec<String>,
    },
    /// No stage has this name.
    #[error("there is no stage `{name}`")]
    NoSuchStage {
        /// What was asked for.
        name: String,
        /// Stages with a similar name.
        near: Vec<String>,
    },
    /// The job starts by itself.
    #[error("job `{0}` is not manual")]
    NotManual(String),
    /// `--only` without names.
    #[error("`--only` wants the names of jobs")]
    OnlyWhat,
}

impl SelectionError {
    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoSuchJob { near, .. } | Self::NoSuchStage { near, .. } if !near.is_empty() => {
                let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
                format!("did you mean {}?", near.join(" or "))
            }
            Self::NoSuchJob { .. } | Self::NoSuchStage { .. } => {
                "`loom run --dry-run` lists stages and jobs".into()
            }
            Self::NotManual(name) => {
                format!("it starts by itself; to run it with what it needs alone: --job {name}")
            }
            Self::OnlyWhat => "write `loom run --only JOB`".into(),
        }
    }
}

/// What of a graph is to run.
#[derive(Debug)]
pub struct Selection {
    /// Jobs that were named.
    named: Vec<bool>,
    /// Manual jobs that were asked for.
    manual: Vec<bool>,
    /// Why a job is no part of the run.
    apart: Vec<Option<String>>,
    only: bool,
}

impl Selection {
    /// Finds what the options name.
    ///
    /// # Errors
    /// A name that nothing has, and the like.
    pub fn of(
        graph: &Graph,
        wanted: &SelectionArgs,
        earlier: Option<&Earlier>,
    ) -> Result<Self, SelectionError> {
        let none = || vec![false; graph.nodes.len()];
        let mut selection = Selection {
            named: none(),
            manual: none(),
            apart: vec![None; graph.nodes.len()],
            only: wanted.only,
        };
        for name in wanted.names.iter().chain(&wanted.job) {
            find(graph, name)?.into_iter().for_each(|job| selection.named[job] = true);
        }
        for name in &wanted.manual {
            for job in find(graph, name)? {
                require_manual(&graph.nodes[job])?;
                selection.manual[job] = true;
            }
        }
        selection.leave_out_unnamed(graph)?;
        if let Some(stage) = &wanted.from_stage {
            selection.leave_out_before(graph, stage)?;
        }
        if let Some(earlier) = earlier {
            selection.leave_out_finished(graph, earlier);
        }
        Ok(selection)
    }

    fn leave_out_unnamed(&mut self, graph: &Graph) -> Result<(), SelectionError> {
        if !self.named.contains(&true) {
            return if self.only { Err(SelectionError::OnlyWhat) } else { Ok(()) };
        }
        let both = self.named.iter().zip(&self.manual);
        let asked: Vec<bool> = both.map(|(named, manual)| *named || *manual).collect();
        let wanted = if self.only { asked } else { with_what_they_need(graph, asked) };
        for (apart, wanted) in self.apart.iter_mut().zip(wanted) {
            *apart = (!wanted).then(|| "not asked for".to_owned());
        }
        Ok(())
    }

    fn leave_out_before(&mut self, graph: &Graph, stage: &str) -> Result<(), SelectionError> {
        let Some(first) = graph.stages.iter().position(|name| name == stage) else {
            let near = nearest(stage, graph.stages.iter().cloned());
            return Err(SelectionError::NoSuchStage { name: stage.to_owned(), near });
        };
        for (apart, stage_of) in self.apart.iter_mut().zip(stage_of_each(graph)) {
            if stage_of < first {
                apart.get_or_insert_with(|| format!("before stage `{stage}`"));
            }
        }
        Ok(())
    }

    fn leave_out_finished(&mut self, graph: &Graph, earlier: &Earlier) {
        for (apart, node) in self.apart.iter_mut().zip(&graph.nodes) {
            if let Some(why) = earlier.why_not_again(&node.id) {
                apart.get_or_insert(why);
            }
        }
    }

    /// How each job starts, once rules have had their say: `graph` has what they gave the jobs,
    /// `left` those that they leave out.
    pub fn starts(self, graph: &Graph, left: Vec<Option<Verdict>>) -> Vec<Start> {
        let jobs = graph.nodes.iter().zip(left).enumerate();
        let mut apart = self.apart;
        jobs.map(|(job, (node, left))| match (apart[job].take(), left) {
            (Some(why), _) => Start::Apart(Verdict::skipped(Reason::NotSelected, why)),
            (None, Some(verdict)) => Start::Left(verdict),
            (None, None) if self.manual[job] => Start::Asked,
            (None, None) if self.named[job] && is_started_by_name(node, self.only) => Start::Asked,
            (None, None) => Start::ByItself,
        })
        .collect()
    }
}

/// A manual job starts when it is named. One for failures starts when it is named alone: then
/// nothing could fail before it.
fn is_started_by_name(node: &Node, only: bool) -> bool {
    match node.policy.when {
        When::Manual => true,
        When::OnFailure => only,
        When::OnSuccess | When::Always | When::Never => false,
    }
}

/// The job of this id, or the copies of the parallel job of this name.
fn find(graph: &Graph, name: &str) -> Result<Vec<usize>, SelectionError> {
    let all = || graph.nodes.iter().enumerate();
    let having = |is: &dyn Fn(&Node) -> bool| -> Vec<usize> {
        all().filter(|(_, node)| is(node)).map(|(job, _)| job).collect()
    };
    let mut found = having(&|node| node.id == name || node.label == name);
    if found.is_empty() {
        found = having(&|node| node.base_name() == name);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let names = all().flat_map(|(_, node)| [node.id.clone(), node.base_name().to_owned()]);
    Err(SelectionError::NoSuchJob { name: name.to_owned(), near: nearest(name, names) })
}

/// Rules may make a job manual; whether they do is known later.
fn require_manual(node: &Node) -> Result<(), SelectionError> {
    let may_be = node.policy.when == When::Manual
        || node.rules.iter().any(|rule| rule.when == Some(When::Manual));
    if may_be { Ok(()) } else { Err(SelectionError::NotManual(node.id.clone())) }
}

/// Adds what the jobs depend on: what they need, or, without `needs`, all earlier stages.
fn with_what_they_need(graph: &Graph, mut wanted: Vec<bool>) -> Vec<bool> {
    let index: HashMap<&str, usize> =
        graph.nodes.iter().enumerate().map(|(job, node)| (node.id.as_str(), job)).collect();
    let stage_of = stage_of_each(graph);
    let mut open: Vec<usize> = (0..wanted.len()).filter(|&job| wanted[job]).collect();
    // The stages before this one are wanted whole.
    let mut whole = 0;
    while let Some(job) = open.pop() {
        let node = &graph.nodes[job];
        let needed: Vec<usize> = match &node.needs {
            Some(needs) => {
                needs.iter().filter_map(|n| index.get(n.job.as_str())).copied().collect()
            }
            None => {
                let new = whole..stage_of[job].max(whole);
                whole = new.end;
                let jobs = if new.is_empty() { 0..0 } else { 0..wanted.len() };
                jobs.filter(|&job| new.contains(&stage_of[job])).collect()
            }
        };
        for needed in needed {
            if !std::mem::replace(&mut wanted[needed], true) {
                open.push(needed);
            }
        }
    }
    wanted
}

/// The place of each job's stage among the stages.
fn stage_of_each(graph: &Graph) -> Vec<usize> {
    let stages: HashMap<&str, usize> =
        graph.stages.iter().enumerate().map(|(place, stage)| (stage.as_str(), place)).collect();
    let place = |node: &Node| stages.get(node.stage.as_str()).copied().unwrap_or(0);
    graph.nodes.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use libloom_contract::graph::Need;

    use super::*;

    /// `build`, then `unit` (needs `build`) and `lint-1`, `lint-2`, then `deploy`, manual.
    fn graph() -> Graph {
        let mut unit = Node::host("unit", "test");
        unit.needs = Some(vec![Need { job: "build".into(), optional: false, artifacts: true }]);
        let copy = |k: u32| Node {
            label: format!("lint {k}/2"),
            ..Node::host(&format!("lint-{k}"), "test")
        };
        let mut deploy = Node::host("deploy", "ship");
        deploy.policy.when = When::Manual;
        let nodes =
            vec![Node::host("build", "make"), Node::host("docs", "make"), copy(1), copy(2), unit];
        Graph {
            schema_version: String::new(),
            kind: String::new(),
            digest: String::new(),
            stages: ["make", "test", "ship"].map(str::to_owned).to_vec(),
            workflow_rules: Vec::new(),
            variables: Vec::new(),
            nodes: nodes.into_iter().chain([deploy]).collect(),
            edges: Vec::new(),
            sources: Vec::new(),
        }
    }

    fn wanted(jobs: &[&str]) -> SelectionArgs {
        SelectionArgs {
            names: jobs.iter().map(|job| (*job).to_owned()).collect(),
            ..SelectionArgs::default()
        }
    }

    /// Ids of the jobs that are part of the run; `!` stands behind those that were asked for.
    fn chosen(wanted: &SelectionArgs) -> Vec<String> {
        let graph = graph();
        let left = vec![None; graph.nodes.len()];
        let starts = Selection::of(&graph, wanted, None).unwrap().starts(&graph, left);
        let jobs = graph.nodes.iter().zip(starts);
        let chosen = jobs.filter_map(|(node, start)| match start {
            Start::ByItself => Some(node.id.clone()),
            Start::Asked => Some(format!("{}!", node.id)),
            Start::Left(_) | Start::Apart(_) => None,
        });
        chosen.collect()
    }

    #[test]
    fn named_job_comes_with_what_it_needs_or_alone() {
        assert_eq!(chosen(&wanted(&["unit"])), ["build", "unit"]);
        assert_eq!(chosen(&SelectionArgs { only: true, ..wanted(&["unit"]) }), ["unit"]);
        let by_option = SelectionArgs { job: vec!["unit".into()], ..SelectionArgs::default() };
        assert_eq!(chosen(&by_option), ["build", "unit"]);
    }

    #[test]
    fn job_without_needs_comes_with_the_stages_before_it() {
        assert_eq!(chosen(&wanted(&["lint-1"])), ["build", "docs", "lint-1"]);
        let all = ["build", "docs", "lint-1", "lint-2", "unit", "deploy!"];
        assert_eq!(chosen(&wanted(&["deploy"])), all);
    }

    #[test]
    fn name_of_a_parallel_job_means_all_copies() {
        let only = SelectionArgs { only: true, ..wanted(&["lint"]) };
        assert_eq!(chosen(&only), ["lint-1", "lint-2"]);
        let one = SelectionArgs { only: true, ..wanted(&["lint 2/2"]) };
        assert_eq!(chosen(&one), ["lint-2"]);
    }

    #[test]
    fn stages_before_the_first_one_are_left_out() {
        let from = SelectionArgs { from_stage: Some("test".into()), ..SelectionArgs::default() };
        assert_eq!(chosen(&from), ["lint-1", "lint-2", "unit", "deploy"]);
        let both = SelectionArgs { from_stage: Some("test".into()), ..wanted(&["unit"]) };
        assert_eq!(chosen(&both), ["unit"]);
    }

    #[test]
    fn manual_job_joins_what_runs_anyway_or_what_is_named() {
        let manual = SelectionArgs { manual: vec!["deploy".into()], ..SelectionArgs::default() };
        let all = ["build", "docs", "lint-1", "lint-2", "unit", "deploy!"];
        assert_eq!(chosen(&manual), all);
        let only = SelectionArgs { manual: vec!["deploy".into()], only: true, ..wanted(&["docs"]) };
        assert_eq!(chosen(&only), ["docs", "deploy!"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_way_out() {
        let refused = |wanted: SelectionArgs| {
            let error = Selection::of(&graph(), &wanted, None).unwrap_err();
            format!("{error}; {}", error.hint())
        };
        let from = |stage: &str| SelectionArgs {
            from_stage: Some(stage.into()),
            ..SelectionArgs::default()
        };
        let manual =
            |job: &str| SelectionArgs { manual: vec![job.into()], ..SelectionArgs::default() };
        let only = SelectionArgs { only: true, ..SelectionArgs::default() };
        for (wanted, expected) in [
            (wanted(&["biuld"]), "there is no job `biuld`; did you mean `build`?"),
            (wanted(&["lnit"]), "there is no job `lnit`; did you mean `lint` or `unit`?"),
            (wanted(&["xyz"]), "there is no job `xyz`; `loom run --dry-run` lists stages and jobs"),
            (from("tset"), "there is no stage `tset`; did you mean `test`?"),
            (only, "`--only` wants the names of jobs; write `loom run --only JOB`"),
        ] {
            assert_eq!(refused(wanted), expected);
        }
        assert!(refused(manual("unit")).starts_with("job `unit` is not manual; "));
    }
}
