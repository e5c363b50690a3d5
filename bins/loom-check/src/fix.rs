//! `--fix`: applies the edits that certainly mend something.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libloom_contract::diagnostic::{Diagnostic, Edit};
use libloom_contract::store;
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_workflow::{Compiled, Located, Sources};

/// Most rounds: an edit can uncover a mistake that has an edit of its own.
const MAX_ROUNDS: usize = 10;

/// Edits the files until nothing certain is left; what is then wrong is answered.
pub(crate) fn fix(context: &Context, mut located: Located) -> Result<(Located, Compiled), Failure> {
    let mut compiled = located.check();
    for _ in 0..MAX_ROUNDS {
        let edited = apply(context, &located.root, &compiled)?;
        if !edited {
            break;
        }
        let what = format!("cannot read workflow `{}` again", located.file.display());
        located.bytes = fs::read(&located.file).or_could_not(what)?;
        compiled = located.check();
    }
    Ok((located, compiled))
}

/// Applies one round of edits that do not overlap; whether there were any.
fn apply(context: &Context, root: &Path, compiled: &Compiled) -> Result<bool, Failure> {
    let mut by_file: BTreeMap<&str, Vec<(&Edit, &Diagnostic)>> = BTreeMap::new();
    for diagnostic in &compiled.diagnostics {
        if let Some(edit) = &diagnostic.edit {
            by_file.entry(&edit.file).or_default().push((edit, diagnostic));
        }
    }
    for (path, edits) in &mut by_file {
        edits.sort_by_key(|(edit, _)| (edit.start, edit.end));
        edits.dedup_by(|next, kept| next.0.start < kept.0.end || next.0.start == kept.0.start);
        let Some(text) = edited(path, edits, &compiled.sources) else { continue };
        replace(&root.join(path), text.as_bytes())?;
        for (_, diagnostic) in edits {
            context.console.status(format_args!("fixed {}", libloom_workflow::short(diagnostic)));
        }
    }
    Ok(!by_file.is_empty())
}

fn edited(path: &str, edits: &[(&Edit, &Diagnostic)], sources: &Sources) -> Option<String> {
    let mut text = sources.by_path(path)?.text.clone();
    for (edit, _) in edits.iter().rev() {
        text.replace_range(edit.start..edit.end, &edit.replacement);
    }
    Some(text)
}

/// Writes a file whole, where links lead to, with the rights it had.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let what = format!("cannot write `{}`", path.display());
    let write = || -> std::io::Result<()> {
        let path = path.canonicalize()?;
        let rights = fs::metadata(&path)?.permissions();
        store::write_bytes(&path, bytes)?;
        fs::set_permissions(&path, rights)
    };
    write().or_could_not(what)
}
