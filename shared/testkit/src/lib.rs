//! What the tests of all packages share: real processes in a closed room.
//!
//! A [`Sandbox`] is a temporary folder with its own home, git configuration and temp folder, and
//! an environment cleared of everything else. When it is dropped it checks that nothing was left
//! behind ([`Leftovers`]) and that every document written obeys the contract's schemas.
//! Everything here panics on trouble: it is test code, and a panic is how a test fails.

#![warn(missing_docs)]

mod big_repository;
mod binaries;
mod documents;
mod engine;
mod leftovers;
mod normalize;
mod proxy;
mod repo;
mod sandbox;
mod tree_list;
mod wait;

pub use big_repository::{OF_EACH_STATE, big_repository};
pub use binaries::{binaries, cargo};
pub use documents::{check_documents, document_faults};
pub use engine::{Engine, Object};
pub use leftovers::Leftovers;
pub use normalize::normalize;
pub use proxy::{Fault, Proxy};
pub use repo::Repo;
pub use sandbox::Sandbox;
pub use tree_list::{assert_same_list, tree_list, tree_list_script, try_tree_list};
pub use wait::wait_until;

/// The top folder of Loom's own sources.
pub fn source_root() -> &'static std::path::Path {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("testkit lies in shared/testkit")
}
