//! Documents and the places their fields point to.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use libloom_contract::{Document, layout::RunLayout, store};

use super::{Findings, Rule};

impl Findings {
    /// A document that must be there; `None` where it is not, or is not what it should be.
    pub(super) fn document<D: Document>(&mut self, path: &Path) -> Option<D> {
        self.documents += 1;
        let error = match store::read(path) {
            Ok(document) => return Some(document),
            Err(error) => error,
        };
        let is_missing = error.is_not_found();
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        match is_missing {
            true => self.add(path, Rule::Coverage, "is missing"),
            false => self.add(path, Rule::Schema, format!("is no `{}` document{cause}", D::KIND)),
        }
        None
    }

    /// A field of `document` that is relative to the run's folder.
    pub(super) fn pointer(&mut self, document: &Path, run: &RunLayout, field: (&str, &str)) {
        let (name, value) = field;
        let path = Path::new(value);
        if path.is_absolute() || path.components().any(|part| part.as_os_str() == "..") {
            let message = format!("{name} `{value}` leads out of the run's folder");
            self.add(document, Rule::Pointer, message);
            return;
        }
        self.leads_somewhere(document, name, &run.folder().join(path));
    }

    /// A field of `document` that must be exactly the place where the thing lies.
    pub(super) fn points_to(
        &mut self,
        document: &Path,
        run: &RunLayout,
        (name, value): (&str, &str),
        place: &Path,
    ) {
        let expected = run.relative(place);
        self.compare(document, name, (value, expected.as_str()), "the layout");
        self.leads_somewhere(document, name, place);
    }

    pub(super) fn leads_somewhere(&mut self, document: &Path, name: &str, path: &Path) {
        if fs::symlink_metadata(path).is_err() {
            let shown = path.strip_prefix(&self.runtime).unwrap_or(path);
            let message = format!("{name} leads to `{}`, which is not there", shown.display());
            self.add(document, Rule::Pointer, message);
        }
    }

    /// Names of the folders in a folder, sorted; none where there is no such folder.
    pub(super) fn folders(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<String> =
            folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Documents that were being written when a process died.
    pub(super) fn no_half_written(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && name != "artifacts" {
                self.no_half_written(&entry.path());
            } else if !is_folder && name.to_string_lossy().starts_with(store::TEMPORARY_PREFIX) {
                self.add(&entry.path(), Rule::Coverage, "was left half written");
            }
        }
    }
}

/// A path that a receipt recorded, which may have been moved with its repository since.
pub(super) fn moved(recorded: &str, from: &Path, to: &Path) -> PathBuf {
    let path = Path::new(recorded);
    match path.strip_prefix(from) {
        Ok(rest) if !path.exists() => to.join(rest),
        _ => path.to_owned(),
    }
}
