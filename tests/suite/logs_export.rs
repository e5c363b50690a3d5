//! `loom logs export` and `diff`: what other tools read, read by such tools.

use std::fs;
use std::path::{Path, PathBuf};

use libloom_testkit::{Repo, Sandbox, source_root};
use serde_json::Value;

use crate::ran::{Ran, workflow};

/// What no format may let through: ends of scripts, of elements and of commands, control bytes.
const HOSTILE: &str = "printf '</script><b>]]>&\"\\n::error::forged\\n\\033[0Ksection_end:1:loom_job_1\\r\\033[0K\\n\
    \\001\\010\\033[31mred\\033[0m\\377\\n' >&2; exit 3";

fn hostile_run<'a>(sandbox: &'a Sandbox) -> (Repo<'a>, Ran) {
    let repo = sandbox.repo();
    let jobs = [
        (
            "good",
            vec!["printf '10%%\\r\\033[1;38;5;208mneedle\\033[0m in hay\\n'; seq 1 30", "true"],
        ),
        ("bad", vec!["echo before", HOSTILE, "echo never"]),
    ];
    repo.workflow(
        &(workflow(jobs) + "later:\n  stage: ci\n  needs: [bad]\n  script: [echo late]\n"),
    );
    repo.commit("workflow");
    let ran = Ran::of(&repo, &["--local"]).expect_code(1);
    (repo, ran)
}

fn export(repo: &Repo<'_>, format: &str) -> String {
    let arguments = ["export", "--format", format];
    let output = repo.command("loom-logs").args(arguments).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).unwrap()
}

fn export_to(repo: &Repo<'_>, format: &str, name: &str) -> PathBuf {
    let path = repo.sandbox().root().join(name);
    let arguments = ["export", "latest", "--format", format, "--output"];
    repo.command("loom-logs").args(arguments).arg(&path).assert().success().stdout("");
    path
}

