//! Everything the documents of a finished run say, loaded for what looks at all of it.
//!
//! Times of jobs, sections and steps are those of their boundary events, to the microsecond: the
//! documents have milliseconds, which are too coarse to draw.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use libloom_contract::{
    Status, StoreError, Timestamp,
    event::{Event, EventKind, PhaseCode, Section},
    graph::{AllowFailure, Graph},
    layout::{JobLayout, Layout, RunLayout},
    logs::{JobEntry, JobManifest, JobSummary, PipelineManifest, SectionSummary, StepSummary},
    receipt::RunReceipt,
    store,
};
use libloom_entry::{Context, Failure, OrFail};
use libloom_record::{
    read::{self, RunState},
    stream::EventReader,
};

use crate::{complete_dead, resolve, steps::parse};

/// A finished run.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) run: RunLayout,
    pub(crate) receipt: RunReceipt,
    pub(crate) failing_job: Option<String>,
    pub(crate) jobs: Vec<JobTree>,
}

/// One job, as its last attempt left it.
#[derive(Debug)]
pub(crate) struct JobTree {
    pub(crate) entry: JobEntry,
    pub(crate) summary: JobSummary,
    pub(crate) manifest: JobManifest,
    pub(crate) span: Option<Span>,
    pub(crate) sections: Vec<SectionTree>,
    pub(crate) steps: Vec<StepTree>,
    /// It failed, and the workflow allows that.
    pub(crate) is_forgiven: bool,
}

/// System work of a job.
#[derive(Debug)]
pub(crate) struct SectionTree {
    pub(crate) section: Section,
    pub(crate) summary: SectionSummary,
    pub(crate) span: Option<Span>,
    pub(crate) events: PathBuf,
}

/// One script entry of a job.
#[derive(Debug)]
pub(crate) struct StepTree {
    pub(crate) summary: StepSummary,
    pub(crate) span: Option<Span>,
    /// Absent where it never ran.
    pub(crate) events: Option<PathBuf>,
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Span {
    /// The part of it that lies within `outer`.
    pub(crate) fn within(self, outer: Span) -> Span {
        let into = |time: Timestamp| time.clamp(outer.from, outer.to.max(outer.from));
        Span { from: into(self.from), to: into(self.to) }
    }
}

impl Tree {
    /// The run as a whole.
    pub(crate) fn span(&self) -> Span {
        Span { from: self.receipt.started_at, to: self.receipt.finished_at }
    }

    /// The job to look at first, and the step of it.
    pub(crate) fn culprit(&self) -> Option<(&JobTree, Option<&StepTree>)> {
        let id = self.failing_job.as_ref()?;
        let job = self.jobs.iter().find(|job| &job.entry.job_id == id)?;
        let failing = job.manifest.failing_step.as_ref();
        let step =
            failing.and_then(|name| job.steps.iter().find(|step| &step.summary.step == name));
        Some((job, step))
    }
}

impl JobTree {
    /// What people call it.
    pub(crate) fn label(&self) -> &str {
        self.entry.label.as_deref().unwrap_or(&self.entry.job_id)
    }

