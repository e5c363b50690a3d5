//! Tokens to an expression, by precedence: `||`, `&&`, comparisons, `!`.

use std::ops::Range;

use libloom_contract::graph::Expression;

use crate::lexer::{Operator, Token, TokenKind, tokens};
use crate::pattern;

/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 64;
/// Most operands of one condition, so that the graph's depth stays bounded too.
const MAX_OPERANDS: usize = 200;

/// Why a condition is not one, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Bytes of the condition it is about; empty at its end when something is missing.
    pub range: Range<usize>,
}

impl SyntaxError {
    pub(crate) fn new(message: impl Into<String>, range: Range<usize>) -> Self {
        Self { message: message.into(), range }
    }
}

/// Parses a condition.
///
/// # Errors
/// The first thing that is wrong, with its place. Regular expressions are compiled to see
/// whether they can be.
pub fn parse(text: &str) -> Result<Expression, SyntaxError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), operands: 0 };
    let expression = parser.binary(0, 0)?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) if token.kind == TokenKind::Close => {
            Err(SyntaxError::new("this `)` closes nothing", token.range.clone()))
        }
        Some(token) => {
            let message = "expected `&&`, `||` or a comparison before this";
            Err(SyntaxError::new(message, token.range.clone()))
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    end: usize,
    operands: usize,
}

/// How tightly an operator binds; the comparisons do not chain.
fn strength(operator: Operator) -> u8 {
    match operator {
        Operator::Or => 1,
        Operator::And => 2,
        _ => 3,
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Operands joined by operators that bind at least as tightly as `weakest`.
    fn binary(&mut self, weakest: u8, depth: usize) -> Result<Expression, SyntaxError> {
        let mut left = self.operand(depth)?;
        while let Some(Token { kind: TokenKind::Operator(operator), range }) = self.peek() {
            if strength(*operator) < weakest {
                break;
            }
            self.at += 1;
            let right_start = self.peek().map_or(self.end..self.end, |token| token.range.clone());
            let right = self.binary(strength(*operator) + 1, depth)?;
            check_match(*operator, &right, &right_start)?;
            if strength(*operator) == 3 && self.comparison_follows() {
                return Err(SyntaxError::new(
                    "comparisons do not chain; join them with `&&`",
                    range.clone(),
                ));
            }
            left = join(*operator, left, right);
        }
        Ok(left)
    }

    fn comparison_follows(&self) -> bool {
        let kind = self.peek().map(|token| &token.kind);
        matches!(kind, Some(TokenKind::Operator(operator)) if strength(*operator) == 3)
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, SyntaxError> {
        let missing = || SyntaxError::new("expected a value here", self.end..self.end);
        let token = self.peek().ok_or_else(missing)?;
        self.at += 1;
        self.operands += 1;
        if depth > MAX_DEPTH || self.operands > MAX_OPERANDS {
            return Err(SyntaxError::new("this condition is too complex", token.range.clone()));
        }
        match &token.kind {
            TokenKind::Variable(name) => Ok(Expression::Variable { name: name.clone() }),
            TokenKind::String(value) => Ok(Expression::String { value: value.clone() }),
            TokenKind::Null => Ok(Expression::Null),
            TokenKind::Regex { pattern, flags } => regex(pattern, flags, token),
            TokenKind::Not => {
                let operand = Box::new(self.operand(depth + 1)?);
                Ok(Expression::Not { operand })
            }
            TokenKind::Open => self.group(token, depth + 1),
            TokenKind::Close | TokenKind::Operator(_) => {
                Err(SyntaxError::new("expected a value before this", token.range.clone()))
            }
        }
    }

    fn group(&mut self, open: &Token, depth: usize) -> Result<Expression, SyntaxError> {
        let inner = self.binary(0, depth)?;
        match self.next() {
            Some(Token { kind: TokenKind::Close, .. }) => Ok(inner),
            _ => Err(SyntaxError::new("this `(` is never closed", open.range.clone())),
        }
    }
}

fn regex(pattern: &str, flags: &str, token: &Token) -> Result<Expression, SyntaxError> {
    pattern::compile(pattern, flags)
        .map_err(|error| SyntaxError::new(error.to_string(), token.range.clone()))?;
    Ok(Expression::Regex { pattern: pattern.to_owned(), flags: flags.to_owned() })
}

/// The right side of `=~` is a regular expression, or a variable that holds one.
fn check_match(
    operator: Operator,
    right: &Expression,
    range: &Range<usize>,
) -> Result<(), SyntaxError> {
    let is_pattern = matches!(right, Expression::Regex { .. } | Expression::Variable { .. });
    match operator {
        Operator::Match | Operator::NotMatch if !is_pattern => {
            let message = "expected a regular expression such as `/^release-/` here";
            Err(SyntaxError::new(message, range.clone()))
        }
        _ => Ok(()),
    }
}

fn join(operator: Operator, left: Expression, right: Expression) -> Expression {
    let (left, right) = (Box::new(left), Box::new(right));
    match operator {
        Operator::Equal => Expression::Equal { left, right },
        Operator::NotEqual => Expression::NotEqual { left, right },
        Operator::Match => Expression::Match { left, right },
        Operator::NotMatch => Expression::NotMatch { left, right },
        Operator::And => Expression::And { left, right },
        Operator::Or => Expression::Or { left, right },
    }
}
