//! Images that jobs build: once for all jobs that build the same from the same files.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use libloom_contract::{
    Timestamp,
    event::{Event, EventKind, Stream},
    graph::{Build, Image, Node},
};
use libloom_engine::{
    Credentials, DockerConfig, Engine,
    build::{BuildError, BuildEvent, BuildSpec, Built, Context, Output},
    containers::Channel,
    registry,
};
use libloom_record::events::{self, EventLog};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    Trouble,
    container::Making,
    images::Found,
    workspace::{make_private, overlay_folder},
};
use crate::{cancel::Level, display::Unfinished, run::Run, steps::milliseconds, verdict::Verdict};

/// Most bytes of a record of output.
const RECORD_BYTES_MAX: usize = 64 << 10;
/// How often a workspace is looked at that others still read.
const INTERVAL: Duration = Duration::from_millis(50);

/// What makes two builds the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    context: PathBuf,
    dockerfile: PathBuf,
    name: Option<String>,
    platform: Option<String>,
    output: Option<(&'static str, PathBuf)>,
    files: u64,
}

/// The builds of a run.
#[derive(Debug, Default)]
pub struct Builds {
    cells: Mutex<HashMap<Key, Arc<OnceCell<Done>>>>,
}

/// A build that succeeded.
#[derive(Clone, Debug)]
struct Done {
    built: Built,
    job_id: String,
}

/// Why there is no image.
enum Broken {
    Trouble(Trouble),
    /// The run is to end.
    Stopped,
    /// What happened cannot be recorded.
    Record(io::Error),
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Self {
        Broken::Trouble(trouble)
    }
}

/// Builds the image of a job, whose log `events` is.
///
/// # Errors
/// What happens cannot be recorded.
pub fn build(making: &Making<'_>, events: &mut EventLog) -> io::Result<Result<Found, Verdict>> {
    let Making { run, node, workspace, ref suffix, .. } = *making;
    let work = Work { run, node, workspace, suffix };
    let result = run.docker.with(|engine| async move {
        match work.image(&engine, events).await {
            Ok(found) => Ok(Ok(Ok(found))),
            Err(Broken::Trouble(trouble)) => Err(trouble),
            Err(Broken::Stopped) => {
                Ok(Ok(Err(Verdict::cancelled(run.cancel_reason(), run.cancel_message()))))
            }
            Err(Broken::Record(error)) => Ok(Err(error)),
        }
    });
    result.unwrap_or_else(|trouble| Ok(Err(trouble.verdict())))
}

/// The build of one job.
struct Work<'a> {
    run: &'a Run,
    node: &'a Node,
    workspace: &'a Path,
    /// What is part of the name of everything that is made for the job.
    suffix: &'a str,
}

