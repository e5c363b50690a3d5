//! Terminal output: the only crate that prints.
