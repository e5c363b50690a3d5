//! `loom-snapshot create` on other file systems: ones that share blocks, small ones, two at once.
//!
//! Each is mounted in a mount namespace of its own, which takes it away again.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use libloom_testkit::{Leftovers, Repo, Sandbox, tree_list_script};

/// Runs `script` where something is mounted at `$M` by `mount`; `how` are the options of `unshare`.
fn mounted(repo: &Repo<'_>, how: &[&str], mount: &str, script: &str) -> Output {
    let folder = repo.sandbox().root().join("mounted");
    fs::create_dir(&folder).unwrap();
    let mut command = repo.program("unshare");
    command.args(how).args(["--mount", "sh", "-euc"]);
    // Not `-e` alone: a mount that fails must not look like an error of Loom.
    command.arg(format!("PATH=$PATH:/usr/sbin:/sbin; {{ {mount}; }} >&2 || exit 99; {script}"));
    let output = command.env("M", &folder).env("LIST", tree_list_script()).output().unwrap();
    fs::remove_dir(folder).unwrap();
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    // What is mounted goes, and with it the workspaces that records name.
    sandbox.allow(Leftovers::AnyFile);
    test(&sandbox.repo());
}

const TMPFS: &str = "mount -t tmpfs -o mode=700,size=";

/// On a file system full at `limit`, creation fails, names what could not be written, and leaves
/// nothing.
fn full(limit: &str) {
    with_repo(|repo| {
        for number in 0..40 {
            repo.write(format!("part/file-{number}"), vec![b'x'; 64 << 10]);
        }
        repo.commit("a");
        let script = "code=0; LOOM_SNAPSHOT_DIR=$M loom-snapshot create || code=$?; ls -A $M; \
            [ $(stat -f -c %f $M) -gt 50 ]; exit $code";
        let output =
            mounted(repo, &["--map-root-user"], &format!("{TMPFS}{limit} tmpfs $M"), script);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let names = ["cannot copy `", "cannot write `", "cannot make `"];
        assert!(names.iter().any(|name| said.contains(name)), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("hint: make room (`loom snapshot prune`)"), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing is left behind");
    });
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn a_place_without_room_for_bytes_is_named_and_nothing_is_left() {
    full("1m");
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn a_place_without_room_for_files_is_named_and_nothing_is_left() {
    full("100m,nr_inodes=30");
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn a_temp_folder_too_small_for_the_tree_is_passed_by() {
    with_repo(|repo| {
        repo.write("large", vec![b'x'; 2 << 20]).commit("a");
        let script = "TMPDIR=$M loom-snapshot create";
        let mount = format!("{TMPFS}1m tmpfs $M");
        let output = mounted(repo, &["--map-root-user"], &mount, script);
        let cache = repo.sandbox().home().join(".cache/loom/workspaces");
        let path = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", said(&output));
        assert!(Path::new(&path).starts_with(&cache), "{path}");
        assert!(said(&output).contains("note: the tree is large"), "{}", said(&output));
    });
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn a_source_on_another_file_system_than_temp_is_the_same() {
    with_repo(|repo| {
        repo.write("a/b", "b").write("c", "c").commit("a").write("a/b", "changed").write("d", "d");
        repo.symlink("a", "link").mode("c", 0o755);
        let script = "cp -a . $M/source; cd $M/source; copy=$(loom-snapshot create); \
            [ $(stat -c %d .) -ne $(stat -c %d $copy) ]; \
            sh \"$LIST\" . >$M/one; sh \"$LIST\" $copy >$M/two; cmp $M/one $M/two; \
            git -C $copy fsck --strict; grep -c changed $M/source/a/b";
        let mount = format!("{TMPFS}50m tmpfs $M");
        let output = mounted(repo, &["--map-root-user"], &mount, script);
        assert!(output.status.success(), "{}", said(&output));
    });
}

/// On a file system that shares blocks: exact, said in the record, and hardly anything written.
fn shares_blocks(make: &str, options: &str) {
    with_repo(|repo| {
        for number in 0..24 {
            repo.write(format!("part/file-{number}"), vec![number; 2 << 20]);
        }
        repo.write("small", "s").symlink("small", "link").commit("a");
        repo.write("part/file-3", vec![b'3'; 2 << 20]).write("new", "n").mode("small", 0o755);
        let image = repo.sandbox().root().join("image");
        let file = fs::File::create(&image).unwrap();
        file.set_len(512 << 20).unwrap();
        let image = image.display();
        let mount = format!("{make} '{image}' && mount -o loop{options} '{image}' $M");
        let script = "cp -a --reflink=never . $M/source; mkdir -m 700 $M/tmp; export TMPDIR=$M/tmp; \
            cd $M/source; used() { sync -f $M; df --output=used -B1 $M | tail -n 1; }; \
            written() { sync -f $M; set -- $(cat /sys/dev/block/$(mountpoint -d $M)/stat \
                2>/dev/null || echo 0 0 0 0 0 0 0); echo $(($7 * 512)); }; \
            before=$(used); w=$(written); loom-snapshot create --json >$M/record; after=$(used); \
            echo $((after - before)) $(($(written) - w)); \
            copy=$(echo $M/tmp/loom-snapshot-*); \
            sh \"$LIST\" . >$M/one; sh \"$LIST\" $copy >$M/two; cmp $M/one $M/two; git -C $copy fsck --strict; \
            cat $M/record";
        let output = mounted(repo, &[], &mount, script);
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let (bytes, record) = text.split_once('\n').unwrap();
        let record: serde_json::Value = serde_json::from_str(record.trim()).unwrap();
        let of_tree = record["counts"]["bytes"].as_u64().unwrap();
        assert!(of_tree > 48 << 20);
        assert_eq!(record["methods"]["files"], "reflink", "{record}");
        assert_eq!(record["methods"]["objects"], "reflink", "{record}");
        for bytes in bytes.split(' ').map(|bytes| bytes.parse::<i64>().unwrap()) {
            let bytes = u64::try_from(bytes).unwrap();
            assert!(bytes * 10 <= of_tree, "{bytes} of {of_tree} bytes are new");
        }
    });
}

#[test]
#[cfg_attr(
    not(can_mount_xfs),
    ignore = "xfs cannot be mounted here (root, mkfs.xfs, loop devices)"
)]
fn xfs_shares_blocks_and_the_record_says_so() {
    shares_blocks("mkfs.xfs -q -m reflink=1", "");
}

#[test]
#[cfg_attr(
    not(can_mount_btrfs),
    ignore = "btrfs cannot be mounted here (root, mkfs.btrfs, loop devices)"
)]
fn btrfs_shares_blocks_and_the_record_says_so() {
    shares_blocks("mkfs.btrfs -q", "");
}

#[test]
#[cfg_attr(
    not(can_mount_xfs),
    ignore = "xfs cannot be mounted here (root, mkfs.xfs, loop devices)"
)]
fn xfs_that_cannot_share_blocks_gets_copies() {
    with_repo(|repo| {
        repo.write("a", vec![b'x'; 1 << 20]).commit("a");
        let image = repo.sandbox().root().join("image");
        fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let image = image.display();
        let mount = format!("mkfs.xfs -q -m reflink=0 '{image}' && mount -o loop '{image}' $M");
        let script = "cp -a . $M/source; cd $M/source; TMPDIR=$M loom-snapshot create --json";
        let output = mounted(repo, &[], &mount, script);
        assert!(output.status.success(), "{}", said(&output));
        let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(record["methods"]["files"], "copy", "{record}");
    });
}

/// What was mounted is gone: no loop device is left behind by these tests.
#[test]
#[cfg_attr(
    not(can_mount_xfs),
    ignore = "xfs cannot be mounted here (root, mkfs.xfs, loop devices)"
)]
fn mounts_go_with_their_namespace() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let image = repo.sandbox().root().join("image");
        fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let image = image.display();
        let mount = format!("mkfs.xfs -q '{image}' && mount -o loop '{image}' $M");
        assert!(mounted(repo, &[], &mount, "mountpoint -q $M").status.success());
        let devices = Command::new("losetup").args(["-j"]).arg(image.to_string()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&devices.stdout), "");
    });
}
