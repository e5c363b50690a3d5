//! One module for each group of job keywords: its check and its form in the graph.

pub(crate) mod artifacts;
mod bash;
pub(crate) mod cache;
pub(crate) mod image;
pub(crate) mod layered;
mod literal;
pub(crate) mod needs;
pub(crate) mod parallel;
pub(crate) mod policy;
pub(crate) mod resources;
pub(crate) mod rules;
pub(crate) mod script;
pub(crate) mod secrets;
pub(crate) mod services;
pub(crate) mod variables;

use libloom_contract::graph::Outcome;

/// The words of `when` of artifacts and caches.
const OUTCOMES: &[(&str, Outcome)] = &[
    ("on_success", Outcome::OnSuccess),
    ("on_failure", Outcome::OnFailure),
    ("always", Outcome::Always),
];
