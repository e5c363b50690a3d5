use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;
use crate::forms::{self, is_line_end};

fn redactor(values: &[&str]) -> Redactor {
    let secret = |value: &&'static str| Secret { name: "S", value: value.as_bytes() };
    // Leaked, so that the helper takes any text; a test ends soon.
    let values: Vec<&'static str> = values.iter().map(|v| &*v.to_string().leak()).collect();
    Redactor::new(&values.iter().map(secret).collect::<Vec<_>>())
}

fn in_chunks(redactor: &Redactor, text: &[u8], length: usize) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut stream = redactor.stream();
    for chunk in text.chunks(length) {
        stream.feed(chunk, |part| shown.extend_from_slice(part));
    }
    stream.finish(|part| shown.extend_from_slice(part));
    shown
}

#[test]
fn the_value_and_its_encodings_are_replaced() {
    let value = "p@ss/wörd <1>&\"x\"";
    let redactor = redactor(&[value]);
    let percent = "p%40ss%2Fw%C3%B6rd%20%3C1%3E%26%22x%22";
    let texts = [
        value.to_owned(),
        percent.to_owned(),
        percent.to_lowercase(),
        percent.replace("%2F", "/"),
        percent.replace("%20", "+"),
        serde_json::to_string(value).unwrap(),
        r#""p@ss\/wörd <1>&\"x\"""#.to_owned(),
        r#""p@ss/w\u00f6rd <1>&\"x\"""#.to_owned(),
        r#""p@ss/wörd \u003c1\u003e\u0026\"x\"""#.to_owned(),
        value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        value.bytes().map(|byte| format!("{byte:02X}")).collect(),
    ];
    for text in texts {
        let shown = redactor.text(&text).replace("[REDACTED:SECRET_S]", "");
        assert!(shown.is_empty() || shown == "\"\"", "{text}: {shown}");
    }
}

#[test]
fn base64_is_found_at_every_place_and_however_it_is_wrapped() {
    let value = "correct-horse?battery~staple>0123456789-correct-horse-battery-staple-0123456789";
    let redactor = redactor(&[value]);
    for before in ["", "a", "ab", "abc", "user:"] {
        for after in ["", "\n", "zz", "@host/path"] {
            let whole = STANDARD.encode(format!("{before}{value}{after}"));
            for width in [1, 20, 64, 76, 1000] {
                let lines: Vec<&str> = whole
                    .as_bytes()
                    .chunks(width)
                    .map(|l| std::str::from_utf8(l).unwrap())
                    .collect();
                for text in
                    [lines.join("\n"), lines.join("\r\n").replace('+', "-").replace('/', "_")]
                {
                    let shown = redactor.text(&text);
                    let left: String =
                        shown.replace("[REDACTED:SECRET_S]", "").split_whitespace().collect();
                    let most = (before.len() + after.len()) * 4 / 3 + 8;
                    assert!(left.len() <= most, "{before} {after} {width}: {shown}");
                }
            }
        }
    }
}

#[test]
fn every_line_of_a_value_is_replaced_alone_and_line_ends_stay() {
    let redactor = redactor(&["-----BEGIN-----\nMIIabc\nxy\n-----END-----\n"]);
    assert_eq!(redactor.text("a MIIabc b\nxy"), "a [REDACTED:SECRET_S] b\nxy");
    let whole = redactor.text("<-----BEGIN-----\r\nMIIabc\r\nxy\r\n-----END-----\r\n>");
    let mask = "[REDACTED:SECRET_S]";
    assert_eq!(whole, format!("<{mask}\r\n{mask}\r\n{mask}\r\n{mask}\r\n>"));
}

#[test]
fn values_that_overlap_leave_nothing_and_neighbours_stay_two() {
    let a_and_b = Redactor::new(&[
        Secret { name: "A", value: b"abcdef" },
        Secret { name: "B", value: b"efgh" },
        Secret { name: "C", value: b"abcdefxyz" },
        Secret { name: "SHORT", value: b"ab\n" },
    ]);
    assert_eq!(a_and_b.text("1abcdefgh2"), "1[REDACTED:SECRET_A]2");
    assert_eq!(a_and_b.text("abcdefxyz"), "[REDACTED:SECRET_C]");
    assert_eq!(a_and_b.text("abcdefabcdef"), "[REDACTED:SECRET_A][REDACTED:SECRET_A]");
    assert_eq!(a_and_b.text("ab\ncdef"), "[REDACTED:SECRET_A]\n[REDACTED:SECRET_A]");
    assert_eq!(a_and_b.text("ab"), "ab");
}

