//! What a job's artifacts leave: copies, an archive that `tar` reads, a manifest.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use libloom_testkit::{Repo, Sandbox};
use sha2::{Digest as _, Sha256};

use crate::ran::{Ran, workflow};

const MAKE: &str = "mkdir -p dist/maps empty; echo js >dist/a.js; echo map >dist/maps/a.map; \
    echo run >dist/run; chmod 755 dist/run; ln -s a.js dist/link; ln -s /etc dist/outside; \
    touch -h -d @1000000000 dist/* dist/maps/*";

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// A run of a job `build` with these entries and artifacts.
fn run(repo: &Repo<'_>, entries: &[&str], artifacts: &str) -> Ran {
    let job = workflow([("build", entries.to_vec())]);
    repo.workflow(&format!("{job}  artifacts: {artifacts}\n"));
    Ran::of(repo, &[])
}

/// What `tar` says with these options about the archive.
fn tar(repo: &Repo<'_>, ran: &Ran, options: &str) -> String {
    let archive = ran.job("build")["artifacts"]["archive_path"].as_str().unwrap().to_owned();
    let output = repo.program("tar").arg(options).arg(ran.logs().join(archive)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn files_are_copied_archived_and_listed() {
    with_repo(|repo| {
        let ran = run(repo, &[MAKE], "{paths: [dist/], exclude: ['dist/**/*.map']}").expect_code(0);
        let entry = &ran.job("build")["artifacts"];
        let expected = ["dist/a.js", "dist/link", "dist/outside", "dist/run"];
        let listed: Vec<String> = tar(repo, &ran, "-tzf").lines().map(str::to_owned).collect();
        assert_eq!(listed, expected);

        let folder = ran.logs().join(entry["path"].as_str().unwrap());
        assert_eq!(fs::read(folder.join("dist/a.js")).unwrap(), b"js\n");
        assert_eq!(
            fs::metadata(folder.join("dist/run")).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert!(!folder.join("dist/maps").exists());
        let outside = fs::read_link(folder.join("dist/outside")).unwrap();
        assert_eq!(outside.to_str(), Some("/etc"), "a link is taken as a link");

        let manifest = ran.document(entry["manifest_path"].as_str().unwrap());
        let entries = manifest["entries"].as_array().unwrap();
        let paths: Vec<_> = entries.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
        assert_eq!(paths, expected);
        assert_eq!(entry["count"], entries.len());
        let sum =
            Sha256::digest(b"js\n").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(entries[0]["sha256"], sum);
        assert_eq!(entries[0]["size"], 3);
    });
}

#[test]
fn archive_holds_what_was_made_and_extracts() {
    with_repo(|repo| {
        let ran = run(repo, &[MAKE], "{paths: [dist/]}").expect_code(0);
        let verbose = tar(repo, &ran, "-tvzf");
        let of = |name: &str| verbose.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(of("dist/run").starts_with("-rwxr-xr-x"), "{verbose}");
        assert!(
            of("dist/link").starts_with('l') && of("dist/link").ends_with("-> a.js"),
            "{verbose}"
        );
        assert!(of("dist/a.js").contains("2001-09-09"), "times are the files' own: {verbose}");
    });
}

#[test]
fn same_files_make_the_same_archive() {
    with_repo(|repo| {
        let archive = || {
            let ran = run(repo, &[MAKE], "{paths: [dist/]}").expect_code(0);
            fs::read(ran.logs().join("jobs/build/artifacts/artifacts.tar.gz")).unwrap()
        };
        let first = archive();
        assert!(first.len() > 100 && first == archive());
    });
}

#[test]
fn artifacts_of_a_failed_job_come_only_where_they_are_wanted() {
    with_repo(|repo| {
        for (when, wanted) in [("on_success", false), ("on_failure", true), ("always", true)] {
            let artifacts = format!("{{paths: [dist/], when: {when}}}");
            let ran = run(repo, &[MAKE, "exit 1"], &artifacts).expect_code(1);
            let folder = ran.logs().join("jobs/build/artifacts");
            assert_eq!(folder.join("dist/a.js").exists(), wanted, "{when}");
            assert_eq!(ran.job("build")["artifacts"].is_object(), wanted, "{when}");
        }
    });
}

#[test]
fn pattern_that_matches_nothing_is_noted_and_makes_no_archive() {
    with_repo(|repo| {
        let ran = run(repo, &["true"], "{paths: [none/*]}").expect_code(0);
        let events = ran.events("jobs/build/system/artifact_extract/events.jsonl");
        let notes = events.iter().filter_map(|event| event["text"].as_str());
        assert!(notes.into_iter().any(|text| text.contains("nothing matches `none/*`")));
        assert!(!ran.logs().join("jobs/build/artifacts/artifacts.tar.gz").exists());
    });
}

#[test]
fn artifact_that_cannot_be_written_fails_the_job_in_words() {
    with_repo(|repo| {
        // The run's folder is in the way of the copy: a file where a folder must be.
        let block =
            "touch \"$LOOM_PROJECT_DIR/.loom/.runtime/logs/$LOOM_RUN_ID/jobs/build/artifacts\"";
        let ran = run(repo, &[MAKE, block], "{paths: [dist/]}").expect_code(1);
        let job = ran.job("build");
        assert_eq!([&job["status"], &job["failing_section"]], ["failure", "artifact_extract"]);
        let events = ran.events(job["failing_section_events_path"].as_str().unwrap());
        let error = events.iter().find(|event| event["event"] == "error").unwrap();
        assert!(
            error["text"].as_str().unwrap().contains("cannot take artifact `dist/a.js`"),
            "{error}"
        );
    });
}
