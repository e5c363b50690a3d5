//! What steps write arrives in their events byte for byte, in records of whole lines, and in
//! little memory.

use std::collections::BTreeMap;
use std::fs;

use libloom_testkit::{Repo, Sandbox};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ran::{Ran, bytes_of, output_of, workflow};

/// Megabytes on stdout; a build without optimization takes long for 200.
const MEGABYTES: usize = if cfg!(debug_assertions) { 32 } else { 200 };
/// Most bytes that one record may hold.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Most memory of `loom-run`, in kilobytes.
const MEMORY_KB_MAX: u64 = 64 * 1024;

/// Writes as many megabytes of lines as its argument says, and among them binary bytes, a line of
/// 5 MB, progress bars, last lines without an end; some of all to stderr. Always the same.
const GENERATOR: &str = r#"
binmode STDOUT; binmode STDERR; $| = 0;
my ($megabytes, $state) = ($ARGV[0], 42);
my $noise = '';
for (1 .. 65536) { $state = ($state * 1103515245 + 12345) & 0x7fffffff; $noise .= chr($state >> 16 & 255) }
sub binary { my $turn = $_[0] * 977 % 65536; substr($noise, $turn) . substr($noise, 0, $turn) }
sub bar { join '', map { "\rprogress $_%" } 0 .. 100 }
for my $n (0 .. $megabytes - 1) {
    print sprintf("%-98d\xc3\n", $_) for 1 .. ($n % 8 == 3 ? 100 : 0);
    print sprintf("%07d %s\n", $n * 10000 + $_, 'x' x 91) for 1 .. 10000;
    print "\xe2\x82\xac" x 1_700_000, "\n" if $n == 5;
    print binary($_) for 1 .. ($n % 8 == 7 ? 16 : 0);
    print bar(), $n % 2 ? "\n" : "\r\n";
    print STDERR binary($n), "warning $n\n", bar(), "\n" if $n % 2;
    print STDERR binary($_) for 1 .. ($n % 16 == 9 ? 48 : 0);
}
print STDERR "no end either";
print bar(), 'no end';
"#;

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// Length and SHA-256.
fn digest(bytes: &[u8]) -> (usize, String) {
    let sum = Sha256::digest(bytes);
    (bytes.len(), sum.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The fields of `/proc/<pid>/status` that a step printed, in kilobytes.
fn peaks(text: &str) -> Vec<u64> {
    let words = text.split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
#[cfg_attr(not(has_perl), ignore = "perl is not installed")]
fn flood_of_all_kinds_of_bytes_arrives_whole_and_in_little_memory() {
    with_repo(|repo| {
        repo.write("generate.pl", GENERATOR);
        let generate = format!("perl generate.pl {MEGABYTES}");
        let measure = "guard=$(awk '/PPid/ {print $2}' /proc/$PPID/status); \
            awk '/VmHWM/ {print $2}' /proc/$PPID/status /proc/$guard/status";
        repo.workflow(&workflow([("flood", vec![generate.as_str(), measure])]));
        let ran = Ran::of(repo, &[]).expect_code(0);

        let written = repo.program("perl").args(["generate.pl", &MEGABYTES.to_string()]).output();
        let written = written.expect("perl is part of every Debian");
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        assert!(written.stdout.len() > MEGABYTES * 1_000_000, "{}", written.stdout.len());
        let events = ran.events("jobs/flood/user/execution/script/01/events.jsonl");
        for (stream, expected) in [("stdout", &written.stdout), ("stderr", &written.stderr)] {
            let recorded = bytes_of(&events, stream);
            assert_eq!(digest(&recorded), digest(expected), "{stream}");
            assert_eq!(ran.step("flood", "script/01")[format!("{stream}_bytes")], expected.len());
        }
        assert_records_obey_the_contract(&events);

        let peaks = peaks(&ran.output_text("flood", "script/02", "stdout"));
        assert_eq!(peaks.len(), 2, "of the worker and of its guard");
        assert!(peaks.iter().all(|&kb| kb > 0 && kb < MEMORY_KB_MAX), "{peaks:?} kB");
    });
}

/// Whole lines of at most 64 KiB, counted right; only a longer line comes in pieces.
fn assert_records_obey_the_contract(events: &[Value]) {
    let some = |field: &str| events.iter().any(|event| !event[field].is_null());
    assert!(some("partial") && some("bytes") && some("text"), "the generator makes all kinds");
    let mut unfinished: BTreeMap<&str, usize> = BTreeMap::new();
    let last_of = |stream| events.iter().rposition(|event| event["stream"] == stream);
    let last = [last_of("stdout"), last_of("stderr")];
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index + 1);
        let Some(stream) = event["stream"].as_str() else { continue };
        let bytes = output_of(event);
        assert!(!bytes.is_empty() && bytes.len() <= RECORD_BYTES_MAX, "{} bytes", bytes.len());
        let length = unfinished.remove(stream).unwrap_or(0) + bytes.len();
        let ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
        if event["partial"] == true {
            assert_eq!((ends, &event["lines"]), (0, &Value::from(0)), "a piece has no line end");
            assert!(event["text"].is_string(), "record {index} is cut within a character");
            unfinished.insert(stream, length);
            continue;
        }
        let whole = bytes.ends_with(b"\n");
        assert!(whole || last.contains(&Some(index)), "record {index} does not end with its line");
        assert_eq!(event["lines"], ends + usize::from(!whole), "record {index}");
        let was_split = length > bytes.len();
        assert!(!was_split || length > RECORD_BYTES_MAX, "{length} bytes fit into one record");
    }
    assert!(unfinished.is_empty(), "{unfinished:?} lack their end");
}

#[test]
fn bytes_that_are_not_text_do_not_hide_their_neighbours() {
    with_repo(|repo| {
        let entry = r"printf 'text\n\377\376\nmore text\n'";
        repo.workflow(&workflow([("build", vec![entry])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        let events = ran.events("jobs/build/user/execution/script/01/events.jsonl");
        let texts: Vec<_> = events.iter().filter_map(|event| event["text"].as_str()).collect();
        assert_eq!(texts, ["text\n", "more text\n"]);
        assert_eq!(bytes_of(&events, "stdout"), b"text\n\xff\xfe\nmore text\n");
    });
}

#[test]
fn slow_lines_come_one_by_one_and_fast_ones_together() {
    with_repo(|repo| {
        let slow = "for i in 1 2 3; do echo $i; sleep 0.3; done";
        let fast = "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done";
        repo.workflow(&workflow([("build", vec![slow, fast])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        let lines = |step: &str| -> Vec<u64> {
            let events = ran.events(&format!("jobs/build/user/execution/{step}/events.jsonl"));
            events.iter().filter_map(|event| event["lines"].as_u64()).collect()
        };
        assert_eq!(lines("script/01"), [1, 1, 1]);
        let fast = lines("script/02");
        assert_eq!(fast.iter().sum::<u64>(), 1000);
        assert!(fast.len() < 100, "{} records", fast.len());
        assert_eq!(ran.step("build", "script/02")["output_lines"], 1000);
    });
}

#[test]
fn output_can_be_read_while_the_step_goes_on() {
    with_repo(|repo| {
        // The entry itself waits until its line is in its events.
        let events = "$root/.loom/.runtime/logs/$LOOM_RUN_ID/jobs/build/user/execution/script/01";
        let entry = format!(
            "echo a line; root='{}'; until grep -q 'a line' {events}/events.jsonl; do sleep 0.01; done",
            repo.root().display()
        );
        let job = workflow([("build", vec![entry.as_str()])]);
        repo.workflow(&format!("{job}  timeout: 20s\n"));
        Ran::of(repo, &[]).expect_code(0);
    });
}

#[test]
fn steps_boundaries_are_mirrored_around_them_and_their_output_is_not() {
    with_repo(|repo| {
        repo.workflow(&workflow([("build", vec!["echo one", "echo two; exit 2", "echo never"])]));
        let ran = Ran::of(repo, &[]).expect_code(1);
        let path = ran.logs().join("jobs/build/user/execution/events.jsonl");
        assert!(!fs::read_to_string(path).unwrap().contains("two\\n"));
        let around = ran.events("jobs/build/user/execution/events.jsonl");
        let of_steps = around.iter().filter(|event| event["scope"] == "step");
        let found: Vec<String> = of_steps
            .map(|event| [&event["event"], &event["step"]].map(|v| v.as_str().unwrap()).join(" "))
            .collect();
        let expected =
            ["start script/01", "finish script/01", "start script/02", "finish script/02"];
        assert_eq!(found, expected, "what never began has no boundary");
        let boundaries = |events: &[Value]| -> Vec<Value> {
            let of_step = events.iter().filter(|event| event["step"] == "script/02");
            let kept = of_step.filter(|event| event["event"] != "output");
            kept.map(|event| serde_json::json!([event["event"], event["ts"], event["exit_code"]]))
                .collect()
        };
        let own = ran.events("jobs/build/user/execution/script/02/events.jsonl");
        assert_eq!(boundaries(&around), boundaries(&own));
    });
}

#[test]
fn recording_ends_at_the_configured_bytes_and_the_job_goes_on() {
    with_repo(|repo| {
        repo.write(".loom/config.yml", "runtime:\n  output:\n    maxBytes: 1000\n");
        // 100 bytes a line: ten fit.
        let flood = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do printf '%099d\\n' $i; done";
        repo.workflow(&workflow([("flood", vec![flood, "echo later", "touch done"])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        let events = ran.events("jobs/flood/user/execution/script/01/events.jsonl");
        let recorded = String::from_utf8(bytes_of(&events, "stdout")).unwrap();
        assert_eq!(recorded.lines().count(), 10, "whole lines, as many as fit: {recorded}");
        let notes = |events: &[Value]| -> Vec<String> {
            let notes = events.iter().filter(|event| event["event"] == "note");
            notes.map(|note| note["text"].as_str().unwrap().to_owned()).collect()
        };
        let of_step = notes(&events);
        assert!(of_step[0].contains("more than 1000 bytes"), "{of_step:?}");
        assert_eq!(of_step[1], "500 bytes of this step's output were not recorded");
        let step = ran.step("flood", "script/01");
        assert_eq!((&step["dropped_bytes"], &step["stdout_bytes"]), (&500.into(), &1500.into()));
        assert_eq!(ran.step("flood", "script/02")["dropped_bytes"], 6);
        assert_eq!(ran.step("flood", "script/03")["status"], "success", "the job goes on");
        let text = "506 bytes of output were not recorded: `runtime.output.maxBytes` is 1000";
        assert!(
            notes(&ran.events("jobs/flood/user/execution/events.jsonl")).iter().any(|n| n == text)
        );
        assert!(ran.stderr.contains(&format!("job `flood`: {text}")), "{}", ran.stderr);

        repo.write(".loom/config.yml", "runtime:\n  output:\n    maxbytes: 1000\n");
        Ran::of(repo, &[]).expect_code(3).expect_said(&[
            "runtime.output.maxbytes",
            "line 3",
            "`maxBytes`",
        ]);
    });
}
