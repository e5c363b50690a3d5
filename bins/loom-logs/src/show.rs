//! `loom logs show`: the output of a run, a job or a step, for reading or byte for byte.

use std::fmt::Write as _;

use libloom_console::{Console, Label, printable};
use libloom_contract::{
    event::Stream,
    exit,
    layout::{Layout, RunLayout},
};
use libloom_entry::{Context, Failure, OrFail};
use libloom_record::{
    read,
    stream::{EventReader, StreamError, output},
};

use crate::{
    resolve, screen,
    steps::{StepRecord, jobs, parse, steps},
    words,
};

/// How much is collected before it is written.
const CHUNK: usize = 64 * 1024;
/// Most job names that an error lists.
const LISTED_MAX: usize = 20;

/// Show the output of a run's steps, in order
///
/// For reading: with a heading for each job and step, control characters escaped, colours only
/// on a terminal, and of a line that was drawn over its last state. `--raw` writes the exact
/// bytes of one stream and nothing else.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Id of the run, a part of one, or `latest`
    run: Option<String>,
    /// Only this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only this step: its number in `script`, or a path such as `before_script/1`
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Write the exact bytes of the steps' standard output
    #[arg(long)]
    raw: bool,
    /// With --raw: their standard error, also to stdout, instead of their standard output
    #[arg(long, requires = "raw")]
    stderr: bool,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let run_id = resolve(layout, arguments.run.as_deref())?;
    let run = layout.run(&run_id);
    let selected = select(arguments, &run)?;
    if selected.iter().all(|(_, steps)| steps.is_empty()) {
        context.console.note(nothing(layout, &run_id));
        return Ok(exit::DONE);
    }
    let stream = if arguments.stderr { Stream::Stderr } else { Stream::Stdout };
    let mut shown = Shown { console: &context.console, pending: Vec::new() };
    for (job_id, steps) in &selected {
        match arguments.raw {
            true => steps.iter().try_for_each(|step| shown.raw(step, stream))?,
            false => shown.job(&run, job_id, steps, arguments.step.is_none())?,
        }
    }
    shown.flush()?;
    Ok(exit::DONE)
}

/// What a run without any step says for itself.
fn nothing(layout: &Layout, run_id: &str) -> String {
    match read::state(layout, run_id) {
        read::RunState::Finished(receipt) => match receipt.error {
            Some(error) => format!("no step began: {}", printable(&error)),
            None => "no step began".into(),
        },
        read::RunState::Running => "no step began yet".into(),
        _ => "no step began".into(),
    }
}

type Selected = Vec<(String, Vec<StepRecord>)>;

fn select(arguments: &Arguments, run: &RunLayout) -> Result<Selected, Failure> {
    let ids = selected_jobs(arguments, run)?;
    let wanted = arguments.step.as_deref().map(wanted_step).transpose()?;
    let mut selected = Selected::new();
    for id in ids {
        let mut steps = steps(run, &id).or_could_not(format_args!("cannot read job `{id}`"))?;
        if let Some(wanted) = &wanted {
            steps.retain(|step| &step.step == wanted);
            if steps.is_empty() {
                return Err(no_such_step(run, &id, wanted));
            }
        }
        selected.push((id, steps));
    }
    Ok(selected)
}

fn selected_jobs(arguments: &Arguments, run: &RunLayout) -> Result<Vec<String>, Failure> {
    let ids = jobs(run).or_could_not("cannot read the run's jobs")?;
    match &arguments.job {
        Some(job) if ids.contains(job) => Ok(vec![job.clone()]),
        Some(job) => Err(Failure::could_not(format!(
            "run `{}` has no job `{}`",
            run.run_id(),
            printable(job)
        ))
        .hint(names(&ids))),
        None if arguments.step.is_some() && ids.len() > 1 => {
            Err(Failure::usage("`--step` needs `--job` in a run of several jobs").hint(names(&ids)))
        }
        None => Ok(ids),
    }
}

fn names(ids: &[String]) -> String {
    let listed = ids.iter().take(LISTED_MAX).map(|id| printable(id)).collect::<Vec<_>>();
    let more = if ids.len() > LISTED_MAX { ", …" } else { "" };
    match ids.is_empty() {
        true => "it has no jobs".into(),
        false => format!("its jobs are {}{more}", listed.join(", ")),
    }
}

