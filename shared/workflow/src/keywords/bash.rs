//! Syntax that only bash knows, in commands that `sh` runs.

/// What of bash a command uses, where it cannot be anything else.
pub(crate) fn bash_syntax(command: &str) -> Option<&'static str> {
    let bare = without_quoted(command, &['"', '\'']);
    let words = bare.split([' ', '\t', ';', '&', '|', '(']);
    if words.clone().any(|word| word == "[[") {
        return Some("[[");
    }
    // `$((a<(b)))` compares, `case` patterns end in a parenthesis.
    let operators = [("<(", "<(…)"), (">(", ">(…)"), ("<<<", "<<<"), ("&>", "&>")];
    let found = operators.into_iter().find(|(text, _)| bare.contains(text));
    if let Some((_, name)) = found.filter(|_| !bare.contains("((")) {
        return Some(name);
    }
    if words.clone().any(|word| word.ends_with('=') && is_name(&word[..word.len() - 1]))
        && bare.contains("=(")
    {
        return Some("NAME=(…)");
    }
    has_subscript(&without_quoted(command, &['\''])).then_some("${NAME[…]}")
}

fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('+').unwrap_or(text);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `${NAME[`, also within double quotes.
fn has_subscript(text: &str) -> bool {
    text.match_indices("${").any(|(at, _)| {
        let inner = text[at + 2..].trim_start_matches(['#', '!']);
        inner.find('[').is_some_and(|end| is_name(&inner[..end]))
    })
}

/// The command without what stands in these quotes or behind a backslash.
fn without_quoted(command: &str, quotes: &[char]) -> String {
    let mut open = None;
    let mut bare = String::with_capacity(command.len());
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match open {
            _ if c == '\\' && open != Some('\'') => {
                characters.next();
            }
            Some(quote) if c == quote => open = None,
            Some(_) => {}
            None if quotes.contains(&c) => open = Some(c),
            None => bare.push(c),
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::bash_syntax;

    #[test]
    fn bash_is_told_from_sh() {
        for (command, name) in [
            ("[[ -f x ]] && y", "[["),
            ("if [[ -f x ]]; then y; fi", "[["),
            ("true;[[ a = b ]]", "[["),
            ("diff <(a) <(b)", "<(…)"),
            ("tee >(gzip)", ">(…)"),
            ("cat <<< x", "<<<"),
            ("make &> log", "&>"),
            ("A=(1 2)", "NAME=(…)"),
            ("A+=(1)", "NAME=(…)"),
            ("for x in \"${A[@]}\"; do y; done", "${NAME[…]}"),
            ("echo ${#A[*]}", "${NAME[…]}"),
        ] {
            assert_eq!(bash_syntax(command), Some(name), "{command}");
        }
        for posix in [
            "echo '[[ a'; x",
            "echo \"see [[ here ]]\"",
            "bash -c '[[ a ]] && b=(1)'",
            "echo \"a=(b)\"",
            "x=$(y)",
            "x=\"$(y)\" z",
            "grep '[[:space:]]' a; tr -d [[:space:]]",
            "test $((a<(b))) -gt 0",
            "case $x in a) y;; esac",
            "echo \\[[ \\<(a)",
            "make 2>&1 | tee log",
            "echo ${A:-[x]} '${A[0]}'",
            "cat <<EOF",
        ] {
            assert_eq!(bash_syntax(posix), None, "{posix}");
        }
    }
}
