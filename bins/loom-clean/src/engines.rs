//! What dead runs left in container engines: in those that a record of a dead run names, and in the
//! one that is in use now.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use libloom_contract::layout::Layout;
use libloom_engine::{
    Address, Engine, EngineError, Surroundings,
    reaper::{Leftover, Whose},
};
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_record::{engines, lock};

use crate::Clean;

/// Runs that may have left something, by the address of their engine; the engine in use now is there
/// in any case.
type Places = BTreeMap<String, BTreeSet<String>>;

impl Clean<'_> {
    /// Removes what dead runs left in engines.
    pub fn engines(&self, root: &Path) -> Result<usize, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.or_could_not("cannot start what talks to the engine")?;
        runtime.block_on(async {
            let mut count = 0;
            for (address, runs) in self.places() {
                count += match self.in_engine(&address, &runs, root).await {
                    Ok(count) => count,
                    // Nothing is known to be there, and most machines have no engine at all.
                    Err(error) if runs.is_empty() => {
                        self.note_unavailable(&error);
                        0
                    }
                    Err(error) => return Err(failure(&runs, error)),
                };
            }
            Ok(count)
        })
    }

    fn places(&self) -> Places {
        let mut places = Places::new();
        for record in engines::of_dead_runs(&self.layout) {
            places.entry(record.address).or_default().insert(record.run_id);
        }
        match Address::find(&surroundings(self.context)) {
            Ok(address) => drop(places.entry(address.into()).or_default()),
            Err(error) => self.note_unavailable(&error),
        }
        places
    }

    fn note_unavailable(&self, error: &EngineError) {
        let cause = error.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.context.console.detail(format_args!("{error}{cause}"));
    }

    async fn in_engine(
        &self,
        address: &str,
        runs: &BTreeSet<String>,
        root: &Path,
    ) -> Result<usize, EngineError> {
        let engine = Engine::connect(&address.parse::<Address>()?).await?;
        let mut found = engine.leftovers(Whose::DeadOwners(&lock::is_held_if_known)).await?;
        found.retain(|leftover| is_of(leftover, root));
        for run_id in runs {
            let known: BTreeSet<String> = found.iter().map(|one| one.id.clone()).collect();
            let more = engine.leftovers(Whose::Run(run_id)).await?;
            found.extend(more.into_iter().filter(|one| !known.contains(&one.id)));
        }
        let count = found.len();
        for leftover in &found {
            // Whoever stopped reading still wants things removed.
            drop(self.say(leftover));
        }
        if !self.dry_run {
            let removal = engine.remove_leftovers(found).await;
            if let Some((_, error)) = removal.failed.into_iter().next() {
                return Err(error);
            }
            forget(&self.layout, runs);
        }
        Ok(count)
    }
}

/// Where the engine in use now is.
pub fn surroundings(context: &Context) -> Surroundings {
    Surroundings::of(|name| context.env.get(name))
}

/// Whether it belongs to the repository at `root`, or to one that is no more.
fn is_of(leftover: &Leftover, root: &Path) -> bool {
    let repo = Path::new(&leftover.labels.repo);
    repo == root || !repo.exists()
}

/// A record that stays only makes somebody look again.
fn forget(layout: &Layout, runs: &BTreeSet<String>) {
    for run_id in runs {
        let _ = engines::forget(layout, run_id);
    }
}

/// Something is known, or may be, to be left where nobody can look.
fn failure(runs: &BTreeSet<String>, error: EngineError) -> Failure {
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    let hint = error.hint();
    let what = format!("cannot remove what `{}` left in an engine", runs.join("`, `"));
    let failure = Err::<(), _>(error).or_could_not(what).expect_err("it is an error");
    hint.into_iter().fold(failure, Failure::hint)
}
