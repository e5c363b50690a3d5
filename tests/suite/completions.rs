//! Completions of the dispatcher hand over to those of the command that is named.

use std::fs;

use libloom_testkit::{Sandbox, source_root};

/// Completes the last of the words as bash does, and prints what is offered.
const COMPLETE: &str = r#"
source "$1/loom.bash"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_loom_dispatch loom "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}"
"#;

const FOREIGN: &str = r#"
_loom-foo() { COMPREPLY=($(compgen -W "--alpha word" -- "$2")); }
complete -F _loom-foo loom-foo
"#;

#[test]
fn bash_completes_names_options_and_the_named_command() {
    let sandbox = Sandbox::new();
    sandbox.script(&sandbox.bin(), "loom-foo", "true");
    let folder = sandbox.root().join("completions");
    fs::create_dir(&folder).unwrap();
    let own = source_root().join("completions/loom.bash");
    fs::copy(own, folder.join("loom.bash")).unwrap();
    fs::write(folder.join("loom-foo.bash"), FOREIGN).unwrap();
    let offers = |words: &[&str]| {
        let mut bash = sandbox.program("/bin/bash".as_ref());
        bash.args(["-c", COMPLETE, "bash"]).arg(&folder).args(words);
        let output = bash.output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let cases: &[(&[&str], &str)] = &[
        (&["loom", "fo"], "foo"),
        (&["loom", "chec"], "check"),
        (&["loom", "--col"], "--color"),
        (&["loom", "--color", "n"], "never"),
        (&["loom", "foo", ""], "--alpha word"),
        (&["loom", "-q", "-C", "x", "foo", "--a"], "--alpha"),
        (&["loom", "--color", "=", "never", "foo", "w"], "word"),
        (&["loom", "help", "fo"], "foo"),
        (&["loom", "unknown", ""], ""),
    ];
    for (words, expected) in cases {
        assert_eq!(offers(words), *expected, "{words:?}");
    }
}
