//! What this crate does with real engines: Docker at `LOOM_TEST_DOCKER`, else at its usual socket,
//! and Podman's API service at `LOOM_TEST_PODMAN`. A test without its engine, or without the
//! registry at port `LOOM_TEST_REGISTRY` (open; the next port wants `lab` and `lab-pass`), is
//! reported as ignored, with the reason. `tests/lab` starts all of them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    env, fs,
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
};

use libloom_engine::{
    Address, DockerConfig, Engine, EngineError, Flavour,
    containers::{ContainerSpec, Mount, Source},
    images::{Pull, PullProgress, PullTrouble},
    owner::{Labels, Owner},
    reaper::{HELPER_IMAGE, Kind, Leftover, Whose},
    volumes::Overlay,
};
use libloom_testkit::{Fault, Proxy};
use tokio::runtime::Runtime;

/// What a test gets: an engine, and the port of the open registry.
struct Lab {
    engine: Engine,
    registry: u16,
}

#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Engine,
    Registry,
}

struct Test {
    name: &'static str,
    needs: Needs,
    run: fn(Lab) -> Pin<Box<dyn Future<Output = ()>>>,
}

macro_rules! tests {
    ($($needs:ident $name:ident)*) => {
        [$(Test {
            name: stringify!($name),
            needs: Needs::$needs,
            run: |lab| Box::pin($name(lab)),
        }),*]
    };
}

const TESTS: &[Test] = &tests![
    Engine image_is_described
    Engine image_for_another_platform_is_none
    Engine leftovers_of_the_dead_are_removed_and_nothing_else
    Engine leftovers_of_one_run_are_removed
    Engine folder_of_an_overlay_goes_with_its_volume
    Engine files_of_other_users_are_removed_by_a_helper
    Registry pull_tells_its_progress
    Registry pull_that_fails_says_what_helps
    Registry registry_in_trouble_is_told_from_the_network
    Registry credentials_reach_the_registry
];

/// The test that takes minutes where a registry in trouble is asked again.
const ASKED_AGAIN: &str = "registry_in_trouble_is_told_from_the_network";

