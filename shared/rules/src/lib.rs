//! Rule expressions and rule lists: parse, print, evaluate against facts. No I/O.
//!
//! The workflow compiler parses conditions into [`libloom_contract::graph::Expression`] and puts
//! them in the graph; `loom run` and `loom compile --evaluate` apply them with [`apply()`]. The language is
//! the one GitLab users know: `$VAR`, strings, `null`, `/regex/i`, `== != =~ !~ && || !` and
//! parentheses. `&&` binds tighter than `||`, comparisons tighter than `&&`, and `!` tightest: `!$A == "x"`
//! negates `$A` alone.

#![warn(missing_docs)]

mod decide;
mod evaluate;
mod globs;
mod graph;
mod lexer;
mod parser;
mod pattern;
mod print;

pub use decide::{DecideError, Facts, constant, decide};
pub use evaluate::{EvaluateError, evaluate};
pub use globs::{GlobError, Globs};
pub use graph::{Applied, AppliedJob, ApplyError, Setting, apply};
pub use parser::{MAX_DEPTH, SyntaxError, parse};
pub use pattern::PatternError;
pub use print::print;