fn wanted_step(text: &str) -> Result<String, Failure> {
    let step = parse(text).ok_or_else(|| {
        let what = format!("`{}` names no step", printable(text));
        Failure::usage(what).hint("write a number, or a path such as `before_script/1`")
    })?;
    Ok(step.path())
}

fn no_such_step(run: &RunLayout, job_id: &str, wanted: &str) -> Failure {
    let what = format!("step `{wanted}` of job `{job_id}` never began, or is not there");
    let began = steps(run, job_id).unwrap_or_default();
    let began: Vec<String> = began.into_iter().map(|step| step.step).collect();
    let failure = Failure::could_not(what);
    match began.is_empty() {
        true => failure.hint("no step of the job began"),
        false => failure.hint(format!("steps that began: {}", began.join(", "))),
    }
}

/// Writes to stdout in large pieces.
struct Shown<'a> {
    console: &'a Console,
    pending: Vec<u8>,
}

impl Shown<'_> {
    fn flush(&mut self) -> Result<(), Failure> {
        self.console.out_bytes(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Exact bytes: what cannot be read ends it, because nothing may be missing in silence.
    fn raw(&mut self, step: &StepRecord, wanted: Stream) -> Result<(), Failure> {
        for event in open(step)? {
            let event = event.or_could_not(unreadable(step))?;
            match output(&event) {
                Some((stream, bytes)) if stream == wanted => self.push(&bytes)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn job(
        &mut self,
        run: &RunLayout,
        job_id: &str,
        steps: &[StepRecord],
        whole: bool,
    ) -> Result<(), Failure> {
        if steps.is_empty() {
            return Ok(());
        }
        let paint = self.console.out_paint();
        let heading = format!("=== job {}", printable(job_id));
        self.push(format!("{}\n", paint.paint(Label::Heading, heading)).as_bytes())?;
        let outside = StepRecord {
            step: "outside the steps".into(),
            events: run.job(job_id).execution_events(),
            summary: None,
        };
        if whole && outside.events.exists() {
            self.lines(&outside, None)?;
        }
        for step in steps {
            self.lines(step, Some(heading_of(step)))?;
        }
        Ok(())
    }

    /// Lines for reading; a damaged record is named and passed over.
    fn lines(&mut self, step: &StepRecord, heading: Option<String>) -> Result<(), Failure> {
        let paint = self.console.out_paint();
        if let Some(heading) = heading {
            self.push(format!("{}\n", paint.paint(Label::Dim, heading)).as_bytes())?;
        }
        let mut ended = true;
        for event in open(step)? {
            let event = match event {
                Err(error @ StreamError::Record { .. }) => {
                    self.console.warn(format_args!("{error}; reading on behind it"));
                    continue;
                }
                event => event.or_could_not(unreadable(step))?,
            };
            let Some((_, bytes)) = output(&event) else { continue };
            for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                ended = piece.ends_with(b"\n");
                let line = screen::line(piece.strip_suffix(b"\n").unwrap_or(piece), paint);
                self.push(line.as_bytes())?;
                self.push(if ended { b"\n" } else { b"" })?;
            }
        }
        if ended { Ok(()) } else { self.push(b"\n") }
    }
}

fn open(step: &StepRecord) -> Result<EventReader, Failure> {
    EventReader::open(&step.events).or_could_not(unreadable(step))
}

fn unreadable(step: &StepRecord) -> String {
    format!("cannot read the output of `{}`", step.step)
}

/// `--- script/02 $ make test: failure (exit code), exit code 2, 3.2 s`.
fn heading_of(step: &StepRecord) -> String {
    let mut heading = format!("--- {}", step.step);
    let Some(summary) = &step.summary else { return heading + " (running)" };
    let outcome = words::outcome(summary.status, summary.reason);
    let _ = write!(heading, " $ {}: {outcome}", printable(&summary.command));
    if let Some(code) = summary.exit_code.filter(|code| *code != 0) {
        let _ = write!(heading, ", exit code {code}");
    }
    let _ = write!(heading, ", {}", words::duration(summary.duration_ms));
    heading
}
