//! An expression as text that parses to the same expression.

use libloom_contract::graph::Expression;

/// Prints an expression with only the parentheses it needs.
///
/// A string is printed in double quotes, or in single quotes when it holds a double quote;
/// parsing never yields one that holds both.
pub fn print(expression: &Expression) -> String {
    at(expression, 0)
}

fn at(expression: &Expression, weakest: u8) -> String {
    use Expression as E;
    let (own, text) = match expression {
        E::Variable { name } => (5, format!("${name}")),
        E::String { value } => (5, string(value)),
        E::Null => (5, "null".to_owned()),
        E::Regex { pattern, flags } => (5, format!("/{}/{flags}", escape_slashes(pattern))),
        E::Not { operand } => (4, format!("!{}", at(operand, 4))),
        E::Equal { left, right } => (3, binary("==", left, right, 3)),
        E::NotEqual { left, right } => (3, binary("!=", left, right, 3)),
        E::Match { left, right } => (3, binary("=~", left, right, 3)),
        E::NotMatch { left, right } => (3, binary("!~", left, right, 3)),
        E::And { left, right } => (2, binary("&&", left, right, 2)),
        E::Or { left, right } => (1, binary("||", left, right, 1)),
    };
    if own < weakest { format!("({text})") } else { text }
}

/// Joins to the left; comparisons do not chain, so both their sides bind tighter.
fn binary(word: &str, left: &Expression, right: &Expression, own: u8) -> String {
    let left_weakest = if own == 3 { 4 } else { own };
    format!("{} {word} {}", at(left, left_weakest), at(right, own + 1))
}

fn string(value: &str) -> String {
    let quote = if value.contains('"') { '\'' } else { '"' };
    format!("{quote}{value}{quote}")
}

/// Slashes become `\/`; one that is already escaped stays.
fn escape_slashes(pattern: &str) -> String {
    let mut result = String::with_capacity(pattern.len());
    let mut escaped = false;
    for c in pattern.chars() {
        if c == '/' && !escaped {
            result.push('\\');
        }
        escaped = c == '\\' && !escaped;
        result.push(c);
    }
    result
}
