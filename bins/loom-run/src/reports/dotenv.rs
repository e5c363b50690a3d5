//! `reports.dotenv`: lines of `NAME=value` for later jobs, as GitLab reads them: a value is the rest
//! of its line, quotes and dollars included. Empty lines and comments are passed by.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use libloom_archive::Folder;
use libloom_contract::env;

/// Largest file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest value: no process can be started with a longer one.
const VALUE_BYTES_MAX: usize = 128 << 10;
/// Most variables of one job.
const VARIABLES_MAX: usize = 1000;

/// Adds the variables of a file; the last of a name counts.
///
/// # Errors
/// The file cannot be read, or the first line that is no variable, in words.
pub fn read(
    folder: &mut Folder,
    path: &Path,
    variables: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let name = path.to_string_lossy();
    let mut bytes = Vec::new();
    let file = folder.open_file(path).map_err(|error| format!("{name}: {error}"))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{name}: larger than 1 MiB, the most a dotenv report may have"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("{name}:{line}: not UTF-8")
    })?;
    parse(text, variables).map_err(|(line, wrong)| format!("{name}:{line}: {wrong}"))
}

fn parse(text: &str, variables: &mut BTreeMap<String, String>) -> Result<(), (usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |text: String| (number + 1, text);
        let (name, value) =
            line.split_once('=').ok_or_else(|| wrong("expected NAME=value".to_owned()))?;
        let (name, value) = (name.trim_end(), value.trim_start());
        check(name, value).map_err(wrong)?;
        variables.insert(name.to_owned(), value.to_owned());
        if variables.len() > VARIABLES_MAX {
            return Err(wrong(format!("more than {VARIABLES_MAX} variables")));
        }
    }
    Ok(())
}

fn check(name: &str, value: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || !name.chars().all(is_word)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!("`{name}` is no name of a variable: letters, digits and `_`"));
    }
    if name == env::RUN_ID || name == env::JOB_ID {
        return Err(format!("`{name}` is Loom's own: processes are told by it"));
    }
    if value.contains('\0') || value.len() > VALUE_BYTES_MAX {
        return Err(format!("the value of `{name}` is too long, or holds a NUL byte"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut variables = BTreeMap::new();
        parse(text, &mut variables).map_err(|(line, wrong)| format!("{line}: {wrong}"))?;
        Ok(variables.into_iter().collect())
    }

    #[test]
    fn value_is_the_rest_of_its_line_as_it_stands() {
        let text = "\u{feff}A=1\r\n\n# comment\nB = two words \nC='q' $A=x\nlower=\nA=2\n";
        let found = parsed(text).unwrap();
        let expected = [("A", "2"), ("B", "two words"), ("C", "'q' $A=x"), ("lower", "")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_variable_is_told_with_its_line() {
        assert_eq!(parsed("A=1\nno sign\n").unwrap_err(), "2: expected NAME=value");
        assert!(parsed("export A=1").unwrap_err().starts_with("1: `export A` is no name"));
        assert!(parsed("1A=1").is_err() && parsed("=1").is_err() && parsed("É=1").is_err());
        assert!(parsed("LOOM_RUN_ID=x").unwrap_err().contains("Loom's own"));
        let many: String = (0..=VARIABLES_MAX).map(|n| format!("V{n}=1\n")).collect();
        assert!(parsed(&many).unwrap_err().contains("more than 1000"));
    }
}
