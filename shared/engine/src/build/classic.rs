//! The classic builder, and what Podman answers in its place: text, read back into events.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bollard::{
    auth::DockerCredentials,
    body_try_stream,
    models::{BuildInfo, BuildInfoAux, ProgressDetail},
    query_parameters::BuilderVersion,
};
use futures_util::StreamExt as _;

use super::{
    BuildError, BuildEvent, BuildSpec, Builder, Dockerfile, OnBuildEvent, failure,
    lines::{Lines, Tail},
    transfer::archive,
};
use crate::{Credentials, Engine, EngineError, containers::Channel};

/// Docker Hub, as the classic builder looks for its credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// What the engine puts around standard error, which has no stream of its own here.
const STDERR: (&str, &str) = ("\u{1b}[91m", "\u{1b}[0m");

impl Engine {
    /// Builds by the classic builder; returns the image's id.
    pub(super) async fn build_classic(
        &self,
        spec: &BuildSpec,
        on_event: OnBuildEvent<'_>,
    ) -> Result<String, BuildError> {
        let options = self.build_options(spec).version(BuilderVersion::BuilderV1).build();
        let (body, reading) = archive(spec.context.clone(), Builder::Classic);
        let credentials = Some(credentials(spec));
        let mut answers =
            self.docker.build_image(options, credentials, Some(body_try_stream(body)));
        let mut talk = Talk::new(spec.parsed());
        let error = loop {
            match answers.next().await {
                None => break None,
                Some(Err(error)) => break Some(error),
                Some(Ok(answer)) => talk.take(answer, on_event),
            }
        };
        talk.finish(error.as_ref().map(ToString::to_string), on_event);
        if let Some(error) = reading.failure() {
            return Err(error.into());
        }
        if let Some(error) = error {
            return Err(match self.error(error, "built an image") {
                error if error.is_engine_gone() => error.into(),
                error => talk.failure(spec, &error),
            });
        }
        let Some(id) = talk.image.as_ref().or(spec.name.as_ref()) else {
            let message = "the builder ended without naming an image".to_owned();
            return Err(EngineError::Refused { status: 0, message }.into());
        };
        // Podman names the image by the beginning of its id alone.
        let image = self.ask("inspected an image", self.docker.inspect_image(id)).await?;
        Ok(image.id.unwrap_or_else(|| id.clone()))
    }
}

fn credentials(spec: &BuildSpec) -> HashMap<String, DockerCredentials> {
    let of = |(host, credentials): (&String, &Credentials)| {
        let is_hub = ["docker.io", "index.docker.io"].contains(&host.as_str());
        let host = if is_hub { HUB_KEY } else { host };
        (host.to_owned(), credentials.clone().into_api())
    };
    spec.credentials.iter().map(of).collect()
}

/// What a builder has said so far.
struct Talk {
    dockerfile: Dockerfile,
    /// Number of the instruction at work, from 1; 0 before the first.
    step: usize,
    name: String,
    began: Instant,
    cached: bool,
    lines: [Lines; 2],
    tail: Tail,
    /// The image's id, or the beginning of it.
    image: Option<String>,
}

const CHANNELS: [Channel; 2] = [Channel::Stdout, Channel::Stderr];

impl Talk {
    fn new(dockerfile: Dockerfile) -> Self {
        Talk {
            dockerfile,
            step: 0,
            name: String::new(),
            began: Instant::now(),
            cached: false,
            lines: Default::default(),
            tail: Tail::default(),
            image: None,
        }
    }

    fn take(&mut self, answer: BuildInfo, on_event: OnBuildEvent<'_>) {
        if let Some(BuildInfoAux::Default(image)) = answer.aux {
            self.image = image.id.or(self.image.take());
        }
        if let Some(text) = answer.stream {
            self.text(&text, on_event);
        }
        if let Some(ProgressDetail { current: Some(current), total }) = answer.progress_detail {
            let status = answer.status.unwrap_or_default();
            on_event(BuildEvent::Progress {
                step: Some(self.step).filter(|step| *step > 0),
                what: format!("{} {}", status.trim(), answer.id.unwrap_or_default()),
                current: current.max(0).unsigned_abs(),
                total: total.unwrap_or_default().max(0).unsigned_abs(),
            });
        }
    }

