//! What goes into the archive of a context.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

/// A workspace with these files; those that end in a slash are folders.
fn workspace(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match path.as_os_str().as_bytes().ends_with(b"/") {
            true => fs::create_dir_all(path).unwrap(),
            false => fs::write(path, text).unwrap(),
        }
    }
    folder
}

fn archive(context: &Context, builder: Builder) -> Vec<u8> {
    let mut bytes = Vec::new();
    context.write(builder, &mut bytes).unwrap();
    bytes
}

/// Names of what is sent to BuildKit from the whole workspace.
fn sent(folder: &TempDir) -> Vec<String> {
    sent_to(folder, Builder::BuildKit, "Dockerfile")
}

fn sent_to(folder: &TempDir, builder: Builder, dockerfile: &str) -> Vec<String> {
    let context = Context::find(folder.path(), ".", dockerfile).unwrap();
    let bytes = archive(&context, builder);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let name = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned()
    };
    archive.entries().unwrap().map(name).collect()
}

#[test]
fn everything_is_sent_in_order() {
    let folder = workspace(&[("b/z", ""), ("b/a", ""), ("a", ""), ("Dockerfile", ""), ("e/", "")]);
    assert_eq!(sent(&folder), ["Dockerfile", "a", "b", "b/a", "b/z", "e"]);
}

#[test]
fn the_ignore_file_keeps_files_out_but_not_what_the_builder_needs() {
    let ignore = "*\n!src\nsrc/*.o\n!keep/this/one\n";
    let folder = workspace(&[
        (".dockerignore", ignore),
        ("Dockerfile", ""),
        ("docker/Dockerfile.ci", ""),
        ("docker/other", ""),
        ("src/a.c", ""),
        ("src/a.o", ""),
        ("src/deep/b.o", ""),
        ("keep/this/one", ""),
        ("keep/this/two", ""),
        ("keep/three", ""),
        ("other/", ""),
    ]);
    let common =
        ["keep", "keep/this", "keep/this/one", "src", "src/a.c", "src/deep", "src/deep/b.o"];
    assert_eq!(sent(&folder)[1..], common);
    assert_eq!(sent(&folder)[0], "Dockerfile");
    let classic = sent_to(&folder, Builder::Classic, "Dockerfile");
    assert_eq!(classic[..2], [".dockerignore", "Dockerfile"]);
    assert_eq!(classic[2..], common);
    let deeper = sent_to(&folder, Builder::BuildKit, "docker/Dockerfile.ci");
    assert_eq!(deeper[..2], ["docker", "docker/Dockerfile.ci"]);
    assert_eq!(deeper[2..], common);
}

#[test]
fn an_ignore_file_of_the_dockerfiles_own_comes_first() {
    let folder = workspace(&[
        ("ci/Dockerfile", ""),
        ("ci/Dockerfile.dockerignore", "a"),
        (".dockerignore", "b"),
        ("Dockerfile", ""),
        ("a", ""),
        ("b", ""),
    ]);
    let names = sent_to(&folder, Builder::BuildKit, "ci/Dockerfile");
    assert!(!names.contains(&"a".to_owned()) && names.contains(&"b".to_owned()), "{names:?}");
    assert!(!sent(&folder).contains(&"b".to_owned()));
}

#[test]
fn the_archive_depends_on_the_files_alone() {
    let folder = workspace(&[("Dockerfile", "FROM a"), ("b/c", "text")]);
    let context = Context::find(folder.path(), "", "Dockerfile").unwrap();
    let first = archive(&context, Builder::BuildKit);
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("b")).unwrap();
    for name in ["b/c", "Dockerfile"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    for name in ["b/c", "Dockerfile", "b"] {
        let time = fs::metadata(folder.path().join(name)).unwrap().modified().unwrap();
        File::open(copy.path().join(name)).unwrap().set_modified(time).unwrap();
    }
    let context = Context::find(copy.path(), ".", "./b/../Dockerfile").unwrap();
    assert_eq!(archive(&context, Builder::BuildKit), first);
}

