//! Runs cut short anywhere, and trees cut anywhere, become complete, valid and stay as they are.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use libloom_contract::{
    Document as _, Reason, Status, Timestamp,
    event::{Event, EventKind, PhaseCode, RunContext, RunPlan, Section, Stream},
    graph::{Graph, Node, ScriptSection, Step},
    layout::{Layout, RunLayout},
    logs::{JobManifest, JobSummary, PhaseReport, PipelineManifest, RunSummary, StepSummary},
    receipt::{GraphPointer, RunReceipt},
    schema, store,
};

use super::*;
use crate::events::Subject;

const RUN: &str = "loom-run-local-1772865600000000000";

struct Tree {
    folder: tempfile::TempDir,
    layout: Layout,
}

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of_repository(folder.path());
        layout.create().unwrap();
        store::write(&layout.graph("d1"), &graph()).unwrap();
        fs::create_dir_all(layout.run(RUN).folder()).unwrap();
        Tree { folder, layout }
    }

    fn run(&self) -> RunLayout {
        self.layout.run(RUN)
    }

    /// Appends a record as a writer does.
    fn record(&self, path: &str, mut event: Event) {
        let path = self.run().folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        event.seq = fs::read_to_string(&path).unwrap_or_default().lines().count() as u64 + 1;
        event.schema_version = (event.seq == 1).then(|| "loom.runtime.logs.v2".into());
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }

    fn receipt(&self) -> RunReceipt {
        store::read(&self.layout.run_receipt(RUN)).unwrap()
    }

    fn report(&self) -> PhaseReport {
        store::read(&self.run().phase_report()).unwrap()
    }

    /// Every file below the runtime directory with its bytes.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.layout.runtime().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        files
    }
}

fn graph() -> Graph {
    let step = |number, command: &str| Step {
        section: ScriptSection::Script,
        number,
        command: command.into(),
        position: None,
    };
    let steps = vec![step(1, "make"), step(2, "make test"), step(3, "make clean")];
    let node = |id: &str, stage: &str| Node { steps: steps.clone(), ..Node::host(id, stage) };
    Graph {
        schema_version: Graph::FORMAT.to_string(),
        kind: Graph::KIND.into(),
        digest: "d1".into(),
        stages: vec!["build".into(), "deploy".into()],
        workflow_rules: Vec::new(),
        variables: Vec::new(),
        nodes: vec![node("build", "build"), node("deploy", "deploy")],
        edges: Vec::new(),
        sources: Vec::new(),
    }
}

fn with_data(event: Event, data: &impl serde::Serialize) -> Event {
    let serde_json::Value::Object(data) = serde_json::to_value(data).unwrap() else { panic!() };
    Event { data: Some(data), ..event }
}

fn output(job: &str, step: &str, text: &str) -> Event {
    let event = Subject::step(step, job).event(EventKind::Output);
    let (stream, text) = (Some(Stream::Stdout), Some(text.to_owned()));
    Event { stream, text, lines: Some(1), ..event }
}

fn start(subject: &Subject) -> Event {
    subject.event(EventKind::Start)
}

fn failed(subject: &Subject, reason: Reason) -> Event {
    let event = subject.finish(Status::Failure, Some(reason), 5);
    Event { exit_code: Some(2), ..event }
}

fn fine(subject: &Subject) -> Event {
    Event { exit_code: Some(0), ..subject.finish(Status::Success, None, 5) }
}