impl Work<'_> {
    async fn image(&self, engine: &Engine, events: &mut EventLog) -> Result<Found, Broken> {
        let image = self.node.image.as_ref();
        let Some((image, build)) = image.and_then(|image| Some((image, image.build.as_ref()?)))
        else {
            return Err(Trouble::section("the job names no image").into());
        };
        self.landed().await?;
        let (spec, output) = self.spec(image, build).await?;
        let done = self.done(engine, spec, events).await?;
        if let Some(layer) = output.filter(|layer| layer.exists()) {
            let layers = &self.run.docker.begun().expect("an engine is there").layers;
            layers.add(layer, self.workspace).map_err(|error| unplaced(&error))?;
            if self.node.steps.is_empty() {
                // Nobody else looks at it from above.
                self.landed().await?;
            }
        }
        self.found(engine, image, &done, events).await
    }

    /// Waits until the workspace holds what earlier jobs left; others may still read it.
    async fn landed(&self) -> Result<(), Broken> {
        let begun = self.run.docker.begun().expect("an engine is there");
        let mut wishes = begun.wishes.clone();
        loop {
            let waiting = begun.layers.settle(self.workspace).map_err(|error| unplaced(&error))?;
            if waiting.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = stopped(&mut wishes) => return Err(Broken::Stopped),
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// What is to be built, and the folder that is to become part of the workspace if something is
    /// written there.
    async fn spec(
        &self,
        image: &Image,
        build: &Build,
    ) -> Result<(BuildSpec, Option<PathBuf>), Trouble> {
        let docker = &self.run.docker;
        let words = |error: &dyn std::fmt::Display| Trouble::section(error.to_string());
        let context = Context::find(self.workspace, &build.context, &build.dockerfile)
            .map_err(|error| words(&error))?;
        let asked = build.output.as_deref().map(Output::parse).transpose();
        let asked = asked.map_err(|error| words(&error))?.flatten();
        let (mut output, mut layer) = (None, None);
        if let Some(asked) = asked {
            let path = asked.place(self.workspace).map_err(|error| words(&error))?;
            output = Some((asked.kind, path));
        }
        if let Some((kind, path)) = &output
            && let Some(inside) = self.inside(path)
            && !self.run.isolate
        {
            // Nobody may write to a workspace that an overlay may lie over.
            let suffix = format!("{}-output", self.suffix);
            let folder = overlay_folder(self.run, self.workspace, &suffix);
            make_private(&folder).map_err(|error| words(&error))?;
            let path = Output { kind: *kind, dest: inside }.place(&folder);
            output = Some((*kind, path.map_err(|error| words(&error))?));
            layer = Some(folder);
        }
        let spec = BuildSpec {
            context,
            name: image.name.clone(),
            output,
            arguments: docker.proxies().into_iter().collect(),
            platform: image.platform.clone(),
            credentials: HashMap::new(),
            builder: None,
        };
        let credentials = self.credentials(&spec).await?;
        Ok((BuildSpec { credentials, ..spec }, layer))
    }

    /// The path relative to the workspace, if it is in there.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let real = std::fs::canonicalize(self.workspace).ok()?;
        path.strip_prefix(real).ok().map(Path::to_owned)
    }

    /// Credentials of the registries that the build may have to pull from.
    async fn credentials(&self, spec: &BuildSpec) -> Result<HashMap<String, Credentials>, Trouble> {
        let folder = self.run.docker.surroundings.config_folder();
        let failed = |error| Trouble::new("image build failed", &error);
        let config = DockerConfig::read(folder.as_deref()).map_err(failed)?;
        let mut found = HashMap::new();
        for image in spec.base_images() {
            if !found.contains_key(registry(&image))
                && let Some(known) = config.credentials(&image).await.map_err(failed)?
            {
                found.insert(registry(&image).to_owned(), known);
            }
        }
        Ok(found)
    }

    /// The build, or that of a job that has built the same.
    async fn done(
        &self,
        engine: &Engine,
        spec: BuildSpec,
        events: &mut EventLog,
    ) -> Result<Done, Broken> {
        let begun = self.run.docker.begun().expect("an engine is there");
        let files = spec.context.fingerprint();
        let key = Key {
            context: spec.context.root().to_owned(),
            dockerfile: spec.context.dockerfile().to_owned(),
            name: spec.name.clone(),
            platform: spec.platform.clone(),
            output: spec.output.as_ref().map(|(kind, path)| (kind.word(), path.clone())),
            files: files.map_err(|error| Trouble::section(error.to_string()))?,
        };
        let cell = {
            let mut cells = begun.builds.cells.lock().expect("no thread panics while it holds it");
            cells.entry(key).or_default().clone()
        };
        let work = self.carry_out(engine, &spec, events);
        Ok(cell.get_or_try_init(move || work).await?.clone())
    }

    async fn carry_out(
        &self,
        engine: &Engine,
        spec: &BuildSpec,
        events: &mut EventLog,
    ) -> Result<Done, Broken> {
        let mut wishes = self.run.docker.begun().expect("an engine is there").wishes.clone();
        let mut told =
            Told { run: self.run, node: self.node, events: &mut *events, result: Ok(()) };
        let mut on_event = |event| told.take(event);
        let built = tokio::select! {
            built = engine.build(spec, &mut on_event) => Some(built),
            () = stopped(&mut wishes) => None,
        };
        told.result.map_err(Broken::Record)?;
        match built {
            None => Err(Broken::Stopped),
            Some(Ok(built)) => Ok(Done { built, job_id: self.node.id.clone() }),
            Some(Err(error)) => Err(self.failed(&error, events).map_err(Broken::Record)?.into()),
        }
    }

    /// What a failed build means, said in the log with its last lines.
    fn failed(&self, error: &BuildError, events: &mut EventLog) -> io::Result<Trouble> {
        let trouble = match error {
            BuildError::Engine(error) => Trouble::new("image build failed", error),
            error => Trouble::section(error.to_string()),
        };
        let hide = |text: &str| self.run.redactor().text(text).into_owned();
        let event = events.subject().say(EventKind::Error, hide(&trouble.message));
        let mut data = None;
        if let BuildError::Failed(failure) = error {
            let lines: Vec<String> = failure.last_lines.iter().map(|line| hide(line)).collect();
            if !lines.is_empty() {
                let (label, lines) = (&self.node.label, lines.join("\n  "));
                let text = format!("job `{label}`: the build's last lines:\n  {lines}");
                self.run.display.note(text);
            }
            data = json!({
                "instruction": failure.instruction.as_deref().map(hide),
                "dockerfile": failure.dockerfile.to_string_lossy(),
                "line": failure.line,
                "last_lines": lines,
            })
            .as_object()
            .cloned();
        }
        let exit_code = match error {
            BuildError::Failed(failure) => failure.exit_code.and_then(|code| code.try_into().ok()),
            _ => None,
        };
        events.append(Event { reason: Some(trouble.reason), exit_code, data, ..event })?;
        Ok(trouble)
    }

    /// The image that is there now, for the job's container.
    async fn found(
        &self,
        engine: &Engine,
        image: &Image,
        Done { built, job_id }: &Done,
        events: &mut EventLog,
    ) -> Result<Found, Broken> {
        let reference = image.name.clone().unwrap_or_else(|| built.id.clone());
        let what = format!("image `{reference}`");
        let info =
            engine.image(&built.id, None).await.map_err(|error| Trouble::new(&what, &error))?;
        let info =
            info.ok_or_else(|| Trouble::section(format!("{what} is gone after its build")))?;
        let text = match *job_id == self.node.id {
            true => format!("{what} is built by {}", built.builder),
            false => format!("{what} was built by job `{job_id}`"),
        };
        let note = events.subject().say(EventKind::Note, text);
        let data = json!({"image": reference, "image_id": built.id});
        let note = Event { data: data.as_object().cloned(), ..note };
        events.append(note).map_err(Broken::Record)?;
        Ok(Found { reference, info, was_pulled: false })
    }
}

