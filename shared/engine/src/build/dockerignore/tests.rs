//! The cases of Docker's own tests of its matcher, and what they leave out.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Whether `path` is kept out, asked as a walk asks: folder by folder from the top.
fn excludes(text: &str, path: &str) -> bool {
    let ignore = Ignore::parse(text.as_bytes()).unwrap();
    let mut parent = Matched::default();
    let mut excluded = false;
    let mut so_far = std::path::PathBuf::new();
    for part in Path::new(path) {
        so_far.push(part);
        (excluded, parent) = ignore.excludes(&so_far, &parent);
    }
    excluded
}

/// Single patterns, from `TestMatches` of `moby/patternmatcher`.
const SINGLE: &[(&str, &str, bool)] = &[
    ("**", "file", true),
    ("**/", "file", true),
    ("**", "dir/file", true),
    ("**/**", "dir/file", true),
    ("dir/**", "dir/file", true),
    ("dir/**", "dir/dir2/file", true),
    ("**/dir", "dir", true),
    ("**/dir", "dir/file", true),
    ("**/dir2/*", "dir/dir2/file", true),
    ("**/dir2/**", "dir/dir2/dir3/file", true),
    ("**file", "file", true),
    ("**file", "dir/dir/file", true),
    ("**/file", "dir/dir/file", true),
    ("**/file*", "dir/dir/file.txt", true),
    ("**/file*txt", "dir/dir/file.txt", true),
    ("**/file*.txt*", "dir/dir/file.txt", true),
    ("**/**/*.txt", "dir/dir/file.txt", true),
    ("**/**/*.txt2", "dir/dir/file.txt", false),
    ("**/*.txt", "file.txt", true),
    ("**/**/*.txt", "file.txt", true),
    ("a**/*.txt", "a/file.txt", true),
    ("a**/*.txt", "a/dir/dir/file.txt", true),
    ("a/*.txt", "a/dir/file.txt", false),
    ("a/*.txt", "a/file.txt", true),
    ("a/*.txt**", "a/file.txt", true),
    ("a[b-d]e", "ae", false),
    ("a[b-d]e", "ace", true),
    ("a[b-d]e", "aae", false),
    ("a[^b-d]e", "aze", true),
    (".*", ".foo", true),
    (".*", "foo", false),
    ("abc.def", "abcdef", false),
    ("abc.def", "abc.def", true),
    ("abc.def", "abcZdef", false),
    ("abc?def", "abcZdef", true),
    ("abc?def", "abcdef", false),
    ("a\\\\", "a\\", true),
    ("**/foo/bar", "foo/bar", true),
    ("**/foo/bar", "dir/dir2/foo/bar", true),
    ("abc/**", "abc", false),
    ("abc/**", "abc/def/ghi", true),
    ("**/.foo", ".foo", true),
    ("**/.foo", "bar.foo", false),
    ("a(b)c/def", "a(b)c/def", true),
    ("a(b)c/def", "a(b)c/xyz", false),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
    ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
    ("a\\*b", "a*b", true),
    ("a\\*b", "ab", false),
    ("a*/b", "abc/b", true),
    ("a*/b", "a/c/b", false),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
    ("a*b?c*x", "abxbbxdbxebxczzx", true),
    ("a*b?c*x", "abxbbxdbxebxczzy", false),
    ("a?b", "a☺b", true),
    ("a[^a]b", "a☺b", true),
    ("a???b", "a☺b", false),
    ("[a-ζ]*", "α", true),
    ("*[a-ζ]", "A", false),
    ("a?b", "a/b", false),
    ("a*b", "a/b", false),
    ("[\\]a]", "]", true),
    ("[\\-]", "-", true),
    ("[x\\-]", "z", false),
    ("*x", "xxx", true),
];

#[test]
fn single_patterns_match_as_in_docker() {
    for (pattern, path, expected) in SINGLE {
        assert_eq!(excludes(pattern, path), *expected, "{pattern} on {path}");
    }
}

