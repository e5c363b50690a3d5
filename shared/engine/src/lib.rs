//! The Docker engine as Loom uses it, through its API alone: never the `docker` program.
//!
//! [`Address`] says where an engine is, as the `docker` program would find it; [`Engine`] is a
//! connection, and its methods are grouped by what they are about ([`containers`],
//! [`volumes`], [`networks`]). Nothing else names bollard. Everything is asynchronous and needs a
//! tokio runtime, which whoever uses this crate builds once.
//!
//! Two habits keep callers out of trouble that the engine is known for: every call has an end
//! ([`CALL_TIME`]), and attached output is always read, because a container whose output nobody
//! reads hangs, and so does every call about it.

#![warn(missing_docs)]

mod address;
mod config;
mod connect;
pub mod containers;
mod credentials;
mod engine;
mod error;
pub mod images;
pub mod networks;
pub mod owner;
mod proxies;
pub mod reaper;
pub mod volumes;

pub use address::{Address, Surroundings};
pub use config::DockerConfig;
pub use credentials::{Credentials, registry};
pub use engine::{CALL_TIME, Engine, Flavour};
pub use error::EngineError;
