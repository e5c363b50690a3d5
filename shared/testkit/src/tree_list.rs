//! The canonical list of a work tree, made by git, `find` and `sha256sum`.

use std::path::{Path, PathBuf};

use crate::{Sandbox, source_root};

/// The script that prints the list (`sh SCRIPT FOLDER`); it can also run inside a job.
pub fn tree_list_script() -> PathBuf {
    source_root().join("shared/testkit/src/tree_list.sh")
}

/// Type, mode, link target and SHA-256 of every tracked and untracked file in `folder`, the
/// entries of its index and its status, one record a line; names are escaped.
pub fn tree_list(sandbox: &Sandbox, folder: &Path) -> Vec<String> {
    try_tree_list(sandbox, folder).unwrap_or_else(|said| panic!("{said}"))
}

/// The same of what may be no repository.
///
/// # Errors
/// What git or the tools said.
pub fn try_tree_list(sandbox: &Sandbox, folder: &Path) -> Result<Vec<String>, String> {
    let output = sandbox.program("sh".as_ref()).arg(tree_list_script()).arg(folder).output();
    let output = output.expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("cannot list `{}`:\n{said}", folder.display()));
    }
    let records = output.stdout.split(|byte| *byte == 0);
    Ok(records.map(|record| record.escape_ascii().to_string()).collect())
}

/// Fails, showing what differs, unless two lists are the same.
pub fn assert_same_list(expected: &[String], found: &[String]) {
    let lacks = |list: &[String], other: &[String]| -> Vec<String> {
        let other: std::collections::BTreeSet<_> = other.iter().collect();
        list.iter().filter(|record| !other.contains(record)).take(20).cloned().collect()
    };
    let (missing, surplus) = (lacks(expected, found), lacks(found, expected));
    assert!(
        expected == found,
        "the trees differ\nonly in the first: {missing:#?}\nonly in the second: {surplus:#?}"
    );
}
