//! Examples, and a comparison with a model that knows nothing of order.

use libloom_contract::graph::{AllowFailure, Need};
use proptest::prelude::*;

use super::*;

fn graph(jobs: &[(&str, &str, Option<&[&str]>)]) -> Graph {
    let mut stages: Vec<String> = jobs.iter().map(|job| job.1.to_owned()).collect();
    stages.dedup();
    of_nodes(stages, jobs.iter().map(|(id, stage, needs)| node(id, stage, *needs)).collect())
}

fn of_nodes(stages: Vec<String>, nodes: Vec<Node>) -> Graph {
    Graph {
        schema_version: "loom.graph.v1".into(),
        kind: "loom-graph".into(),
        digest: String::new(),
        stages,
        workflow_rules: Vec::new(),
        variables: Vec::new(),
        nodes,
        edges: Vec::new(),
        sources: Vec::new(),
    }
}

fn node(id: &str, stage: &str, needs: Option<&[&str]>) -> Node {
    let need = |job: &&str| Need { job: (*job).into(), optional: false, artifacts: true };
    let needs = needs.map(|needs| needs.iter().map(need).collect());
    Node { needs, ..Node::host(id, stage) }
}

fn by_themselves(graph: &Graph) -> Vec<Start> {
    vec![Start::ByItself; graph.nodes.len()]
}

/// Runs everything that may run, in waves; `fails` fail. Gives waves of started jobs and
/// the reasons of those that were left.
fn waves(graph: &Graph, fails: &[&str]) -> (Vec<Vec<String>>, Vec<(String, Reason)>) {
    let mut schedule = Schedule::new(graph, by_themselves(graph));
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
fn job_that_is_no_part_of_the_run_holds_nobody_back() {
    let graph = graph(&[("a", "one", None), ("b", "two", Some(&["a"])), ("c", "three", None)]);
    let apart = Verdict::skipped(Reason::NotSelected, "not asked for");
    let starts = vec![Start::Apart(apart.clone()), Start::ByItself, Start::Apart(apart.clone())];
    let mut schedule = Schedule::new(&graph, starts);
    assert_eq!(schedule.next(), Some(Decision::Leave(0, apart.clone())));
    assert_eq!(schedule.next(), Some(Decision::Start(1)));
    schedule.finished(1, Outcome { status: Status::Failure, forgiven: false });
    assert_eq!(schedule.next(), Some(Decision::Leave(2, apart)));
    assert!(schedule.is_done());
}

#[test]
fn manual_job_starts_when_it_was_asked_for() {
    let mut graph = graph(&[("a", "one", None), ("b", "one", None)]);
    graph.nodes.iter_mut().for_each(|node| node.policy.when = When::Manual);
    let mut schedule = Schedule::new(&graph, vec![Start::Asked, Start::ByItself]);
    assert_eq!(schedule.next(), Some(Decision::Start(0)));
    let Some(Decision::Leave(1, verdict)) = schedule.next() else { panic!("it is left") };
    assert_eq!((verdict.status, verdict.reason), (Status::Skipped, Some(Reason::Manual)));
}

#[test]
fn stopped_schedule_finishes_everything() {
    let graph = graph(&[("a", "one", None), ("b", "two", None), ("c", "three", Some(&["b"]))]);
    let mut schedule = Schedule::new(&graph, by_themselves(&graph));
    assert_eq!(schedule.next(), Some(Decision::Start(0)));
    schedule.stop(Verdict::cancelled(Reason::Interrupt, "interrupted"));
    schedule.finished(0, Outcome { status: Status::Cancelled, forgiven: false });
    let mut left = 0;
    while let Some(Decision::Leave(_, verdict)) = schedule.next() {
        assert_eq!(verdict.status, Status::Cancelled);
        left += 1;
    }
    assert!(left == 2 && schedule.is_done());
}

/// A graph, and what is going to happen to its jobs.
#[derive(Clone, Debug)]
struct Case {
    graph: Graph,
    starts: Vec<Start>,
    /// Whether each job succeeds in the end, and how often it is tried again before.
    fates: Vec<(bool, u8)>,
    /// Jobs that run at the same time.
    limit: usize,
    /// Which of the running jobs ends next.
    order: Vec<usize>,
    /// The run is stopped after so many ends.
    stop_after: Option<usize>,
    fail_fast: bool,
}

const STAGES: usize = 4;

prop_compose! {
    fn job(index: usize)(
        stage in 0..STAGES,
        needs in prop::option::weighted(
            0.5,
            prop::collection::vec((0..index.max(1), any::<bool>()), 0..=index.min(3)),
        ),
        when in prop::sample::select(vec![
            When::OnSuccess, When::OnSuccess, When::OnSuccess, When::OnFailure, When::Always,
            When::Manual, When::Never,
        ]),
        allowed in prop::bool::weighted(0.2),
        start in 0..10,
        fate in (prop::bool::weighted(0.7), 0u8..3),
    ) -> (usize, Option<Vec<(usize, bool)>>, When, bool, i32, (bool, u8)) {
        (stage, needs, when, allowed, start, fate)
    }
}

prop_compose! {
    fn case()(count in 0..24usize)(
        jobs in (0..count).map(job).collect::<Vec<_>>(),
        limit in 1..5usize,
        order in prop::collection::vec(any::<usize>(), 1..40),
        stop_after in prop::option::weighted(0.3, 0..12usize),
        fail_fast in prop::bool::weighted(0.2),
    ) -> Case {
        let stages: Vec<String> = (0..STAGES).map(|stage| format!("s{stage}")).collect();
        let mut nodes: Vec<Node> = Vec::new();
        for (index, (stage, needs, when, allowed, _, _)) in jobs.iter().enumerate() {
            let mut node = Node::host(&format!("j{index}"), &stages[*stage]);
            // As the compiler has it: a needed job is in the same or an earlier stage.
            let fits = |need: &&(usize, bool)| need.0 < index && jobs[need.0].0 <= *stage;
            node.needs = needs.as_ref().map(|needs| {
                let need = |(job, optional): &(usize, bool)| {
                    Need { job: format!("j{job}"), optional: *optional, artifacts: true }
                };
                needs.iter().filter(fits).map(need).collect()
            });
            node.policy.when = *when;
            node.policy.allow_failure = allowed.then(|| AllowFailure { exit_codes: Vec::new() });
            nodes.push(node);
        }
        let start = |start: i32| match start {
            0 => Start::Asked,
            1 => Start::Left(Verdict::skipped(Reason::Rules, "rules")),
            2 => Start::Apart(Verdict::skipped(Reason::NotSelected, "apart")),
            _ => Start::ByItself,
        };
        Case {
            starts: jobs.iter().map(|job| start(job.4)).collect(),
            fates: jobs.iter().map(|job| job.5).collect(),
            graph: of_nodes(stages, nodes),
            limit,
            order,
            stop_after,
            fail_fast,
        }
    }
}

type Ending = (Status, Option<Reason>);

/// A driver of the schedule that checks every start.
struct Driver<'a> {
    case: &'a Case,
    schedule: Schedule<'a>,
    running: Vec<usize>,
    tries_left: Vec<u8>,
    endings: Vec<Option<Ending>>,
    stopped: bool,
}

