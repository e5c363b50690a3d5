//! One shell per job, one step per entry: every case of the mechanism, in dash, bash and ash.
//!
//! Each case is a job of one workflow, which runs once for each shell. A case says what each of
//! its steps wrote to both streams and how it ended.

use std::os::unix::fs::symlink;
use std::path::Path;

use libloom_testkit::Sandbox;

use crate::ran::{Ran, workflow};

/// What a stream of a step holds.
enum Text {
    Is(&'static str),
    /// For words of the shell itself, which differ.
    Holds(&'static str),
}
use Text::{Holds, Is};

/// How a step ended: the last one that began has the exit code of the job's shell.
#[derive(Clone, Copy)]
enum End {
    Done,
    Code(i32),
    /// The code depends on the shell: dash, bash, ash.
    Codes(i32, i32, i32),
    Signal(i32),
    /// Not run: an earlier entry failed.
    After,
    /// Not run: the shell ended before, with success.
    Ended,
}
use End::{After, Code, Codes, Done, Ended, Signal};

struct Case {
    name: &'static str,
    /// Entries; what they write to stdout and stderr; how they end.
    steps: &'static [(&'static str, Text, Text, End)],
}

const NONE: Text = Is("");

const CASES: &[Case] = &[
    Case {
        name: "state-carries-over",
        steps: &[
            ("cd /tmp", NONE, NONE, Done),
            ("pwd", Is("/tmp\n"), NONE, Done),
            ("export A=1; f() { echo fn $A; }", NONE, NONE, Done),
            ("f", Is("fn 1\n"), NONE, Done),
        ],
    },
    Case {
        name: "first-failure-ends-the-job",
        steps: &[("false", NONE, NONE, Code(1)), ("echo never", NONE, NONE, After)],
    },
    Case {
        name: "exit-code-is-the-entry's",
        steps: &[("exit 3", NONE, NONE, Code(3)), ("echo never", NONE, NONE, After)],
    },
    Case {
        name: "unfinished-if-fails-its-entry",
        steps: &[
            ("if [ 1 = 1 ]; then echo x", NONE, Holds("yntax"), Code(2)),
            ("echo never", NONE, NONE, After),
        ],
    },
    Case {
        name: "unbalanced-quote-fails-its-entry",
        steps: &[("echo 'x", NONE, Holds("eval"), Code(2)), ("echo never'", NONE, NONE, After)],
    },
    Case {
        name: "quoting",
        steps: &[(
            r#"X='$HOME'; printf '%s\n' 'it'\''s' "a\\b" "$X" "${HOME##*/}" \$HOME `echo \`echo t\`` "\"""#,
            Is("it's\na\\b\n$HOME\nhome\n$HOME\nt\n\"\n"),
            NONE,
            Done,
        )],
    },
    Case {
        name: "no-final-newline",
        steps: &[
            ("printf 'no newline'", Is("no newline"), NONE, Done),
            ("echo z >&2", NONE, Is("z\n"), Done),
        ],
    },
    Case {
        name: "exec-redirection-carries-over",
        steps: &[
            ("exec >redirected", NONE, NONE, Done),
            ("echo hidden", NONE, NONE, Done),
            ("echo err >&2; grep -c hidden redirected >&2", NONE, Is("err\n1\n"), Done),
        ],
    },
    Case {
        name: "exec-stderr-to-stdout-carries-over",
        steps: &[("exec 2>&1", NONE, NONE, Done), ("echo both >&2", Is("both\n"), NONE, Done)],
    },
    Case {
        name: "set-e",
        steps: &[
            ("set -e; false; echo no", NONE, NONE, Code(1)),
            ("echo never", NONE, NONE, After),
        ],
    },
    Case {
        name: "set-e-carries-over",
        steps: &[("set -e", NONE, NONE, Done), ("false; echo no", NONE, NONE, Code(1))],
    },
    Case {
        name: "set-x",
        steps: &[
            ("set -x; echo traced", Is("traced\n"), Holds("+ echo traced\n"), Done),
            ("echo more", Is("more\n"), Holds("+ echo more\n"), Done),
        ],
    },
    Case {
        name: "exit-trap",
        steps: &[
            ("trap 'echo bye' EXIT; echo hi", Is("hi\n"), NONE, Done),
            ("echo two", Is("two\nbye\n"), NONE, Done),
        ],
    },
    Case {
        name: "exit-trap-of-a-failure",
        steps: &[
            ("trap 'echo bye $?' EXIT; (exit 4)", Is("bye 4\n"), NONE, Code(4)),
            ("echo never", NONE, NONE, After),
        ],
    },
    Case {
        name: "descriptor-7-ends-with-its-entry",
        steps: &[
            ("exec 7>lock; echo locked", Is("locked\n"), NONE, Done),
            ("echo data >&7", NONE, Holds("7"), Codes(2, 1, 1)),
        ],
    },
    Case {
        name: "alias-and-positional-parameters",
        steps: &[
            ("alias echo=false; set -- a b c", NONE, NONE, Done),
            (r#"echo $#; printf '%s\n' "$@""#, Is("a\nb\nc\n"), NONE, Done),
        ],
    },
    Case {
        name: "background-output-counts-where-it-arrives",
        steps: &[
            ("(sleep 0.3; echo late) & echo now", Is("now\n"), NONE, Done),
            ("sleep 0.5; echo end", Is("late\nend\n"), NONE, Done),
        ],
    },
    Case {
        name: "signal",
        steps: &[("kill -TERM $$", NONE, NONE, Signal(15)), ("echo never", NONE, NONE, After)],
    },
    Case {
        name: "set-u",
        steps: &[
            ("set -u; echo $NOPE", NONE, Holds("NOPE"), Codes(2, 127, 2)),
            ("echo never", NONE, NONE, After),
        ],
    },
    Case {
        name: "forged-boundary",
        steps: &[
            (r"printf '\000fake:2\000'", Is("\0fake:2\0"), NONE, Done),
            ("echo real", Is("real\n"), NONE, Done),
        ],
    },
    Case { name: "child-exit-code", steps: &[("sh -c 'exit 5'", NONE, NONE, Code(5))] },
    Case {
        name: "return",
        steps: &[("return 3", NONE, Holds(""), Codes(3, 2, 3)), ("echo never", NONE, NONE, After)],
    },
    Case {
        name: "path-that-leads-nowhere",
        steps: &[
            ("PATH=/nonexistent", NONE, NONE, Done),
            ("/bin/echo still", Is("still\n"), NONE, Done),
        ],
    },
    Case {
        name: "redefined-command",
        steps: &[
            ("command() { :; }; echo q", Is("q\nr\n"), NONE, Done),
            ("echo r", NONE, NONE, Ended),
        ],
    },
    Case {
        name: "exec-replaces-the-shell",
        steps: &[
            ("exec echo replaced", Is("replaced\n"), NONE, Done),
            ("echo never", NONE, NONE, Ended),
        ],
    },
    Case {
        name: "exit-0-skips-the-rest",
        steps: &[("exit 0", NONE, NONE, Done), ("echo never", NONE, NONE, Ended)],
    },
    Case {
        name: "last-command-decides",
        steps: &[("false; true", NONE, NONE, Done), ("echo on", Is("on\n"), NONE, Done)],
    },
    Case {
        name: "noclobber-and-noglob-carry-over",
        steps: &[
            ("set -C -f; : >clobber", NONE, NONE, Done),
            ("echo *", Is("*\n"), NONE, Done),
            ("echo x >clobber", NONE, Holds("clobber"), Codes(2, 1, 1)),
        ],
    },
];

/// The shells, in the order of [`End::Codes`].
#[derive(Clone, Copy)]
enum Kind {
    Dash,
    Bash,
    Ash,
}

#[test]
#[cfg_attr(not(has_dash), ignore = "dash is not installed")]
fn every_case_in_dash() {
    every_case("dash", Kind::Dash);
}

#[test]
#[cfg_attr(not(has_bash), ignore = "bash is not installed")]
fn every_case_in_bash_called_sh() {
    every_case("bash", Kind::Bash);
}

#[test]
#[cfg_attr(not(has_busybox), ignore = "busybox is not installed")]
fn every_case_in_busybox_ash() {
    every_case("busybox", Kind::Ash);
}

fn every_case(program: &str, kind: Kind) {
    let sandbox = Sandbox::new();
    use_as_sh(&sandbox, program);
    let repo = sandbox.repo();
    let jobs = CASES.iter().map(|case| (job_of(case), case));
    let jobs: Vec<(String, &Case)> = jobs.collect();
    let scripts = jobs
        .iter()
        .map(|(job, case)| (job.as_str(), case.steps.iter().map(|step| step.0).collect()));
    repo.workflow(&workflow(scripts)).commit("cases");
    let ran = Ran::of(&repo, &["--jobs", "8"]).expect_code(1);
    let wrong: Vec<String> =
        jobs.iter().flat_map(|(job, case)| faults(&ran, job, case, kind)).collect();
    assert!(wrong.is_empty(), "{program}:\n{}", wrong.join("\n"));
}

/// Puts `sh`, which is really `program`, in front of `PATH`.
pub(crate) fn use_as_sh(sandbox: &Sandbox, program: &str) {
    let found = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
    let found = found.iter().find(|path| path.exists());
    let found = found.unwrap_or_else(|| panic!("`{program}` is missing: .ci/run installs it"));
    symlink(found, sandbox.bin().join("sh")).unwrap();
}

fn job_of(case: &Case) -> String {
    case.name.replace('\'', "")
}

/// Everything in which a job is not what its case says.
fn faults(ran: &Ran, job: &str, case: &Case, kind: Kind) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: String, expected: &str, is: &str| {
        if expected != is {
            found.push(format!("{job} {what}: {is:?} instead of {expected:?}"));
        }
    };
    for (index, (_, stdout, stderr, end)) in case.steps.iter().enumerate() {
        let step = format!("script/{:02}", index + 1);
        for (stream, text) in [("stdout", stdout), ("stderr", stderr)] {
            let written = ran.output_text(job, &step, stream);
            match text {
                Is(text) => differ(format!("{step} {stream}"), text, &written),
                Holds(part) if written.contains(part) => {}
                Holds(part) => differ(format!("{step} {stream}"), part, &written),
            }
            for word in ["__loom", "unset", "printf '\\0"] {
                let shown = if written.contains(word) { word } else { "" };
                differ(format!("{step} {stream} shows the driver"), "", shown);
            }
        }
        let is = ran.step(job, &step);
        let is = [&is["status"], &is["reason"], &is["exit_code"], &is["signal"]];
        let is = is.map(ToString::to_string).join(" ");
        differ(format!("{step} ended"), &end_in_words(*end, kind), &is);
    }
    let code = case.steps.iter().map(|step| code_of(step.3, kind)).find(|code| *code != 0);
    let is = ran.document(&format!("jobs/{job}/summary.json"));
    let is = [&is["status"], &is["exit_code"]].map(ToString::to_string).join(" ");
    let expected = match code {
        None => "\"success\" 0".to_owned(),
        Some(code) => format!("\"failure\" {code}"),
    };
    differ("the job ended".into(), &expected, &is);
    found
}

fn code_of(end: End, kind: Kind) -> i32 {
    match end {
        Done | After | Ended => 0,
        Code(code) => code,
        Codes(dash, bash, ash) => [dash, bash, ash][kind as usize],
        Signal(signal) => 128 + signal,
    }
}

/// Status, reason, exit code and signal as a step's summary holds them.
fn end_in_words(end: End, kind: Kind) -> String {
    match end {
        Done => r#""success" null 0 null"#.into(),
        Code(_) | Codes(..) => format!(r#""failure" "exit_code" {} null"#, code_of(end, kind)),
        Signal(signal) => format!(r#""failure" "signal" {} {signal}"#, code_of(end, kind)),
        After => r#""skipped" "earlier_step_failed" null null"#.into(),
        Ended => r#""skipped" "shell_ended" null null"#.into(),
    }
}
