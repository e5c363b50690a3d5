//! `loom logs show --follow`: a run in progress, from another terminal.
//!
//! The run's folder is looked at twenty times a second: only at jobs that have no summary yet,
//! and of those only at what was appended. The run's lock tells whether it still lives, so that
//! a killed run ends the view as surely as one that came to its end.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use libloom_console::{Label, Paint, printable};
use libloom_contract::{
    Status,
    event::{EventKind, PhaseCode, RunPlan},
    exit,
    graph::Graph,
    layout::{Layout, RunLayout},
    logs::JobSummary,
    store,
};
use libloom_entry::{Context, Failure, OrFail};
use libloom_record::{
    read::{self, RunState},
    stream::EventReader,
};

use crate::{
    complete_dead, resolve,
    select::{Wanted, no_such_job},
    show::Arguments,
    steps::jobs,
    tails::{Dress, Sink, Tails},
    words,
};

/// How often the run's folder is looked at.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the documents of a dead run may take to be completed.
const MENDING: Duration = Duration::from_secs(5);
/// How long a run that is just being started may take to appear.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let wanted = Wanted::parse(arguments.step.as_deref())?;
    if wanted != Wanted::All && arguments.job.is_none() {
        return Err(Failure::usage("`--follow` with `--step` needs `--job`"));
    }
    let run_id = run_to_follow(arguments.run.as_deref(), layout, context)?;
    context.console.status(format_args!("following run {run_id}"));
    let run = layout.run(&run_id);
    let mut view = View {
        context,
        layout,
        labels: Labels::default(),
        tails: Tails::new(&run, arguments, wanted),
        run,
        job: arguments.job.as_deref(),
        raw: arguments.raw,
    };
    view.until_the_end()?;
    Ok(exit::DONE)
}

/// The run that is meant. Where none is named, the newest in progress comes first; where there is
/// none at all, the one that is about to begin is waited for.
fn run_to_follow(run: Option<&str>, layout: &Layout, context: &Context) -> Result<String, Failure> {
    if let Some(run) = run.filter(|run| *run != read::LATEST) {
        return resolve(layout, Some(run));
    }
    let deadline = Instant::now() + PATIENCE;
    let mut said = false;
    loop {
        let ids = read::run_ids(layout).or_could_not("cannot list the runs")?;
        let running = |id: &&String| matches!(read::state(layout, id), RunState::Running);
        if let Some(id) = ids.iter().find(running).or(ids.first()) {
            return Ok(id.clone());
        }
        if Instant::now() > deadline {
            return resolve(layout, None);
        }
        if !said {
            context.console.note("there is no run yet; waiting for one to begin");
            said = true;
        }
        thread::sleep(PAUSE);
    }
}

struct View<'a> {
    context: &'a Context,
    layout: &'a Layout,
    run: RunLayout,
    labels: Labels,
    tails: Tails<'a>,
    job: Option<&'a str>,
    raw: bool,
}

