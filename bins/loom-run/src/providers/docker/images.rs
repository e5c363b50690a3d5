//! The images of a run's jobs: each is looked for once and pulled once, whoever needs it.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use libloom_contract::{
    Reason,
    graph::{Node, PullPolicy},
};
use libloom_engine::{
    DockerConfig, Engine, EngineError, Surroundings,
    images::{ImageInfo, Pull, PullProgress, STALL_TIME},
};
use tokio::{runtime::Runtime, sync::OnceCell};

use super::{Trouble, connected};

/// An image that a job or a service asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Reference such as `alpine:3.20`.
    pub reference: String,
    /// Platform; absent: the engine's.
    pub platform: Option<String>,
    /// When to pull.
    pub policy: PullPolicy,
}

impl Wish {
    /// What the job's own container is made of; `None` where that is yet to be built.
    pub fn of_job(node: &Node) -> Option<Self> {
        let image = node.image.as_ref().filter(|image| image.build.is_none())?;
        Some(Wish {
            reference: image.name.clone()?,
            platform: image.platform.clone(),
            policy: image.pull_policy.unwrap_or(PullPolicy::IfNotPresent),
        })
    }

    /// Everything that a job asks for.
    pub fn all_of(node: &Node) -> impl Iterator<Item = Self> {
        let services = node.services.iter().map(|service| Wish {
            reference: service.name.clone(),
            platform: None,
            policy: service.pull_policy.unwrap_or(PullPolicy::IfNotPresent),
        });
        Self::of_job(node).into_iter().chain(services)
    }
}

/// An image that the engine has.
#[derive(Clone, Debug)]
pub struct Found {
    /// As it was asked for.
    pub reference: String,
    /// What it is.
    pub info: ImageInfo,
    /// It was not there before.
    pub was_pulled: bool,
}

/// How often who waits for a pull is told how far it is.
const TELL: Duration = Duration::from_millis(200);

/// An image that was asked for.
#[derive(Debug, Default)]
struct Asked {
    found: OnceCell<Result<Found, Trouble>>,
    progress: Mutex<Option<PullProgress>>,
}

/// All images that were asked for.
#[derive(Debug, Default)]
pub struct Images {
    asked: Mutex<HashMap<Wish, Arc<Asked>>>,
}

impl Images {
    /// Starts to look for what a job asks for, without waiting.
    pub fn pull_ahead(
        self: &Arc<Self>,
        runtime: &Runtime,
        engine: Arc<OnceCell<Result<Engine, Trouble>>>,
        surroundings: &Surroundings,
        node: &Node,
    ) {
        let surroundings = surroundings.clone();
        let images = self.clone();
        let wishes: Vec<Wish> = Wish::all_of(node).collect();
        runtime.spawn(async move {
            let Ok(engine) = connected(&engine, &surroundings).await else { return };
            let all = wishes.iter().map(|wish| images.get(&engine, &surroundings, wish, |_| {}));
            // Whoever needs one hears why it is not there.
            drop(futures_util::future::join_all(all).await);
        });
    }

    /// The image; pulled where it is missing and may be. How far that is, whoever began it, is told
    /// now and then.
    ///
    /// # Errors
    /// It is missing and must not or cannot be pulled.
    pub async fn get(
        &self,
        engine: &Engine,
        surroundings: &Surroundings,
        wish: &Wish,
        tell: impl Fn(&PullProgress),
    ) -> Result<Found, Trouble> {
        let asked = {
            let mut asked = self.asked.lock().expect("no thread panics while it holds the lock");
            asked.entry(wish.clone()).or_default().clone()
        };
        let progress = &asked.progress;
        let mut found =
            pin!(asked.found.get_or_init(|| find(engine, surroundings, wish, progress)));
        loop {
            tokio::select! {
                found = &mut found => return found.clone(),
                () = tokio::time::sleep(TELL) => {
                    let now = progress.lock().expect("no thread panics while it holds the lock");
                    now.iter().for_each(&tell);
                }
            }
        }
    }
}

async fn find(
    engine: &Engine,
    surroundings: &Surroundings,
    wish: &Wish,
    progress: &Mutex<Option<PullProgress>>,
) -> Result<Found, Trouble> {
    let Wish { reference, platform, policy } = wish;
    let failed = |error: &EngineError| Trouble::new(format_args!("image `{reference}`"), error);
    let platform = platform.as_deref();
    if *policy != PullPolicy::Always {
        let found = engine.image(reference, platform).await.map_err(|error| failed(&error))?;
        if let Some(info) = found {
            return Ok(Found { reference: reference.clone(), info, was_pulled: false });
        }
    }
    if *policy == PullPolicy::Never {
        return Err(Trouble {
            reason: Reason::SectionFailed,
            message: format!(
                "image `{reference}` is not there, and `pull_policy: never` forbids to pull it"
            ),
        });
    }
    let config = DockerConfig::read(surroundings.config_folder().as_deref());
    let credentials = match config {
        Ok(config) => config.credentials(reference).await,
        Err(error) => Err(error),
    };
    let credentials = credentials.map_err(|error| failed(&error))?;
    let pull = Pull { image: reference, platform, credentials, stall: STALL_TIME };
    engine
        .pull(&pull, &mut |now| {
            *progress.lock().expect("no thread panics while it holds the lock") = Some(now.clone());
        })
        .await
        .map_err(|error| Trouble::new("image pull failed", &error))?;
    let found = engine.image(reference, platform).await.map_err(|error| failed(&error))?;
    let info = found.ok_or_else(|| {
        Trouble::section(format!("image `{reference}` was pulled and is not there all the same"))
    })?;
    Ok(Found { reference: reference.clone(), info, was_pulled: true })
}