fn unplaced(error: &io::Error) -> Trouble {
    Trouble::section(format!("the workspace cannot be made ready for the build: {error}"))
}

/// Ends once the run is to end.
async fn stopped(wishes: &mut tokio::sync::watch::Receiver<Level>) {
    if wishes.wait_for(|level| *level > Level::None).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Writes down and shows what a builder tells.
struct Told<'a> {
    run: &'a Run,
    node: &'a Node,
    events: &'a mut EventLog,
    result: io::Result<()>,
}

impl Told<'_> {
    fn take(&mut self, event: BuildEvent) {
        if self.result.is_ok() {
            self.result = self.record(event);
        }
    }

    fn record(&mut self, event: BuildEvent) -> io::Result<()> {
        match event {
            BuildEvent::Builder { builder, reason } => {
                let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                self.note(&format!("the image is built by {builder}{because}"), &json!({}))
            }
            BuildEvent::StepStarted { step, name } => {
                let hidden = self.run.redactor().text(&name).into_owned();
                self.run.display.step(&self.node.id, "image_build".into(), &hidden);
                self.note(&name, &json!({"build_step": step, "state": "started"}))
            }
            BuildEvent::StepFinished { step, name, duration, cached, error } => {
                let state = match (&error, cached) {
                    (Some(_), _) => "failed",
                    (None, true) => "cached",
                    (None, false) => "finished",
                };
                let because = error.map(|error| format!(": {error}")).unwrap_or_default();
                let data = json!({
                    "build_step": step,
                    "state": state,
                    "duration_ms": milliseconds(duration),
                });
                self.note(&format!("{name}: {state}{because}"), &data)
            }
            BuildEvent::Output { channel, bytes, .. } => self.output(channel, &bytes),
            BuildEvent::Progress { what, current, total, .. } => {
                let of = if total > 0 {
                    format!("{current} of {total} bytes")
                } else {
                    format!("{current} bytes")
                };
                self.run.display.step(&self.node.id, "image_build".into(), &format!("{what} {of}"));
                Ok(())
            }
            BuildEvent::Warning { text } => self.note(&format!("warning: {text}"), &json!({})),
        }
    }

    fn note(&mut self, text: &str, data: &Value) -> io::Result<()> {
        let text = self.run.redactor().text(text).into_owned();
        let note = self.events.subject().say(EventKind::Note, text);
        let data = data.as_object().filter(|data| !data.is_empty()).cloned();
        self.events.append(Event { data, ..note })
    }

    fn output(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        let stream = match channel {
            Channel::Stdout => Stream::Stdout,
            Channel::Stderr => Stream::Stderr,
        };
        let bytes = self.run.redactor().bytes(bytes);
        let ts = Timestamp::now();
        let mut unfinished = Unfinished::default();
        for (bytes, partial) in records(&bytes) {
            let ends = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            let lines = ends + u64::from(!bytes.ends_with(b"\n"));
            self.events.output(events::Output { ts, stream, bytes, lines, partial })?;
            let source = (self.node.id.as_str(), stream);
            self.run.display.output(source, bytes, partial, &mut unfinished);
        }
        Ok(())
    }
}

/// Bytes in records of whole lines, as far as those are not too long; whether a line goes on.
fn records(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let most = rest.len().min(RECORD_BYTES_MAX);
        let end = match rest[..most].iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None => most,
        };
        let record;
        (record, rest) = rest.split_at(end);
        Some((record, !record.ends_with(b"\n") && !rest.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_hold_whole_lines_that_are_not_too_long() {
        let of = |bytes: &[u8]| -> Vec<(usize, bool)> {
            records(bytes).map(|(record, partial)| (record.len(), partial)).collect()
        };
        assert_eq!(of(b"a\nb"), [(2, false), (1, false)]);
        assert_eq!(of(b""), []);
        let long = vec![b'x'; RECORD_BYTES_MAX + 1];
        assert_eq!(of(&long), [(RECORD_BYTES_MAX, true), (1, false)]);
    }
}
