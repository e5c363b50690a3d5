//! The instrumented script: prelude, then each entry behind its boundary.

use libloom_variables::{Prelude, quoted};

/// Longest script that is passed as an argument; Linux allows 131,071 bytes.
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;

/// The text of a shell that runs `entries`, announcing each with `nonce`.
///
/// One brace group, so that it is parsed whole before an alias of an entry could touch it.
pub fn instrumented(prelude: &Prelude<'_>, entries: &[&str], nonce: &str) -> String {
    let mut text = String::from("{ ");
    text.push_str(TRACE_OFF_AT_START);
    text.push_str("exec 6>&1 7>&2; ");
    text.push_str(&prelude.text());
    for (index, entry) in entries.iter().enumerate() {
        push_entry(&mut text, index + 1, entry, nonce);
    }
    text.push_str("exit 0; }");
    text
}

/// Remembers whether the shell traces, and stops it from tracing us.
const TRACE_OFF_AT_START: &str =
    "{ case $- in *x*) __loom_x=x;; *) __loom_x=;; esac; set +x; } 2>/dev/null; ";
/// The same after an entry, whose status is kept first.
const TRACE_OFF_AFTER_ENTRY: &str =
    "{ __loom_s=$?; case $- in *x*) __loom_x=x;; *) __loom_x=;; esac; set +x; } 2>/dev/null; ";

fn push_entry(text: &mut String, number: usize, entry: &str, nonce: &str) {
    for descriptor in [6, 7] {
        text.push_str(&format!("command printf '\\000{nonce}:{number}\\000' >&{descriptor}; "));
    }
    text.push_str("eval \"unset __loom_s __loom_x;${__loom_x:+set -x;}\"");
    text.push_str(&quoted(entry));
    text.push_str(" 6>&- 7>&-; ");
    text.push_str(TRACE_OFF_AFTER_ENTRY);
    text.push_str("[ \"$__loom_s\" = 0 ] || exit \"$__loom_s\"; ");
}

/// The bytes that announce entry `number`.
pub fn boundary(nonce: &str, number: usize) -> Vec<u8> {
    format!("\0{nonce}:{number}\0").into_bytes()
}