impl Driver<'_> {
    fn run(mut self) -> Vec<Ending> {
        for ends in 0.. {
            if self.case.stop_after == Some(ends) {
                self.stop(Verdict::cancelled(Reason::Interrupt, "interrupted"));
            }
            self.start_what_may_start();
            if self.schedule.is_done() {
                break;
            }
            assert!(!self.running.is_empty(), "deadlock: {:?}", self.endings);
            let next = self.case.order[ends % self.case.order.len()] % self.running.len();
            let job = self.running.swap_remove(next);
            self.end(job);
        }
        assert!(self.running.is_empty() && self.schedule.next().is_none());
        self.endings.into_iter().map(|ending| ending.expect("every job ends")).collect()
    }

    fn stop(&mut self, verdict: Verdict) {
        self.stopped = true;
        self.schedule.stop(verdict);
    }

    fn start_what_may_start(&mut self) {
        while self.running.len() < self.case.limit {
            match self.schedule.next() {
                Some(Decision::Start(job)) => self.start(job),
                Some(Decision::Leave(job, verdict)) => {
                    self.record(job, (verdict.status, verdict.reason));
                }
                None => return,
            }
        }
    }

    fn start(&mut self, job: usize) {
        assert!(!self.stopped, "nothing starts once the run is stopped");
        assert!(self.endings[job].is_none() && !self.running.contains(&job));
        let node = &self.case.graph.nodes[job];
        for (other, before) in self.case.graph.nodes.iter().enumerate() {
            let is_waited_for = match &node.needs {
                Some(needs) => needs.iter().any(|need| need.job == before.id),
                None => before.stage < node.stage,
            };
            assert!(!is_waited_for || self.endings[other].is_some(), "{job} before {other}");
        }
        self.running.push(job);
    }

    fn end(&mut self, job: usize) {
        if self.tries_left[job] > 0 {
            self.tries_left[job] -= 1;
            return self.schedule.again(job);
        }
        let success = self.case.fates[job].0;
        let (status, reason) =
            if success { (Status::Success, None) } else { (Status::Failure, None) };
        let forgiven = !success && self.case.graph.nodes[job].policy.allow_failure.is_some();
        self.record(job, (status, reason));
        self.schedule.finished(job, Outcome { status, forgiven });
        if self.case.fail_fast && !success && !forgiven {
            self.stop(Verdict::skipped(Reason::FailFast, "fail fast"));
        }
    }

    fn record(&mut self, job: usize, ending: Ending) {
        assert!(self.endings[job].replace(ending).is_none(), "{job} ends once");
    }
}

