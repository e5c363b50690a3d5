//! BuildKit: what it tells, as events.

use std::{collections::HashMap, time::Duration};

use bollard::{
    auth::DockerCredentials,
    body_try_stream,
    moby::buildkit::v1::{StatusResponse, Vertex, VertexLog},
    models::{BuildInfo, BuildInfoAux},
    query_parameters::{BuilderVersion, ImageBuildOutput},
};
use futures_util::StreamExt as _;

use super::{
    BuildError, BuildEvent, BuildSpec, Builder, OnBuildEvent, failure,
    lines::{Lines, Tail},
    transfer::archive,
};
use crate::{Credentials, Engine, EngineError, containers::Channel};

/// Docker Hub, as BuildKit asks for its credentials.
const HUB_HOST: &str = "registry-1.docker.io";

/// Whether an engine says that it has no BuildKit.
pub fn is_missing(error: &EngineError) -> bool {
    let EngineError::Refused { message, .. } = error else { return false };
    let message = message.to_lowercase();
    message.contains("buildkit")
        && ["not supported", "unsupported", "not enabled", "disabled", "experimental"]
            .iter()
            .any(|words| message.contains(words))
        || message.contains("no active session")
}

impl Engine {
    /// Builds by BuildKit; returns the image's id.
    pub(super) async fn build_with_buildkit(
        &self,
        spec: &BuildSpec,
        on_event: OnBuildEvent<'_>,
    ) -> Result<String, BuildError> {
        let id = self.solve(spec, None, on_event).await?;
        id.ok_or_else(|| {
            let message = "the builder ended without naming an image";
            EngineError::Refused { status: 0, message: message.to_owned() }.into()
        })
    }

    /// Has BuildKit do a build, with the image or `output` as its result.
    pub(super) async fn solve(
        &self,
        spec: &BuildSpec,
        output: Option<ImageBuildOutput>,
        on_event: OnBuildEvent<'_>,
    ) -> Result<Option<String>, BuildError> {
        let options = self.build_options(spec).version(BuilderVersion::BuilderBuildKit);
        let options = options.session(&session_id()?);
        let options = match output {
            Some(output) => options.outputs(output),
            None => options,
        };
        let (body, reading) = archive(spec.context.clone(), Builder::BuildKit);
        let credentials = Some(credentials(spec));
        let mut answers =
            self.docker.build_image(options.build(), credentials, Some(body_try_stream(body)));
        let mut trace = Trace::default();
        let mut id = None;
        let error = loop {
            match answers.next().await {
                None => break None,
                Some(Err(error)) => break Some(error),
                Some(Ok(BuildInfo { aux: Some(BuildInfoAux::BuildKit(status)), .. })) => {
                    trace.take(status, on_event);
                }
                Some(Ok(BuildInfo { aux: Some(BuildInfoAux::Default(image)), .. })) => {
                    id = image.id.or(id);
                }
                Some(Ok(_)) => {}
            }
        };
        trace.finish(on_event);
        if let Some(error) = reading.failure() {
            return Err(error.into());
        }
        match error {
            None => Ok(id),
            Some(error) => match self.error(error, "built an image") {
                error if error.is_engine_gone() => Err(error.into()),
                error => Err(trace.failure(spec, &error)),
            },
        }
    }
}

/// A name for the connection on which the builder asks for credentials and gives outputs.
fn session_id() -> Result<String, EngineError> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(
        |error| EngineError::Local { what: "name a session".into(), source: error.into() },
    )?;
    Ok(format!("loom-{:032x}", u128::from_ne_bytes(bytes)))
}

fn credentials(spec: &BuildSpec) -> HashMap<String, DockerCredentials> {
    let of = |(host, credentials): (&String, &Credentials)| {
        let is_hub = ["docker.io", "index.docker.io"].contains(&host.as_str());
        let host = if is_hub { HUB_HOST } else { host };
        (host.to_owned(), credentials.clone().into_api())
    };
    spec.credentials.iter().map(of).collect()
}

/// What is known of a build in progress.
#[derive(Default)]
struct Trace {
    steps: Vec<Step>,
    by_digest: HashMap<String, usize>,
}

/// What BuildKit calls a vertex.
#[derive(Default)]
struct Step {
    name: String,
    /// Nanoseconds since 1970.
    started: Option<i128>,
    cached: bool,
    finished: bool,
    /// Why it failed.
    error: Option<String>,
    /// Of both streams.
    lines: [Lines; 2],
    tail: Tail,
}

const CHANNELS: [Channel; 2] = [Channel::Stdout, Channel::Stderr];