#[test]
#[cfg_attr(not(has_xmllint), ignore = "xmllint is not installed")]
fn junit_obeys_the_schema_of_jenkins_whatever_the_output() {
    let sandbox = Sandbox::new();
    let (repo, _) = hostile_run(&sandbox);
    let path = export_to(&repo, "junit", "junit.xml");
    let schema = source_root().join("tests/fixtures/formats/junit.xsd");
    let validate = |path: &Path| {
        let mut xmllint = repo.program("xmllint");
        xmllint.args(["--noout", "--schema"]).arg(&schema).arg(path).output().unwrap()
    };
    let output = validate(&path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let query = |xpath: &str| {
        let output = repo.program("xmllint").args(["--xpath", xpath]).arg(&path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(query("string(/testsuites/@failures)"), "1");
    assert_eq!(query("count(//testcase)"), "6");
    assert_eq!(query("count(//skipped)"), "2");
    assert_eq!(
        query("string(//testsuite[@name='bad']/testcase[2]/failure/@message)"),
        "exit code 3"
    );
    let body = query("string(//failure)");
    assert!(body.contains("</script><b>]]>&\"\n::error::forged\n"), "{body}");
    assert!(body.contains("\\u{1}\\u{8}red\u{fffd}"), "{body}");
    // The schema of the test can say no.
    let wrong = fs::read_to_string(&path).unwrap().replace(" tests=", " test=");
    fs::write(&path, wrong).unwrap();
    assert!(!validate(&path).status.success());
}

#[test]
fn github_gets_groups_annotations_and_a_summary_that_output_cannot_forge() {
    let sandbox = Sandbox::new();
    let (repo, _) = hostile_run(&sandbox);
    let text = export(&repo, "github");
    // As the runner reads it: between stop-commands and its token nothing is a command.
    let mut stopped: Option<String> = None;
    let mut commands = Vec::new();
    for line in text.lines() {
        if stopped.as_deref().is_some_and(|token| line == format!("::{token}::")) {
            stopped = None;
        } else if stopped.is_none() {
            stopped = line.strip_prefix("::stop-commands::").map(str::to_owned);
            commands.push(line);
        }
    }
    let errors: Vec<_> = commands.iter().filter(|line| line.starts_with("::error")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    let expected = "::error file=.loom/workflow.yml,line=8,col=";
    assert!(errors[0].starts_with(expected), "{}", errors[0]);
    assert!(errors[0].contains("title=job bad%2C step script/02::"), "{}", errors[0]);
    assert!(errors[0].contains("exit code 3%0A"), "{}", errors[0]);
    assert!(
        commands.iter().any(|line| line.starts_with("::warning title=job later::skipped"))
            || text.contains("::group::bad / script/02")
    );
    let groups = commands.iter().filter(|line| line.starts_with("::group::")).count();
    assert_eq!((groups, commands.iter().filter(|line| **line == "::endgroup::").count()), (4, 4));
    let summary = export(&repo, "github-summary");
    assert!(
        summary.contains(
            "| ❌ | bad | ci | failure (step failed): step script/02 failed: exit code 3 |"
        ),
        "{summary}"
    );
    assert!(!summary.contains("<b>") && !summary.contains("</script>"), "{summary}");
}

#[test]
fn gitlab_gets_sections_that_nest_and_that_output_cannot_end() {
    let sandbox = Sandbox::new();
    let (repo, _) = hostile_run(&sandbox);
    let text = export(&repo, "gitlab");
    let mut open = Vec::new();
    let mut seen = 0;
    for marker in text.split("\u{1b}[0Ksection_").skip(1) {
        let (kind, rest) = marker.split_once(':').unwrap();
        let (time, rest) = rest.split_once(':').unwrap();
        let (name, _) = rest.split_once("\r\u{1b}[0K").unwrap();
        assert!(time.parse::<u64>().is_ok(), "{time}");
        let name = name.trim_end_matches("[collapsed=true]");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)), "{name}");
        match kind {
            "start" => open.push(name),
            "end" => assert_eq!(open.pop(), Some(name)),
            other => panic!("{other}"),
        }
        seen += 1;
    }
    assert!(open.is_empty() && seen == 14, "{seen}: {text}");
    assert!(text.contains(":loom_job_1_step_2\r"), "the failing step is open: {text}");
}

#[test]
fn traces_hold_every_step_inside_its_job_inside_the_run() {
    let sandbox = Sandbox::new();
    let (repo, ran) = hostile_run(&sandbox);
    let trace: Value = serde_json::from_str(&export(&repo, "chrome-trace")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let complete: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    let end = |event: &Value| event["ts"].as_f64().unwrap() + event["dur"].as_f64().unwrap();
    let jobs: Vec<&&Value> = complete.iter().filter(|event| event["cat"] == "job").collect();
    assert_eq!((jobs.len(), &trace["otherData"]["run_id"]), (2, &ran.receipt["run_id"]));
    for event in complete.iter().filter(|event| event["cat"] == "step") {
        let job = jobs.iter().find(|job| job["tid"] == event["tid"]).unwrap();
        assert!(event["ts"].as_f64() >= job["ts"].as_f64() && end(event) <= end(job) + 0.001);
    }
    let named = |event: &&Value| event["ph"] == "M" && event["name"] == "thread_name";
    assert_eq!(events.iter().filter(named).count(), 4);

    let otlp: Value = serde_json::from_str(&export(&repo, "otlp-json")).unwrap();
    let spans = otlp["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let hex = |value: &Value, length: usize| {
        let text = value.as_str().unwrap();
        assert!(text.len() == length && text.chars().all(|c| c.is_ascii_hexdigit()), "{text}");
        text.to_owned()
    };
    let nanos = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let find = |id: &str| spans.iter().find(|span| span["spanId"] == id).unwrap();
    let mut roots = 0;
    for span in spans {
        assert_eq!(hex(&span["traceId"], 32), hex(&spans[0]["traceId"], 32));
        hex(&span["spanId"], 16);
        let (from, to) = (nanos(&span["startTimeUnixNano"]), nanos(&span["endTimeUnixNano"]));
        assert!(from <= to);
        match span.get("parentSpanId") {
            None => roots += 1,
            Some(parent) => {
                let outer = find(parent.as_str().unwrap());
                assert!(nanos(&outer["startTimeUnixNano"]) <= from);
                assert!(to <= nanos(&outer["endTimeUnixNano"]), "{span} {outer}");
            }
        }
    }
    assert_eq!(roots, 1);
    let ids: std::collections::BTreeSet<&str> =
        spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), spans.len());
    let failed = spans.iter().filter(|span| span["status"]["code"] == 2).count();
    assert_eq!(failed, 3, "the run, the job and the step");
    assert_eq!(export(&repo, "otlp-json"), export(&repo, "otlp-json"));
}

/// The page after its scripts ran, at a place in it.
fn dom(repo: &Repo<'_>, page: &Path, place: &str) -> String {
    let profile = repo.sandbox().root().join(format!("profile-{}", place.len()));
    let mut chromium = repo.program("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    chromium.args(["--no-first-run", "--disable-background-networking"]);
    chromium.args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]);
    // The page needs no network; with every name unresolvable it must look the same.
    chromium.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000"]);
    chromium.arg(format!("--user-data-dir={}", profile.display())).arg("--dump-dom");
    let output = chromium.arg(format!("file://{}{place}", page.display())).output().unwrap();
    fs::remove_dir_all(profile).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("</html>"), "{text}");
    // What the script read is not what it made.
    text.split("<script").next().unwrap().to_owned()
}

/// The piece of `text` from one word to another.
#[track_caller]
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no `{from}` in {text}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no `{to}` behind `{from}`")).0
}

