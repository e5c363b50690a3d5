//! Terminal output: the only crate that prints.
//!
//! stdout is data that someone may pipe, stderr is everything else. A command gets one
//! [`Console`] from `libloom-entry` and hands it down; nothing here reads the environment.
//! Text is styled by what it means ([`Label`]), never by colour, and the decision whether to
//! colour is made once for each stream, in [`color`].

#![warn(missing_docs)]

pub mod color;
mod console;
mod fit;
mod live;
mod output;
mod paint;
mod printable;
mod size;
mod table;

pub use color::{ColorChoice, ColorHints};
pub use console::{Captured, Console, OutputError, Verbosity};
pub use fit::{display_width, fit, fit_middle, pad};
pub use live::{Live, Size};
pub use output::shown_line;
pub use paint::{Label, Paint, Painted};
pub use printable::printable;
pub use size::size;
pub use table::Table;
