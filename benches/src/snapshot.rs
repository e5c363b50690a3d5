//! What a snapshot costs beside the plain ways to copy a repository.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    bench::Bench,
    measure::{self, Contender, Samples, compare},
    repository::{Repository, Shape, workflow},
    table::{Row, Target},
};

/// A repository of this many files, and how its snapshot compares at best.
struct Size {
    files: usize,
    rounds: usize,
    of_clone: f64,
    of_cp: Option<f64>,
}

const SIZES: [Size; 3] = [
    Size { files: 1_000, rounds: 15, of_clone: 0.55, of_cp: None },
    Size { files: 20_000, rounds: 5, of_clone: 0.65, of_cp: Some(0.6) },
    Size { files: 90_000, rounds: 3, of_clone: 0.8, of_cp: Some(0.5) },
];

/// 1,000, 20,000 and 90,000 files.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let rows = SIZES.iter().map(|size| of_files(bench, size));
    rows.collect::<io::Result<Vec<_>>>().map(|rows| rows.into_iter().flatten().collect())
}

fn of_files(bench: &Bench, size: &Size) -> io::Result<Vec<Row>> {
    let files = size.files;
    let repository =
        Repository::create(bench, &format!("files-{files}"), files, &workflow(1, &["true"]))?;
    let root = repository.root();
    let clone = |fresh: &Path| copy(bench, "git", &["clone", "-q", "--local"], root, fresh);
    let cp = |fresh: &Path| copy(bench, "cp", &["-a"], root, fresh);
    let snapshot = |fresh: &Path| create(bench, root, fresh);
    // The first status in a copy that was just made: what is not timed is done before.
    let status_of = |command: Command, fresh: &Path| {
        status(bench, command, fresh).expect("the copy that is looked at can be made")
    };
    let contenders = [
        Contender::new(format!("git clone --local, {files} files"), clone),
        Contender::new("cp -a", cp),
        Contender::new("loom snapshot create", snapshot).leaving(repository.runtime()),
        Contender::new("first git status in the clone", |fresh| status_of(clone(fresh), fresh)),
        Contender::new("first git status in the snapshot", |fresh| {
            status_of(snapshot(fresh), fresh)
        })
        .leaving(repository.runtime()),
    ];
    let samples = compare(bench.folder(), bench.rounds(size.rounds), &contenders)?;
    std::fs::remove_dir_all(root)?;
    Ok(rows(size, &samples))
}

fn rows(size: &Size, samples: &[Samples]) -> Vec<Row> {
    let [clone, cp, snapshot, of_clone, of_snapshot] = samples else { unreachable!("five") };
    let at_most = Target::AtMost;
    vec![
        Row::time(clone),
        Row::ratio(cp, clone, None),
        Row::ratio(snapshot, clone, Some(at_most(size.of_clone))),
        Row::figure("  / cp -a", snapshot.ratio(cp), "", size.of_cp.map(at_most)),
        memory(snapshot, size.files),
        Row::time(of_clone),
        Row::ratio(of_snapshot, of_clone, Some(at_most(0.5))),
    ]
}

/// What it may take is 32 MB and 450 bytes a file.
fn memory(snapshot: &Samples, files: usize) -> Row {
    let limit = (32e6 + 450.0 * files as f64) / 1e6;
    let most = snapshot.peak_bytes() as f64 / 1e6;
    Row::figure("  largest process of it", most, "MB", Some(Target::AtMost(limit.round())))
}

fn copy(bench: &Bench, program: &str, arguments: &[&str], root: &Path, fresh: &Path) -> Command {
    let mut command = bench.command(program);
    command.args(arguments).arg(root).arg(fresh.join("copy"));
    command
}

fn create(bench: &Bench, root: &Path, temp: &Path) -> Command {
    let mut command = bench.loom("loom");
    command.args(["snapshot", "create"]).current_dir(root).env("TMPDIR", temp);
    command
}

/// `git status` in the one folder that `command` makes in `fresh`.
fn status(bench: &Bench, mut command: Command, fresh: &Path) -> io::Result<Command> {
    measure::run(&mut command)?;
    let made = std::fs::read_dir(fresh)?.next().ok_or(io::ErrorKind::NotFound)??;
    let mut command = bench.command("git");
    command.args(["status", "--porcelain"]).current_dir(made.path());
    Ok(command)
}

/// A million files of one line: that it can be done, in what time and memory.
pub fn million(bench: &Bench) -> io::Result<Vec<Row>> {
    let shape = Shape { files: 1_000_000, lines: 1 };
    let root = bench.folder().join("million");
    let repository = Repository::create_at(bench, root, shape, &workflow(1, &["true"]))?;
    let contender = Contender::new("loom snapshot create, 1,000,000 files", |fresh| {
        create(bench, repository.root(), fresh)
    });
    let contenders = [contender.leaving(repository.runtime())];
    let samples = compare(bench.folder(), bench.rounds(1), &contenders)?;
    Ok(vec![Row::time(&samples[0]), memory(&samples[0], shape.files)])
}

/// The same tree on two xfs images, one of which shares blocks between files.
pub fn reflink(bench: &Bench) -> io::Result<Vec<Row>> {
    let (Ok(copied), Ok(shared)) = (Image::mount(bench, 0), Image::mount(bench, 1)) else {
        let why = "xfs cannot be mounted here (root, mkfs.xfs, loop devices)";
        return Ok(vec![Row::note(why)]);
    };
    let shape = Shape { files: 5_000, lines: 160 };
    let text = workflow(1, &["true"]);
    let on = |image: &Image| Repository::create_at(bench, image.folder.join("files"), shape, &text);
    let (one, two) = (on(&copied)?, on(&shared)?);
    // Fresh folders lie on the image; what is made there is as large as what is compared.
    let on_image = |repository: &Repository, image: &Image, fresh: &Path| {
        let temp = image.folder.join(fresh.file_name().unwrap_or_default());
        std::fs::create_dir(&temp).expect("the image is writable");
        create(bench, repository.root(), &temp)
    };
    let contenders = [
        Contender::new("loom snapshot create, 5,000 files on xfs, blocks copied", |fresh| {
            on_image(&one, &copied, fresh)
        })
        .leaving(one.runtime()),
        Contender::new("blocks shared", |fresh| on_image(&two, &shared, fresh))
            .leaving(two.runtime()),
    ];
    let samples = compare(bench.folder(), bench.rounds(7), &contenders)?;
    let [plain, reflink] = &samples[..] else { unreachable!("two contenders") };
    Ok(vec![Row::time(plain), Row::ratio(reflink, plain, Some(Target::AtMost(1.0)))])
}

/// A mounted image of an xfs, taken away when it is dropped.
struct Image {
    file: PathBuf,
    folder: PathBuf,
}

impl Image {
    fn mount(bench: &Bench, reflink: u8) -> io::Result<Self> {
        let file = bench.folder().join(format!("xfs-{reflink}"));
        let image = Image { folder: file.with_extension("mounted"), file };
        std::fs::create_dir(&image.folder)?;
        std::fs::File::create(&image.file)?.set_len(4 << 30)?;
        let mut command = bench.command("sh");
        let script = "PATH=$PATH:/usr/sbin:/sbin; mkfs.xfs -q -m \"reflink=$1\" \"$2\" && \
            mount -o loop \"$2\" \"$3\"";
        command.args(["-c", script, "sh", &reflink.to_string()]).arg(&image.file);
        measure::run(command.arg(&image.folder)).map(|_| image)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Where it was never mounted there is nothing to take away.
        let _ = Command::new("umount").arg(&self.folder).output();
        let _ = std::fs::remove_file(&self.file);
    }
}
