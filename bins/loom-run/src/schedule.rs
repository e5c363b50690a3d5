//! Which job may start when: a state machine without clock, threads or files.
//!
//! A job waits for every job of the earlier stages or, where it has `needs`, for those alone.
//! [`Schedule::next`] hands out what may happen now; [`Schedule::finished`] says what has.

use std::collections::{HashMap, VecDeque};

use libloom_contract::{
    Reason, Status,
    graph::{Graph, Node, When},
};

use crate::verdict::Verdict;

/// What is to be done with a job now.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run it.
    Start(usize),
    /// Record that it is not run. It is finished already.
    Leave(usize, Verdict),
}

/// How a job ended, as far as other jobs care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// One of the four.
    pub status: Status,
    /// It failed and may.
    pub forgiven: bool,
}

impl Outcome {
    fn stops_others(self) -> bool {
        matches!(self.status, Status::Failure | Status::Cancelled) && !self.forgiven
    }
}

/// The state of all jobs of a graph; a job is named by its index there.
#[derive(Debug)]
pub struct Schedule<'a> {
    nodes: &'a [Node],
    stages: Vec<Stage>,
    stage_of: Vec<usize>,
    /// Earlier jobs a job still waits for; only for jobs with `needs`.
    waits: Vec<usize>,
    /// Jobs a job needs, each with whether it may be skipped.
    needs: Vec<Vec<(usize, bool)>>,
    /// Jobs that need a job.
    dependants: Vec<Vec<usize>>,
    /// Jobs that rules leave out.
    left: Vec<Option<Verdict>>,
    outcome: Vec<Option<Outcome>>,
    /// Stages before this one have no unfinished jobs.
    open_stage: usize,
    /// Jobs that nothing holds back any more.
    ready: VecDeque<usize>,
    unfinished: usize,
    cancelled: Option<Verdict>,
}

#[derive(Debug, Default)]
struct Stage {
    /// Jobs that wait for the barrier.
    waiting: Vec<usize>,
    unfinished: usize,
    /// The first job that failed and may not.
    failed: Option<usize>,
}

impl<'a> Schedule<'a> {
    /// Nothing has begun; `left` has a verdict for each job that rules leave out.
    pub fn new(graph: &'a Graph, left: Vec<Option<Verdict>>) -> Self {
        let nodes = &graph.nodes;
        let stage_index: HashMap<&str, usize> =
            graph.stages.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        let stage_of: Vec<usize> = nodes
            .iter()
            .map(|node| stage_index.get(node.stage.as_str()).copied().unwrap_or(0))
            .collect();
        let mut schedule = Schedule {
            nodes,
            stages: graph.stages.iter().map(|_| Stage::default()).collect(),
            stage_of,
            waits: vec![0; nodes.len()],
            needs: vec![Vec::new(); nodes.len()],
            dependants: vec![Vec::new(); nodes.len()],
            left,
            outcome: vec![None; nodes.len()],
            open_stage: 0,
            ready: VecDeque::new(),
            unfinished: nodes.len(),
            cancelled: None,
        };
        schedule.link();
        schedule.open_stages();
        schedule
    }

    fn link(&mut self) {
        let nodes = self.nodes;
        let index: HashMap<&str, usize> =
            nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect();
        for (job, node) in nodes.iter().enumerate() {
            let stage = &mut self.stages[self.stage_of[job]];
            stage.unfinished += 1;
            let Some(needs) = &node.needs else {
                stage.waiting.push(job);
                continue;
            };
            for need in needs {
                // A need that is not in the graph is optional: the compiler refuses all others.
                let Some(&needed) = index.get(need.job.as_str()) else { continue };
                self.waits[job] += 1;
                self.needs[job].push((needed, need.optional));
                self.dependants[needed].push(job);
            }
            if self.waits[job] == 0 {
                self.ready.push_back(job);
            }
        }
    }

    /// Lets through what waited for stages that are done.
    fn open_stages(&mut self) {
        while let Some(stage) = self.stages.get_mut(self.open_stage) {
            self.ready.extend(stage.waiting.drain(..));
            if stage.unfinished > 0 {
                return;
            }
            self.open_stage += 1;
        }
    }

