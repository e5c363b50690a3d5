//! What a command knows about the process it runs in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use libloom_console::Console;

use crate::{Environment, Failure, OrFail, SharedOptions, Siblings, repository_root};

/// Handed to every command; nothing below it reads process state for itself.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where to speak.
    pub console: Console,
    /// Absolute current folder at start.
    pub cwd: PathBuf,
    /// Environment at start.
    pub env: Environment,
    /// Arguments as typed, the program's own name first.
    pub argv: Vec<OsString>,
    /// The shared options as typed; what they mean is already in [`Context::console`].
    pub options: SharedOptions,
    /// Where other commands of Loom are found.
    pub siblings: Siblings,
}

impl Context {
    pub(crate) fn of_process(
        console: Console,
        options: SharedOptions,
        env: Environment,
        argv: Vec<OsString>,
    ) -> Result<Self, Failure> {
        let cwd = std::env::current_dir()
            .or_could_not("cannot find the current folder")
            .map_err(|f| f.hint("it was removed or is not readable; `cd` to another one"))?;
        let siblings = Siblings::of_process(&env);
        Ok(Self { console, cwd, env, argv, options, siblings })
    }

    /// A context made of parts, for tests.
    pub fn of_parts(console: Console, cwd: &Path, env: Environment) -> Self {
        let siblings = Siblings::of_process(&env);
        let options = SharedOptions::default();
        Self { console, cwd: cwd.to_owned(), env, argv: Vec::new(), options, siblings }
    }

    /// Top folder of the repository that holds [`Context::cwd`].
    pub fn repository_root(&self) -> Result<PathBuf, Failure> {
        repository_root(&self.cwd)
    }
}