#[test]
fn the_last_pattern_that_applies_decides() {
    let cases = [
        ("**\n!util/docker/web", "util/docker/web/foo", false),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", true),
        ("**\n!dist/*.whl", "dist/a-1.whl", false),
        ("!fileutils.go\n*.go", "fileutils.go", true),
        ("*.go\n!fileutils.go", "fileutils.go", false),
        ("docs\n!docs/README.md", "docs/README.md", false),
        ("docs/\n!docs/README.md", "docs/README.md", false),
        ("docs/*\n!docs/README.md", "docs/README.md", false),
        // The example of Docker's documentation.
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
        ("*.md\n!README*.md\nREADME-secret.md", "README-too.md", false),
        ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
    ];
    for (text, path, expected) in cases {
        assert_eq!(excludes(text, path), expected, "{text:?} on {path}");
    }
}

#[test]
fn lines_are_read_as_docker_reads_them() {
    let cases = [
        ("\u{feff}a", "a", true),
        ("# a\na", "# a", false),
        (" # a", "# a", true),
        ("  a  \r\n", "a", true),
        ("/a", "a", true),
        ("a/", "a/b", true),
        ("./a//b/../c", "a/c", true),
        ("! b\n", "b", false),
        ("*\n! b", "b", false),
        ("*\n!/b", "b", false),
        ("", "a", false),
        (".", "a", false),
        ("/", "a", false),
        ("../a", "a", false),
        ("a", "x/a", false),
    ];
    for (text, path, expected) in cases {
        assert_eq!(excludes(text, path), expected, "{text:?} on {path}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_its_line() {
    for pattern in ["!", "[", "[a", "a\\", "[]a]", "[-x]", "[x-]", "[z-a]", "[^]"] {
        let error = Ignore::parse(format!("# first\n{pattern}\n").as_bytes()).unwrap_err();
        assert_eq!((error.line, error.pattern.as_str()), (2, pattern));
    }
}

#[test]
fn an_excluded_folder_is_entered_where_something_may_be_let_in() {
    let may = |text: &str, folder: &str| {
        Ignore::parse(text.as_bytes()).unwrap().may_let_in(Path::new(folder))
    };
    assert!(may("*\n!src/lib", "src"));
    assert!(may("*\n!src/lib/**", "src/lib"));
    assert!(may("*\n!**/keep", "anything"));
    assert!(!may("*\n!src/lib", "target"));
    assert!(!may("*\n!src/lib", "src/lib/deeper"));
    assert!(!may("*", "src"));
}

#[test]
fn names_that_are_no_utf_8_are_matched_byte_for_character() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let ignore = Ignore::parse(b"a?b").unwrap();
    let path = |bytes| Path::new(OsStr::from_bytes(bytes));
    assert!(ignore.excludes(path(b"a\xFFb"), &Matched::default()).0);
    assert!(!ignore.excludes(path(b"a\xFF\xFEb"), &Matched::default()).0);
}

/// The rule of `matches` by plain backtracking, as the regular expressions of Docker's matcher
/// read: slow, and obviously right.
fn plainly(tokens: &[Token], path: &[char]) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return path.is_empty() };
    let ends = 0..=path.len();
    match first {
        Token::Rest => ends.clone().any(|end| plainly(rest, &path[end..])),
        Token::Run => {
            let whole = |end: &usize| !path[..*end].contains(&'/');
            ends.take_while(whole).any(|end| plainly(rest, &path[end..]))
        }
        Token::Folders => {
            let mut ends = ends.filter(|end| *end == 0 || path[end - 1] == '/');
            ends.any(|end| plainly(rest, &path[end..]))
        }
        token => path.split_first().is_some_and(|(c, path)| token.takes(*c) && plainly(rest, path)),
    }
}

proptest! {
    #[test]
    fn following_all_positions_agrees_with_backtracking(
        pattern in "[ab/*?]{0,9}",
        path in "[ab/]{0,9}",
    ) {
        let (tokens, path) = (tokens(&pattern).unwrap(), path.chars().collect::<Vec<_>>());
        prop_assert_eq!(matches(&tokens, &path), plainly(&tokens, &path));
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<Vec<u8>>(), path in "[a-c/]{1,8}") {
        if let Ok(ignore) = Ignore::parse(&text) {
            ignore.excludes(Path::new(&path), &Matched::default());
            ignore.may_let_in(Path::new(&path));
        }
    }

    #[test]
    fn many_stars_take_no_longer(stars in 1_usize..60) {
        let ignore = Ignore::parse(format!("{}b", "a*".repeat(stars)).as_bytes()).unwrap();
        let path = "a".repeat(200);
        prop_assert!(!ignore.excludes(Path::new(&path), &Matched::default()).0);
    }
}
