//! Image builds: by BuildKit through the engine's API, or by the classic builder where an engine
//! has no BuildKit.
//!
//! The context goes as a stream while it is read. What the builder tells comes as [`BuildEvent`]s.
//! Dropping the future of [`Engine::build`] closes its connections, and with them ends the build.

mod buildkit;
mod classic;
mod context;
mod dockerfile;
mod dockerignore;
mod export;
mod lines;
mod output;
mod transfer;

use std::{collections::HashMap, fmt, fs, path::PathBuf, time::Duration};

use bollard::query_parameters::BuildImageOptionsBuilder;

pub use context::{Context, ContextError};
use dockerfile::Dockerfile;
pub use dockerignore::BadPattern;
pub use output::{Output, OutputError, OutputKind};

use crate::{Credentials, Engine, EngineError, Flavour, containers::Channel};

/// Who builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit.
    BuildKit,
    /// The engine's first builder, one instruction after the other.
    Classic,
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Builder::BuildKit => "BuildKit",
            Builder::Classic => "the classic builder",
        })
    }
}

/// An image to build.
#[derive(Clone, Debug)]
pub struct BuildSpec {
    /// What is sent.
    pub context: Context,
    /// What the image is to be called; absent: it is known by its id alone.
    pub name: Option<String>,
    /// What to write besides, and its absolute place (of [`Output::place`]).
    pub output: Option<(OutputKind, PathBuf)>,
    /// Values of `ARG`s; proxies too.
    pub arguments: HashMap<String, String>,
    /// Platform such as `linux/arm64`; absent: the engine's.
    pub platform: Option<String>,
    /// Of registries by host, for base images.
    pub credentials: HashMap<String, Credentials>,
    /// Who is to build; absent: BuildKit where there is one.
    pub builder: Option<Builder>,
}

/// What a builder tells while it builds. Steps are numbered from 1 in the order they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEvent {
    /// Who builds. The first event; once more if another takes over.
    Builder {
        /// Who.
        builder: Builder,
        /// Why it is not BuildKit.
        reason: Option<String>,
    },
    /// A step begins.
    StepStarted {
        /// Its number.
        step: usize,
        /// As the builder calls it, such as `[2/3] RUN make`.
        name: String,
    },
    /// A step has ended.
    StepFinished {
        /// Its number.
        step: usize,
        /// As the builder calls it.
        name: String,
        /// How long it took.
        duration: Duration,
        /// Nothing had to be done.
        cached: bool,
        /// Why it failed.
        error: Option<String>,
    },
    /// A step wrote whole lines; the last of a step may lack its line end.
    Output {
        /// Its number; absent: no step's.
        step: Option<usize>,
        /// Which stream.
        channel: Channel,
        /// What it wrote.
        bytes: Vec<u8>,
    },
    /// A transfer goes on.
    Progress {
        /// Its step; absent: no step's.
        step: Option<usize>,
        /// What is transferred.
        what: String,
        /// Bytes so far.
        current: u64,
        /// Bytes in all; 0 where that is not known.
        total: u64,
    },
    /// The builder has a doubt.
    Warning {
        /// What about.
        text: String,
    },
}

/// An image that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its id, with the digest's kind in front.
    pub id: String,
    /// Who built it.
    pub builder: Builder,
}

/// A build that the Dockerfile, or what it names, made fail.
#[derive(Debug)]
pub struct Failure {
    /// The instruction that failed; absent where the builder does not tell.
    pub instruction: Option<String>,
    /// The Dockerfile, relative to the context.
    pub dockerfile: PathBuf,
    /// Line of the instruction, from 1, where it is known.
    pub line: Option<usize>,
    /// Exit code of the instruction's command.
    pub exit_code: Option<i64>,
    /// What the builder said, by kind.
    pub error: EngineError,
    /// The last lines that the instruction wrote.
    pub last_lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image build failed")?;
        if let Some(instruction) = &self.instruction {
            write!(f, " at `{instruction}`")?;
        }
        match self.line {
            Some(line) => write!(f, " ({}:{line})", self.dockerfile.display())?,
            None => write!(f, " ({})", self.dockerfile.display())?,
        }
        match self.exit_code {
            Some(code) => write!(f, ": exit code {code}"),
            None => write!(f, ": {}", self.error),
        }
    }
}

/// Why there is no image, or no output.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The context cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The output cannot be made.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The Dockerfile fails.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// The engine does not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Who is told what happens.
pub type OnBuildEvent<'a> = &'a mut (dyn FnMut(BuildEvent) + Send);