#[test]
fn modes_links_and_odd_names_arrive_as_they_are() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(150));
    let target = format!("../{}", "t".repeat(200));
    let folder = workspace(&[("Dockerfile", ""), ("new\nline \u{e9}", "x"), (&long, "long")]);
    let at = |name: &str| folder.path().join(name);
    fs::write(folder.path().join(OsStr::from_bytes(b"\xFF\xFE")), "raw").unwrap();
    fs::set_permissions(at("Dockerfile"), fs::Permissions::from_mode(0o4755)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("absolute")).unwrap();
    std::os::unix::fs::symlink("./a//b/", at("untidy")).unwrap();
    std::os::unix::fs::symlink(&target, at("far")).unwrap();
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();

    let context = Context::find(folder.path(), ".", "Dockerfile").unwrap();
    let bytes = archive(&context, Builder::BuildKit);
    let mut found = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let link = entry.link_name_bytes().map(|link| String::from_utf8(link.into()).unwrap());
        let mode = entry.header().mode().unwrap();
        let kind = entry.header().entry_type();
        found.insert(entry.path_bytes().into_owned(), (kind, mode, link.unwrap_or(text)));
    }
    assert_eq!(found[&b"Dockerfile"[..]].1, 0o4755);
    assert_eq!(found[&b"\xFF\xFE"[..]].2, "raw");
    assert_eq!(found["new\nline \u{e9}".as_bytes()].2, "x");
    assert_eq!(found[long.as_bytes()].2, "long");
    assert_eq!(found[&b"absolute"[..]].2, "/etc/passwd");
    assert_eq!(found[&b"untidy"[..]].2, "./a//b/");
    assert_eq!(found[&b"far"[..]].2, target);
    assert_eq!(found[&b"pipe"[..]].0, EntryType::Fifo);
    assert!(!found.contains_key(&b"socket"[..]));
}

#[test]
fn what_leads_out_is_refused_with_both_places() {
    let outside = workspace(&[("Dockerfile", ""), ("folder/Dockerfile", "")]);
    let inside = workspace(&[("app/Dockerfile", ""), ("Dockerfile", "")]);
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(outside.path().join(to), inside.path().join(name)).unwrap();
    };
    link("Dockerfile", "app/Linked");
    link("folder", "app/folder");
    link("folder", "linked");
    let root = fs::canonicalize(inside.path()).unwrap();
    let message = |context: &str, dockerfile: &str| {
        Context::find(inside.path(), context, dockerfile).unwrap_err().to_string()
    };
    let app = root.join("app").display().to_string();
    for dockerfile in ["../Dockerfile", "Linked", "folder/Dockerfile", "/etc/passwd"] {
        let message = message("app", dockerfile);
        assert!(message.contains("is not inside of the build context"), "{message}");
        assert!(message.contains(&app), "{message}");
    }
    for context in ["linked", "..", "/"] {
        let message = message(context, "Dockerfile");
        assert!(message.contains("is not inside of the workspace"), "{message}");
        assert!(message.contains(&root.display().to_string()), "{message}");
    }
    assert!(message("app", "None").contains("cannot read the Dockerfile"));
    assert!(message("app", ".").contains("cannot read the Dockerfile"));
    assert!(message("none", "Dockerfile").contains("cannot use the build context"));
    assert!(message("Dockerfile", "Dockerfile").contains("cannot use the build context"));
}

#[test]
fn a_dockerfile_may_be_a_link_within_the_context() {
    let folder = workspace(&[("docker/real", "FROM a"), (".dockerignore", "docker")]);
    std::os::unix::fs::symlink("docker/real", folder.path().join("Dockerfile")).unwrap();
    let context = Context::find(folder.path(), ".", "Dockerfile").unwrap();
    assert_eq!(context.dockerfile(), Path::new("docker/real"));
    assert!(sent(&folder).contains(&"docker/real".to_owned()));
}

#[test]
fn a_bad_pattern_is_told_with_its_file_and_line() {
    let folder = workspace(&[("Dockerfile", ""), (".dockerignore", "a\n[")]);
    let error = Context::find(folder.path(), ".", "Dockerfile").unwrap_err().to_string();
    assert!(error.contains(".dockerignore: line 2: `[` is no pattern"), "{error}");
}

#[test]
fn the_fingerprint_changes_with_what_is_sent_only() {
    let folder =
        workspace(&[("Dockerfile", ""), (".dockerignore", "out"), ("a", "1"), ("out", "")]);
    let fingerprint =
        || Context::find(folder.path(), ".", "Dockerfile").unwrap().fingerprint().unwrap();
    let first = fingerprint();
    fs::write(folder.path().join("out"), "more").unwrap();
    assert_eq!(fingerprint(), first);
    fs::write(folder.path().join("a"), "22").unwrap();
    let second = fingerprint();
    assert_ne!(second, first);
    fs::write(folder.path().join("b"), "").unwrap();
    assert_ne!(fingerprint(), second);
}

#[test]
fn a_file_that_becomes_shorter_is_an_error_and_a_longer_one_is_cut() {
    let folder = workspace(&[("a", "four")]);
    let read = |left| {
        let file = File::open(folder.path().join("a")).unwrap();
        let mut exactly = Exactly { file, left, failure: None };
        let mut text = String::new();
        let result = exactly.read_to_string(&mut text);
        (text, result.is_ok(), exactly.failure.is_some())
    };
    assert_eq!(read(3), ("fou".to_owned(), true, false));
    assert!(read(5).2);
}