/// Everything a run writes to its event streams, in order: `build` fails in its second step,
/// `deploy` is not run.
fn history(layout: &Layout) -> Vec<(String, Event)> {
    let context = RunContext {
        command: vec!["loom".into(), "run".into()],
        loom_version: "0.1.0".into(),
        pipeline_id: "loom-local-1772865600000000000".into(),
        repo_root: "/repo".into(),
        workflow_path: "/repo/.loom/workflow.yml".into(),
    };
    let pointer = GraphPointer {
        path: Some(layout.graph("d1").to_string_lossy().into_owned()),
        digest: "d1".into(),
        schema_version: "loom.graph.v1".into(),
    };
    let plan = RunPlan {
        graph_ir: Some(pointer),
        snapshot_path: Some("/tmp/ws".into()),
        snapshot_head_sha: None,
        branch: Some("main".into()),
    };
    let phase = Subject::phase;
    let job = |code| Subject::job(code, "build");
    let (bootstrap, envelope) =
        (phase(PhaseCode::RunBootstrap), phase(PhaseCode::RunPipelineExecute));
    let pipeline = phase(PhaseCode::PipelineExecute);
    let provider = Subject::section(Section::Provider, "build");
    let (one, two) = (Subject::step("script/01", "build"), Subject::step("script/02", "build"));
    let (prepare, execution) = (job(PhaseCode::JobProviderPrepare), job(PhaseCode::JobExecution));
    let cleanup = job(PhaseCode::JobCleanup);
    let of_run = "events.jsonl";
    let of_pipeline = "pipeline/events.jsonl";
    let of_job = "jobs/build/events.jsonl";
    let of_script = "jobs/build/user/execution/events.jsonl";
    let of_provider = "jobs/build/system/provider/events.jsonl";
    let of_one = "jobs/build/user/execution/script/01/events.jsonl";
    let of_two = "jobs/build/user/execution/script/02/events.jsonl";
    let step_failed = Reason::StepFailed;
    let history = vec![
        (of_run, with_data(start(&bootstrap), &context)),
        (of_run, with_data(fine(&bootstrap), &plan)),
        (of_run, start(&envelope)),
        (of_pipeline, start(&pipeline)),
        (of_job, start(&prepare)),
        (of_provider, start(&provider)),
        (of_provider, fine(&provider)),
        (of_job, fine(&prepare)),
        (of_job, start(&execution)),
        (of_script, start(&execution)),
        (of_one, start(&one)),
        (of_script, start(&one)),
        (of_one, output("build", "script/01", "compiling\n")),
        (of_one, fine(&one)),
        (of_script, fine(&one)),
        (of_two, start(&two)),
        (of_script, start(&two)),
        (of_two, output("build", "script/02", "test a ... FAILED\nunfinished")),
        (of_two, failed(&two, Reason::ExitCode)),
        (of_script, failed(&two, Reason::ExitCode)),
        (of_script, failed(&execution, step_failed)),
        (of_job, failed(&execution, step_failed)),
        (of_job, start(&cleanup)),
        (of_job, fine(&cleanup)),
        (of_pipeline, failed(&pipeline, Reason::JobFailed)),
        (of_run, failed(&envelope, Reason::JobFailed)),
    ];
    history.into_iter().map(|(path, event)| (path.to_owned(), event)).collect()
}

/// The tree of a run that was killed after its first `count` records.
fn killed_after(count: usize) -> Tree {
    let tree = Tree::new();
    for (path, event) in history(&tree.layout).into_iter().take(count) {
        tree.record(&path, event);
    }
    tree
}

static SCHEMAS: LazyLock<BTreeMap<&str, jsonschema::Validator>> = LazyLock::new(|| {
    let all = schema::all().into_iter();
    all.map(|(kind, schema)| (kind, jsonschema::validator_for(schema.as_value()).unwrap()))
        .collect()
});

/// Every document is valid, every stream is gapless, every pointer leads somewhere.
fn check(tree: &Tree) {
    for (path, bytes) in tree.files() {
        let name = path.strip_prefix(tree.folder.path()).unwrap().display().to_string();
        if name.ends_with(".json") {
            let value: serde_json::Value = serde_json::from_slice(&bytes).expect(&name);
            let kind = value["kind"].as_str().unwrap();
            SCHEMAS[kind].validate(&value).unwrap_or_else(|error| panic!("{name}: {error}"));
            check_pointers(tree, &value, &name);
        } else if name.ends_with(".jsonl") {
            check_stream(&SCHEMAS[schema::EVENT], &bytes, &name);
        }
    }
}

fn check_stream(schema: &jsonschema::Validator, bytes: &[u8], name: &str) {
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "{name} has a torn end");
    for (place, line) in std::str::from_utf8(bytes).unwrap().lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).expect(name);
        schema.validate(&value).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(value["seq"], place as u64 + 1, "{name}");
        assert_eq!(value.get("schema_version").is_some(), place == 0, "{name}");
    }
}

/// The receipt points out of the tree too; there only what lies in it is looked at.
fn check_pointers(tree: &Tree, value: &serde_json::Value, name: &str) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            match value.as_str().filter(|_| key.ends_with("_path")) {
                Some(path) if !path.starts_with('/') && !path.is_empty() => {
                    assert!(tree.run().folder().join(path).exists(), "{name}: {key} {path}");
                }
                Some(path) if Path::new(path).starts_with(tree.folder.path()) => {
                    assert!(Path::new(path).exists(), "{name}: {key} {path}");
                }
                _ => check_pointers(tree, value, name),
            }
        }),
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| check_pointers(tree, item, name));
        }
        _ => {}
    }
}

