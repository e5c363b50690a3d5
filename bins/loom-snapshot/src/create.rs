//! `loom snapshot create`: makes one snapshot and records it.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use libloom_contract::layout::{Layout, RUNTIME, RUNTIME_GITIGNORE, SNAPSHOT_RECORD_IN_GIT};
use libloom_contract::snapshot::{Counts, Method, Methods, Snapshot};
use libloom_contract::{Document, Timestamp, exit, store, version};
use libloom_entry::{Context, Failure, OrFail};
use rustix::fs::{Mode, OFlags, openat, symlinkat};

use crate::baseline;
use crate::changed::{ChangedArgs, path_text};
use crate::checkout::{Revision, copy_commit};
use crate::destination::{Destination, Places};
use crate::errors::cannot_write;
use crate::folders::make;
use crate::git::Git;
use crate::listing::open_root;
use crate::progress::Progress;
use crate::questions::Questions;
use crate::records::{Announcement, Known, Records, entries, root_of};
use crate::repository::{Repository, ask_where};
use crate::transfer::Transfer;
use crate::watch::{Display, error_message};
use crate::work_tree::{Made, Request, copy_repository, milliseconds};

/// Make a snapshot of the repository around the current folder
///
/// A snapshot holds what git tracks as it is in the work tree, what it does not track but does not
/// ignore, folders without files, and a `.git` of its own with HEAD detached. Contents, permissions and
/// modification times of files are those of the source; symlinks are kept as they are. Not copied are
/// extended attributes, owners, hard links between files (each becomes a file of its own),
/// set-user-id, set-group-id and sticky bits, and times of folders.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// Print the snapshot's record instead of its path
    #[arg(long)]
    json: bool,
    /// Print facts, progress and the record as lines of JSON
    #[arg(long, conflicts_with = "json")]
    events: bool,
    /// Make it here instead of in the temp folder; must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    dest: Option<PathBuf>,
    /// The run it is made for: names the folder and links the run's logs and receipt
    #[arg(long, value_name = "ID", value_parser = parse_run_id)]
    run_id: Option<String>,
    /// Leave out files that git does not track
    #[arg(long)]
    no_untracked: bool,
    /// Also copy ignored files whose path matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    include_ignored: Vec<String>,
    /// Copy this commit as git would check it out, instead of the work tree
    ///
    /// REV is whatever git takes for a commit: a branch, a tag, a hash, HEAD~3. Line ends and
    /// encodings are converted as attributes say; filters are not run, so that the files of Git LFS
    /// and the like hold what git stores.
    #[arg(long, value_name = "REV", conflicts_with_all = ["no_untracked", "include_ignored"])]
    at: Option<String>,
    #[command(flatten)]
    changed: ChangedArgs,
}

/// More snapshots than this, or more bytes than [`LARGE`], are worth a hint.
const MANY: usize = 10;
const LARGE: u64 = 5 << 30;

/// Makes the snapshot and prints what was asked for.
pub(crate) fn run(args: &CreateArgs, context: &Context) -> Result<u8, Failure> {
    match create(args, context) {
        Ok(record) => {
            for note in record.notes.iter().filter(|_| !args.events) {
                context.console.note(note);
            }
            match args.json || args.events {
                true => context.console.json(&record)?,
                false => context.console.out(&record.path)?,
            }
            if !args.events {
                hint_at_many(context, &root_of(&record));
            }
            Ok(exit::DONE)
        }
        // Whoever asked for events shows the error; said here too it would be read twice.
        Err(failure) if args.events => {
            context.console.json(&error_message(&failure))?;
            Ok(failure.kind.exit_code())
        }
        Err(failure) => Err(failure),
    }
}

/// Snapshots are kept until someone removes them; say so before they fill the disk.
fn hint_at_many(context: &Context, root: &Path) {
    let folder = Layout::of_repository(root).snapshots();
    // Counting names is cheap; only then are the records worth reading.
    let is_record = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
    let count = entries(&folder).iter().filter(|path| is_record(path)).count();
    let bytes = || {
        let records = Records::read(context, root);
        records.map_or(0, |records| records.all.iter().map(Known::bytes).sum::<u64>())
    };
    if count > MANY || (count > 1 && bytes() > LARGE) {
        let text = format!(
            "{count} snapshots of this repository are kept; `loom snapshot prune --keep 3` removes old ones"
        );
        context.console.hint(text);
    }
}

