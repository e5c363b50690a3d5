//! Image builds by real engines: Docker at `LOOM_TEST_DOCKER`, else at its usual socket, and
//! Podman's API service at `LOOM_TEST_PODMAN`. A test without its engine, or without the registry
//! that wants `lab` and `lab-pass`, one above port `LOOM_TEST_REGISTRY`, is reported as ignored,
//! with the reason.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::HashMap,
    env, fs,
    net::TcpStream,
    os::unix::fs::{PermissionsExt as _, symlink},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use libloom_engine::{
    Address, Engine, Flavour,
    build::{
        BuildError, BuildEvent, BuildSpec, Builder, Built, Context, Failure, Output, OutputKind,
    },
    containers::Channel,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What every image begins with; the tests pull nothing.
const BASE: &str = "busybox:1.36.1";

#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Engine,
    BuildKit,
    Registry,
}

type Test = (&'static str, Needs, fn(&Case));

macro_rules! tests {
    ($($needs:ident $name:ident)*) => {
        [$((stringify!($name), Needs::$needs, $name)),*]
    };
}

const TESTS: &[Test] = &tests![
    BuildKit events_tell_of_steps_and_both_streams
    BuildKit a_second_build_is_cached
    BuildKit a_failing_command_is_named_with_its_line_and_last_lines
    Engine a_failing_command_is_named_by_the_classic_builder_too
    Engine what_cannot_be_parsed_or_copied_or_pulled_is_named_classically
    Engine the_context_is_what_the_ignore_file_leaves
    Engine odd_names_links_and_modes_reach_the_image
    Engine arguments_reach_the_build
    Engine an_image_without_a_name_is_known_by_its_id
    Engine the_image_is_saved_as_docker_saves_it
    BuildKit files_are_given_as_an_archive_or_in_a_folder
    Engine an_output_that_the_engine_lacks_is_refused_before_the_build
    BuildKit an_output_that_cannot_be_written_is_told
    BuildKit a_dropped_build_ends_in_the_engine
    Engine a_dropped_classic_build_ends_in_the_engine
    Engine a_large_context_that_the_builder_does_not_want_is_no_hang
];

fn main() -> ExitCode {
    let filter = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let filter = filter.unwrap_or_default();
    let docker = variable("LOOM_TEST_DOCKER").unwrap_or("unix:///var/run/docker.sock".into());
    let podman = variable("LOOM_TEST_PODMAN").unwrap_or_default();
    let mut has_failed = false;
    for (flavour, address) in [("docker", docker), ("podman", podman)] {
        for (name, needs, test) in TESTS {
            let name = format!("{flavour}::{name}");
            if name.contains(&filter) {
                let outcome = outcome(*needs, *test, &address);
                has_failed |= outcome == "FAILED";
                say(&format!("test {name} ... {outcome}"));
            }
        }
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn outcome(needs: Needs, test: fn(&Case), address: &str) -> String {
    let Some((runtime, engine)) = connect(address) else {
        return format!("ignored, no engine answers at `{address}`");
    };
    if !matches!(runtime.block_on(engine.image(BASE, None)), Ok(Some(_))) {
        return format!("ignored, the engine has no {BASE}");
    }
    if engine.flavour == Flavour::Podman {
        return "ignored, builds by Podman are not tried here: it has no BuildKit, and refuses layers \
                over the lab's images"
            .into();
    }
    if needs == Needs::Registry && TcpStream::connect(("127.0.0.1", registry())).is_err() {
        return format!("ignored, no registry answers at port {}", registry());
    }
    let case = Case::new(engine, runtime);
    match catch_unwind(AssertUnwindSafe(|| test(&case))) {
        Ok(()) => "ok".into(),
        Err(_) => "FAILED".into(),
    }
}

#[expect(clippy::print_stdout, reason = "this is the harness")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::disallowed_methods, reason = "a test is told by whoever starts it")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Port of the registry that wants credentials.
fn registry() -> u16 {
    variable("LOOM_TEST_REGISTRY").map_or(5000, |port| port.parse::<u16>().unwrap()) + 1
}

fn connect(address: &str) -> Option<(Runtime, Engine)> {
    let address: Address = address.parse().ok()?;
    let runtime = Runtime::new().unwrap();
    let engine = runtime.block_on(Engine::connect(&address)).ok()?;
    Some((runtime, engine))
}

/// A workspace of its own, and names that nobody else has.
struct Case {
    engine: Engine,
    runtime: Runtime,
    workspace: TempDir,
    name: String,
}

impl Case {
    fn new(engine: Engine, runtime: Runtime) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab-loom-build-{}-{number}:test", std::process::id());
        let workspace = tempfile::tempdir().unwrap();
        Case { engine, runtime, workspace, name }
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.workspace.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn spec(&self, dockerfile: &str) -> BuildSpec {
        self.write("Dockerfile", dockerfile);
        BuildSpec {
            context: Context::find(self.workspace.path(), ".", "Dockerfile").unwrap(),
            name: Some(self.name.clone()),
            output: None,
            arguments: HashMap::new(),
            platform: None,
            credentials: HashMap::new(),
            builder: None,
        }
    }

    fn build(&self, spec: &BuildSpec) -> (Result<Built, BuildError>, Vec<BuildEvent>) {
        let mut events = Vec::new();
        let result = self.on(self.engine.build(spec, &mut |event| events.push(event)));
        (result, events)
    }

    fn built(&self, spec: &BuildSpec) -> Vec<BuildEvent> {
        let (result, events) = self.build(spec);
        result.unwrap_or_else(|error| panic!("{error}: {events:#?}"));
        events
    }

    fn failure(&self, spec: &BuildSpec) -> Failure {
        match self.build(spec) {
            (Err(BuildError::Failed(failure)), _) => *failure,
            other => panic!("{other:#?}"),
        }
    }

    /// What the build of a Dockerfile writes on stdout.
    fn output(&self, spec: &BuildSpec) -> String {
        text(&self.built(spec), Channel::Stdout)
    }

    fn with_output(&self, dockerfile: &str, output: &str) -> BuildSpec {
        let output = Output::parse(output).unwrap().unwrap();
        let path = output.place(self.workspace.path()).unwrap();
        BuildSpec { output: Some((output.kind, path)), ..self.spec(dockerfile) }
    }

    fn has(&self, image: &str) -> bool {
        self.on(self.engine.image(image, None)).unwrap().is_some()
    }

    fn on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A text that no earlier build has seen, so that nothing is cached.
    fn fresh(&self) -> String {
        format!("{}-{:?}", self.name.replace(':', "-"), Instant::now())
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        drop(self.runtime.block_on(self.engine.remove_image(&self.name)));
    }
}

fn text(events: &[BuildEvent], wanted: Channel) -> String {
    let mut text = Vec::new();
    for event in events {
        if let BuildEvent::Output { channel, bytes, .. } = event
            && *channel == wanted
        {
            text.extend_from_slice(bytes);
        }
    }
    String::from_utf8(text).unwrap()
}

/// Names of the instructions that ended, and whether each was cached.
fn finished(events: &[BuildEvent]) -> Vec<(String, bool)> {
    let of = |event: &BuildEvent| match event {
        BuildEvent::StepFinished { name, cached, error: None, .. }
            if !name.starts_with("[internal]") && name.starts_with('[') =>
        {
            let (_, text) = name.split_once("] ").unwrap();
            Some((text.split(' ').next().unwrap().to_owned(), *cached))
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn builder(events: &[BuildEvent]) -> Builder {
    let of = |event: &BuildEvent| match event {
        BuildEvent::Builder { builder, .. } => Some(*builder),
        _ => None,
    };
    events.iter().rev().find_map(of).unwrap()
}

fn classic(spec: BuildSpec) -> BuildSpec {
    BuildSpec { builder: Some(Builder::Classic), ..spec }
}

fn two_streams(case: &Case) -> BuildSpec {
    let fresh = case.fresh();
    case.spec(&format!(
        "FROM {BASE}\nCOPY Dockerfile /\nRUN echo {fresh}; echo two; echo wrong >&2; printf end\n"
    ))
}

fn events_tell_of_steps_and_both_streams(case: &Case) {
    let events = case.built(&two_streams(case));
    assert_eq!(builder(&events), Builder::BuildKit);
    assert!(text(&events, Channel::Stdout).ends_with("two\nend"), "{events:#?}");
    assert_eq!(text(&events, Channel::Stderr), "wrong\n");
    let steps = finished(&events);
    assert!(steps.contains(&("COPY".to_owned(), false)), "{events:#?}");
    assert!(steps.contains(&("RUN".to_owned(), false)), "{events:#?}");
    let mut open = Vec::new();
    for event in &events {
        match event {
            BuildEvent::StepStarted { step, .. } => open.push(*step),
            BuildEvent::StepFinished { step, .. } => open.retain(|open| open != step),
            BuildEvent::Output { step: Some(step), .. } => assert!(open.contains(step)),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{events:#?}");
    assert!(case.has(&case.name));
}

fn a_second_build_is_cached(case: &Case) {
    let spec = two_streams(case);
    case.built(&spec);
    let again = finished(&case.built(&spec));
    assert!(again.contains(&("COPY".to_owned(), true)), "{again:?}");
    assert!(again.contains(&("RUN".to_owned(), true)), "{again:?}");
}

fn failing(case: &Case) -> BuildSpec {
    let fresh = case.fresh();
    case.spec(&format!(
        "# {fresh}\nFROM {BASE}\n\nRUN echo {fresh} \\\n  && echo last words \\\n  && exit 3\n"
    ))
}

fn is_failing_command(failure: &Failure) {
    let message = failure.to_string();
    assert_eq!(failure.exit_code, Some(3), "{message}");
    assert_eq!(failure.line, Some(4), "{message}");
    assert!(failure.instruction.as_ref().unwrap().starts_with("RUN echo lab-"), "{message}");
    assert!(failure.last_lines.iter().any(|line| line == "last words"), "{failure:?}");
    assert!(message.starts_with("image build failed at `RUN echo lab-"), "{message}");
    assert!(message.ends_with("(Dockerfile:4): exit code 3"), "{message}");
}

fn a_failing_command_is_named_with_its_line_and_last_lines(case: &Case) {
    is_failing_command(&case.failure(&failing(case)));
}

fn a_failing_command_is_named_by_the_classic_builder_too(case: &Case) {
    is_failing_command(&case.failure(&classic(failing(case))));
}

/// Failures before anything runs, each with its line and a word of its message.
fn is_named(case: &Case, change: fn(BuildSpec) -> BuildSpec) {
    let unparsable = case.failure(&change(case.spec(&format!("FROM {BASE}\n\nNONSENSE here\n"))));
    assert!(unparsable.to_string().to_lowercase().contains("nonsense"), "{unparsable}");
    let missing = format!("FROM {BASE}\nRUN true\nCOPY missing-file /\n");
    let missing = case.failure(&change(case.spec(&missing)));
    assert_eq!(missing.line, Some(3), "{missing}");
    assert!(missing.to_string().contains("missing-file"), "{missing}");
    let base = "FROM lab-loom-nowhere.invalid/image:1\nRUN true\n";
    let base = case.failure(&change(case.spec(base)));
    assert!(base.to_string().contains("lab-loom-nowhere.invalid/image"), "{base}");
    assert_eq!(base.line, Some(1), "{base}");
}

fn what_cannot_be_parsed_or_copied_or_pulled_is_named_classically(case: &Case) {
    is_named(case, classic);
}

fn the_context_is_what_the_ignore_file_leaves(case: &Case) {
    case.write(".dockerignore", "*\n!app\napp/*.log\n!app/keep.log\n");
    for path in ["app/a", "app/b.log", "app/keep.log", "app/deep/c.log", "secret"] {
        case.write(path, "");
    }
    let fresh = case.fresh();
    let text =
        format!("FROM {BASE}\nRUN echo {fresh}\nCOPY app /c/app\nRUN cd /c && find . | sort\n");
    let found = case.output(&case.spec(&text));
    let expected = ".\n./app\n./app/a\n./app/deep\n./app/deep/c.log\n./app/keep.log\n";
    assert!(found.contains(expected), "{found}");
    let outside = case.failure(&case.spec(&format!("FROM {BASE}\nCOPY secret /\n")));
    assert!(outside.to_string().contains("secret"), "{outside}");
}

fn odd_names_links_and_modes_reach_the_image(case: &Case) {
    let long = format!("c/{}/{}", "d".repeat(120), "f".repeat(150));
    for path in ["c/a b", "c/\u{e9}\u{4e2d}", "c/quo'te\"", "c/run.sh", &long] {
        case.write(path, "text");
    }
    let at = |path: &str| case.workspace.path().join(path);
    fs::set_permissions(at("c/run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("/etc/shadow", at("c/link")).unwrap();
    let fresh = case.fresh();
    let text = format!(
        "FROM {BASE}\nRUN echo {fresh}\nCOPY c /c\nRUN cd /c && find . -type f | sort && \
         readlink link && stat -c '%a %u' run.sh\n"
    );
    let found = case.output(&case.spec(&text));
    for expected in ["./a b\n", "./\u{e9}\u{4e2d}\n", "./quo'te\"\n", "/etc/shadow\n", "750 0\n"] {
        assert!(found.contains(expected), "{expected:?} in {found}");
    }
    assert!(found.contains(&long[2..]), "{found}");
}

fn arguments_reach_the_build(case: &Case) {
    let fresh = case.fresh();
    let mut spec = case.spec(&format!("FROM {BASE}\nARG WHO\nRUN echo {fresh} $WHO $http_proxy\n"));
    spec.arguments = HashMap::from(
        [("WHO", "somebody"), ("http_proxy", "http://proxy.invalid:3128")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let found = case.output(&spec);
    assert!(found.contains("somebody http://proxy.invalid:3128\n"), "{found}");
}

fn an_image_without_a_name_is_known_by_its_id(case: &Case) {
    let mut spec = two_streams(case);
    spec.name = None;
    let built = case.build(&spec).0.unwrap();
    assert!(built.id.starts_with("sha256:") && built.id.len() == 71, "{}", built.id);
    assert!(case.has(&built.id));
    case.on(case.engine.remove_image(&built.id)).unwrap();
    assert!(!case.has(&built.id));
    case.on(case.engine.remove_image(&built.id)).unwrap();
}

fn names_in(archive: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let name = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        entry.unwrap().path().unwrap().to_string_lossy().trim_end_matches('/').to_owned()
    };
    archive.entries().unwrap().map(name).collect()
}

/// Nothing in the making is left.
fn is_tidy(folder: &Path) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".loom")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn the_image_is_saved_as_docker_saves_it(case: &Case) {
    let spec = case.with_output(&format!("FROM {BASE}\n"), "type=docker,dest=out/image.tar");
    case.built(&spec);
    let path = case.workspace.path().join("out/image.tar");
    assert!(names_in(&path).contains(&"manifest.json".to_owned()));
    is_tidy(&case.workspace.path().join("out"));
}

const FILES: &str = "FROM busybox:1.36.1 AS make\n\
    RUN mkdir -p /o/ro && echo text > /o/ro/file && ln -s file /o/ro/link && chmod 550 /o/ro \
    && echo '#!/bin/sh' > /o/run && chmod 755 /o/run\n\
    FROM scratch\nCOPY --from=make /o /\n";

fn files_are_given_as_an_archive_or_in_a_folder(case: &Case) {
    case.built(&case.with_output(FILES, "type=tar,dest=files.tar"));
    let names = names_in(&case.workspace.path().join("files.tar"));
    for name in ["ro", "ro/file", "ro/link", "run"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    is_tidy(case.workspace.path());

    case.write("into/kept", "kept");
    case.write("into/run", "old");
    for dest in ["new/folder", "into"] {
        case.built(&case.with_output(FILES, &format!("type=local,dest={dest}")));
        let at = |name: &str| case.workspace.path().join(dest).join(name);
        assert_eq!(fs::read_to_string(at("ro/file")).unwrap(), "text\n");
        assert_eq!(fs::read_link(at("ro/link")).unwrap(), PathBuf::from("file"));
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("run"), mode("ro")), (0o755, 0o550));
        is_tidy(at("").parent().unwrap());
    }
    assert_eq!(fs::read_to_string(case.workspace.path().join("into/kept")).unwrap(), "kept");
}

fn an_output_that_the_engine_lacks_is_refused_before_the_build(case: &Case) {
    let spec = classic(case.with_output("FROM none.invalid/a\n", "type=tar,dest=a.tar"));
    let (result, events) = case.build(&spec);
    let message = result.unwrap_err().to_string();
    assert!(message.contains("of type `tar` needs BuildKit"), "{message}");
    assert!(events.is_empty());
    let major = case.engine.version.split('.').next().unwrap().parse::<u32>().unwrap();
    if case.engine.flavour == Flavour::Podman || major < 25 {
        let spec = case.with_output("FROM none.invalid/a\n", "type=oci,dest=a.tar");
        let message = case.build(&spec).0.unwrap_err().to_string();
        assert!(message.contains("of type `oci` needs Docker 25 or later"), "{message}");
    }
    assert!(!case.workspace.path().join("a.tar").exists());
}

fn an_output_that_cannot_be_written_is_told(case: &Case) {
    for kind in [OutputKind::Tar, OutputKind::Local, OutputKind::Docker] {
        let path = PathBuf::from("/proc/nowhere/out");
        let spec = BuildSpec { output: Some((kind, path)), ..case.spec(FILES) };
        let message = case.build(&spec).0.unwrap_err().to_string();
        assert!(message.contains("cannot write image.build.output to /proc/nowhere"), "{message}");
    }
}

/// Whether a process runs on this machine whose command line has this text.
fn runs(text: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ends_when_dropped(case: &Case, change: fn(BuildSpec) -> BuildSpec) {
    let seconds = format!("{}{}", std::process::id(), case.name.len());
    let fresh = case.fresh();
    let text = format!("FROM {BASE}\nRUN echo {fresh}; sleep {seconds}\n");
    let spec = change(case.spec(&text));
    let engine = case.engine.clone();
    let build = case.runtime.spawn(async move { engine.build(&spec, &mut |_| {}).await });
    let command = format!("sleep {seconds}");
    until("the build runs", || runs(&command));
    build.abort();
    until("the build ends", || !runs(&command));
}

fn a_dropped_build_ends_in_the_engine(case: &Case) {
    ends_when_dropped(case, |spec| spec);
}

fn a_dropped_classic_build_ends_in_the_engine(case: &Case) {
    ends_when_dropped(case, classic);
}

fn a_large_context_that_the_builder_does_not_want_is_no_hang(case: &Case) {
    case.write("large", vec![b'x'; 64 << 20]);
    for change in [(|spec| spec) as fn(BuildSpec) -> BuildSpec, classic] {
        let spec = change(case.spec("FROM busybox:1.36.1\nNONSENSE\n"));
        let failure = case.failure(&spec);
        assert!(failure.to_string().to_lowercase().contains("nonsense"), "{failure}");
    }
}
