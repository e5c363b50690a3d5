//! One shell per job, one step per script entry: the text the shell runs, and its output taken
//! apart again.
//!
//! Before each entry the shell writes a boundary to both of its streams: a NUL, a nonce of this
//! job, the entry's number, a NUL. The reader cuts there. Boundaries carry no exit code: an entry
//! whose successor began ended with 0, and the last one that began has the shell's own status,
//! so `exit`, `exec`, `set -e`, syntax errors, signals and EXIT traps all come out right.
//!
//! Known limits: an entry may redefine `command`; boundaries then go missing and the output
//! counts for the entry before. Descriptors 6 and 7 that an entry opens do not outlive it.

pub mod batch;
pub mod channel;
pub mod script;
pub mod split;