impl Engine {
    /// Builds an image, and writes the output where one is asked for.
    ///
    /// An output of files (`tar`, `local`) comes in addition to the image: an engine makes only
    /// one of both at a time, the second from its cache.
    ///
    /// # Errors
    /// See [`BuildError`]. The output is whole or not there.
    pub async fn build(
        &self,
        spec: &BuildSpec,
        on_event: OnBuildEvent<'_>,
    ) -> Result<Built, BuildError> {
        let (builder, reason) = match (spec.builder, self.flavour) {
            (Some(builder), _) => (builder, None),
            (None, Flavour::Docker) => (Builder::BuildKit, None),
            (None, Flavour::Podman) => {
                (Builder::Classic, Some(format!("{} has no BuildKit", self.name())))
            }
        };
        if let Some((kind, _)) = &spec.output {
            self.check_output(*kind, builder)?;
        }
        on_event(BuildEvent::Builder { builder, reason });
        let (builder, id) = match builder {
            Builder::Classic => (builder, self.build_classic(spec, on_event).await?),
            Builder::BuildKit => match self.build_with_buildkit(spec, on_event).await {
                Err(BuildError::Failed(failure))
                    if spec.builder.is_none() && buildkit::is_missing(&failure.error) =>
                {
                    let builder = Builder::Classic;
                    if let Some((kind, _)) = &spec.output {
                        self.check_output(*kind, builder)?;
                    }
                    let reason = Some(failure.error.to_string());
                    on_event(BuildEvent::Builder { builder, reason });
                    (builder, self.build_classic(spec, on_event).await?)
                }
                result => (builder, result?),
            },
        };
        if let Some((kind, path)) = &spec.output {
            self.write_output(spec, &id, (*kind, path), on_event).await?;
        }
        Ok(Built { id, builder })
    }

    /// Whether the engine can make an output, as far as one can know before.
    fn check_output(&self, kind: OutputKind, builder: Builder) -> Result<(), OutputError> {
        let major = || self.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        let saves_oci = || self.flavour == Flavour::Docker && major() >= Some(OCI_SAVING_MAJOR);
        let needs = match kind {
            OutputKind::Docker => return Ok(()),
            OutputKind::Oci if saves_oci() => return Ok(()),
            OutputKind::Oci => "Docker 25 or later (`docker` writes an archive with any)",
            OutputKind::Tar | OutputKind::Local if builder == Builder::BuildKit => return Ok(()),
            OutputKind::Tar | OutputKind::Local => "BuildKit",
        };
        let engine = match builder {
            Builder::BuildKit => self.name(),
            Builder::Classic => format!("{} with {builder}", self.name()),
        };
        Err(OutputError::Unsupported { kind: kind.word(), needs, engine })
    }

    /// What the engine is called in messages.
    fn name(&self) -> String {
        match self.flavour {
            Flavour::Docker => format!("Docker {}", self.version),
            Flavour::Podman => format!("Podman {}", self.version),
        }
    }

    /// What the parts of a build have in common.
    fn build_options(&self, spec: &BuildSpec) -> BuildImageOptionsBuilder {
        let dockerfile = spec.context.dockerfile().to_string_lossy();
        let options = BuildImageOptionsBuilder::new().dockerfile(&dockerfile);
        let options = options.rm(true).forcerm(true).buildargs(&spec.arguments);
        let options = match &spec.name {
            Some(name) => options.t(name),
            None => options,
        };
        options.platform(spec.platform.as_deref().unwrap_or_default())
    }
}

/// Since this version `GET /images/…/get` answers with an OCI layout.
const OCI_SAVING_MAJOR: u32 = 25;

/// What a builder said about a failure, without the layers it passed through.
fn plain(message: &str) -> &str {
    const LAYERS: &[&str] = &[
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve: ",
        "rpc error: code = Unknown desc = ",
        "failed to create LLB definition: ",
        "failed to build LLB: ",
    ];
    let mut message = message.trim();
    while let Some(rest) = LAYERS.iter().find_map(|layer| message.strip_prefix(layer)) {
        message = rest;
    }
    message
}

/// The exit code that a message ends with.
fn exit_code(message: &str) -> Option<i64> {
    const WORDS: &[&str] = &["exit code: ", "returned a non-zero code: ", "exit status "];
    WORDS.iter().find_map(|words| {
        let (_, code) = message.rsplit_once(words)?;
        code.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}

impl BuildSpec {
    /// The images that its Dockerfile begins with or copies from.
    pub fn base_images(&self) -> Vec<String> {
        self.parsed().images(&self.arguments)
    }

    /// The Dockerfile, as far as it can be read.
    fn parsed(&self) -> Dockerfile {
        let path = self.context.root().join(self.context.dockerfile());
        Dockerfile::parse(&String::from_utf8_lossy(&fs::read(path).unwrap_or_default()))
    }
}

/// A failure of which a builder said `message`, at `found` as far as it is known.
fn failure(
    spec: &BuildSpec,
    message: &str,
    found: Option<(String, Option<usize>)>,
    last_lines: Vec<String>,
) -> BuildError {
    let message = plain(message);
    let parsed = spec.parsed();
    let (instruction, line) = found.unzip();
    // `dockerfile parse error line 3: …`, `… on line 3: …`
    let named = || {
        let (_, rest) = message.split_once("line ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    };
    let line = line.flatten().or_else(|| named().filter(|_| instruction.is_none()));
    let at_line = || Some(parsed.at_line(line?)?.text.clone());
    BuildError::Failed(Box::new(Failure {
        instruction: instruction.or_else(at_line),
        dockerfile: spec.context.dockerfile().to_owned(),
        line,
        exit_code: exit_code(message),
        error: EngineError::of_answer(0, message.to_owned()),
        last_lines,
    }))
}