    /// It failed or was cancelled, and that matters.
    pub(crate) fn is_bad(&self) -> bool {
        !self.entry.status.is_fine() && !self.is_forgiven
    }
}

/// Loads the run that `run` names; one in progress is refused, a dead one is completed first.
pub(crate) fn load(layout: &Layout, run: Option<&str>, context: &Context) -> Result<Tree, Failure> {
    let run_id = resolve(layout, run)?;
    match read::state(layout, &run_id) {
        RunState::Running => {
            let failure = Failure::could_not(format!("run `{run_id}` is still running"));
            return Err(failure.hint("its documents are whole once it has ended"));
        }
        RunState::Interrupted => complete_dead(layout, context)?,
        RunState::Finished(_) | RunState::Damaged(_) => {}
    }
    tree(layout, &run_id).or_could_not(format_args!("cannot read the run `{run_id}`")).map_err(
        |failure| failure.hint(format!("`loom logs validate {run_id}` lists all that is wrong")),
    )
}

fn tree(layout: &Layout, run_id: &str) -> Result<Tree, StoreError> {
    let run = layout.run(run_id);
    let receipt: RunReceipt = store::read(&layout.run_receipt(run_id))?;
    let mut tree = Tree { run, receipt, failing_job: None, jobs: Vec::new() };
    if tree.receipt.pipeline_manifest_path.is_none() {
        return Ok(tree);
    }
    let manifest: PipelineManifest = store::read(&tree.run.pipeline_manifest())?;
    tree.failing_job = manifest.failing_job_id;
    let forgiving = forgiving(layout, &tree.receipt);
    for entry in manifest.jobs {
        let mut job = job(&tree.run, entry)?;
        let all_well = tree.receipt.status.is_fine();
        let allowed = forgiving.get(&job.entry.job_id);
        let forgiven = allowed.is_some_and(|allowed| forgives(allowed, job.summary.exit_code));
        job.is_forgiven = job.entry.status == Status::Failure && (all_well || forgiven);
        tree.jobs.push(job);
    }
    Ok(tree)
}

/// The jobs that may fail, as the graph says, while there is one.
fn forgiving(layout: &Layout, receipt: &RunReceipt) -> BTreeMap<String, AllowFailure> {
    let Some(pointer) = &receipt.graph_ir else { return BTreeMap::new() };
    let graph: Option<Graph> = store::read(&layout.graph(&pointer.digest)).ok();
    let nodes = graph.into_iter().flat_map(|graph| graph.nodes);
    nodes.filter_map(|node| Some((node.id, node.policy.allow_failure?))).collect()
}

fn forgives(allowed: &AllowFailure, exit_code: Option<i32>) -> bool {
    let codes = &allowed.exit_codes;
    codes.is_empty() || exit_code.is_some_and(|code| codes.contains(&code))
}

fn job(run: &RunLayout, entry: JobEntry) -> Result<JobTree, StoreError> {
    let layout = run.job(&entry.job_id);
    let manifest: JobManifest = store::read(&layout.manifest())?;
    let mirrored = boundaries(&layout.execution_events());
    let steps = manifest.steps.iter().filter_map(|entry| step(&layout, &entry.step, &mirrored));
    let steps = steps.collect::<Result<_, _>>()?;
    let listed = manifest.system_sections.iter();
    let sections = listed.map(|entry| section(&layout, entry.section)).collect::<Result<_, _>>()?;
    let phases = boundaries(&layout.events());
    let summary: JobSummary = store::read(&layout.summary())?;
    let span = summary.started_at.and_then(|_| span(&phases));
    Ok(JobTree { entry, summary, manifest, span, sections, steps, is_forgiven: false })
}

fn step(
    layout: &JobLayout,
    name: &str,
    mirrored: &[Event],
) -> Option<Result<StepTree, StoreError>> {
    let part = layout.step(&parse(name)?);
    let summary: StepSummary = match store::read(&part.summary()) {
        Ok(summary) => summary,
        Err(error) => return Some(Err(error)),
    };
    let is_own = |event: &&Event| {
        event.phase_code == PhaseCode::StepExecute && event.step.as_deref() == Some(name)
    };
    let own: Vec<Event> = mirrored.iter().filter(is_own).cloned().collect();
    let events = summary.events_path.is_some().then(|| part.events());
    Some(Ok(StepTree { summary, span: span(&own), events }))
}

fn section(layout: &JobLayout, section: Section) -> Result<SectionTree, StoreError> {
    let part = layout.section(section);
    let summary = store::read(&part.summary())?;
    let events = part.events();
    let span = span(&boundaries(&events));
    Ok(SectionTree { section, summary, span, events })
}

/// Start and finish events; none where the stream cannot be read.
fn boundaries(path: &Path) -> Vec<Event> {
    let reader = EventReader::open(path).ok();
    let is_boundary = |event: &Event| matches!(event.event, EventKind::Start | EventKind::Finish);
    reader.into_iter().flatten().flatten().filter(is_boundary).collect()
}

fn span(boundaries: &[Event]) -> Option<Span> {
    let from = boundaries.iter().map(|event| event.ts).min()?;
    let to = boundaries.iter().map(|event| event.ts).max()?;
    Some(Span { from, to })
}