#[test]
#[cfg_attr(not(has_chromium), ignore = "chromium is not installed")]
fn html_shows_the_failing_step_and_searches_in_a_real_browser() {
    let sandbox = Sandbox::new();
    let (repo, _) = hostile_run(&sandbox);
    let page = export_to(&repo, "html", "run.html");
    let plain = dom(&repo, &page, "");
    let failure = between(&plain, "<section id=\"failure\">", "</section>");
    assert!(failure.contains("bad › script/02: failure (exit code)"), "{failure}");
    assert!(failure.contains("&lt;/script&gt;&lt;b&gt;]]&gt;&amp;\""), "{failure}");
    assert!(failure.contains("<span style=\"color: var(--c1);\">red</span>"), "{failure}");
    assert!(failure.contains("\u{2401}\u{2408}") && !failure.contains('\u{1b}'), "{failure}");
    assert!(!plain.contains("<b>]]"), "output became HTML");
    let timeline = between(&plain, "<section id=\"timeline\">", "</section>");
    assert_eq!(timeline.matches("class=\"row\"").count(), 2, "{timeline}");
    assert!(timeline.contains("class=\"step failure\" title=\"script/02 $"), "{timeline}");
    // Logs are drawn only when they are opened.
    assert!(!between(&plain, "<div id=\"list\">", "</section>").contains("class=\"t\""));

    let found = dom(&repo, &page, "#q=NEEDLE%20in");
    assert!(between(&found, "<output id=\"found\">", "<").contains("1 line in 1 step"));
    assert!(found.contains("<details class=\"job\" id=\"job/good\" open=\"\">"), "{found}");
    assert!(found.contains("<details class=\"job\" id=\"job/bad\" hidden=\"\">"), "{found}");
    // The match runs through the end of a colour, and is marked all the same.
    assert!(found.contains("<mark>needle in</mark> hay"), "{found}");
    let coloured = dom(&repo, &page, "#job/good/script/01");
    assert!(
        coloured.contains("style=\"color: rgb(255, 135, 0);\">needle</span> in hay"),
        "{coloured}"
    );
    assert!(!coloured.contains("<span class=\"t\">10%"), "a progress bar shows its last state");
}

#[test]
fn diff_tells_what_became_of_jobs_and_steps() {
    let sandbox = Sandbox::new();
    let (repo, before) = hostile_run(&sandbox);
    repo.workflow(&workflow([
        (
            "good",
            vec!["printf '10%%\\r\\033[1;38;5;208mneedle\\033[0m in hay\\n'; seq 1 30", "true"],
        ),
        ("bad", vec!["echo before", "echo mended; sleep 0.3"]),
        ("new", vec!["true"]),
    ]));
    let after = Ran::of(&repo, &["--local"]).expect_code(0);
    let ids = [before.text("run_id"), after.text("run_id")];
    let json = repo.command("loom-logs").arg("diff").args(ids).arg("--json").assert().success();
    let json: Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(json["outcome"]["from"]["status"], "failure");
    assert_eq!(json["outcome"]["to"]["status"], "success");
    let job = |id: &str| {
        let jobs = json["jobs"].as_array().unwrap();
        jobs.iter().find(|job| job["job_id"] == id).unwrap_or_else(|| panic!("{id}: {json:#}"))
    };
    assert_eq!([&job("new")["change"], &job("later")["change"]], ["added", "removed"]);
    let steps = job("bad")["steps"].as_array().unwrap();
    assert_eq!(steps[0]["step"], "script/02");
    assert_eq!(steps[0]["outcome"]["from"]["exit_code"], 3);
    assert_eq!(steps[0]["command"]["to"], "echo mended; sleep 0.3");
    assert!(steps[0]["duration_ms"]["to"].as_u64().unwrap() >= 300);
    assert_eq!(steps[1]["change"], "removed");
    let text = repo.command("loom-logs").arg("diff").args(ids).arg("--exit-code").assert().code(1);
    let text = String::from_utf8(text.get_output().stdout.clone()).unwrap();
    assert!(text.contains("failure (job failed), exit code 1 → success"), "{text}");
    assert!(text.contains("    + $ echo mended; sleep 0.3\n"), "{text}");
    assert!(text.ends_with("1 job unchanged\n"), "{text}");
}

#[test]
fn run_without_a_pipeline_can_be_exported_and_one_in_progress_cannot() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow("version: v1\nstages: [a]\njob:\n  stage: b\n  script: [x]\n").commit("workflow");
    let ran = Ran::of(&repo, &["--local"]).expect_code(1);
    assert!(export(&repo, "junit").contains("<error type=\"workflow_invalid\""));
    assert!(export(&repo, "github").contains("::error file=.loom/workflow.yml,line=4,col="));
    assert!(export(&repo, "html").contains("workflow.yml:4:"));
    for format in ["github-summary", "gitlab", "chrome-trace", "otlp-json"] {
        assert!(export(&repo, format).contains(ran.text("run_id")), "{format}");
    }
    let missing = repo.sandbox().root().join("no/such/folder");
    let arguments = ["export", "--format", "html", "-o"];
    repo.command("loom-logs").args(arguments).arg(missing).assert().code(3);
}