impl Trace {
    fn take(&mut self, status: StatusResponse, on_event: OnBuildEvent<'_>) {
        for vertex in &status.vertexes {
            self.start(vertex, on_event);
        }
        for log in &status.logs {
            self.log(log, on_event);
        }
        for transfer in status.statuses {
            if transfer.current > 0 {
                let step = self.by_digest.get(&transfer.vertex).map(|index| index + 1);
                on_event(BuildEvent::Progress {
                    step,
                    what: transfer.id,
                    current: transfer.current.unsigned_abs(),
                    total: transfer.total.max(0).unsigned_abs(),
                });
            }
        }
        for warning in status.warnings {
            let text = String::from_utf8_lossy(&warning.short).trim().to_owned();
            on_event(BuildEvent::Warning { text });
        }
        for vertex in &status.vertexes {
            self.end(vertex, on_event);
        }
    }

    /// A vertex is told of before it begins; it counts from when it does.
    fn start(&mut self, vertex: &Vertex, on_event: OnBuildEvent<'_>) {
        let is_begun = vertex.started.is_some() || vertex.cached || !vertex.error.is_empty();
        if !is_begun || self.by_digest.contains_key(&vertex.digest) {
            return;
        }
        let name = vertex.name.clone();
        let started = vertex.started.as_ref().map(|at| nanoseconds(at.seconds, at.nanos));
        self.steps.push(Step { name: name.clone(), started, ..Step::default() });
        self.by_digest.insert(vertex.digest.clone(), self.steps.len() - 1);
        on_event(BuildEvent::StepStarted { step: self.steps.len(), name });
    }

    fn end(&mut self, vertex: &Vertex, on_event: OnBuildEvent<'_>) {
        let Some(&index) = self.by_digest.get(&vertex.digest) else { return };
        let step = &mut self.steps[index];
        step.cached |= vertex.cached;
        if !vertex.error.is_empty() {
            step.error = Some(vertex.error.clone());
        }
        let Some(completed) = &vertex.completed else { return };
        let completed = nanoseconds(completed.seconds, completed.nanos);
        let nanoseconds = completed - step.started.unwrap_or(completed);
        let nanoseconds = u64::try_from(nanoseconds).unwrap_or_default();
        step.finish(index + 1, Duration::from_nanos(nanoseconds), on_event);
    }

    fn log(&mut self, log: &VertexLog, on_event: OnBuildEvent<'_>) {
        let which = usize::from(log.stream == 2);
        let index = self.by_digest.get(&log.vertex).copied();
        let Some(index) = index else {
            let bytes = log.msg.clone();
            return on_event(BuildEvent::Output { step: None, channel: CHANNELS[which], bytes });
        };
        let step = &mut self.steps[index];
        if let Some(bytes) = step.lines[which].feed(&log.msg) {
            step.output(index + 1, which, bytes, on_event);
        }
    }

    /// The build has ended: so has every step, whether it was said or not.
    fn finish(&mut self, on_event: OnBuildEvent<'_>) {
        for (index, step) in self.steps.iter_mut().enumerate() {
            step.finish(index + 1, Duration::ZERO, on_event);
        }
    }

    /// What is known of why a build failed of which the builder said `error`.
    fn failure(self, spec: &BuildSpec, error: &EngineError) -> BuildError {
        let message = error.to_string();
        let failed = |step: &Step| match &step.error {
            // The others stop when one fails.
            Some(error) => !error.ends_with("context canceled"),
            None => false,
        };
        let Some(step) = self.steps.into_iter().find(failed) else {
            return failure(spec, &message, None, Vec::new());
        };
        let last_lines = step.tail.into_lines();
        let found = instruction(&step.name).map(|(text, number)| {
            let found = spec.parsed().find(text, number).map(|found| found.line);
            (text.to_owned(), found)
        });
        failure(spec, step.error.as_deref().unwrap_or(&message), found, last_lines)
    }
}

impl Step {
    fn output(&mut self, number: usize, which: usize, bytes: Vec<u8>, on_event: OnBuildEvent<'_>) {
        self.tail.push(&bytes);
        on_event(BuildEvent::Output { step: Some(number), channel: CHANNELS[which], bytes });
    }

    fn finish(&mut self, number: usize, duration: Duration, on_event: OnBuildEvent<'_>) {
        for which in [0, 1] {
            if let Some(bytes) = self.lines[which].finish() {
                self.output(number, which, bytes, on_event);
            }
        }
        if !self.finished {
            self.finished = true;
            let (name, cached, error) = (self.name.clone(), self.cached, self.error.clone());
            on_event(BuildEvent::StepFinished { step: number, name, duration, cached, error });
        }
    }
}

fn nanoseconds(seconds: i64, nanos: i32) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

/// The instruction of a step's name, such as `[stage-1 2/3] RUN make`, and its number in its
/// stage; `None` for what BuildKit does for itself.
fn instruction(name: &str) -> Option<(&str, Option<usize>)> {
    let (place, text) = name.strip_prefix('[')?.split_once("] ")?;
    if place.split(' ').next() == Some("internal") {
        return None;
    }
    let number = place.rsplit(' ').next().and_then(|number| number.split_once('/'));
    Some((text, number.and_then(|(number, _)| number.parse().ok())))
}
