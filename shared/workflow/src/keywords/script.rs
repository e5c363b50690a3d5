//! `script`, `before_script`, `after_script`: lists of one-line commands.

use std::collections::HashMap;

use libloom_contract::graph::{ScriptSection, Step};

use crate::check::Checker;
use crate::keywords::bash::bash_syntax;
use crate::problem::{Problem, code};
use crate::source::as_u32;
use crate::tree::{Kind, Node};

/// The steps of one list.
pub(crate) fn steps(check: &mut Checker<'_>, node: &Node, section: ScriptSection) -> Vec<Step> {
    let key = section.word();
    let Some(items) = check.sequence(node, key) else { return Vec::new() };
    let mut steps = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if let Some(command) = command(check, item, key) {
            let number = as_u32(index + 1);
            let position = Some(check.sources.position(item.mark));
            steps.push(Step { section, number, command, position });
        }
    }
    steps
}

fn command(check: &mut Checker<'_>, node: &Node, key: &str) -> Option<String> {
    let Some(text) = node.as_string() else {
        if node.kind() == Kind::Mapping {
            let fix = "quote the entry: it contains \": \", which starts a mapping";
            check.wrong_type_fix(node, "string", key, Some(fix));
        } else {
            check.wrong_type(node, "string", key);
        }
        return None;
    };
    // A block scalar's own line end is no newline in the command.
    let command = text.trim_end_matches('\n');
    if command.trim().is_empty() {
        check.note(Problem::error(node.mark, format!("empty entry in \"{key}\"")).fix("remove it"));
        return None;
    }
    if command.contains('\n') {
        check
            .note(Problem::error(node.mark, "newline in command").fix("use separate list entries"));
        return None;
    }
    if command.contains('\0') {
        check.note(Problem::error(node.mark, "NUL character in command").fix("remove it"));
        return None;
    }
    warnings(check, node, command);
    Some(command.to_owned())
}

fn warnings(check: &mut Checker<'_>, node: &Node, command: &str) {
    if command.contains('\r') {
        let problem = Problem::warning(code::CRLF, node.mark, "carriage return in command");
        check.note(problem.fix("remove it; sh takes it as part of the last word"));
    }
    if let Some(syntax) = bash_syntax(command) {
        let message = format!("\"{syntax}\" is bash; commands run in sh");
        let problem = Problem::warning(code::BASH_SYNTAX, node.mark, message);
        check.note(problem.fix("use POSIX syntax, or call bash -c '…'"));
    }
}

/// Warns where two entries begin with the same relative `cd`: they share one shell.
pub(crate) fn warn_repeated_cd(check: &mut Checker<'_>, node: &Node) {
    let mut seen: HashMap<&str, &Node> = HashMap::new();
    for item in node.as_sequence().unwrap_or_default() {
        let Some(folder) = item.as_string().and_then(relative_cd) else { continue };
        match seen.get(folder) {
            Some(first) => {
                let message =
                    format!("\"cd {folder}\" is repeated, but all entries run in one shell");
                let problem = Problem::warning(code::REPEATED_CD, item.mark, message)
                    .fix("remove the second cd, or use (cd … && …)");
                check.note(problem.related(first.mark, "the shell changes folder here"));
            }
            None => {
                seen.insert(folder, item);
            }
        }
    }
}

fn relative_cd(command: &str) -> Option<&str> {
    let folder = command.trim_start().strip_prefix("cd ")?.trim_start();
    let end = folder.find([' ', ';', '&', '|']).unwrap_or(folder.len());
    let folder = folder[..end].trim_matches(['"', '\'']);
    let relative = !folder.is_empty() && !folder.starts_with(['/', '$', '~', '-', '.']);
    relative.then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_cd_counts() {
        assert_eq!(relative_cd("cd app && make"), Some("app"));
        assert_eq!(relative_cd("cd \"app\""), Some("app"));
        for other in ["cd /app", "cd ..", "cd $X", "cd", "(cd app)"] {
            assert_eq!(relative_cd(other), None, "{other}");
        }
    }
}
