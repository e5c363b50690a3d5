//! The rule language: what parses to what, what holds when, and where mistakes are.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use libloom_contract::graph::{Condition, Expression, Rule};
use libloom_rules::{Facts, Globs, constant, decide, evaluate, parse, print};
use proptest::prelude::*;

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "BRANCH" => "release-1.2",
        "EMPTY" => "",
        "PATTERN" => "/^RELEASE/i",
        "SLASH" => "a/b",
        _ => return None,
    };
    Some(value.to_owned())
}

fn holds(text: &str) -> bool {
    evaluate(&parse(text).unwrap(), &lookup).unwrap()
}

#[test]
fn conditions_hold_as_gitlab_users_expect() {
    for text in [
        "$BRANCH",
        "${BRANCH}",
        "!$EMPTY",
        "!$NONE",
        "$NONE == null",
        "$EMPTY != null",
        "$EMPTY == \"\"",
        "$BRANCH == 'release-1.2'",
        "$BRANCH != \"main\"",
        "$BRANCH =~ /^release-\\d+\\.\\d+$/",
        "$BRANCH =~ /^RELEASE/i",
        "$BRANCH =~ $PATTERN",
        "$SLASH =~ /a\\/b/",
        "$BRANCH !~ /^main/",
        "$NONE !~ /x/",
        "$NONE && $NONE || $BRANCH",
        "$BRANCH || $NONE && $NONE",
        "($BRANCH || $NONE) && !($NONE)",
        "$BRANCH==\"release-1.2\"&&$EMPTY==\"\"",
        "!!$BRANCH",
    ] {
        assert!(holds(text), "{text}");
    }
    for text in [
        "$EMPTY",
        "$NONE",
        "null",
        "\"\"",
        "!$BRANCH",
        "$BRANCH =~ /main/",
        "$NONE =~ /.*/",
        "$BRANCH =~ $NONE",
        "($BRANCH || $NONE) && $NONE",
        "!$NONE == \"x\"",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (text, at, word) in [
        ("$A = 'b'", 3..4, "`==`"),
        ("$A == b", 6..7, "`$b`"),
        ("$A == 'b", 6..8, "closing quote"),
        ("$A =~ /x", 6..8, "closing `/`"),
        ("$A =~ /x/z", 6..10, "unknown flag `z`"),
        ("$A &&", 5..5, "expected a value"),
        ("&& $A", 0..2, "expected a value before"),
        ("($A", 0..1, "never closed"),
        ("$A)", 2..3, "closes nothing"),
        ("$A $B", 3..5, "before this"),
        ("$A == $B == $C", 3..5, "do not chain"),
        ("$A =~ 'x'", 6..9, "regular expression such as"),
        ("$1", 0..1, "variable name"),
        ("", 0..0, "expected a value"),
        ("$A == é", 6..8, "unexpected `é`"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.message.contains(word), "{text}: {error}");
        assert_eq!(error.range, at, "{text}: {error}");
    }
}

#[test]
fn deep_and_long_conditions_are_refused() {
    assert!(parse(&("(".repeat(100_000) + "$A")).is_err());
    assert!(parse(&("!".repeat(100_000) + "$A")).is_err());
    assert!(parse(&["$A"; 10_000].join(" && ")).is_err());
    assert!(parse(&["$A"; 100].join(" && ")).is_ok());
}

#[test]
fn the_limits_of_a_condition_are_exact() {
    let joined = |count: usize| parse(&vec!["$A"; count].join(" && ")).is_ok();
    assert_eq!((joined(200), joined(201)), (true, false));
    let grouped = |depth: usize| format!("{}$A{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&grouped(64)).is_ok());
    assert_eq!(parse(&grouped(65)).unwrap_err().message, "this condition is too complex");
    let negated = |depth: usize| "!".repeat(depth) + "$A";
    assert!(parse(&negated(64)).is_ok());
    assert_eq!(parse(&negated(65)).unwrap_err().range, 65..67);
}

fn rule(condition: Option<&str>, changes: Option<&[&str]>, exists: Option<&[&str]>) -> Rule {
    let list = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
    let parsed =
        |text: &str| Condition { text: Some(text.into()), expression: parse(text).unwrap() };
    Rule {
        condition: condition.map(parsed),
        changes: changes.map(list),
        exists: exists.map(list),
        ..Rule::default()
    }
}

#[test]
fn the_first_rule_of_which_all_parts_hold_decides() {
    let changed = ["src/a.rs".to_owned()];
    let exists = |globs: &Globs| globs.matches("Cargo.toml").then(|| "Cargo.toml".to_owned());
    let facts = Facts { variable: &lookup, changed: Some(&changed), exists: &exists };
    let rules = [
        rule(Some("$NONE"), None, None),
        rule(Some("$BRANCH"), Some(&["docs/**"]), None),
        rule(None, Some(&["src/**"]), Some(&["*.toml"])),
        rule(None, None, None),
    ];
    let decision = decide(&rules, &facts).unwrap();
    assert_eq!(decision.rule, Some(3));
    assert_eq!(decision.reason, "rule 3 matches: changes src/** and exists *.toml");
    let looked_at = &decision.rules;
    let condition = looked_at[0].condition.as_ref().unwrap();
    assert_eq!((condition.holds, &condition.variables["NONE"]), (false, &None));
    let changes = looked_at[1].changes.as_ref().unwrap();
    assert_eq!((changes.holds, changes.comparable, changes.matched.len()), (false, true, 0));
    assert_eq!(looked_at[2].changes.as_ref().unwrap().matched, ["src/a.rs"]);
    let exists = looked_at[2].exists.as_ref().unwrap();
    assert_eq!(exists.matched.as_deref(), Some("Cargo.toml"));
    let none = decide(&rules[..2], &facts).unwrap();
    assert_eq!((none.rule, &*none.reason), (None, "none of its 2 rules matches"));
    let nothing_to_compare = Facts { changed: None, ..facts };
    assert_eq!(decide(&rules, &nothing_to_compare).unwrap().rule, Some(2));
}

#[test]
fn a_condition_without_variables_is_constant() {
    let constant = |text: &str| constant(&parse(text).unwrap());
    assert_eq!(constant("'x' == 'x'"), Some(true));
    assert_eq!(constant("'x' =~ /y/ || !null && null"), Some(false));
    for text in ["$A", "!$A", "'x' == $A", "null && $A", "$A || 'x'", "$A !~ /x/", "'x' =~ $A"] {
        assert_eq!(constant(text), None, "{text}");
    }
}

#[test]
fn reasons_quote_conditions_as_written_or_as_parsed() {
    let facts = Facts { variable: &lookup, changed: None, exists: &|_| None };
    let reason = |rule: &Rule| decide(std::slice::from_ref(rule), &facts).unwrap().reason;
    let mut written = rule(Some("( $BRANCH )"), None, None);
    assert_eq!(reason(&written), "rule 1 matches: ( $BRANCH )");
    written.condition.as_mut().unwrap().text = None;
    assert_eq!(reason(&written), "rule 1 matches: $BRANCH");
    assert_eq!(reason(&rule(None, None, None)), "rule 1 matches: it has no condition");
    assert_eq!(reason(&rule(Some("$NONE"), None, None)), "its only rule does not match");
}

#[test]
fn what_is_printed_has_no_needless_parentheses() {
    for text in ["!!$A", "!$A && $B == \"x\" || $C", "$A || $B || $C", "($A || $B) && !($C && $D)"]
    {
        assert_eq!(print(&parse(text).unwrap()), text);
    }
    assert_eq!(print(&parse("((($A)) && (($B)))").unwrap()), "$A && $B");
}

#[test]
fn a_slash_that_is_escaped_already_is_printed_as_it_stands() {
    let printed = |pattern: &str| {
        print(&Expression::Regex { pattern: pattern.to_owned(), flags: String::new() })
    };
    assert_eq!(printed("a/b"), r"/a\/b/");
    assert_eq!(printed(r"a\/b"), r"/a\/b/");
    assert_eq!(printed(r"a\\/b"), r"/a\\\/b/");
}

#[test]
fn patterns_out_of_variables_and_their_flags() {
    let holds = |text: &str, variables: &[(&str, &str)]| {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        evaluate(&parse(text).unwrap(), &lookup)
    };
    // An empty pattern would match everything.
    assert_eq!(holds("$A =~ $B", &[("A", "x"), ("B", "")]), Ok(false));
    assert_eq!(holds("$A !~ $B", &[("A", "x"), ("B", "")]), Ok(true));
    assert_eq!(holds("$A =~ $B", &[("A", "a/b"), ("B", "/a\\/B/i")]), Ok(true));
    assert_eq!(holds("$A =~ $B", &[("A", "xay"), ("B", "a")]), Ok(true));
    assert!(holds("$A =~ $B", &[("A", "x"), ("B", "/(/")]).is_err());
    for (flags, pattern, expected) in [
        ("", "^b", false),
        ("m", "^b", true),
        ("", "a.b", false),
        ("s", "a.b", true),
        ("i", "A", true),
    ] {
        let text = format!("$A =~ /{pattern}/{flags}");
        assert_eq!(holds(&text, &[("A", "a\nb")]), Ok(expected), "{text}");
    }
}

fn leaf() -> impl Strategy<Value = Expression> {
    prop_oneof![
        "[A-Z_][A-Z0-9_]{0,5}".prop_map(|name| Expression::Variable { name }),
        "[^\"\0]{0,6}".prop_map(|value| Expression::String { value }),
        "[^'\0]{0,6}".prop_map(|value| Expression::String { value }),
        Just(Expression::Null),
    ]
}

fn regex() -> impl Strategy<Value = Expression> {
    ("[a-z/. ]{0,6}", "i?s?").prop_map(|(pattern, flags)| Expression::Regex { pattern, flags })
}

fn expression() -> impl Strategy<Value = Expression> {
    leaf().prop_recursive(4, 24, 2, |inner| {
        let two = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        prop_oneof![
            two.clone().prop_map(|(left, right)| Expression::Equal { left, right }),
            two.clone().prop_map(|(left, right)| Expression::NotEqual { left, right }),
            two.clone().prop_map(|(left, right)| Expression::And { left, right }),
            two.prop_map(|(left, right)| Expression::Or { left, right }),
            (inner.clone(), regex()).prop_map(|(left, right)| Expression::Match {
                left: Box::new(left),
                right: Box::new(right)
            }),
            (inner.clone(), regex()).prop_map(|(left, right)| Expression::NotMatch {
                left: Box::new(left),
                right: Box::new(right)
            }),
            inner.prop_map(|operand| Expression::Not { operand: Box::new(operand) }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(expression in expression()) {
        let text = print(&expression);
        prop_assert_eq!(parse(&text), Ok(expression), "{}", text);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,40}") {
        if let Err(error) = parse(&text) {
            prop_assert!(text.get(error.range.clone()).is_some(), "{error}: {:?}", error.range);
        }
    }

    #[test]
    fn text_made_of_tokens_never_panics(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec!["$A", "'x'", "/x/i", "null", "==", "=~", "&&", "||", "!", "(", ")", " "]),
            0..20,
        )
    ) {
        let text = tokens.concat();
        if let Ok(expression) = parse(&text) {
            prop_assert_eq!(parse(&print(&expression)), Ok(expression));
        }
    }
}