#[test]
fn run_killed_after_any_record_becomes_complete_and_stays_so() {
    for count in 0..=history(&Layout::of_repository(Path::new("/"))).len() {
        let tree = killed_after(count);
        complete(&tree.layout, RUN).unwrap();
        check(&tree);
        let receipt = tree.receipt();
        assert_eq!(receipt.status, Status::Cancelled, "{count}");
        assert_eq!((receipt.reason, receipt.exit_code), (Some(Reason::Interrupted), 3));
        assert_eq!(receipt.counts.total, if count < 2 { 0 } else { 2 }, "{count}");
        let report = tree.report();
        assert!(report.valid, "{count} {:?}", report.violations);
        let before = tree.files();
        complete(&tree.layout, RUN).unwrap();
        assert!(before == tree.files(), "not idempotent after {count} records");
    }
}

#[test]
fn step_that_was_running_is_what_the_pointers_lead_to() {
    let tree = killed_after(18);
    complete(&tree.layout, RUN).unwrap();
    let run = tree.run();
    let pipeline: PipelineManifest = store::read(&run.pipeline_manifest()).unwrap();
    assert_eq!(pipeline.failing_job_id.as_deref(), Some("build"));
    let manifest = run.folder().join(pipeline.failing_job_manifest_path.unwrap());
    let job: JobManifest = store::read(&manifest).unwrap();
    assert_eq!(job.failing_step.as_deref(), Some("script/02"));
    let words: Vec<_> = job.steps.iter().map(|step| step.status.word()).collect();
    assert_eq!(words, ["success", "cancelled", "cancelled"]);
    let summary: StepSummary = store::read(&run.folder().join(&job.steps[1].summary_path)).unwrap();
    assert_eq!((summary.output_lines, summary.stdout_bytes), (2, 28));
    assert_eq!(summary.command, "make test");
    let deploy: JobManifest = store::read(&run.job("deploy").manifest()).unwrap();
    assert_eq!((deploy.status, deploy.reason), (Status::Cancelled, Some(Reason::Interrupted)));
    assert!(deploy.steps.is_empty());
}

#[test]
fn failure_before_the_death_stays_a_failure() {
    let tree = killed_after(22);
    complete(&tree.layout, RUN).unwrap();
    let manifest: JobManifest = store::read(&tree.run().job("build").manifest()).unwrap();
    assert_eq!((manifest.status, manifest.reason), (Status::Failure, Some(Reason::StepFailed)));
    assert_eq!(manifest.failing_step.as_deref(), Some("script/02"));
    let summary: JobSummary = store::read(&tree.run().job("build").summary()).unwrap();
    assert_eq!(summary.exit_code, Some(2));
    let statuses: Vec<_> = manifest.steps.iter().map(|step| step.status).collect();
    assert_eq!(statuses, [Status::Success, Status::Failure, Status::Skipped]);
    assert_eq!(tree.receipt().counts.failure, 1);
}

#[test]
fn job_that_was_not_prepared_is_a_failure() {
    let tree = killed_after(4);
    let prepare = Subject::job(PhaseCode::JobProviderPrepare, "build");
    let verdict = prepare.finish(Status::Failure, Some(Reason::ProviderUnavailable), 1);
    let cleanup = Subject::job(PhaseCode::JobCleanup, "build");
    for event in [start(&prepare), verdict, start(&cleanup), fine(&cleanup)] {
        tree.record("jobs/build/events.jsonl", event);
    }
    complete(&tree.layout, RUN).unwrap();
    let manifest: JobManifest = store::read(&tree.run().job("build").manifest()).unwrap();
    assert_eq!(manifest.reason, Some(Reason::ProviderUnavailable));
    assert_eq!(manifest.failing_step, None);
}

#[test]
fn tree_cut_anywhere_is_completed_again() {
    let tree = killed_after(usize::MAX);
    complete(&tree.layout, RUN).unwrap();
    let whole = tree.files();
    for (path, bytes) in &whole {
        let name = path.to_string_lossy().into_owned();
        if name.ends_with(".gitignore") || name.contains("/graphs/") {
            continue;
        }
        let lengths = (0..bytes.len()).step_by(1 + bytes.len() / 25);
        for length in lengths.chain(bytes.len().checked_sub(1)) {
            for (path, bytes) in &whole {
                fs::write(path, bytes).unwrap();
            }
            fs::write(path, &bytes[..length]).unwrap();
            complete(&tree.layout, RUN).unwrap();
            check(&tree);
            assert_eq!(tree.receipt().run_id, RUN);
        }
    }
}

#[test]
fn damaged_line_in_the_middle_is_reported_and_hides_nothing() {
    let tree = killed_after(18);
    let path = tree.run().job("build").events();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("{\"seq\":2", "{#\"seq\":2", 1)).unwrap();
    complete(&tree.layout, RUN).unwrap();
    let report = tree.report();
    let message = "line 2 of its event stream is damaged";
    assert!(report.violations.iter().any(|violation| violation.message == message), "{report:?}");
    assert_eq!(tree.receipt().counts.total, 2);
}

