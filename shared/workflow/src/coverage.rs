//! Which checks and which texts the fixtures bring out, against all that the sources hold; compiled
//! into tests only.
//!
//! Two nets, both woven from the source text, so that a new check without a fixture is caught
//! without anybody listing it. **Sites**: every place that makes a [`crate::problem::Problem`] or
//! calls a check of [`crate::check::Checker`] must have made a problem in some fixture; the
//! constructors report their callers here. **Texts**: every string of the sources that reads like
//! a part of a message must stand in a diagnostic of some fixture, or below in [`NO_MESSAGES`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::Location;
use std::path::Path;
use std::sync::Mutex;

use libloom_contract::diagnostic::Diagnostic;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::fixtures;

static SITES: Mutex<BTreeSet<Site>> = Mutex::new(BTreeSet::new());

/// File below `src/`, line and column.
type Site = (String, usize, usize);

/// Called by the constructors of problems: notes where they are called from.
#[track_caller]
pub(crate) fn note_site() {
    let caller = Location::caller();
    let file = caller.file().replace('\\', "/");
    let file = file.rsplit_once("src/").map_or(&*file, |(_, below)| below);
    let site = (file.to_owned(), caller.line() as usize, caller.column() as usize);
    SITES.lock().unwrap().insert(site);
}

/// Methods of the checker that make a problem for their caller.
const CHECKS: &[&str] = &[
    "any_text",
    "boolean",
    "integer",
    "mapping",
    "missing",
    "missing_at",
    "name",
    "one_or_more",
    "sequence",
    "some_texts",
    "text",
    "texts",
    "unknown_key",
    "unknown_keys",
    "word",
    "wrong_type",
    "wrong_type_fix",
];

/// Files whose calls are reported for their callers, or that make no diagnostics.
const NO_SITES: &[&str] =
    &["check.rs", "problem.rs", "coverage.rs", "fixtures.rs", "meaning.rs", "schema.rs"];

/// Files without texts of diagnostics, with the reason.
const NO_TEXTS: &[(&str, &str)] = &[
    ("coverage.rs", "this file"),
    ("fixtures.rs", "tests"),
    ("meaning.rs", "tests"),
    ("schema.rs", "tests beside one constant"),
    ("locate.rs", "errors of finding a file, tested in tests/suite/check.rs"),
    ("decide.rs", "reasons of decisions at run time, tested in shared/rules/tests/language.rs"),
    ("graph.rs", "errors at run time, tested in shared/rules/tests"),
    ("render.rs", "the frame around messages, tested in tests/suite/check.rs"),
    ("evaluate.rs", "errors at run time, tested in shared/rules/tests/language.rs"),
];

/// Strings that read like a text but are none, with the reason.
const NO_MESSAGES: &[(&str, &str)] = &[
    ("-----BEGIN ", "the start of a private key, looked for in values"),
    ("PRIVATE KEY-", "the same"),
    ("cd ", "looked for in commands"),
    ("0abt\tnvfre \"/\\N_LPxuU\r\n", "a set of characters"),
    ("nothing usable", "the kind of what was refused already: checks pass over it in silence"),
    (
        "cannot use the glob `{glob}`: {reason}",
        "of matching at run time; checks tell the reason alone",
    ),
    ("error: ", "cut off from a message of the regex crate"),
];

/// What the sources hold.
#[derive(Default)]
struct Found {
    /// With what is written there.
    sites: BTreeMap<Site, String>,
    /// With the places of each.
    texts: BTreeMap<String, Vec<String>>,
}

impl Found {
    fn read(folder: &Path, below: &str) -> Self {
        let mut found = Found::default();
        found.folder(folder, below);
        found
    }

    fn folder(&mut self, folder: &Path, below: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{below}{}", path.file_name().unwrap().to_string_lossy());
            if path.is_dir() {
                self.folder(&path, &format!("{name}/"));
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                let tokens = text.parse::<TokenStream>().unwrap();
                self.tokens(&name, tokens);
            }
        }
    }

    fn tokens(&mut self, file: &str, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at..] {
                [TokenTree::Punct(hash), TokenTree::Group(group), ..] if hash.as_char() == '#' => {
                    self.attribute(file, group, &tokens[at + 2..])
                }
                [TokenTree::Punct(hash), TokenTree::Punct(bang), TokenTree::Group(_), ..]
                    if hash.as_char() == '#' && bang.as_char() == '!' =>
                {
                    3
                }
                // `expect` speaks to us alone.
                [TokenTree::Ident(name), TokenTree::Group(group), ..]
                    if name == "expect" && group.delimiter() == Delimiter::Parenthesis =>
                {
                    2
                }
                _ => {
                    self.site(file, &tokens, at);
                    self.token(file, &tokens[at]);
                    1
                }
            };
        }
    }

    /// How many tokens an attribute takes, with the item behind it when that is for tests only.
    fn attribute(&mut self, file: &str, group: &Group, after: &[TokenTree]) -> usize {
        let text = group.stream().to_string().replace(' ', "");
        if text.starts_with("error(") {
            self.tokens(file, group.stream());
        }
        let is_body = |tree: &TokenTree| match tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        let tests = text == "cfg(test)";
        2 + if tests { after.iter().position(is_body).map_or(0, |at| at + 1) } else { 0 }
    }

    fn token(&mut self, file: &str, token: &TokenTree) {
        match token {
            TokenTree::Group(group) => self.tokens(file, group.stream()),
            TokenTree::Literal(literal) if !NO_TEXTS.iter().any(|(name, _)| file == *name) => {
                let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { return };
                let text = text.value();
                if is_text(&text) {
                    let place = format!("{file}:{}", literal.span().start().line);
                    self.texts.entry(text).or_default().push(place);
                }
            }
            _ => {}
        }
    }

    /// `Problem::error(`, `Problem::warning(` and the calls of checks.
    fn site(&mut self, file: &str, tokens: &[TokenTree], at: usize) {
        let TokenTree::Ident(name) = &tokens[at] else { return };
        let calls = |at: usize| {
            matches!(tokens.get(at), Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Parenthesis)
        };
        let ident = |at: usize, wanted: &[&str]| {
            matches!(tokens.get(at), Some(TokenTree::Ident(found))
                if wanted.contains(&found.to_string().as_str()))
        };
        let makes = name == "Problem" && ident(at + 3, &["error", "warning"]) && calls(at + 4);
        let before = at.checked_sub(2).is_some_and(|at| ident(at, &["check"]));
        let checks = before && CHECKS.contains(&name.to_string().as_str()) && calls(at + 1);
        if (makes || checks) && !NO_SITES.contains(&file) {
            let start = name.span().start();
            let site = (file.to_owned(), start.line, start.column + 1);
            self.sites.insert(site, name.to_string());
        }
    }
}

