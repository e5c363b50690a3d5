//! A run, in the process that does it: bootstrap, pipeline, finalize.

use std::{io, time::Instant};

use libloom_contract::{
    Status, StoreError,
    event::{Event, EventKind, PhaseCode, RunContext, RunPlan},
    graph::Graph,
};
use libloom_entry::Siblings;
use libloom_record::events::{EventLog, Subject};
use serde::Serialize;

use crate::{
    bootstrap::{self, Plan, Trouble},
    documents::{self, Outcome},
    joblog::{finish, loom_error},
    pipeline, processes,
    run::Run,
    verdict::Verdict,
};

/// Does the run and records it. The outcome tells what the process is to say and exit with.
///
/// # Errors
/// The record itself cannot be written.
pub fn work(run: &Run, siblings: &Siblings) -> io::Result<Outcome> {
    let mut events = EventLog::create(&run.logs.events(), Subject::phase(PhaseCode::RunBootstrap))?;
    let planned = bootstrap(run, siblings, &mut events)?;
    let (graph, outcome) = match planned {
        Ok(plan) => {
            let outcome = execute(run, &plan, &mut events)?;
            (Some(plan.graph), outcome)
        }
        Err(trouble) => (None, of_trouble(trouble)),
    };
    processes::end_adopted(&run.registry);
    run.docker.conclude(run)?;
    finalize(run, graph.as_ref(), &outcome, &mut events)?;
    Ok(outcome)
}

fn bootstrap(
    run: &Run,
    siblings: &Siblings,
    events: &mut EventLog,
) -> io::Result<Result<Plan, Trouble>> {
    let subject = Subject::phase(PhaseCode::RunBootstrap);
    let started = Instant::now();
    run.observe(None, subject.phase, EventKind::Start);
    let data = data(&context(run));
    events.append(Event { data, ..subject.event(EventKind::Start) })?;
    let planned = bootstrap::plan(run, siblings);
    if let Err(trouble) = &planned {
        tell(trouble, &subject, events)?;
    }
    let verdict = match &planned {
        Ok(_) => Verdict::success(),
        Err(trouble) => verdict_of(trouble),
    };
    run.observe(None, subject.phase, EventKind::Finish);
    let data = self::data(&plan(run, planned.as_ref().ok().map(|planned| &planned.graph)));
    events.append(Event { data, ..finish(&subject, &verdict, started) })?;
    Ok(planned)
}

fn context(run: &Run) -> RunContext {
    RunContext {
        command: run.command.clone(),
        loom_version: env!("CARGO_PKG_VERSION").into(),
        pipeline_id: run.pipeline_id.clone(),
        repo_root: run.repo_root.to_string_lossy().into_owned(),
        workflow_path: run.repo_root.join(&run.workflow).to_string_lossy().into_owned(),
    }
}

fn plan(run: &Run, graph: Option<&Graph>) -> RunPlan {
    let snapshot = run.snapshot.get();
    RunPlan {
        graph_ir: graph.map(|graph| documents::graph_pointer(run, graph)),
        snapshot_path: snapshot.map(|snapshot| snapshot.path.clone()),
        snapshot_head_sha: snapshot.and_then(|snapshot| snapshot.facts.head_sha.clone()),
        branch: snapshot.and_then(|snapshot| snapshot.facts.branch.clone()),
    }
}

fn data(value: &impl Serialize) -> Option<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(map)) => Some(map),
        _ => None,
    }
}

/// What is wrong, in the run's events: one for each diagnostic, else one for all.
fn tell(trouble: &Trouble, subject: &Subject, events: &mut EventLog) -> io::Result<()> {
    for (diagnostic, _) in &trouble.diagnostics {
        let event = subject.say(EventKind::Error, diagnostic.message.clone());
        events.append(Event { data: data(diagnostic), ..event })?;
    }
    if trouble.diagnostics.is_empty() {
        let event = subject.say(EventKind::Error, trouble.error.clone());
        events.append(Event { reason: Some(trouble.reason), ..event })?;
    }
    Ok(())
}

fn verdict_of(trouble: &Trouble) -> Verdict {
    use libloom_contract::Reason;
    match trouble.reason {
        Reason::Interrupt | Reason::Interrupted => {
            Verdict::cancelled(trouble.reason, trouble.error.clone())
        }
        reason => Verdict::failure(reason, trouble.error.clone()),
    }
}

fn of_trouble(trouble: Trouble) -> Outcome {
    let verdict = verdict_of(&trouble);
    Outcome { verdict, exit_code: trouble.exit_code, trouble: Some(trouble), pipeline: None }
}

fn execute(run: &Run, plan: &Plan, events: &mut EventLog) -> io::Result<Outcome> {
    let subject = Subject::phase(PhaseCode::RunPipelineExecute);
    let started = Instant::now();
    run.observe(None, subject.phase, EventKind::Start);
    events.append(subject.event(EventKind::Start))?;
    let pipeline = pipeline::execute(run, plan);
    run.observe(None, subject.phase, EventKind::Finish);
    let verdict = match &pipeline {
        Ok(pipeline) => pipeline.verdict.clone(),
        Err(error) => loom_error(error),
    };
    events.append(finish(&subject, &verdict, started))?;
    let pipeline = pipeline?;
    let exit_code = exit_code(run, pipeline.verdict.status);
    Ok(Outcome { verdict, exit_code, trouble: None, pipeline: Some(pipeline) })
}

fn exit_code(run: &Run, status: Status) -> u8 {
    match (status, run.cancel.cause()) {
        (Status::Success | Status::Skipped, _) => libloom_contract::exit::DONE,
        (Status::Cancelled, Some(cause)) => cause.exit_code(),
        _ => libloom_contract::exit::NO,
    }
}

/// Writes what remains. The receipt comes last: where there is one, the run is over.
fn finalize(
    run: &Run,
    graph: Option<&Graph>,
    outcome: &Outcome,
    events: &mut EventLog,
) -> io::Result<()> {
    let subject = Subject::phase(PhaseCode::RunFinalize);
    let started = Instant::now();
    run.observe(None, subject.phase, EventKind::Start);
    events.append(subject.event(EventKind::Start))?;
    documents::write_pipeline(run, outcome).map_err(|error| in_words(&error))?;
    run.observe(None, subject.phase, EventKind::Finish);
    events.append(finish(&subject, &Verdict::success(), started))?;
    documents::write_summary(run, outcome).map_err(|error| in_words(&error))?;
    documents::write_receipt(run, graph, outcome).map_err(|error| in_words(&error))
}

fn in_words(error: &StoreError) -> io::Error {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}"));
    io::Error::other(format!("{error}{}", cause.unwrap_or_default()))
}
