//! Something wrong, as the checks note it: by marks; [`into_diagnostics`] turns marks into places.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use libloom_contract::diagnostic::{Diagnostic, Edit, Related, Severity, WF_SCHEMA_V1};

use crate::pointer::{pointer_to, value_at};
use crate::source::{FileId, Mark, Sources};
use crate::tree::Node;
use crate::yaml;

/// Codes more specific than [`WF_SCHEMA_V1`].
pub mod code {
    /// The file is not YAML, or not text.
    pub const YAML_SYNTAX: &str = "WF_YAML_SYNTAX";
    /// Anchors, aliases, tags, merge keys, directives, several documents.
    pub const YAML_UNSUPPORTED: &str = "WF_YAML_UNSUPPORTED";
    /// A key stands twice in one mapping.
    pub const DUPLICATE_KEY: &str = "WF_DUPLICATE_KEY";
    /// The file is too large or too deeply nested.
    pub const LIMIT: &str = "WF_LIMIT";
    /// A condition of a rule cannot be parsed.
    pub const RULE_SYNTAX: &str = "WF_RULE_SYNTAX";
    /// Variables refer to each other in a circle.
    pub const VARIABLE_CYCLE: &str = "WF_VARIABLE_CYCLE";
    /// Jobs need each other in a circle.
    pub const NEEDS_CYCLE: &str = "WF_NEEDS_CYCLE";
    /// A secret reference is malformed or of an unknown scheme.
    pub const SECRETS_REF_INVALID: &str = "SECRETS_REF_INVALID";
    /// Warning: a template that no job extends.
    pub const UNUSED_TEMPLATE: &str = "WF_UNUSED_TEMPLATE";
    /// Warning: a key that has no effect where it stands.
    pub const NO_EFFECT: &str = "WF_NO_EFFECT";
    /// Warning: two script entries begin with the same relative `cd`.
    pub const REPEATED_CD: &str = "WF_REPEATED_CD";
    /// Warning: a script entry holds a carriage return.
    pub const CRLF: &str = "WF_CRLF";
    /// Warning: syntax of bash in a script that `sh` runs.
    pub const BASH_SYNTAX: &str = "WF_BASH_SYNTAX";
    /// Warning: a path that leaves the workspace.
    pub const OUTSIDE_WORKSPACE: &str = "WF_OUTSIDE_WORKSPACE";
    /// Warning: a literal in `variables` that looks like a secret.
    pub const SECRET_LITERAL: &str = "WF_SECRET_LITERAL";
    /// Warning: a job that can never run.
    pub const NEVER_RUNS: &str = "WF_NEVER_RUNS";
    /// Warning: a need that another need of the same job implies.
    pub const IMPLIED_NEED: &str = "WF_IMPLIED_NEED";
    /// Warning: a variable that expands to itself or to nothing.
    pub const NO_VALUE: &str = "WF_NO_VALUE";

    /// All of them.
    pub const ALL: &[&str] = &[
        YAML_SYNTAX,
        YAML_UNSUPPORTED,
        DUPLICATE_KEY,
        LIMIT,
        RULE_SYNTAX,
        VARIABLE_CYCLE,
        NEEDS_CYCLE,
        SECRETS_REF_INVALID,
        UNUSED_TEMPLATE,
        NO_EFFECT,
        REPEATED_CD,
        CRLF,
        BASH_SYNTAX,
        OUTSIDE_WORKSPACE,
        SECRET_LITERAL,
        NEVER_RUNS,
        IMPLIED_NEED,
        NO_VALUE,
    ];
}

/// One problem, not yet placed.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) mark: Mark,
    /// What the pointer is to, where `mark` itself is not part of the tree.
    about: Option<Mark>,
    code: &'static str,
    severity: Severity,
    message: String,
    fix: Option<String>,
    suggestion: Option<String>,
    related: Vec<(Mark, String)>,
    edit: Option<(Mark, String)>,
}