/// Words of a message, or the name of a key such as `needs[].job`.
fn is_text(text: &str) -> bool {
    let letters: usize =
        pieces(text).iter().map(|piece| piece.matches(char::is_alphabetic).count()).sum();
    let key =
        text.contains("[]") || text.split('.').all(|word| word.len() > 1) && text.contains('.');
    letters >= 2 && (text.contains(' ') || key)
}

/// What stands between the placeholders of a format string.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut rest = text.chars().peekable();
    let mut inside = false;
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if !inside && rest.peek() == Some(&c) => {
                rest.next();
                pieces.last_mut().unwrap().push(c);
            }
            '{' => {
                inside = true;
                pieces.push(String::new());
            }
            '}' if inside => inside = false,
            c if !inside => pieces.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    pieces
}

/// Whether `told` holds the text, with anything in place of its placeholders.
fn holds(told: &str, text: &str) -> bool {
    let mut rest = told;
    told.contains(text)
        || pieces(text).iter().all(|piece| match rest.find(piece.as_str()) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
}

/// All that a diagnostic says, a line each.
fn said(diagnostic: &Diagnostic) -> Vec<String> {
    let related = diagnostic.related.iter().map(|related| related.message.clone());
    let edit = diagnostic.edit.iter().map(|edit| edit.replacement.clone());
    let fix = diagnostic.fix.clone();
    std::iter::once(diagnostic.message.clone()).chain(fix).chain(related).chain(edit).collect()
}

fn sources() -> [Found; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    [Found::read(&root.join("src"), ""), Found::read(&root.join("../rules/src"), "")]
}

#[test]
fn every_check_has_a_fixture_that_trips_it() {
    fixtures::all_diagnostics();
    let tripped = SITES.lock().unwrap().clone();
    let [found, _] = sources();
    let missing: Vec<String> = found
        .sites
        .iter()
        .filter(|(site, _)| !tripped.contains(*site))
        .map(|((file, line, column), name)| format!("{file}:{line}:{column} {name}"))
        .collect();
    assert!(found.sites.len() > 100, "the search for checks finds only {}", found.sites.len());
    assert!(missing.is_empty(), "no fixture trips\n{}", missing.join("\n"));
}

#[test]
fn every_text_of_a_message_stands_in_a_fixture() {
    let told: BTreeSet<String> = fixtures::all_diagnostics().iter().flat_map(said).collect();
    let mut missing = Vec::new();
    let mut stale: BTreeSet<&str> = NO_MESSAGES.iter().map(|(text, _)| *text).collect();
    for (text, places) in sources().into_iter().flat_map(|found| found.texts) {
        let exempt =
            stale.remove(text.as_str()) || NO_MESSAGES.iter().any(|(exempt, _)| *exempt == text);
        if !exempt && !told.iter().any(|told| holds(told, &text)) {
            missing.push(format!("{}: {text:?}", places.join(", ")));
        }
    }
    assert!(missing.is_empty(), "no fixture says\n{}", missing.join("\n"));
    assert!(stale.is_empty(), "not in the sources any more: {stale:?}");
}

#[test]
fn the_search_sees_what_it_should() {
    let mut found = Found::default();
    let text = "
        #[error(\"seen {0} here\")] struct A;
        #[doc = \"not seen\"] fn f() {
            check.text(node, \"aa.bb\"); x.expect(\"not seen\"); Problem::error(mark, \"also seen\");
        }
        #[cfg(test)] mod tests { fn g() { Problem::error(mark, \"not seen\") } }
    ";
    found.tokens("x.rs", text.parse().unwrap());
    let texts: Vec<&String> = found.texts.keys().collect();
    assert_eq!(texts, ["aa.bb", "also seen", "seen {0} here"]);
    let names: Vec<&String> = found.sites.values().collect();
    assert_eq!(names, ["text", "Problem"]);
    assert!(holds("seen it here", "seen {0} here") && !holds("seen it", "seen {0} here"));
}