#[test]
fn only_what_may_become_a_value_is_held_and_little_of_it_after_a_while() {
    let redactor = redactor(&["0123456789abcdef"]);
    let mut stream = redactor.stream();
    let mut shown = Vec::new();
    stream.feed(b"a line\n", |part| shown.extend_from_slice(part));
    assert!(!stream.is_holding());
    stream.feed(b"count 0\n", |part| shown.extend_from_slice(part));
    assert_eq!(shown, b"a line\ncount ");
    stream.release(|part| shown.extend_from_slice(part));
    assert_eq!(shown, b"a line\ncount 0\n");
    stream.feed(b"123456", |part| shown.extend_from_slice(part));
    stream.release(|part| shown.extend_from_slice(part));
    stream.feed(b"789abcdef.", |part| shown.extend_from_slice(part));
    assert_eq!(shown, b"a line\ncount 0\n[REDACTED:SECRET_S].");
}

#[test]
fn a_large_value_needs_little_memory() {
    let value: String = (0..200).map(|n| format!("line {n} of a large key\n")).collect();
    let redactor = redactor(&[&value]);
    let shown = redactor.text(&value);
    assert_eq!(shown.replace("[REDACTED:SECRET_S]\n", ""), "");
    let encoded = STANDARD.encode(&value);
    assert_eq!(
        redactor.text(&encoded).replace("[REDACTED:SECRET_S]", "").trim_end_matches('='),
        ""
    );
}

/// What must not be shown, by the simplest means: every form at every place.
fn hidden(text: &[u8], values: &[&[u8]]) -> Vec<bool> {
    let places: Vec<usize> = (0..text.len()).filter(|&at| !is_line_end(text[at])).collect();
    let plain: Vec<u8> = places.iter().map(|&at| text[at]).collect();
    let mut hidden = vec![false; text.len()];
    for (form, _) in forms::of_all(values) {
        for at in (0..plain.len()).filter(|&at| plain[at..].starts_with(&form)) {
            hidden[places[at]..=places[at + form.len() - 1]].fill(true);
        }
    }
    hidden
}

proptest! {
    #[test]
    fn chunks_do_not_matter_and_nothing_but_values_is_hidden(
        values in prop::collection::vec("[abc]{4,7}(\n[ab]{1,5})?", 1..4),
        pieces in prop::collection::vec((0_usize..6, "[abc\n]{0,5}"), 0..12),
        length in 1_usize..9,
    ) {
        let mut text = Vec::new();
        for (which, filler) in &pieces {
            text.extend_from_slice(filler.as_bytes());
            if let Some(value) = values.get(*which) {
                text.extend_from_slice(value.as_bytes());
            }
        }
        let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
        let secrets: Vec<Secret<'_>> =
            values.iter().map(|value| Secret { name: "S", value }).collect();
        let redactor = Redactor::new(&secrets);
        let whole = redactor.bytes(&text);
        prop_assert_eq!(&in_chunks(&redactor, &text, length), &*whole);
        let hidden = hidden(&text, &values);
        let expected: Vec<u8> = (0..text.len())
            .filter(|&at| !hidden[at] || is_line_end(text[at]))
            .map(|at| text[at])
            .collect();
        let shown = String::from_utf8(whole.into_owned()).unwrap();
        prop_assert_eq!(shown.replace("[REDACTED:SECRET_S]", "").into_bytes(), expected);
    }

    #[test]
    fn no_value_survives_any_bytes_around_it(
        value in prop::collection::vec(any::<u8>(), 4..40),
        before in prop::collection::vec(any::<u8>(), 0..40),
        after in prop::collection::vec(any::<u8>(), 0..40),
        length in 1_usize..50,
    ) {
        prop_assume!(is_redactable(&value));
        let redactor = Redactor::new(&[Secret { name: "S", value: &value }]);
        let text = [&before[..], &value, &after].concat();
        let shown = in_chunks(&redactor, &text, length);
        let contains = |needle: &[u8]| shown.windows(needle.len()).any(|part| part == needle);
        prop_assert!(!contains(&value));
        prop_assert!(contains(b"[REDACTED:SECRET_S]"));
    }
}
