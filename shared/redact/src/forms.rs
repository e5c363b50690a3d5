//! What a value may look like in output: as it is, and in the encodings that tools write.

use std::{collections::BTreeSet, fmt::Write as _};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::VALUE_BYTES_MIN;

/// A form and the number of the value it is a form of.
pub type Form = (Vec<u8>, usize);

/// All forms of all values, without line ends. A form that two values share belongs to the first.
pub fn of_all(values: &[&[u8]]) -> Vec<Form> {
    let mut seen = BTreeSet::new();
    let mut forms = Vec::new();
    // Whole values before their forms: a form of one value may be another value.
    let whole = values.iter().map(|value| vec![value.to_vec()]);
    let encoded = values.iter().map(|value| of(value));
    for (number, candidates) in whole.enumerate().chain(encoded.enumerate()) {
        for form in candidates {
            let form = without_line_ends(&form);
            if form.len() >= VALUE_BYTES_MIN && seen.insert(form.clone()) {
                forms.push((form, number));
            }
        }
    }
    forms
}

/// `bytes` as the automaton sees them.
pub fn without_line_ends(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|&byte| !is_line_end(byte)).collect()
}

/// Bytes that may stand anywhere within a value.
pub const LINE_ENDS: [u8; 2] = [b'\n', b'\r'];

/// Whether a byte is one of them.
pub fn is_line_end(byte: u8) -> bool {
    LINE_ENDS.contains(&byte)
}

fn of(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> =
        value.split(|&byte| is_line_end(byte)).map(<[u8]>::to_vec).collect();
    // `echo "$VALUE" | base64` encodes a line end that the value lacks; the value's own last
    // one, `$(cat file)` drops.
    forms.extend(encodings(value));
    forms.extend(encodings(trimmed_end(value)));
    forms
}

fn trimmed_end(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|&byte| !is_line_end(byte)).map_or(0, |last| last + 1);
    &value[..end]
}

fn encodings(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = base64(value);
    forms.extend([hexadecimal(value, false), hexadecimal(value, true)]);
    for kept in [UNRESERVED, URI_COMPONENT, PATH] {
        forms.extend([percent(value, kept, "%20", true), percent(value, kept, "%20", false)]);
    }
    forms.extend([percent(value, FORM, "+", true), percent(value, FORM, "+", false)]);
    if let Ok(text) = std::str::from_utf8(value) {
        forms.extend(json(text));
    }
    forms
}

/// Base64 at each of the three places that a value can have in a longer encoded text. What
/// neighbouring bytes have a part in is left out, unless the value is the end of that text.
fn base64(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let text = [&vec![0; before][..], value].concat();
        // Characters that hold bits of the bytes before: 8, 16 bits of 6 each.
        let start = [0, 2, 3][before];
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&text).into_bytes();
            let shared_end = usize::from(!text.len().is_multiple_of(3));
            forms.push(encoded[start.min(encoded.len())..].to_vec());
            forms.push(encoded[start..(encoded.len() - shared_end).max(start)].to_vec());
        }
    }
    forms
}

fn hexadecimal(value: &[u8], upper: bool) -> Vec<u8> {
    let mut text = String::new();
    for &byte in value {
        push_hexadecimal(&mut text, byte, upper);
    }
    text.into_bytes()
}

fn push_hexadecimal(text: &mut String, byte: u8, upper: bool) {
    let written = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
    written.expect("a String takes everything");
}

/// RFC 3986: what never needs encoding.
const UNRESERVED: &[u8] = b"-._~";
/// JavaScript's `encodeURIComponent`.
const URI_COMPONENT: &[u8] = b"-._~!'()*";
/// Python's `quote`.
const PATH: &[u8] = b"-._~/";
/// `application/x-www-form-urlencoded` (WHATWG).
const FORM: &[u8] = b"-._*";

fn percent(value: &[u8], kept: &[u8], space: &str, upper: bool) -> Vec<u8> {
    let mut text = String::new();
    for &byte in value {
        match byte {
            b' ' => text.push_str(space),
            _ if byte.is_ascii_alphanumeric() || kept.contains(&byte) => text.push(byte.into()),
            _ => {
                text.push('%');
                push_hexadecimal(&mut text, byte, upper);
            }
        }
    }
    text.into_bytes()
}

/// The inside of a JSON string: as most tools write it, with `/` escaped (PHP), with every
/// non-ASCII character escaped (Python), and with `<`, `>`, `&` escaped (Go).
fn json(text: &str) -> Vec<Vec<u8>> {
    let quoted = serde_json::to_string(text).expect("a string is JSON");
    let plain = &quoted[1..quoted.len() - 1];
    let mut for_html = plain.to_owned();
    for (character, escaped) in [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")] {
        for_html = for_html.replace(character, escaped);
    }
    let forms = [plain.to_owned(), plain.replace('/', "\\/"), ascii(plain), for_html];
    forms.map(String::into_bytes).into()
}

fn ascii(text: &str) -> String {
    let mut escaped = String::new();
    let mut units = [0; 2];
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut units) {
            write!(escaped, "\\u{unit:04x}").expect("a String takes everything");
        }
    }
    escaped
}
