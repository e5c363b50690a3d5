//! What a job's shell does first, once the login profile ran.

use std::path::Path;

/// What the prelude restores after the login profile ran.
#[derive(Debug)]
pub struct Prelude<'a> {
    /// Folder the entries begin in.
    pub workspace: &'a Path,
    /// The job's `PATH`, put in front of what the profile made of it.
    pub path: &'a str,
    /// Variables of the job, which the profile may have changed.
    pub variables: &'a [(String, String)],
    /// A file that sets what this text must not show.
    pub private: Option<&'a Path>,
    /// The shell is the first process of a container: the kernel lets it hear only those signals
    /// that it has a trap for.
    pub is_first_process: bool,
}

impl Prelude<'_> {
    /// Commands of POSIX shell, the last one ended by `; `.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.is_first_process {
            text.push_str("trap 'exit 143' TERM; ");
        }
        for (name, value) in self.variables.iter().filter(|(name, _)| name != "PATH") {
            text.push_str(&format!("export {name}={}; ", quoted(value)));
        }
        if let Some(private) = self.private {
            text.push_str(&format!(". {}; ", quoted(&private.to_string_lossy())));
        }
        let path = quoted(self.path);
        text.push_str(&format!(
            "case $PATH in {path}|{path}:*) ;; *) PATH={path}${{PATH:+:$PATH}};; esac; export PATH; "
        ));
        let workspace = quoted(&self.workspace.to_string_lossy());
        text.push_str(&format!("cd -- {workspace} || exit 1; "));
        text
    }
}

/// `text` as one word of POSIX shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
