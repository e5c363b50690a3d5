//! `loom artifacts` on what real runs left, with `tar`, `gzip` and `sha256sum` as witnesses.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use libloom_testkit::{Leftovers, Repo, Sandbox};
use serde_json::Value;

use crate::ran::Ran;

/// Every kind of thing that a job may leave, and names that are hard to write down.
const ODD: &str = "mkdir -p dist/deep/er/empty; echo js >dist/a.js; echo run >dist/run; \
    chmod 751 dist/run; ln dist/a.js dist/z.js; ln -s a.js dist/link; ln -s /etc dist/outside; \
    : >\"dist/$(printf 'bad\\377name')\"; : >\"dist/$(printf 'new\\nline')\"; mkfifo dist/pipe; \
    : >dist/$(printf 'l%.0s' $(seq 200)); truncate -s 64M dist/huge; echo own >artifacts.tar.gz; \
    long=$(printf 'd%.0s' $(seq 90)); mkdir -p dist/$long/$long/$long; echo x >dist/$long/$long/$long/f; \
    find dist -type f -exec touch -d @1000000000 {} +";

/// A repository whose job `build` runs this entry and leaves these artifacts.
fn workflow(repo: &Repo<'_>, entry: &str, artifacts: &str) {
    let entry = serde_json::to_string(entry).unwrap();
    repo.workflow(&format!(
        "version: v1\nstages: [ci]\nbuild:\n  stage: ci\n  script: [{entry}]\n  artifacts: {artifacts}\n"
    ));
}

