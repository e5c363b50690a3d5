//! Replaces secret values, in whatever form they appear, in streams and texts.
//!
//! [`forms`] says what a value may look like, [`automaton`] finds all of that in one pass,
//! [`stream`] does it across chunks that arrive one after the other. No I/O.
//!
//! Line ends do not count: a value matches however it is wrapped (`base64` breaks its output
//! every 76 characters), and what replaces it stands on every line that held a part of it.

mod automaton;
mod forms;
mod stream;

use std::borrow::Cow;

use automaton::Automaton;
pub use stream::Stream;

/// Shortest value, in bytes and without line ends, that is redacted: shorter ones would hide
/// ordinary text (decisions §9).
pub const VALUE_BYTES_MIN: usize = 4;

/// A value that must not be shown, with the name that is shown instead.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// Name of the secret, such as `DEPLOY_TOKEN`.
    pub name: &'a str,
    /// Its value.
    pub value: &'a [u8],
}

/// Whether a value is long enough to be redacted.
pub fn is_redactable(value: &[u8]) -> bool {
    forms::without_line_ends(value).len() >= VALUE_BYTES_MIN
}

/// Finds the values of some secrets and replaces them by `[REDACTED:SECRET_<name>]`.
#[derive(Default)]
pub struct Redactor {
    automaton: Option<Automaton>,
    /// What replaces each secret.
    masks: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("masks", &self.masks).finish_non_exhaustive()
    }
}

impl Redactor {
    /// A redactor of these values; those too short ([`is_redactable`]) are left out.
    pub fn new(secrets: &[Secret<'_>]) -> Self {
        let secrets: Vec<&Secret<'_>> =
            secrets.iter().filter(|secret| is_redactable(secret.value)).collect();
        let values: Vec<&[u8]> = secrets.iter().map(|secret| secret.value).collect();
        Redactor {
            automaton: (!values.is_empty()).then(|| Automaton::new(&forms::of_all(&values))),
            masks: secrets.iter().map(|s| format!("[REDACTED:SECRET_{}]", s.name)).collect(),
        }
    }

    /// Nothing would ever be replaced.
    pub fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// A stream of bytes that arrive one after the other.
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(self)
    }

    /// Bytes that are there at once, as they may be shown.
    pub fn bytes<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if self.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut shown = Vec::with_capacity(bytes.len());
        let mut stream = self.stream();
        stream.feed(bytes, |part| shown.extend_from_slice(part));
        stream.finish(|part| shown.extend_from_slice(part));
        if shown == bytes { Cow::Borrowed(bytes) } else { Cow::Owned(shown) }
    }

    /// A text as it may be shown.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // A value that is no UTF-8 could cut a character in two.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