    /// Whether [`Schedule::next`] has a decision.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What may happen next; `None`: nothing before a running job has finished.
    pub fn next(&mut self) -> Option<Decision> {
        let job = self.ready.pop_front()?;
        match self.leave(job) {
            None => Some(Decision::Start(job)),
            Some(verdict) => {
                self.finished(job, Outcome { status: verdict.status, forgiven: false });
                Some(Decision::Leave(job, verdict))
            }
        }
    }

    /// Why the job is not run; `None` when it is.
    fn leave(&self, job: usize) -> Option<Verdict> {
        if self.cancelled.is_some() {
            return self.cancelled.clone();
        }
        if self.left[job].is_some() {
            return self.left[job].clone();
        }
        let obstacle = self.obstacle(job);
        match (self.nodes[job].policy.when, obstacle) {
            (When::Always, _) | (When::OnSuccess, None) | (When::OnFailure, Some(_)) => None,
            (When::OnSuccess, Some(verdict)) => Some(verdict),
            (When::OnFailure, None) => {
                Some(Verdict::skipped(Reason::NothingToDo, "runs only after a failure"))
            }
            (When::Manual, _) => {
                Some(Verdict::skipped(Reason::Manual, "starts only when asked for"))
            }
            (When::Never, _) => Some(Verdict::skipped(Reason::Rules, "its rules say never")),
        }
    }

    /// What before the job did not go well.
    fn obstacle(&self, job: usize) -> Option<Verdict> {
        match &self.nodes[job].needs {
            Some(_) => self.unmet_need(job),
            None => self.failed_stage(job),
        }
    }

    fn unmet_need(&self, job: usize) -> Option<Verdict> {
        let met = |&(needed, optional): &(usize, bool)| match self.outcome[needed] {
            Some(Outcome { status: Status::Success, .. } | Outcome { forgiven: true, .. }) => true,
            Some(Outcome { status: Status::Skipped, .. }) => optional,
            _ => false,
        };
        let (unmet, _) = *self.needs[job].iter().find(|need| !met(need))?;
        let message = format!("needs job `{}`, which {}", self.nodes[unmet].id, self.fate(unmet));
        Some(Verdict::skipped(Reason::NeedsNotMet, message))
    }

    fn failed_stage(&self, job: usize) -> Option<Verdict> {
        let earlier = &self.stages[..self.stage_of[job]];
        let failed = earlier.iter().find_map(|stage| stage.failed)?;
        let node = &self.nodes[failed];
        let message = format!("stage `{}`: job `{}` {}", node.stage, node.id, self.fate(failed));
        Some(Verdict::skipped(Reason::EarlierStageFailed, message))
    }

    fn fate(&self, job: usize) -> &'static str {
        match self.outcome[job].map(|outcome| outcome.status) {
            Some(Status::Failure) => "failed",
            Some(Status::Cancelled) => "was cancelled",
            Some(Status::Skipped) => "was skipped",
            Some(Status::Success) | None => "did not run",
        }
    }

    /// The job is over.
    pub fn finished(&mut self, job: usize, outcome: Outcome) {
        self.outcome[job] = Some(outcome);
        self.unfinished -= 1;
        let stage = &mut self.stages[self.stage_of[job]];
        stage.unfinished -= 1;
        if outcome.stops_others() {
            stage.failed.get_or_insert(job);
        }
        for dependant in std::mem::take(&mut self.dependants[job]) {
            self.waits[dependant] -= 1;
            if self.waits[dependant] == 0 {
                self.ready.push_back(dependant);
            }
        }
        self.open_stages();
    }

    /// From now on nothing starts; what has not begun is left with this verdict.
    pub fn cancel(&mut self, verdict: Verdict) {
        if self.cancelled.is_none() {
            self.cancelled = Some(verdict);
            let waiting = self.stages.iter_mut().flat_map(|stage| stage.waiting.drain(..));
            self.ready.extend(waiting);
        }
    }

    /// Whether every job is finished.
    pub fn is_done(&self) -> bool {
        self.unfinished == 0
    }
}

#[cfg(test)]
mod tests {
    use libloom_contract::graph::{AllowFailure, Need};

    use super::*;

    fn graph(jobs: &[(&str, &str, Option<&[&str]>)]) -> Graph {
        let mut stages: Vec<String> = jobs.iter().map(|job| job.1.to_owned()).collect();
        stages.dedup();
        Graph {
            schema_version: "loom.graph.v1".into(),
            kind: "loom-graph".into(),
            digest: String::new(),
            stages,
            workflow_rules: Vec::new(),
            variables: Vec::new(),
            nodes: jobs.iter().map(|(id, stage, needs)| node(id, stage, *needs)).collect(),
            edges: Vec::new(),
            sources: Vec::new(),
        }
    }

