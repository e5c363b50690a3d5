//! `loom artifacts get`: artifacts of a job into a folder, and never anywhere else.

use std::path::{Path, PathBuf};

use libloom_archive::{Existing, Patterns, Request, RestoreError, Restored, restore_some};
use libloom_console::{printable, size};
use libloom_contract::{exit, layout::Layout};
use libloom_entry::{Context, Failure, OrFail};

use crate::jobs;

/// Put artifacts of a job into a folder
///
/// With their paths, permissions, times and symbolic links. Every file's checksum is verified on
/// the way. Nothing is written outside the folder, whatever the artifacts are called, and no link
/// in it is followed. When one file cannot be written because it exists, none is.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// A run, or `latest`
    run: String,
    /// A job of it
    job: String,
    /// Only these paths: globs as in `artifacts.paths`, a folder stands for all below it
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// The folder; made where it is missing
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Replace files that exist
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let run_id = jobs::resolve(layout, &arguments.run)?;
    let job = jobs::find(layout, &run_id, &arguments.job)?;
    let folder = job.layout.clone();
    let manifest = job.into_manifest()?;
    let patterns = Patterns::new(&arguments.paths).map_err(Failure::usage)?;
    let into = context.cwd.join(&arguments.output);
    let request = Request {
        into: &into,
        existing: if arguments.force { Existing::Replace } else { Existing::Refuse },
        wants: &|path: &Path| patterns.is_empty() || patterns.matches(path),
    };
    let restored =
        restore_some(&folder, &manifest, &request).map_err(|error| failure(error, arguments))?;
    report(arguments, &restored, manifest.entries.len(), context)
}

fn report(
    arguments: &Arguments,
    restored: &Restored,
    all: usize,
    context: &Context,
) -> Result<u8, Failure> {
    if restored.paths.is_empty() && all > 0 {
        let patterns = arguments.paths.join("`, `");
        let text = format!("no artifact of job `{}` matches `{patterns}`", arguments.job);
        let hint = format!("`loom artifacts list {} {}` shows them", arguments.run, arguments.job);
        return Err(Failure::no(text).hint(hint));
    }
    for path in &restored.paths {
        context.console.detail(printable(&path.to_string_lossy()));
    }
    if restored.from_archive > 0 {
        context.console.warn(format_args!(
            "copies of {} artifacts are missing or damaged; they came from the archive",
            restored.from_archive
        ));
    }
    let count = restored.paths.len();
    let files = if count == 1 { "artifact" } else { "artifacts" };
    let into = arguments.output.display();
    context.console.status(format_args!("{count} {files} ({}) in `{into}`", size(restored.bytes)));
    Ok(exit::DONE)
}

fn failure(error: RestoreError, arguments: &Arguments) -> Failure {
    let into = arguments.output.display();
    let what = format!("cannot put artifacts of job `{}` into `{into}`", arguments.job);
    let hint = match &error {
        RestoreError::Exists { count, .. } => Some(format!(
            "{count} of the paths exist, and nothing was written; `--force` replaces them, \
             `-o DIR` writes elsewhere"
        )),
        RestoreError::Damaged { .. } => {
            Some(format!("`loom artifacts verify {}` tells all that is damaged", arguments.run))
        }
        _ => None,
    };
    let is_damage = matches!(error, RestoreError::Damaged { .. } | RestoreError::Name(_));
    let failure = match is_damage {
        true => Failure::no(error).context(what),
        false => Err::<(), _>(error).or_could_not(what).expect_err("it is an error"),
    };
    hint.into_iter().fold(failure, Failure::hint)
}
