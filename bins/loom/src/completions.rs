//! What clap cannot know about completing `loom`: its commands are executables of their own, with
//! completions of their own.

use libloom_entry::Shell;

/// `script`, as clap generates it, with the part that hands over to `loom-NAME`.
pub fn completions(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script + include_str!("completions/delegate.bash"),
        Shell::Zsh => zsh(&script),
        Shell::Fish => script + include_str!("completions/delegate.fish"),
        _ => script,
    }
}

/// zsh runs the end of the file to complete the first word, so the hand-over replaces that end.
fn zsh(script: &str) -> String {
    let end = "\nif [ \"$funcstack[1]\" = \"_loom\" ]";
    let functions = script.find(end).map_or(script, |at| &script[..at]);
    functions.to_owned() + include_str!("completions/delegate.zsh")
}