fn create(args: &CreateArgs, context: &Context) -> Result<Snapshot, Failure> {
    let start = Instant::now();
    let ignored = globs(&args.include_ignored)?;
    let progress = Progress::listening()?;
    allow_many_open_files();
    let transfer = Transfer::default();
    let request = Request {
        env: &context.env,
        transfer: &transfer,
        progress: &progress,
        untracked: !args.no_untracked,
        ignored: ignored.as_ref(),
    };
    let git = Git::new(&context.env, &context.cwd);
    let place = ask_where(&git)?;
    let early = match args.at {
        None => Questions::ask_early(&git, &request)?,
        Some(_) => None,
    };
    let repository = Repository::found(&git, &context.cwd, place)?;
    let revision = args.at.as_ref().map(|rev| Revision::find(&repository, rev)).transpose()?;
    let (destination, id, place_note) = destination(args, context, &repository)?;
    let copy = destination.folder();
    let display = Display::choose(args.events, &context.console);
    let made = match &revision {
        Some(revision) => display.during(&context.console, &progress, |hear| {
            copy_commit(&request, &repository, revision, copy, hear)
        }),
        None => {
            let questions = Questions::of(&repository.git, &request, early)?;
            display.during(&context.console, &progress, |hear| {
                copy_repository(&request, &repository, questions, copy, hear)
            })
        }
    };
    // A signal also ends the git processes we started; their failure is not the reason.
    progress.check()?;
    let mut made = made?;
    made.notes.splice(0..0, place_note);
    if let Some(run_id) = &args.run_id {
        made.notes.extend(link_run(&repository.root, destination.folder(), run_id)?);
    }
    if args.changed.is_wanted() {
        // Asked of the snapshot, not of the source: it is what the rules are about.
        let copy =
            Repository::discover(&repository.git.at(destination.folder()), destination.folder())?;
        args.changed.fill(&mut made.facts, &copy, &copy.git_dir)?;
    }
    let baseline = std::mem::take(&mut made.baseline);
    let mut record = record(args, &repository, destination.place(), id, made, &transfer);
    record.duration_ms = milliseconds(start);
    let inside = destination.folder().join(".git").join(SNAPSHOT_RECORD_IN_GIT);
    store::write(&inside, &record).or_could_not("cannot write the snapshot's record")?;
    progress.check()?;
    display.phase(&context.console, &progress, "publish")?;
    let announcement = destination.keep()?;
    // What has its name is recorded, whether or not somebody still listens.
    let told = display.phase(&context.console, &progress, "record");
    write_record(&repository.root, &mut record);
    let dot_git = Path::new(&record.path).join(".git");
    baseline::write(&repository.root, &record.id, &dot_git, &baseline)?;
    drop(announcement);
    told?;
    Ok(record)
}

/// Writes the record into the repository; a read-only one goes without.
fn write_record(root: &Path, record: &mut Snapshot) {
    let layout = Layout::of_repository(root);
    let written = layout.create().and_then(|()| {
        store::write(&layout.snapshot(&record.id), record).map_err(std::io::Error::other)
    });
    if let Err(error) = written {
        let runtime = layout.runtime().display();
        record
            .notes
            .push(format!("no record in `{runtime}`, which cannot be written to ({error})"));
    }
}

fn destination(
    args: &CreateArgs,
    context: &Context,
    repository: &Repository,
) -> Result<(Destination, String, Option<String>), Failure> {
    let now = Timestamp::now().nanoseconds();
    let random = random()?;
    let id = match &args.run_id {
        Some(run_id) => format!("{run_id}-{random}"),
        None => format!("loom-snapshot-{now}-{random}"),
    };
    if let Some(dest) = &args.dest {
        let dest = context.cwd.join(dest);
        let wrong =
            || Failure::usage(format!("`{}` cannot be the name of a folder", dest.display()));
        let name = dest.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
        let parent = dest.parent().ok_or_else(wrong)?;
        let parent = parent.canonicalize().map_err(|error| {
            cannot_write(format_args!("cannot use `{}`", parent.display()), error)
                .hint("make the folder first")
        })?;
        refuse_inside(repository, &parent)?;
        // Before anything is made: the place is none where `prune` would look.
        let announcement = Announcement::make(&repository.root, &id, &parent.join(name));
        let destination = Destination::make(&parent, name)?.announced(announcement);
        return Ok((destination, id, None));
    }
    let bytes = || repository.estimated_bytes();
    let (parent, note) = Places::of(context, &repository.root)?.choose(&repository.root, bytes)?;
    refuse_inside(repository, &parent)?;
    Ok((Destination::make(&parent, &id)?, id, note))
}

