//! Exit codes shared by every command (`loom exec` passes its program's own code on instead).

/// Everything asked for was done.
pub const DONE: u8 = 0;
/// The answer is no: a job failed, the workflow is invalid, a verification found damage.
pub const NO: u8 = 1;
/// The command line is wrong; nothing was done.
pub const USAGE: u8 = 2;
/// It could not be done: no repository, daemon unavailable, disk full, secret not resolvable.
pub const COULD_NOT: u8 = 3;
/// A bug in Loom.
pub const BUG: u8 = 70;
/// The dispatcher found no such subcommand.
pub const NO_SUCH_COMMAND: u8 = 127;
/// Interrupted by SIGINT.
pub const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM.
pub const TERMINATED: u8 = 143;
