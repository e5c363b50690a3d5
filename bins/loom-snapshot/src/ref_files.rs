//! Refs read from their files, where these are as git itself writes them.
//!
//! Whatever is unusual (a linked work tree, reftable, a broken or oddly named ref, a symlink) is
//! left to git, which knows what to make of it. Loose files are read before `packed-refs`: a ref
//! that git packs meanwhile is then seen at least once.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::index::ObjectFormat;
use crate::repository::{Ref, Repository};

/// More loose refs than this are left to git, which is then as fast.
const MOST: usize = 10_000;

/// What a ref's file says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Object(String),
    Symbolic(String),
}

type Refs = BTreeMap<String, Value>;

/// All refs by name, or `None` where git must be asked.
pub(crate) fn read(repository: &Repository) -> Option<Vec<Ref>> {
    let folder = &repository.git_dir;
    let is_linked = folder.join("commondir").symlink_metadata().is_ok();
    if !repository.has_ref_files || is_linked {
        return None;
    }
    read_folder(folder, repository.format)
}

fn read_folder(folder: &Path, format: ObjectFormat) -> Option<Vec<Ref>> {
    let mut loose = Refs::new();
    read_loose(&folder.join("refs"), "refs", format, &mut loose)?;
    let mut all = match fs::read_to_string(folder.join("packed-refs")) {
        Ok(text) => packed(&text, format)?,
        Err(error) if error.kind() == ErrorKind::NotFound => Refs::new(),
        Err(_) => return None,
    };
    all.extend(loose);
    let resolve = |(name, value): (&String, &Value)| {
        let (object, target) = match value {
            Value::Object(object) => (object, None),
            Value::Symbolic(target) => match all.get(target)? {
                Value::Object(object) => (object, Some(target.clone())),
                Value::Symbolic(_) => return None,
            },
        };
        Some(Ref { name: name.clone(), object: object.clone(), target })
    };
    all.iter().map(resolve).collect()
}

fn read_loose(folder: &Path, prefix: &str, format: ObjectFormat, found: &mut Refs) -> Option<()> {
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let name = format!("{prefix}/{}", entry.file_name().to_str()?);
        let kind = entry.file_type().ok()?;
        if !is_usual(&name) || found.len() > MOST {
            return None;
        }
        if kind.is_dir() {
            read_loose(&entry.path(), &name, format, found)?;
        } else if kind.is_file() {
            let value = value_of(&fs::read_to_string(entry.path()).ok()?, format)?;
            found.insert(name, value);
        } else {
            return None;
        }
    }
    Some(())
}

fn value_of(text: &str, format: ObjectFormat) -> Option<Value> {
    let line = text.strip_suffix('\n')?;
    match line.strip_prefix("ref: ") {
        Some(target) if is_usual(target) => Some(Value::Symbolic(target.to_owned())),
        Some(_) => None,
        None => is_object(line, format).then(|| Value::Object(line.to_owned())),
    }
}

fn packed(text: &str, format: ObjectFormat) -> Option<Refs> {
    // Without its last line break the file may be cut off.
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    let is_ref = |line: &&str| !line.starts_with(['#', '^']);
    let parse = |line: &str| {
        let (object, name) = line.split_once(' ')?;
        let is_fine = is_object(object, format) && is_usual(name);
        is_fine.then(|| (name.to_owned(), Value::Object(object.to_owned())))
    };
    text.split_terminator('\n').filter(is_ref).map(parse).collect()
}

/// Whether a line names an object; all zeros name none.
fn is_object(line: &str, format: ObjectFormat) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    line.len() == 2 * format.size() && line.bytes().all(is_hex) && line.bytes().any(|b| b != b'0')
}

/// Whether a name is one that git would take without a second thought.
fn is_usual(name: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '#');
    let is_part = |part: &str| {
        let has_bad_end = part.ends_with('.') || part.ends_with(".lock");
        !part.is_empty() && !part.starts_with('.') && !part.contains("..") && !has_bad_end
    };
    name.starts_with("refs/") && name.chars().all(is_plain) && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn refs_of(files: &[(&str, String)]) -> Option<Vec<Ref>> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("refs/heads")).unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read_folder(folder.path(), ObjectFormat::Sha1)
    }

    #[test]
    fn loose_refs_win_over_packed_ones_and_symbolic_ones_are_resolved() {
        let packed = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{A} refs/heads/main\n{A} refs/tags/v1\n^{B}\n"
        );
        let refs = refs_of(&[
            ("packed-refs", packed),
            ("refs/heads/main", format!("{B}\n")),
            ("refs/remotes/origin/HEAD", "ref: refs/heads/main\n".to_owned()),
        ]);
        let told = refs.unwrap().into_iter().map(|r| (r.name, r.object, r.target));
        let told: Vec<_> = told.collect();
        let expected = [
            ("refs/heads/main", B, None),
            ("refs/remotes/origin/HEAD", B, Some("refs/heads/main")),
            ("refs/tags/v1", A, None),
        ];
        let owned = expected.map(|(name, object, target)| {
            (name.to_owned(), object.to_owned(), target.map(str::to_owned))
        });
        assert_eq!(told, owned);
    }

    #[test]
    fn what_is_unusual_is_left_to_git() {
        for (name, text) in [
            ("refs/heads/a", String::new()),
            ("refs/heads/a", A.to_owned()),
            ("refs/heads/a", format!("{A} \n")),
            ("refs/heads/a", format!("{}\n", "0".repeat(40))),
            ("refs/heads/a", format!("{A}{}\n", &A[..24])),
            ("refs/heads/a", "ref: refs/heads/gone\n".to_owned()),
            ("refs/heads/a.lock", format!("{A}\n")),
            ("refs/heads/a b", format!("{A}\n")),
            ("packed-refs", format!("{A} refs/heads/a")),
            ("packed-refs", format!("{A} refs/heads/../a\n")),
            ("packed-refs", format!("{A}\n")),
        ] {
            assert_eq!(refs_of(&[(name, text.clone())]), None, "{name}: {text}");
        }
    }
}