#[test]
fn half_written_documents_are_removed_and_files_of_users_are_not() {
    let tree = killed_after(18);
    let job = tree.run().job("build");
    let receipts = tree.layout.receipts();
    let ours = [
        job.folder().join(".tmp-7-1-summary.json"),
        tree.run().folder().join(".tmp-7-2-summary.json"),
        receipts.join(format!(".tmp-7-3-{RUN}.json")),
    ];
    let others =
        [job.artifacts().join("out/.tmp-1-file"), receipts.join(".tmp-9-3-loom-run-local-5.json")];
    for path in ours.iter().chain(&others) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    complete(&tree.layout, RUN).unwrap();
    assert_eq!(ours.map(|path| path.exists()), [false; 3]);
    assert_eq!(others.map(|path| path.exists()), [true; 2]);
}

#[test]
fn newer_format_is_left_alone() {
    let tree = killed_after(18);
    let path = tree.run().events();
    let text = fs::read_to_string(&path).unwrap().replace("logs.v2", "logs.v3");
    fs::write(&path, text).unwrap();
    let before = tree.files();
    let error = complete(&tree.layout, RUN).unwrap_err();
    assert!(matches!(error, CompleteError::Stream(StreamError::Version { .. })));
    assert!(before == tree.files());
}

#[test]
fn without_its_graph_a_run_is_completed_from_its_folders() {
    let tree = killed_after(18);
    fs::remove_file(tree.layout.graph("d1")).unwrap();
    complete(&tree.layout, RUN).unwrap();
    let manifest: JobManifest = store::read(&tree.run().job("build").manifest()).unwrap();
    assert_eq!(manifest.failing_step.as_deref(), Some("script/02"));
    assert_eq!(tree.receipt().counts.total, 1);
}

#[test]
fn only_dead_runs_are_completed() {
    let tree = killed_after(18);
    let lock = lock::take(tree.run().folder()).unwrap();
    assert!(complete_dead_runs(&tree.layout).unwrap().is_empty());
    drop(lock);
    let (living, dead) = ("loom-run-local-2", "loom-run-local-3");
    for run in [living, dead] {
        fs::create_dir(tree.layout.run(run).folder()).unwrap();
    }
    let _lock = lock::take(tree.layout.run(living).folder()).unwrap();
    let completed = complete_dead_runs(&tree.layout).unwrap();
    let names: Vec<&str> = completed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [RUN, dead]);
    assert!(completed.iter().all(|(_, result)| result.is_ok()));
    assert!(complete_dead_runs(&tree.layout).unwrap().is_empty());
    assert!(fs::read_dir(tree.layout.run(living).folder()).unwrap().next().is_none());
}

#[test]
fn nothing_to_complete_where_there_is_no_runtime_directory() {
    let folder = tempfile::tempdir().unwrap();
    assert!(complete_dead_runs(&Layout::of_repository(folder.path())).unwrap().is_empty());
}

#[test]
fn run_that_is_a_link_is_completed_where_it_lies() {
    let tree = killed_after(18);
    let workspace = tempfile::tempdir().unwrap();
    let there = Layout::of_repository(workspace.path());
    for folder in [there.logs(), there.receipts()] {
        fs::create_dir_all(folder).unwrap();
    }
    let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
    link(tree.run().folder().to_owned(), there.run(RUN).folder().to_owned()).unwrap();
    link(tree.layout.run_receipt(RUN), there.run_receipt(RUN)).unwrap();
    assert_eq!(complete_dead_runs(&there).unwrap().len(), 1);
    assert!(there.run_receipt(RUN).is_symlink());
    assert_eq!(tree.receipt().run_id, RUN);
    let summary: RunSummary = store::read(&there.run(RUN).summary()).unwrap();
    assert!(summary.finished_at <= Timestamp::now());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(150))]
    #[test]
    fn damage_of_any_kind_is_survived(
        count in 0..27usize,
        hits in proptest::collection::vec((proptest::num::usize::ANY, 0..9000usize, 0..=255u8), 1..6),
    ) {
        let tree = killed_after(count);
        complete(&tree.layout, RUN).unwrap();
        let files: Vec<(PathBuf, Vec<u8>)> = tree.files().into_iter().collect();
        for (file, place, byte) in hits {
            let (path, bytes) = &files[file % files.len()];
            let mut bytes = bytes.clone();
            let place = place % bytes.len();
            bytes[place] = byte;
            fs::write(path, bytes).unwrap();
        }
        // A digit of a version may have been hit: then the run is left alone, with an error.
        if complete(&tree.layout, RUN).is_ok() {
            proptest::prop_assert!(matches!(
                crate::read::state(&tree.layout, RUN),
                crate::read::RunState::Finished(_)
            ));
        }
    }
}
