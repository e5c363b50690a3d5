//! Jobs in containers.
//!
//! The way of a job: its image ([`images`], [`image_build`]), its workspace ([`workspace`]), its container
//! ([`container`]), its shells in it ([`shell`]), what comes out ([`taken`]), and the end of
//! everything that was made for it ([`made`]).
//!
//! Jobs run on threads; what they ask of the engine runs on one runtime, which is there from the
//! moment that a run has a job in a container.

pub mod container;
pub mod image_build;
pub mod images;
pub mod job;
pub mod layers;
pub mod made;
pub mod options;
pub mod services;
pub mod shell;
pub mod taken;
pub mod workspace;

use std::{
    fmt,
    future::Future,
    io,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use libloom_contract::{
    Reason, StoreError,
    graph::Node,
    logs::EngineRecord,
    store::{self, Document as _},
    version,
};
use libloom_engine::{
    Address, DockerConfig, Engine, EngineError, Surroundings,
    images::PullProgress,
    owner::{Labels, Owner},
};
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, watch},
};

use crate::{
    cancel::{Cancel, Level},
    run::Run,
    verdict::Verdict,
};
use image_build::Builds;
use images::{Found, Images, Wish};
use layers::Layers;
use options::Options;

/// Where a job's workspace is in its container.
pub const WORKSPACE: &str = "/workspace";

/// Why something in a container, or around it, could not be done.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What kind of trouble.
    pub reason: Reason,
    /// The same for people.
    pub message: String,
}

impl Trouble {
    /// `what` could not be done, and why.
    pub fn new(what: impl fmt::Display, error: &EngineError) -> Self {
        let reason = match error.is_engine_gone() {
            true => Reason::ProviderUnavailable,
            false => Reason::SectionFailed,
        };
        let text = in_words(error);
        let what = what.to_string();
        let message = if what.is_empty() { text } else { format!("{what}: {text}") };
        Trouble { reason, message }
    }

    /// A section of the job failed.
    pub fn section(message: impl Into<String>) -> Self {
        Trouble { reason: Reason::SectionFailed, message: message.into() }
    }

    /// The outcome that it is.
    pub fn verdict(&self) -> Verdict {
        let message = self.message.clone();
        match self.reason {
            Reason::Interrupt | Reason::Interrupted | Reason::FailFast => {
                Verdict::cancelled(self.reason, message)
            }
            reason => Verdict::failure(reason, message),
        }
    }
}

/// The engine's error, what the system said, and how to mend it, in one line.
pub fn in_words(error: &EngineError) -> String {
    let cause = error.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{error}{cause}{hint}")
}

/// The engine as one run uses it.
#[derive(Debug)]
pub struct Docker {
    /// How workspaces get into containers and out again.
    pub options: Options,
    /// The engine has refused to mount an overlay.
    pub refuses_overlays: AtomicBool,
    /// The engine does not see the files of this machine.
    pub is_elsewhere: AtomicBool,
    surroundings: Surroundings,
    cancel: Cancel,
    /// Something that was made could not be removed.
    has_left: AtomicBool,
    begun: OnceLock<Begun>,
}

/// What there is once a run has a job in a container.
#[derive(Debug)]
pub struct Begun {
    runtime: Runtime,
    engine: Arc<OnceCell<Result<Engine, Trouble>>>,
    images: Arc<Images>,
    builds: Builds,
    /// The run's workspace below those of its jobs.
    pub layers: Layers,
    /// The run's wish to end.
    pub wishes: watch::Receiver<Level>,
}

impl Docker {
    /// Nothing is asked of an engine yet.
    pub fn new(options: Options, surroundings: Surroundings, cancel: Cancel) -> Self {
        Docker {
            options,
            refuses_overlays: AtomicBool::new(false),
            is_elsewhere: AtomicBool::new(false),
            surroundings,
            cancel,
            has_left: AtomicBool::new(false),
            begun: OnceLock::new(),
        }
    }

    /// What is there already; `None`: no job has run in a container.
    pub fn begun(&self) -> Option<&Begun> {
        self.begun.get()
    }

    /// Connects to the engine and pulls the images of these jobs, while the run goes on with other
    /// things.
    ///
    /// # Errors
    /// The runtime cannot be made.
    pub fn begin(&self, nodes: &[&Node]) -> io::Result<()> {
        let begun = self.ready()?;
        for node in nodes {
            begun.images.pull_ahead(&begun.runtime, begun.engine.clone(), &self.surroundings, node);
        }
        Ok(())
    }

    /// An image, pulled where it is missing and may be.
    ///
    /// # Errors
    /// It is missing and must not or cannot be pulled.
    pub async fn image(
        &self,
        engine: &Engine,
        wish: &Wish,
        tell: impl Fn(&PullProgress),
    ) -> Result<Found, Trouble> {
        let begun = self.begun.get().expect("an engine is there");
        begun.images.get(engine, &self.surroundings, wish, tell).await
    }