    fn text(&mut self, text: &str, on_event: OnBuildEvent<'_>) {
        let (begin, end) = STDERR;
        let stderr = text.strip_prefix(begin).and_then(|text| text.strip_suffix(end));
        let (which, text) = stderr.map_or((0, text), |text| (1, text));
        let Some(lines) = self.lines[which].feed(text.as_bytes()) else { return };
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let is_said = which == 0 && self.hear(&String::from_utf8_lossy(line), on_event);
            if !is_said {
                self.output(which, line.to_vec(), on_event);
            }
        }
    }

    /// Understands a line of the builder's own; false: it is the instruction's output.
    fn hear(&mut self, line: &str, on_event: OnBuildEvent<'_>) -> bool {
        let line = line.trim_end();
        if let Some(name) = self.next_step(line) {
            self.finish(None, on_event);
            self.step += 1;
            (self.name, self.began, self.cached) = (name, Instant::now(), false);
            self.tail = Tail::default();
            on_event(BuildEvent::StepStarted { step: self.step, name: self.name.clone() });
            return true;
        }
        if [" ---> Using cache", "--> Using cache"].iter().any(|words| line.starts_with(words)) {
            self.cached = true;
            return true;
        }
        if let Some(id) = line.strip_prefix("Successfully built ").filter(|id| is_id(id)) {
            self.image.get_or_insert_with(|| id.to_owned());
            return true;
        }
        let noise = [" ---> ", "--> ", " ---> Running in ", "Removing intermediate container "];
        noise.iter().any(|words| line.strip_prefix(words).is_some_and(is_id))
            || line.starts_with("Successfully tagged ")
    }

    /// The name of the next instruction, where a line says that it begins: only with the number
    /// that is due and the keyword that the Dockerfile has there.
    fn next_step(&self, line: &str) -> Option<String> {
        let rest = line.strip_prefix("Step ").or_else(|| line.strip_prefix("STEP "))?;
        let (place, text) = rest.split_once(':')?;
        let (number, total) = place.trim().split_once('/')?;
        let due = self.step + 1;
        if number.parse() != Ok(due) || total.parse::<usize>().is_err() {
            return None;
        }
        let keyword = |text: &str| text.split_whitespace().next().map(str::to_ascii_uppercase);
        let expected = self.dockerfile.nth(due).map(|instruction| keyword(&instruction.text));
        let text = text.trim();
        let is_due = expected.is_none_or(|expected| expected == keyword(text));
        is_due.then(|| format!("[{}] {text}", place.trim()))
    }

    fn output(&mut self, which: usize, bytes: Vec<u8>, on_event: OnBuildEvent<'_>) {
        self.tail.push(&bytes);
        let step = Some(self.step).filter(|step| *step > 0);
        on_event(BuildEvent::Output { step, channel: CHANNELS[which], bytes });
    }

    /// The instruction at work has ended.
    fn finish(&mut self, error: Option<String>, on_event: OnBuildEvent<'_>) {
        for which in [0, 1] {
            if let Some(bytes) = self.lines[which].finish() {
                self.output(which, bytes, on_event);
            }
        }
        if self.step > 0 {
            on_event(BuildEvent::StepFinished {
                step: self.step,
                name: self.name.clone(),
                duration: if self.cached { Duration::ZERO } else { self.began.elapsed() },
                cached: self.cached,
                error,
            });
        }
    }

    fn failure(self, spec: &BuildSpec, error: &EngineError) -> BuildError {
        let text = self.name.split_once("] ").map(|(_, text)| text.to_owned());
        let line = self.dockerfile.nth(self.step).map(|instruction| instruction.line);
        let found = text.map(|text| (text, line));
        failure(spec, &error.to_string(), found, self.tail.into_lines())
    }
}

/// Whether a text is the beginning of an id.
fn is_id(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