/// A snapshot among the files it is made of would copy itself.
fn refuse_inside(repository: &Repository, parent: &Path) -> Result<(), Failure> {
    let Ok(relative) = parent.strip_prefix(&repository.root) else { return Ok(()) };
    let is_root = relative.as_os_str().is_empty();
    let ignored = || {
        repository.git.output(&[
            "check-ignore".as_ref(),
            "-q".as_ref(),
            "--".as_ref(),
            relative.as_os_str(),
        ])
    };
    if parent.starts_with(&repository.git_dir) || (!is_root && ignored()?.status.success()) {
        return Ok(());
    }
    let what =
        format!("`{}` lies in the repository: the snapshot would hold itself", parent.display());
    Err(Failure::could_not(what).hint("choose a folder outside, or one that git ignores"))
}

fn random() -> Result<u32, Failure> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .or_could_not("cannot get a random number")?;
    Ok(u32::from_ne_bytes(bytes))
}

fn parse_run_id(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = !text.is_empty() && !text.starts_with('.') && text.chars().all(is_fine);
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| "expected letters, digits, `-`, `_` and `.`".into())
}

fn globs(patterns: &[String]) -> Result<Option<GlobSet>, Failure> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // A folder's name means all it holds.
        let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
        for pattern in [pattern.to_owned(), format!("{pattern}/**")] {
            let glob = GlobBuilder::new(&pattern).literal_separator(true).build();
            set.add(
                glob.map_err(|error| Failure::usage(error).context("wrong `--include-ignored`"))?,
            );
        }
    }
    set.build().map(Some).map_err(Failure::usage)
}

/// Deep trees need a folder open for each level, in every thread.
fn allow_many_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If this is refused, a very deep tree fails later, and says why.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Links the run's logs and receipt, which lie in the repository, into the workspace; a
/// read-only repository holds neither, and the note says so.
fn link_run(root: &Path, workspace: &Path, run_id: &str) -> Result<Option<String>, Failure> {
    let there = Layout::of_repository(root);
    if let Err(error) = there.create() {
        let runtime = there.runtime().display();
        let note = format!("`{runtime}` cannot be written to ({error}): logs are in the snapshot");
        return make_runtime(workspace, &[]).map(|()| Some(note));
    }
    let links = [
        ("logs", run_id.to_owned(), there.run(run_id).folder().to_owned()),
        ("receipts", format!("{run_id}.json"), there.run_receipt(run_id)),
    ];
    make_runtime(workspace, &links).map(|()| None)
}

/// Makes the workspace's own runtime directory with links in its folders.
///
/// Folder by folder and never through a symlink: `.loom` is what the repository made of it.
fn make_runtime(workspace: &Path, links: &[(&str, String, PathBuf)]) -> Result<(), Failure> {
    let make_all = || -> Result<(), rustix::io::Errno> {
        let private = Mode::from_raw_mode(0o755);
        let mut folder = open_root(workspace)?;
        for name in Path::new(RUNTIME).iter() {
            folder = make(folder.as_fd(), name, private)?;
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let hide = openat(&folder, ".gitignore", flags, Mode::from_raw_mode(0o644))?;
        rustix::io::write(&hide, RUNTIME_GITIGNORE.as_bytes())?;
        for (parent, name, target) in links {
            let parent = make(folder.as_fd(), parent.as_ref(), private)?;
            symlinkat(target, &parent, name)?;
        }
        Ok(())
    };
    make_all().map_err(|error| {
        cannot_write(format_args!("cannot make `{RUNTIME}` in the workspace"), error)
            .hint("`.loom` and `.loom/.runtime` must be folders, not files or symlinks")
    })
}

fn record(
    args: &CreateArgs,
    repository: &Repository,
    place: &Path,
    id: String,
    made: Made,
    transfer: &Transfer,
) -> Snapshot {
    let files = match (made.counts.bytes, &args.at, transfer.shared_any()) {
        (0, ..) => Method::None,
        (_, Some(_), _) => Method::Checkout,
        (_, None, true) => Method::Reflink,
        (_, None, false) => Method::Copy,
    };
    let root = path_text(repository.root.as_os_str().as_bytes());
    Snapshot {
        schema_version: version::SNAPSHOT.to_string(),
        kind: Snapshot::KIND.to_owned(),
        id,
        path: place.to_string_lossy().into_owned(),
        repo_root: root.path,
        repo_root_bytes: root.bytes,
        run_id: args.run_id.clone(),
        rev: args.at.clone(),
        created_at: Timestamp::now(),
        duration_ms: 0,
        loom_version: env!("CARGO_PKG_VERSION").to_owned(),
        facts: made.facts,
        counts: Counts { modified: None, ..made.counts },
        methods: Methods { files, objects: made.objects },
        phases: made.phases,
        notes: made.notes,
    }
}
