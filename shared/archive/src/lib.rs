//! A job's artifacts on disk: copies, an archive, a manifest of both; read, matched, restored.
//!
//! What lies there may come from somebody else's job, so none of it is trusted: names are checked
//! before they are used ([`entry_path`]), every path is walked folder by folder without following a
//! link ([`Folder`]), and content counts only if its checksum is the manifest's.

#![warn(missing_docs)]

mod archived;
mod content;
mod folder;
mod names;
mod patterns;
mod restore;

pub use archived::{Archived, ArchivedKind, read_archive};
pub use content::{Content, Copied, hex};
pub use folder::{Folder, Kind, Listed};
pub use names::{NameError, check_path, encoded, entry_path, is_own, link_target};
pub use patterns::{PatternError, Patterns};
pub use restore::{Existing, Request, RestoreError, Restored, kept_mode, restore, restore_some};