impl Problem {
    /// An error with the general code.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn error(mark: Mark, message: impl Into<String>) -> Self {
        #[cfg(test)]
        crate::coverage::note_site();
        Problem {
            mark,
            about: None,
            code: WF_SCHEMA_V1,
            severity: Severity::Error,
            message: message.into(),
            fix: None,
            suggestion: None,
            related: Vec::new(),
            edit: None,
        }
    }

    /// A warning with its code.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn warning(code: &'static str, mark: Mark, message: impl Into<String>) -> Self {
        Problem { code, severity: Severity::Warning, ..Self::error(mark, message) }
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn about(mut self, mark: Mark) -> Self {
        self.about = Some(mark);
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The nearest known name, if there is one; also becomes the fix.
    pub(crate) fn did_you_mean(mut self, nearest: Option<&str>) -> Self {
        if let Some(nearest) = nearest {
            self.fix = Some(format!("did you mean \"{nearest}\"?"));
            self.suggestion = Some(nearest.to_owned());
        }
        self
    }

    pub(crate) fn related(mut self, mark: Mark, message: impl Into<String>) -> Self {
        self.related.push((mark, message.into()));
        self
    }

    pub(crate) fn edit(mut self, mark: Mark, replacement: impl Into<String>) -> Self {
        self.edit = Some((mark, replacement.into()));
        self
    }

    /// Moves it by some bytes.
    pub(crate) fn shift(&mut self, by: u32) {
        let edit = self.edit.iter_mut().map(|(mark, _)| mark);
        let related = self.related.iter_mut().map(|(mark, _)| mark);
        for mark in [&mut self.mark].into_iter().chain(&mut self.about).chain(related).chain(edit) {
            *mark = mark.shifted(by);
        }
    }

    /// Place and, as a number, message: what no two problems have in common.
    pub(crate) fn identity(&self) -> (Mark, u64) {
        let mut hasher = DefaultHasher::new();
        self.message.hash(&mut hasher);
        (self.mark, hasher.finish())
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    fn place(self, sources: &Sources, tree: Option<&Node>) -> Diagnostic {
        let file = sources.file(self.mark.file);
        let related = |(mark, message)| Related { span: sources.span(mark), message };
        // Another word in place of a block scalar's text would still end in a newline.
        let is_block = |mark: &Mark| {
            tree.and_then(|tree| value_at(tree, *mark)).is_some_and(Node::is_block_scalar)
        };
        let edit = |(mark, replacement): (Mark, String)| Edit {
            file: sources.file(mark.file).path.clone(),
            start: mark.start as usize,
            end: mark.end as usize,
            replacement,
        };
        let about = self.about.unwrap_or(self.mark);
        Diagnostic {
            code: self.code.to_owned(),
            severity: self.severity,
            pointer: tree.map(|tree| pointer_to(tree, about)).unwrap_or_default(),
            span: Some(sources.span(self.mark)),
            message: self.message,
            fix: self.fix,
            suggestion: self.suggestion,
            related: self.related.into_iter().map(related).collect(),
            include_chain: if file.chain.len() > 1 { file.chain.clone() } else { Vec::new() },
            edit: self.edit.filter(|(mark, _)| !is_block(mark)).map(edit),
        }
    }
}

/// Most problems that are told; a file that has more is mostly not what it should be.
pub(crate) const MAX_PROBLEMS: usize = 1000;

/// Places all problems, in order of position, each once: a mistake in a template shows in every
/// job that extends it, but is one mistake.
pub(crate) fn into_diagnostics(mut problems: Vec<Problem>, sources: &Sources) -> Vec<Diagnostic> {
    problems.sort_by(|a, b| (a.mark, a.code, &a.message).cmp(&(b.mark, b.code, &b.message)));
    let mut seen = HashSet::new();
    // Most workflows are right, so trees are not kept for pointers; files come one after another.
    let mut read: Option<(FileId, Option<Node>)> = None;
    problems
        .into_iter()
        .filter(|problem| seen.insert((problem.mark, problem.message.clone())))
        .take(MAX_PROBLEMS)
        .map(|problem| {
            let file = problem.mark.file;
            if read.as_ref().is_none_or(|(known, _)| *known != file) {
                read = Some((file, yaml::read(file, &sources.file(file).text).root));
            }
            problem.place(sources, read.as_ref().and_then(|(_, tree)| tree.as_ref()))
        })
        .collect()
}