fn drive(case: &Case) -> Vec<Ending> {
    let count = case.graph.nodes.len();
    let driver = Driver {
        case,
        schedule: Schedule::new(&case.graph, case.starts.clone()),
        running: Vec::new(),
        tries_left: case.fates.iter().map(|fate| fate.1).collect(),
        endings: vec![None; count],
        stopped: false,
    };
    driver.run()
}

/// How a job ends in a run that nobody stops, from how those end that it waits for.
fn ending(case: &Case, job: usize) -> Ending {
    let node = &case.graph.nodes[job];
    let skipped = |reason| (Status::Skipped, Some(reason));
    let when = match (&case.starts[job], node.policy.when) {
        (Start::Apart(_), _) => return skipped(Reason::NotSelected),
        (Start::Left(_), _) => return skipped(Reason::Rules),
        (Start::Asked, When::Manual | When::OnFailure) => When::OnSuccess,
        (_, when) => when,
    };
    let ends = |id: &str| {
        let other = case.graph.nodes.iter().position(|node| node.id == id).unwrap();
        let forgiven = case.graph.nodes[other].policy.allow_failure.is_some();
        (other, ending(case, other).0, forgiven)
    };
    let obstacle = match &node.needs {
        Some(needs) => {
            let unmet = needs.iter().any(|need| match ends(&need.job) {
                (other, ..) if matches!(case.starts[other], Start::Apart(_)) => false,
                (_, Status::Success, _) => false,
                (_, Status::Skipped, _) => !need.optional,
                (_, _, forgiven) => !forgiven,
            });
            unmet.then_some(Reason::NeedsNotMet)
        }
        None => {
            let mut earlier = case.graph.nodes.iter().filter(|other| other.stage < node.stage);
            let failed =
                earlier.any(|other| matches!(ends(&other.id), (_, Status::Failure, false)));
            failed.then_some(Reason::EarlierStageFailed)
        }
    };
    match (when, obstacle) {
        (When::Never, _) => skipped(Reason::Rules),
        (When::Manual, _) => skipped(Reason::Manual),
        (When::OnSuccess, Some(reason)) => skipped(reason),
        (When::OnFailure, None) => skipped(Reason::NothingToDo),
        _ if case.fates[job].0 => (Status::Success, None),
        _ => (Status::Failure, None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn every_graph_comes_to_its_end_as_the_model_says(case in case()) {
        let endings = drive(&case);
        let stopped = case.stop_after.is_some() || case.fail_fast;
        for (job, found) in endings.into_iter().enumerate() {
            let expected = ending(&case, job);
            // Stopping cuts off what had not begun, and changes nothing else.
            let cut_off = [
                (Status::Cancelled, Some(Reason::Interrupt)),
                (Status::Skipped, Some(Reason::FailFast)),
            ];
            let is_fine = found == expected || stopped && cut_off.contains(&found);
            prop_assert!(is_fine, "job {}: {:?}, expected {:?}", job, found, expected);
        }
    }
}

#[test]
fn ten_thousand_jobs_in_as_many_stages_take_no_time() {
    let stages: Vec<String> = (0..10_000).map(|stage| format!("s{stage}")).collect();
    let nodes = stages.iter().map(|stage| Node::host(&format!("j{stage}"), stage)).collect();
    let graph = of_nodes(stages.clone(), nodes);
    let mut schedule = Schedule::new(&graph, by_themselves(&graph));
    let mut skipped = 0;
    while let Some(decision) = schedule.next() {
        match decision {
            Decision::Start(job) => {
                schedule.finished(job, Outcome { status: Status::Failure, forgiven: false });
            }
            Decision::Leave(..) => skipped += 1,
        }
    }
    assert!(skipped == 9_999 && schedule.is_done());
}