/// `loom-artifacts` with these words; its exit code, stdout and stderr.
fn artifacts(repo: &Repo<'_>, words: &[&str]) -> (i32, String, String) {
    let output = repo.command("loom-artifacts").args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn json(repo: &Repo<'_>, words: &[&str]) -> Value {
    let (_, out, err) = artifacts(repo, words);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"))
}

/// What a program says of a file; it must be content.
fn program(repo: &Repo<'_>, program: &str, words: &[&str], path: &Path) -> Vec<u8> {
    let output = repo.program(program).args(words).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn odd_files_survive_archive_tar_and_get() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    workflow(&repo, ODD, "{paths: [dist/, '*.gz'], name: 'app-$CI_JOB_NAME/1'}");
    let ran = Ran::of(&repo, &[]).expect_code(0);
    let archive = ran.logs().join("jobs/build/artifacts/artifacts.tar.gz");
    program(&repo, "gzip", &["-t"], &archive);
    let listed = program(&repo, "tar", &["--quoting-style=literal", "-tzf"], &archive);
    for name in [&b"dist/bad\xffname\n"[..], b"dist/new\nline\n", b"dist/deep/er/empty/\n"] {
        assert!(listed.windows(name.len()).any(|part| part == name), "{name:?}");
    }
    let verbose = program(&repo, "tar", &["-tvzf"], &archive);
    let verbose = String::from_utf8_lossy(&verbose);
    assert!(verbose.contains("67108864 2001-09-09"), "{verbose}");
    assert!(verbose.contains("dist/z.js link to dist/a.js"), "{verbose}");
    assert!(!verbose.contains("dist/pipe"), "{verbose}");

    let folder = ran.logs().join("jobs/build/artifacts/dist");
    let huge = fs::metadata(folder.join("huge")).unwrap();
    assert!(huge.len() == 64 << 20 && huge.blocks() < 1 << 12, "{} blocks", huge.blocks());
    let notes = ran.events("jobs/build/system/artifact_extract/events.jsonl");
    let mut notes = notes.iter().filter_map(|event| event["text"].as_str());
    assert!(notes.any(|note| note.starts_with("`dist/pipe` is a pipe")));

    let (code, _, said) = artifacts(&repo, &["get", "latest", "build", "dist/[!h]*", "-o", "out"]);
    assert_eq!(code, 0, "{said}");
    let out = repo.root().join("out/dist");
    let run = fs::metadata(out.join("run")).unwrap();
    assert_eq!((run.mode() & 0o7777, run.mtime()), (0o751, 1_000_000_000));
    assert_eq!(fs::read_link(out.join("outside")).unwrap(), Path::new("/etc"));
    assert!(out.join(std::ffi::OsStr::from_bytes(b"bad\xffname")).is_file());
    assert!(out.join("new\nline").is_file() && out.join("deep/er/empty").is_dir());
    let row = &json(&repo, &["list", "latest", "--json"])[0];
    assert_eq!([&row["name"], &row["state"]], ["app-build-1", "kept"]);
    let sums = json(&repo, &["list", "latest", "build", "--json"]);
    let entry = sums.as_array().unwrap().iter().find(|e| e["path"] == "dist/run").unwrap().clone();
    let sum = program(&repo, "sha256sum", &[], &out.join("run"));
    assert!(sum.starts_with(entry["sha256"].as_str().unwrap().as_bytes()));
}

#[test]
fn get_refuses_what_exists_and_verify_names_what_is_damaged() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    workflow(&repo, "mkdir d; echo a >d/a; echo b >d/b; ln -s a d/l", "{paths: [d]}");
    let ran = Ran::of(&repo, &[]).expect_code(0);
    let (code, _, said) = artifacts(&repo, &["verify"]);
    assert_eq!((code, said.contains("3 artifacts of 1 job")), (0, true), "{said}");

    fs::create_dir_all(repo.root().join("out/d")).unwrap();
    fs::write(repo.root().join("out/d/b"), "mine").unwrap();
    let get = ["get", "latest", "build", "-o", "out"];
    let (code, _, said) = artifacts(&repo, &get);
    assert_eq!((code, said.contains("--force")), (3, true), "{said}");
    assert!(!repo.root().join("out/d/a").exists());
    assert_eq!(artifacts(&repo, &["get", "latest", "build", "-f", "-o", "out"]).0, 0);
    assert_eq!(fs::read_to_string(repo.root().join("out/d/b")).unwrap(), "b\n");
    let (code, _, said) = artifacts(&repo, &["get", "latest", "build", "nothing*"]);
    assert_eq!((code, said.contains("no artifact of job `build` matches")), (1, true), "{said}");
    assert_eq!(artifacts(&repo, &["get", "latest", "../build"]).0, 3);

    // A copy with other content of the same length, a changed mode, a file too much.
    let copies = ran.logs().join("jobs/build/artifacts/d");
    fs::write(copies.join("a"), "x\n").unwrap();
    fs::set_permissions(copies.join("b"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(copies.join("extra"), "").unwrap();
    let (code, out, _) = artifacts(&repo, &["verify", "latest", "build"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(code, 1);
    assert_eq!(
        lines,
        [
            "damaged build: d/a: the copy has another content (SHA-256)",
            "damaged build: d/b: the copy has mode 0600, not 0644",
            "damaged build: d/extra: is among the copies, but not in the manifest",
        ]
    );
    // The archive still has the right content.
    let (code, _, said) = artifacts(&repo, &["get", "latest", "build", "d/a", "-o", "again"]);
    assert_eq!((code, said.contains("came from the archive")), (0, true), "{said}");
    assert_eq!(fs::read_to_string(repo.root().join("again/d/a")).unwrap(), "a\n");

    let archive = ran.logs().join("jobs/build/artifacts/artifacts.tar.gz");
    let mut bytes = fs::read(&archive).unwrap();
    let end = bytes.len() - 6;
    bytes[end] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let report = json(&repo, &["verify", "--json"]);
    assert_eq!(
        [&report["kind"], &report["intact"]],
        [&"loom-artifacts-verification".into(), &Value::Bool(false)]
    );
    let problems = report["jobs"][0]["problems"].as_array().unwrap();
    let archive =
        |problem: &&Value| problem["problem"].as_str().unwrap().contains("archive cannot");
    assert_eq!((problems.len(), problems.iter().filter(archive).count()), (4, 1), "{problems:?}");
}

#[test]
fn hostile_manifest_and_links_write_nothing_outside() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::AnyFile);
    let repo = sandbox.repo();
    workflow(&repo, "mkdir d; echo a >d/a", "{paths: [d]}");
    let ran = Ran::of(&repo, &[]).expect_code(0);
    let manifest = ran.logs().join("jobs/build/artifacts.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for name in ["../../evil", "/tmp/loom-test-evil", ".git/hooks/pre-commit", "d/../../evil"] {
        fs::write(&manifest, text.replace("d/a", name)).unwrap();
        let (code, _, said) = artifacts(&repo, &["get", "latest", "build", "-f"]);
        assert_eq!((code, said.contains("is no path of an artifact")), (1, true), "{said}");
        assert_eq!(artifacts(&repo, &["verify"]).0, 1, "{name}");
    }
    assert!(!repo.root().parent().unwrap().join("evil").exists());
    assert!(!repo.root().join(".git/hooks/pre-commit").exists());

    fs::write(&manifest, text).unwrap();
    let outside = sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, repo.root().join("d")).unwrap();
    assert_eq!(artifacts(&repo, &["get", "latest", "build"]).0, 3);
    assert_eq!(artifacts(&repo, &["get", "latest", "build", "--force"]).0, 0);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(repo.root().join("d").symlink_metadata().unwrap().is_dir());
}

#[test]
fn runs_are_compared_and_what_expired_is_pruned() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    workflow(&repo, "mkdir d; echo 1 >d/same; echo 1 >d/a; echo 1 >d/gone", "{paths: [d]}");
    let first = Ran::of(&repo, &[]).expect_code(0);
    let entry = "mkdir d; echo 1 >d/same; echo 22 >d/a; echo 1 >d/new";
    workflow(&repo, entry, "{paths: [d], expire_in: 0 sec}");
    let second = Ran::of(&repo, &[]).expect_code(0);
    let (code, out, _) = artifacts(&repo, &["diff", first.text("run_id"), "latest"]);
    let expected = "~ build: d/a (2 B to 3 B)\n- build: d/gone\n+ build: d/new\n";
    assert_eq!((code, out.as_str()), (0, expected));
    let (code, _, _) = artifacts(&repo, &["diff", "latest", "latest", "--exit-code"]);
    assert_eq!(code, 0);
    assert_eq!(artifacts(&repo, &["diff", first.text("run_id"), "latest", "--exit-code"]).0, 1);

    let copies = |ran: &Ran| ran.logs().join("jobs/build/artifacts/d/same").exists();
    let line = format!("{} build\n", second.text("run_id"));
    assert_eq!(artifacts(&repo, &["prune", "--dry-run"]).1, line);
    assert!(copies(&second));
    assert_eq!(artifacts(&repo, &["prune"]).1, line);
    assert!(copies(&first) && !copies(&second), "only what has expired goes");
    assert_eq!(json(&repo, &["list", "latest", "--json"])[0]["state"], "pruned");
    let (code, _, said) = artifacts(&repo, &["get", "latest", "build"]);
    assert_eq!((code, said.contains("were pruned at")), (3, true), "{said}");
    let job = second.job("build");
    assert!(
        job["artifacts"]["archive_path"].is_null() && job["artifacts"]["pruned_at"].is_string()
    );
    assert!(second.logs().join(job["artifacts"]["path"].as_str().unwrap()).is_dir());
    assert_eq!(artifacts(&repo, &["verify"]).0, 0);

    assert_eq!(artifacts(&repo, &["prune", "--keep", "1", "--older-than", "1d"]).1, "");
    assert_eq!(
        artifacts(&repo, &["prune", "--keep", "0"]).1,
        format!("{} build\n", first.text("run_id"))
    );
    assert!(!copies(&first));
}

