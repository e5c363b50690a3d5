//! The repository's configuration file, read without git where it is as git itself writes it.
//!
//! Not a reader of all that git allows: whatever could mean more than it says (quotes, escapes,
//! comments, includes, old-style sections, a second file for the work tree) is given back to git.

/// What `git config --list -z --show-scope --show-origin` prints for the file `bytes`, as far as
/// [`crate::config::build`] reads it; `None` where git must be asked.
pub(crate) fn listing(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut listing = Vec::with_capacity(bytes.len() * 3);
    let mut section: Option<Vec<u8>> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = trim(line);
        if line.is_empty() {
            continue;
        }
        if line.starts_with(b"[") {
            section = Some(section_of(line)?);
            continue;
        }
        let key = [section.as_ref()?, &b"."[..]].concat();
        listing.extend_from_slice(b"local\0file:.git/config\0");
        listing.extend_from_slice(&key);
        write_setting(&mut listing, line)?;
        listing.push(0);
    }
    Some(listing)
}

/// `[name]` or `[name "sub"]` as the beginning of a key.
fn section_of(line: &[u8]) -> Option<Vec<u8>> {
    let inner = line.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let end = inner.iter().position(|byte| !is_word(*byte)).unwrap_or(inner.len());
    let name = inner[..end].to_ascii_lowercase();
    if name.is_empty() || name.starts_with(b"include") {
        return None;
    }
    if end == inner.len() {
        return Some(name);
    }
    let subsection = inner[end..].strip_prefix(b" \"")?.strip_suffix(b"\"")?;
    subsection.iter().all(|byte| is_plain(*byte)).then(|| [&name, &b"."[..], subsection].concat())
}

/// Adds the name and, after a line break, the value of `name = value` or `name`.
fn write_setting(listing: &mut Vec<u8>, line: &[u8]) -> Option<()> {
    let end = line.iter().position(|byte| !is_word(*byte)).unwrap_or(line.len());
    let name = line[..end].to_ascii_lowercase();
    // The work tree's own file would come on top.
    if !name.first()?.is_ascii_alphabetic() || name == b"worktreeconfig" {
        return None;
    }
    listing.extend_from_slice(&name);
    let rest = trim(&line[end..]);
    if rest.is_empty() {
        return Some(());
    }
    let value = trim(rest.strip_prefix(b"=")?);
    listing.push(b'\n');
    listing.extend_from_slice(value);
    value.iter().all(|byte| is_plain(*byte)).then_some(())
}

/// Letters, digits and dashes, of which names of sections and settings are made.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Bytes that mean themselves wherever they stand in a value or the name of a subsection.
fn is_plain(byte: u8) -> bool {
    (byte.is_ascii_graphic() || byte == b' ' || byte >= 0x80)
        && !matches!(byte, b'"' | b'\\' | b'#' | b';')
}

fn trim(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line.iter().rposition(is_text).map_or(start, |end| end + 1);
    &line[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_listed_as_git_lists_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let text = "[Core]\n\tbare = false\n\tlogAllRefUpdates\n \tignorecase=  a  b \n\tempty =\n\
            [remote \"Or.i]gin\"]\n\turl = https://user@host/x.git\n\tfetch = +refs/*:refs/r/*\n\n[user]\nname = M\u{fc}ller\n";
        std::fs::write(&file, text).unwrap();
        let mut git = std::process::Command::new("git");
        let output = git.args(["config", "--list", "-z", "-f"]).arg(&file).output().unwrap();
        let pieces = output.stdout.split(|byte| *byte == 0).filter(|piece| !piece.is_empty());
        let told: Vec<u8> = pieces
            .flat_map(|piece| [b"local\0file:.git/config\0", piece, b"\0"].concat())
            .collect();
        let (ours, told) = (listing(text.as_bytes()).unwrap(), told);
        assert_eq!(String::from_utf8(ours), String::from_utf8(told));
    }

    #[test]
    fn what_could_mean_more_is_left_to_git() {
        for text in [
            "[core] bare = false\n",
            "[core]\n\tx = a ; comment\n",
            "[core]\n\tx = a # comment\n",
            "# comment\n[core]\n",
            "[core]\n\tx = \"a\"\n",
            "[core]\n\tx = a\\\n b\n",
            "[core]\n\tx = a\tb\n",
            "[core]\n\tx = a\r\n",
            "[core]\n\tx y\n",
            "[core]\n\t1x = y\n",
            "[include]\n\tpath = other\n",
            "[includeIf \"gitdir:~/\"]\n\tpath = other\n",
            "[branch.old]\n\tmerge = x\n",
            "[branch \"a\\\"b\"]\n\tmerge = x\n",
            "[extensions]\n\tworktreeConfig = true\n",
            "x = y\n",
            "\u{feff}[core]\n",
        ] {
            assert_eq!(listing(text.as_bytes()), None, "{text}");
        }
    }
}