    fn node(id: &str, stage: &str, needs: Option<&[&str]>) -> Node {
        let need = |job: &&str| Need { job: (*job).into(), optional: false, artifacts: true };
        let needs = needs.map(|needs| needs.iter().map(need).collect());
        Node { needs, ..Node::host(id, stage) }
    }

    /// Runs everything that may run, in waves; `fails` fail. Gives waves of started jobs and
    /// the reasons of those that were left.
    fn waves(graph: &Graph, fails: &[&str]) -> (Vec<Vec<String>>, Vec<(String, Reason)>) {
        let mut schedule = Schedule::new(graph, vec![None; graph.nodes.len()]);
        let (mut waves, mut left) = (Vec::new(), Vec::new());
        while !schedule.is_done() {
            let mut wave = Vec::new();
            while let Some(decision) = schedule.next() {
                match decision {
                    Decision::Start(job) => wave.push(job),
                    Decision::Leave(job, verdict) => {
                        left.push((graph.nodes[job].id.clone(), verdict.reason.unwrap()));
                    }
                }
            }
            for &job in &wave {
                let failed = fails.contains(&graph.nodes[job].id.as_str());
                let status = if failed { Status::Failure } else { Status::Success };
                let forgiven = failed && graph.nodes[job].policy.allow_failure.is_some();
                schedule.finished(job, Outcome { status, forgiven });
            }
            if !wave.is_empty() {
                waves.push(wave.iter().map(|&job| graph.nodes[job].id.clone()).collect());
            }
        }
        (waves, left)
    }

    #[test]
    fn stages_are_barriers_and_needs_pass_them() {
        let graph = graph(&[
            ("a", "one", None),
            ("b", "one", None),
            ("c", "two", None),
            ("d", "two", Some(&["a"])),
            ("e", "three", Some(&[])),
        ]);
        let (waves, left) = waves(&graph, &[]);
        assert_eq!(waves, [vec!["e", "a", "b"], vec!["d", "c"]]);
        assert!(left.is_empty());
    }

    #[test]
    fn failure_stops_what_depends_on_it_and_nothing_else() {
        let graph = graph(&[
            ("a", "one", None),
            ("b", "one", None),
            ("c", "two", None),
            ("d", "two", Some(&["b"])),
            ("e", "three", Some(&["a"])),
        ]);
        let (waves, left) = waves(&graph, &["a"]);
        assert_eq!(waves, [vec!["a", "b"], vec!["d"]]);
        let expected = [("e", Reason::NeedsNotMet), ("c", Reason::EarlierStageFailed)]
            .map(|(id, reason)| (id.to_owned(), reason));
        assert_eq!(left, expected);
    }

    #[test]
    fn allowed_failure_stops_nothing_and_on_failure_waits_for_one() {
        let mut graph = graph(&[("a", "one", None), ("b", "two", None), ("c", "three", None)]);
        graph.nodes[0].policy.allow_failure = Some(AllowFailure { exit_codes: Vec::new() });
        graph.nodes[2].policy.when = When::OnFailure;
        let (first, left) = waves(&graph, &["a"]);
        assert_eq!(first, [vec!["a"], vec!["b"]]);
        assert_eq!(left, [("c".to_owned(), Reason::NothingToDo)]);
        assert_eq!(waves(&graph, &["b"]).0, [vec!["a"], vec!["b"], vec!["c"]]);
    }

    #[test]
    fn cancelled_schedule_finishes_everything() {
        let graph = graph(&[("a", "one", None), ("b", "two", None), ("c", "three", Some(&["b"]))]);
        let mut schedule = Schedule::new(&graph, vec![None; graph.nodes.len()]);
        assert_eq!(schedule.next(), Some(Decision::Start(0)));
        schedule.cancel(Verdict::cancelled(Reason::Interrupt, "interrupted"));
        schedule.finished(0, Outcome { status: Status::Cancelled, forgiven: false });
        let mut left = 0;
        while let Some(Decision::Leave(_, verdict)) = schedule.next() {
            assert_eq!(verdict.status, Status::Cancelled);
            left += 1;
        }
        assert!(left == 2 && schedule.is_done());
    }
}
