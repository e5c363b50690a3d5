//! The executables that are measured: built as they are released.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the executables are.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds them, where they are not up to date.
    pub fn build() -> io::Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "--workspace", "--bins"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()?;
        if !status.success() {
            return Err(io::Error::other("the executables cannot be built"));
        }
        // This executable is `<target folder>/release/deps/ratios-…`.
        let own = env::current_exe()?;
        let folder = own.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
        let programs = Programs { folder };
        match programs.path("loom") {
            path if path.is_file() => Ok(programs),
            path => Err(io::Error::other(format!("`{}` is missing", path.display()))),
        }
    }

    /// Path of an executable.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