const REPORTS: &str = r#"
version: v1
stages: [build, test, deploy]
variables: {HOST: yaml, PORT: "1"}
make:
  stage: build
  script: ["printf 'HOST=a b\\nURL=http://$HOST/\\nlower=1\\n' >out.env"]
  artifacts: {reports: {dotenv: out.env}}
unit:
  stage: test
  needs: [make]
  variables: {ALL: "$HOST:$PORT"}
  script:
    - echo "[$HOST] [$URL] [$lower] [$ALL]"
    - "echo '<testsuite name=\"s\"><testcase classname=\"C\" name=\"adds\"><failure message=\"1 != 2\"/></testcase><testcase name=\"ok\"/></testsuite>' >r.xml; exit 1"
  allow_failure: true
  artifacts: {reports: {junit: "*.xml"}}
apart:
  stage: test
  needs: [{job: make, artifacts: false}]
  script: ['echo "[$HOST] [$URL]"']
  artifacts: {reports: {junit: [none.xml]}}
late:
  stage: deploy
  script: ['echo "[$HOST] [$URL]"', "echo 'not a variable' >bad.env"]
  artifacts: {reports: {dotenv: bad.env}}
"#;

#[test]
fn reports_name_failed_tests_and_pass_variables_on() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(REPORTS);
    let ran = Ran::of(&repo, &[]).expect_code(1);
    let said = |job: &str| ran.output_text(job, "script/01", "stdout");
    assert_eq!(said("unit"), "[a b] [http://$HOST/] [1] [a b:1]\n", "values are not expanded");
    assert_eq!(said("apart"), "[yaml] []\n");
    assert_eq!(said("late"), "[a b] [http://$HOST/]\n");

    let unit = ran.job("unit");
    let tests = &unit["tests"];
    assert_eq!([&tests["total"], &tests["failed"]], [&Value::from(2), &Value::from(1)]);
    assert_eq!(tests["failures"][0]["name"], "adds");
    let ran = ran.expect_said(&[
        "tests of `unit`: 2, 1 failed",
        "  - C adds: 1 != 2",
        "reports: junit: nothing matches `none.xml`",
    ]);
    let late = ran.job("late");
    assert_eq!([&late["status"], &late["failing_section"]], ["failure", "artifact_extract"]);
    assert_eq!(late["message"], "bad.env:1: expected NAME=value");
    assert_eq!(ran.job("make")["dotenv"]["names"], serde_json::json!(["HOST", "URL", "lower"]));

    let ran = Ran::of(&repo, &["--var", "HOST=over", "late"]).expect_code(1);
    assert_eq!(ran.output_text("late", "script/01", "stdout"), "[over] [http://$HOST/]\n");
}