impl View<'_> {
    fn until_the_end(&mut self) -> Result<(), Failure> {
        let mut dead_since = None;
        loop {
            // Asked for before the files are read: what is written until then is seen.
            let ended = self.ended();
            self.labels.learn(&self.run);
            self.look()?;
            match ended {
                None => {}
                // Another command may be completing it.
                Some(RunState::Interrupted)
                    if dead_since.get_or_insert_with(Instant::now).elapsed() < MENDING =>
                {
                    complete_dead(self.layout, self.context)?;
                }
                Some(end) => return self.end(&end),
            }
            thread::sleep(PAUSE);
        }
    }

    /// `None` while the run goes on.
    fn ended(&self) -> Option<RunState> {
        let run_id = self.run.run_id();
        match read::state(self.layout, &run_id) {
            RunState::Running => None,
            // Its receipt may have come between the two questions.
            RunState::Interrupted => Some(read::state(self.layout, &run_id)),
            end => Some(end),
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        let paint = self.context.console.out_paint();
        let mut sink = Sink::new(&self.context.console);
        for job_id in self.tails.live_jobs(self.job) {
            let attempt = self.tails.attempt(&job_id);
            // Asked for before its streams are read: a job that is over writes no more.
            let over = store::read::<JobSummary>(&self.run.job(&job_id).summary()).ok();
            let prefix = paint.paint(Label::Name, self.labels.prefix(&job_id)).to_string();
            let dress = Dress { prefix, commands: self.labels.commands(&job_id) };
            self.tails.read(&job_id, &dress, &mut sink)?;
            if let Some(summary) = over {
                self.tails.finish(&job_id, &dress, &mut sink)?;
                self.tails.close(&job_id, attempt);
                if !self.raw {
                    sink.push(end_of_job(&summary, &dress.prefix, paint).as_bytes())?;
                }
            }
        }
        sink.flush()
    }

    fn end(&self, end: &RunState) -> Result<(), Failure> {
        let run_id = self.run.run_id();
        self.check_job_was_there()?;
        if self.raw {
            return Ok(());
        }
        let paint = self.context.console.out_paint();
        let line = match end {
            RunState::Finished(receipt) => {
                let outcome = words::outcome(receipt.status, receipt.reason);
                let outcome = paint.paint(words::label(receipt.status), outcome);
                let time = words::duration(receipt.duration_ms);
                let error = receipt.error.as_deref().map(printable);
                let error = error.map(|error| format!(": {error}")).unwrap_or_default();
                format!("run {run_id}: {outcome} in {time}{error}")
            }
            RunState::Interrupted | RunState::Running => {
                format!(
                    "run {run_id}: {}",
                    paint.paint(words::label(Status::Cancelled), "interrupted")
                )
            }
            RunState::Damaged(error) => format!("run {run_id}: damaged: {error}"),
        };
        Ok(self.context.console.out(&line)?)
    }

    fn check_job_was_there(&self) -> Result<(), Failure> {
        let Some(job) = self.job else { return Ok(()) };
        let ids = jobs(&self.run).or_could_not("cannot read the run's jobs")?;
        match ids.iter().any(|id| id == job) {
            true => Ok(()),
            false => Err(no_such_job(&self.run, job, &ids)),
        }
    }
}

fn end_of_job(summary: &JobSummary, prefix: &str, paint: Paint) -> String {
    let outcome = words::outcome(summary.status, summary.reason);
    let outcome = paint.paint(words::label(summary.status), outcome);
    let message = summary.message.as_deref().map(printable);
    let message = message.map(|text| format!(": {text}")).unwrap_or_default();
    let time = words::duration(summary.duration_ms);
    let time = summary.started_at.map(|_| format!(" in {time}")).unwrap_or_default();
    format!("{prefix}{outcome}{time}{message}\n")
}

/// What stands before the lines of each job: its label, all equally wide.
#[derive(Default)]
struct Labels {
    known: Option<BTreeMap<String, Planned>>,
    width: usize,
}

/// What the graph says of a job.
struct Planned {
    label: String,
    commands: BTreeMap<String, String>,
}

impl Labels {
    /// The graph is known once the run is planned.
    fn learn(&mut self, run: &RunLayout) {
        if self.known.is_some() {
            return;
        }
        let Some(graph) = graph_of(run) else { return };
        let planned = graph.nodes.into_iter().map(|node| {
            let commands = node.steps.into_iter().map(|step| (step.path(), step.command));
            (node.id, Planned { label: node.label, commands: commands.collect() })
        });
        let known: BTreeMap<String, Planned> = planned.collect();
        self.width = known.values().map(|job| job.label.chars().count()).max().unwrap_or(0);
        self.known = Some(known);
    }

    fn commands(&self, job_id: &str) -> Option<&BTreeMap<String, String>> {
        self.known.as_ref()?.get(job_id).map(|job| &job.commands)
    }

    fn prefix(&self, job_id: &str) -> String {
        let label = self.known.as_ref().and_then(|known| known.get(job_id));
        let label = printable(label.map_or(job_id, |job| job.label.as_str())).into_owned();
        format!("{label:<width$} | ", width = self.width)
    }
}

fn graph_of(run: &RunLayout) -> Option<Graph> {
    let mut events = EventReader::open(&run.events()).ok()?.flatten();
    let planned = events.find(|event| {
        (event.phase_code, event.event) == (PhaseCode::RunBootstrap, EventKind::Finish)
    })?;
    let plan = serde_json::from_value::<RunPlan>(planned.data?.into()).ok()?;
    store::read(plan.graph_ir?.path?.as_ref()).ok()
}