    /// Variables of the proxies that Docker's configuration names for containers.
    pub fn proxies(&self) -> Vec<(String, String)> {
        let Ok(address) = Address::find(&self.surroundings) else { return Vec::new() };
        let config = DockerConfig::read(self.surroundings.config_folder().as_deref());
        config.map_or_else(|_| Vec::new(), |config| config.proxies(&address))
    }

    /// Remembers that something could not be removed, so that a later command tries again.
    pub fn note_left(&self, errors: &[String]) {
        self.has_left.fetch_or(!errors.is_empty(), Ordering::Relaxed);
    }

    /// Says on disk where things may be left if this run is killed.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn announce(&self, run: &Run) -> Result<(), StoreError> {
        let Ok(address) = Address::find(&self.surroundings) else { return Ok(()) };
        let record = EngineRecord {
            schema_version: version::LOGS.to_string(),
            kind: EngineRecord::KIND.into(),
            run_id: run.id.clone(),
            address: address.into(),
        };
        store::write(&run.logs.engine(), &record)
    }

    /// The run is over: where nothing is left, nobody needs to look.
    ///
    /// # Errors
    /// The record cannot be removed.
    pub fn conclude(&self, run: &Run) -> io::Result<()> {
        match self.begun.get() {
            Some(_) if !self.has_left.load(Ordering::Relaxed) => {
                std::fs::remove_file(run.logs.engine())
            }
            _ => Ok(()),
        }
    }

    /// The runtime, made when it is first needed.
    fn ready(&self) -> io::Result<&Begun> {
        if let Some(begun) = self.begun.get() {
            return Ok(begun);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("engine")
            .enable_all()
            .build()?;
        let engine = Arc::new(OnceCell::new());
        let wishes = shell::wishes(&self.cancel)?;
        Ok(self.begun.get_or_init(|| Begun {
            runtime,
            engine,
            images: Arc::default(),
            builds: Builds::default(),
            layers: Layers::default(),
            wishes,
        }))
    }

    /// Does something with the engine, on the caller's thread.
    ///
    /// # Errors
    /// There is no engine, or what `body` says.
    pub fn with<T, F: Future<Output = Result<T, Trouble>>>(
        &self,
        body: impl FnOnce(Engine) -> F,
    ) -> Result<T, Trouble> {
        let begun = self.ready().map_err(|error| Trouble {
            reason: Reason::LoomError,
            message: format!("cannot start what talks to the engine: {error}"),
        })?;
        begun.runtime.block_on(async {
            let engine = connected(&begun.engine, &self.surroundings).await?;
            body(engine).await
        })
    }
}

/// The engine, connected once for all; who comes second waits for the first.
async fn connected(
    cell: &OnceCell<Result<Engine, Trouble>>,
    surroundings: &Surroundings,
) -> Result<Engine, Trouble> {
    let connect = || async {
        let address = Address::find(surroundings).map_err(|error| Trouble {
            reason: Reason::ProviderUnavailable,
            message: error.to_string(),
        })?;
        Engine::connect(&address).await.map_err(|error| Trouble::new("", &error))
    };
    cell.get_or_init(connect).await.clone()
}

/// Makes something for a job that is not running yet, unless the run is to end meanwhile.
///
/// # Errors
/// What `making` says, or that the run is to end; what was made by then may be anything.
pub async fn unless_cancelled<T>(
    run: &Run,
    making: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let mut wishes = run.docker.begun().expect("an engine is there").wishes.clone();
    tokio::select! {
        biased;
        made = making => made,
        _ = wishes.wait_for(|level| *level > Level::None) => {
            // An answer that was not waited for may still make something.
            run.docker.has_left.store(true, Ordering::Relaxed);
            Err(Trouble { reason: run.cancel_reason(), message: run.cancel_message() })
        }
    }
}

/// A job is about to work in the run's workspace itself: what finished jobs left is to be there.
///
/// # Errors
/// It cannot be brought there.
pub fn settle(run: &Run) -> io::Result<()> {
    let Some(begun) = run.docker.begun() else { return Ok(()) };
    begun.layers.settle(run.workspace()).map(drop)
}

/// Labels of everything that is made for a job of a run.
pub fn labels(run: &Run, job_id: &str) -> Labels {
    Labels {
        run_id: run.id.clone(),
        job_id: job_id.to_owned(),
        repo: run.repo_root.to_string_lossy().into_owned(),
        // Without `/proc` nobody could tell whether the owner lives.
        owner: Owner::of_this_process(run.logs.folder()).ok(),
        overlay: None,
    }
}

/// What tells the objects of an attempt at a job from all others of their kind.
pub fn suffix(run: &Run, job_id: &str, attempt: u32) -> String {
    let began = run.id.rsplit('-').next().unwrap_or(&run.id);
    format!("{job_id}-{began}-{attempt}")
}

/// Whether the path is one that the engine could be told of.
pub fn text_of(path: &Path) -> Result<String, Trouble> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Trouble::section(format!("`{}` is not UTF-8: no container can use it", path.display()))
    })
}
