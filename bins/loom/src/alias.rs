//! Aliases: the user's own names for command lines.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use libloom_entry::Failure;

use crate::config;

/// All aliases; those of the repository hide the user's of the same name.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    by_name: BTreeMap<String, Alias>,
}

#[derive(Debug)]
struct Alias {
    words: Vec<String>,
    origin: PathBuf,
}

/// What a command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expansion {
    /// A real command, and the command line with its name first.
    Command { program: PathBuf, words: Vec<OsString> },
    /// Neither a command nor an alias has this name.
    Unknown(OsString),
}

impl Aliases {
    /// Reads `files`, the stronger first.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut all = Self::default();
        for file in files {
            let hint = "mend the file; aliases look like `alias: {ci: \"run --local\"}`";
            let aliases = config::aliases(file).map_err(|e| Failure::could_not(e).hint(hint))?;
            for (name, words) in aliases {
                let alias = Alias { words, origin: file.clone() };
                all.by_name.entry(name).or_insert(alias);
            }
        }
        Ok(all)
    }

    /// Names with the files they are from.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.by_name.iter().map(|(name, alias)| (name.as_str(), alias.origin.as_path()))
    }

    /// Names, command lines and files, for people.
    pub(crate) fn described(&self) -> impl Iterator<Item = (&str, String, &Path)> {
        self.by_name
            .iter()
            .map(|(name, alias)| (name.as_str(), alias.words.join(" "), alias.origin.as_path()))
    }

    /// Replaces the first of `words` until it is a command; a real command always wins.
    pub(crate) fn expand(
        &self,
        words: &[OsString],
        find: impl Fn(&OsStr) -> Option<PathBuf>,
    ) -> Result<Expansion, Failure> {
        let mut words = words.to_vec();
        let mut chain: Vec<String> = Vec::new();
        loop {
            let Some(name) = words.first().cloned() else {
                return Ok(Expansion::Unknown(OsString::new()));
            };
            if let Some(program) = find(&name) {
                return Ok(Expansion::Command { program, words });
            }
            let found = name.to_str().and_then(|name| self.by_name.get_key_value(name));
            let Some((name, alias)) = found else { return Ok(Expansion::Unknown(name)) };
            let again = chain.contains(name);
            chain.push(name.clone());
            if again {
                return Err(looped(&chain, &alias.origin));
            }
            words.splice(..1, alias.words.iter().map(OsString::from));
        }
    }
}

fn looped(chain: &[String], origin: &Path) -> Failure {
    Failure::could_not(format!("alias loop: {}", chain.join(" -> ")))
        .hint(format!("break the loop in `{}`", origin.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(pairs: &[(&str, &str)]) -> Aliases {
        let alias = |words: &str| Alias {
            words: words.split(' ').map(String::from).collect(),
            origin: "config.yml".into(),
        };
        Aliases { by_name: pairs.iter().map(|(n, w)| ((*n).to_owned(), alias(w))).collect() }
    }

    fn expand(aliases: &Aliases, line: &str) -> Result<Expansion, Failure> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        aliases.expand(&words, |name| (name == "run").then(|| PathBuf::from("/bin/loom-run")))
    }

    #[test]
    fn aliases_of_aliases_expand_in_place() {
        let aliases = aliases(&[("ci", "fast --stream"), ("fast", "run --local")]);
        let expected = Expansion::Command {
            program: "/bin/loom-run".into(),
            words: ["run", "--local", "--stream", "x"].map(OsString::from).to_vec(),
        };
        assert_eq!(expand(&aliases, "ci x").unwrap(), expected);
    }

    #[test]
    fn a_loop_is_refused_with_its_chain() {
        let failure = expand(&aliases(&[("a", "b"), ("b", "a x")]), "a").unwrap_err();
        assert_eq!(failure.error.to_string(), "alias loop: a -> b -> a");
    }

    #[test]
    fn a_real_command_wins_and_an_unknown_name_is_named() {
        let aliases = aliases(&[("run", "elsewhere"), ("x", "nothing y")]);
        assert!(matches!(expand(&aliases, "run").unwrap(), Expansion::Command { .. }));
        assert_eq!(expand(&aliases, "x").unwrap(), Expansion::Unknown("nothing".into()));
    }
}
