//! Which job may start when: a state machine without clock, threads or files.
//!
//! A job waits for every job of the earlier stages or, where it has `needs`, for those alone.
//! [`Schedule::next`] hands out what may happen now; [`Schedule::finished`] and
//! [`Schedule::again`] say what has. Every step costs as much as the job has needs and dependants.

use std::collections::{HashMap, VecDeque};

use libloom_contract::{
    Reason, Status,
    graph::{Graph, Node, When},
};

use crate::verdict::Verdict;

/// What is known of a job before the first one starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Its `when` decides.
    #[default]
    ByItself,
    /// It was asked for by name: it starts as if its `when` were `on_success`, unless that is
    /// `always`.
    Asked,
    /// Rules leave it out.
    Left(Verdict),
    /// It is no part of this run; what depends on it goes ahead as if it had succeeded.
    Apart(Verdict),
}

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
    starts: Vec<Start>,
    stages: Vec<Stage>,
    stage_of: Vec<usize>,
    /// Jobs a job with `needs` still waits for.
    waits: Vec<usize>,
    /// Jobs a job needs, each with whether it may be skipped.
    needs: Vec<Vec<(usize, bool)>>,
    /// Jobs that need a job.
    dependants: Vec<Vec<usize>>,
    outcome: Vec<Option<Outcome>>,
    /// Stages before this one have no unfinished jobs.
    open_stage: usize,
    /// The earliest stage in which a job failed that may not, and that job.
    failed: Option<(usize, usize)>,
    /// Jobs that nothing holds back any more.
    ready: VecDeque<usize>,
    unfinished: usize,
    stopped: Option<Verdict>,
}

#[derive(Clone, Debug, Default)]
struct Stage {
    /// Jobs that wait for the barrier.
    waiting: Vec<usize>,
    unfinished: usize,
}

impl<'a> Schedule<'a> {
    /// Nothing has begun; `starts` has an entry for each job.
    pub fn new(graph: &'a Graph, starts: Vec<Start>) -> Self {
        let nodes = &graph.nodes;
        let stage_index: HashMap<&str, usize> =
            graph.stages.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        let stage_of: Vec<usize> = nodes
            .iter()
            .map(|node| stage_index.get(node.stage.as_str()).copied().unwrap_or(0))
            .collect();
        let mut schedule = Schedule {
            nodes,
            starts,
            stages: vec![Stage::default(); graph.stages.len()],
            stage_of,
            waits: vec![0; nodes.len()],
            needs: vec![Vec::new(); nodes.len()],
            dependants: vec![Vec::new(); nodes.len()],
            outcome: vec![None; nodes.len()],
            open_stage: 0,
            failed: None,
            ready: VecDeque::new(),
            unfinished: nodes.len(),
            stopped: None,
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
        let when = match (&self.starts[job], self.nodes[job].policy.when) {
            (Start::Apart(verdict), _) => return Some(verdict.clone()),
            (Start::Left(verdict), _) => return self.stopped.clone().or(Some(verdict.clone())),
            (Start::Asked, When::Manual | When::OnFailure) => When::OnSuccess,
            (Start::Asked | Start::ByItself, when) => when,
        };
        if self.stopped.is_some() {
            return self.stopped.clone();
        }
        match (when, self.obstacle(job)) {
            (When::Always, _) | (When::OnSuccess, None) | (When::OnFailure, Some(_)) => None,
            (When::OnSuccess, Some(verdict)) => Some(verdict),
            (When::OnFailure, None) => {
                Some(Verdict::skipped(Reason::NothingToDo, "runs only after a failure"))
            }
            (When::Manual, _) => Some(Verdict::skipped(
                Reason::Manual,
                format!("starts only when asked for: --manual {}", self.nodes[job].id),
            )),
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
        let (unmet, _) = *self.needs[job].iter().find(|need| !self.is_met(need))?;
        let message = format!("needs job `{}`, which {}", self.nodes[unmet].id, self.fate(unmet));
        Some(Verdict::skipped(Reason::NeedsNotMet, message))
    }

    fn is_met(&self, &(needed, optional): &(usize, bool)) -> bool {
        if matches!(self.starts[needed], Start::Apart(_)) {
            return true;
        }
        match self.outcome[needed] {
            Some(Outcome { status: Status::Success, .. } | Outcome { forgiven: true, .. }) => true,
            Some(Outcome { status: Status::Skipped, .. }) => optional,
            _ => false,
        }
    }

    fn failed_stage(&self, job: usize) -> Option<Verdict> {
        let (_, failed) = self.failed.filter(|(stage, _)| *stage < self.stage_of[job])?;
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
        let stage = self.stage_of[job];
        self.stages[stage].unfinished -= 1;
        if outcome.stops_others() && self.failed.is_none_or(|(earliest, _)| stage < earliest) {
            self.failed = Some((stage, job));
        }
        for dependant in std::mem::take(&mut self.dependants[job]) {
            self.waits[dependant] -= 1;
            if self.waits[dependant] == 0 {
                self.ready.push_back(dependant);
            }
        }
        self.open_stages();
    }

    /// The job that was started is not over: it is to be started again, before any other.
    pub fn again(&mut self, job: usize) {
        self.ready.push_front(job);
    }

    /// From now on nothing starts; what has not begun is left with this verdict.
    pub fn stop(&mut self, verdict: Verdict) {
        if self.stopped.is_none() {
            self.stopped = Some(verdict);
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
mod tests;