fn main() -> ExitCode {
    let filter = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let filter = filter.unwrap_or_default();
    let registry = variable("LOOM_TEST_REGISTRY").unwrap_or_else(|| "5100".into());
    let registry = registry.parse().unwrap();
    let docker = variable("LOOM_TEST_DOCKER").unwrap_or("unix:///var/run/docker.sock".into());
    let podman = variable("LOOM_TEST_PODMAN").unwrap_or_default();
    let mut has_failed = false;
    for (flavour, address) in [("docker", docker), ("podman", podman)] {
        for test in TESTS {
            let name = format!("{flavour}::{}", test.name);
            if name.contains(&filter) {
                let outcome = outcome(test, &address, registry);
                has_failed |= outcome == "FAILED";
                say(&format!("test {name} ... {outcome}"));
            }
        }
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn outcome(test: &Test, address: &str, registry: u16) -> String {
    let Some((runtime, engine)) = connect(address) else {
        return format!("ignored, no engine answers at `{address}`");
    };
    if engine.flavour == Flavour::Podman && test.name == ASKED_AGAIN {
        return "ignored, podman cannot: `POST /images/create` asks a registry in trouble again for \
                minutes before it answers (4.3)"
            .into();
    }
    if test.needs == Needs::Registry && TcpStream::connect(("127.0.0.1", registry)).is_err() {
        return format!("ignored, no registry answers at port {registry}");
    }
    let lab = Lab { engine, registry };
    match catch_unwind(AssertUnwindSafe(|| runtime.block_on((test.run)(lab)))) {
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

fn connect(address: &str) -> Option<(Runtime, Engine)> {
    let address: Address = address.parse().ok()?;
    let runtime = Runtime::new().unwrap();
    let engine = runtime.block_on(Engine::connect(&address)).ok()?;
    Some((runtime, engine))
}

async fn image_is_described(lab: Lab) {
    let image = lab.engine.image(HELPER_IMAGE, None).await.unwrap().unwrap();
    assert!(image.id.len() >= 64 && image.os == "linux", "{image:?}");
    assert!(image.environment.iter().any(|variable| variable.starts_with("PATH=")), "{image:?}");
    assert_eq!(lab.engine.image("loom.invalid/none:1", None).await.unwrap(), None);
    assert!(!lab.engine.version.is_empty());
}

async fn image_for_another_platform_is_none(lab: Lab) {
    let image = lab.engine.image(HELPER_IMAGE, None).await.unwrap().unwrap();
    let own = format!("linux/{}", image.architecture);
    assert_eq!(lab.engine.image(HELPER_IMAGE, Some(&own)).await.unwrap(), Some(image));
    assert_eq!(lab.engine.image(HELPER_IMAGE, Some("linux/s390x")).await.unwrap(), None);
}

const ALL: [Kind; 3] = [Kind::Container, Kind::Network, Kind::Volume];

/// A container that runs, uses a volume and is in a network, all of one name and of one run.
async fn make(engine: &Engine, name: &str, run_folder: &Path) {
    let owner = Owner::of_this_process(run_folder).unwrap();
    let labels = Labels { run_id: name.into(), owner: Some(owner), ..Labels::default() }.to_map();
    engine.create_volume(name, labels.clone(), None).await.unwrap();
    engine.create_network(name, labels.clone()).await.unwrap();
    let source = Source::Volume(name.into());
    let spec = ContainerSpec {
        name: name.into(),
        image: HELPER_IMAGE.into(),
        command: Some(["sleep", "1000"].map(String::from).into()),
        network: Some(name.into()),
        mounts: vec![Mount { source, target: "/v".into(), read_only: false }],
        labels,
        ..ContainerSpec::default()
    };
    let id = engine.create_container(&spec).await.unwrap();
    engine.start(&id).await.unwrap();
}

fn kinds_of(leftovers: &[Leftover], name: &str) -> Vec<Kind> {
    let mine = leftovers.iter().filter(|leftover| leftover.name == name);
    let mut kinds: Vec<Kind> = mine.map(|leftover| leftover.kind).collect();
    kinds.sort();
    kinds
}

/// A name that no other test of this or another process uses.
fn unique(what: &str) -> String {
    format!("lab-{what}-{}", std::process::id())
}

async fn leftovers_of_the_dead_are_removed_and_nothing_else(lab: Lab) {
    let engine = &lab.engine;
    let [dead, alive] = ["dead", "alive"].map(unique);
    let dead_folder = PathBuf::from("/lab").join(&dead);
    make(engine, &dead, &dead_folder).await;
    make(engine, &alive, &Path::new("/lab").join(&alive)).await;
    // Other runs that may be under way at this engine count as alive.
    let is_locked = |folder: &Path| Some(folder != dead_folder);
    let found = engine.leftovers(Whose::DeadOwners(&is_locked)).await.unwrap();
    assert_eq!(kinds_of(&found, &dead), ALL);
    assert_eq!(found.len(), ALL.len(), "{found:?}");
    let (one, other) =
        tokio::join!(engine.remove_leftovers(found.clone()), engine.remove_leftovers(found));
    assert!(one.failed.is_empty() && other.failed.is_empty(), "{one:?} {other:?}");
    assert_eq!(engine.leftovers(Whose::Run(&dead)).await.unwrap(), []);
    let left = engine.leftovers(Whose::Run(&alive)).await.unwrap();
    assert_eq!(kinds_of(&left, &alive), ALL);
    assert!(engine.remove_leftovers(left).await.failed.is_empty());
}

async fn leftovers_of_one_run_are_removed(lab: Lab) {
    let name = unique("one");
    make(&lab.engine, &name, Path::new("/lab/one")).await;
    let found = lab.engine.leftovers(Whose::Run(&name)).await.unwrap();
    assert_eq!(kinds_of(&found, &name), ALL);
    let removal = lab.engine.remove_leftovers(found).await;
    assert_eq!((removal.removed.len(), removal.failed.len()), (ALL.len(), 0), "{removal:?}");
    assert_eq!(lab.engine.leftovers(Whose::Run(&name)).await.unwrap(), []);
}

async fn folder_of_an_overlay_goes_with_its_volume(lab: Lab) {
    let temp = tempfile::tempdir().unwrap();
    let name = unique("overlay");
    let folder = temp.path().join(format!("loom-overlay-{name}"));
    let [upper, work] = ["upper", "work"].map(|part| folder.join(part));
    fs::create_dir_all(&upper).unwrap();
    fs::create_dir_all(&work).unwrap();
    let overlay = Overlay { lower: &[Path::new("/etc")], upper: &upper, work: &work };
    let labels = Labels {
        run_id: name.clone(),
        owner: Some(Owner::of_this_process(Path::new("/lab/overlay")).unwrap()),
        overlay: Some(folder.clone()),
        ..Labels::default()
    };
    let options = overlay.options();
    lab.engine.create_volume(&name, labels.to_map(), options.as_deref()).await.unwrap();
    let found = lab.engine.leftovers(Whose::Run(&name)).await.unwrap();
    assert_eq!(kinds_of(&found, &name), [Kind::Volume]);
    let removal = lab.engine.remove_leftovers(found).await;
    assert!(removal.failed.is_empty() && !folder.exists(), "{removal:?}");
}

async fn files_of_other_users_are_removed_by_a_helper(lab: Lab) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("loom-overlay-helper");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "").unwrap();
    let labels = Labels { run_id: unique("helper"), ..Labels::default() };
    lab.engine.remove_by_helper(&folder, &labels).await.unwrap();
    assert!(!folder.exists());
    let error = lab.engine.remove_overlay_folder(temp.path(), &labels).await.unwrap_err();
    assert!(matches!(error, EngineError::Local { .. }) && temp.path().exists(), "{error:?}");
}

async fn pull(lab: &Lab, image: &str) -> (Result<(), EngineError>, Vec<PullProgress>) {
    let mut told = Vec::new();
    let pull = Pull::of(image);
    let result = lab.engine.pull(&pull, &mut |progress| told.push(progress.clone())).await;
    (result, told)
}

async fn pull_tells_its_progress(lab: Lab) {
    let image = format!("127.0.0.1:{}/library/blob:1", lab.registry);
    lab.engine.remove_image(&image).await.unwrap();
    let (result, told) = pull(&lab, &image).await;
    result.unwrap();
    let last = told.last().unwrap();
    assert!(last.bytes == last.bytes_total && last.layers == last.layers_total, "{last:?}");
    if lab.engine.flavour == Flavour::Docker {
        assert!(last.bytes >= 1 << 20 && last.layers == 1, "{last:?}");
    }
    let found = lab.engine.image(&image, None).await.unwrap().unwrap();
    let digest = found.repo_digest.unwrap();
    lab.engine.remove_image(&image).await.unwrap();
    pull(&lab, &digest).await.0.unwrap();
    lab.engine.remove_image(&digest).await.unwrap();
    assert_eq!(lab.engine.image(&digest, None).await.unwrap(), None);
}

async fn pull_that_fails_says_what_helps(lab: Lab) {
    let [open, locked] = [lab.registry, lab.registry + 1];
    fails(&lab, &format!("127.0.0.1:{open}/library/none:1"), PullTrouble::NoSuchImage).await;
    fails(&lab, &format!("127.0.0.1:{locked}/library/blob:1"), PullTrouble::Unauthorised).await;
    fails(&lab, "127.0.0.1:1/library/blob:1", PullTrouble::Network).await;
    fails(&lab, "127.0.0.1:1/Library/blob:1", PullTrouble::BadName).await;
}

/// A proxy in front of the registry. Podman insists on TLS at most other ports.
fn faulty_registry(lab: &Lab) -> Proxy {
    Proxy::new("tcp://127.0.0.1:5110", &format!("tcp://127.0.0.1:{}", lab.registry))
}

const FAULTY: &str = "127.0.0.1:5110/library/faulty:1";
const MANIFEST: &str = "/v2/library/faulty/manifests/*";

async fn registry_in_trouble_is_told_from_the_network(lab: Lab) {
    let limit = Fault::Reply(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n\r\n\
         {\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"You have reached your pull rate limit.\"}]}",
    );
    let denied = Fault::Reply(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n\
         Www-Authenticate: Basic realm=\"denied\"\r\n\r\n\
         {\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}",
    );
    for (path, fault, expected) in [
        (MANIFEST, limit, PullTrouble::RateLimited),
        (MANIFEST, Fault::Answer(503, "unavailable"), PullTrouble::Network),
        (MANIFEST, denied, PullTrouble::Unauthorised),
        // Beyond the end of the image's configuration: within its layer.
        ("/v2/library/faulty/blobs/*", Fault::Corrupt(50_000), PullTrouble::Damaged),
    ] {
        let registry = faulty_registry(&lab);
        registry.disturb_each("*", path, fault.clone());
        fails(&lab, FAULTY, expected).await;
        assert!(!registry.disturbed().is_empty(), "{fault:?}");
    }
}

async fn fails(lab: &Lab, image: &str, expected: PullTrouble) {
    let error = pull(lab, image).await.0.unwrap_err();
    let EngineError::Pull { image: named, trouble, message } = &error else { panic!("{error:?}") };
    assert_eq!((named.as_str(), *trouble), (image, expected), "{message}");
    assert!(!message.is_empty() && error.hint().is_some(), "{error:?}");
}

async fn credentials_reach_the_registry(lab: Lab) {
    let registry = format!("127.0.0.1:{}", lab.registry + 1);
    let image = format!("{registry}/library/blob:1");
    let folder = tempfile::tempdir().unwrap();
    for (login, is_right) in [("bGFiOmxhYi1wYXNz", true), ("bGFiOndyb25n", false)] {
        let config = format!(r#"{{"auths": {{"{registry}": {{"auth": "{login}"}}}}}}"#);
        fs::write(folder.path().join("config.json"), config).unwrap();
        let config = DockerConfig::read(Some(folder.path())).unwrap();
        let credentials = config.credentials(&image).await.unwrap();
        let pull = Pull { credentials, ..Pull::of(&image) };
        lab.engine.remove_image(&image).await.unwrap();
        match lab.engine.pull(&pull, &mut |_| {}).await {
            Ok(()) => assert!(is_right),
            Err(EngineError::Pull { trouble: PullTrouble::Unauthorised, .. }) => assert!(!is_right),
            Err(error) => panic!("{error:?}"),
        }
    }
}
