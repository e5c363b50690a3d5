//! `prune`.

use std::{fs, os::unix::fs::symlink};

use libloom_contract::{layout::Layout, receipt::RunReceipt};
use libloom_record::lock;

use super::repository::Repository;

fn id(number: u64) -> String {
    format!("loom-run-local-{number}")
}

fn with_runs(count: u64) -> Repository {
    let repository = Repository::new();
    for number in 1..=count {
        repository.write_receipt(&id(number), |receipt| receipt);
        fs::write(repository.layout.run(&id(number)).events(), "0123456789").unwrap();
    }
    repository
}

fn runs(repository: &Repository) -> Vec<String> {
    libloom_record::read::run_ids(&repository.layout).unwrap()
}

#[test]
fn oldest_runs_go_whole_and_the_bytes_are_told() {
    let repository = with_runs(3);
    let receipt = fs::metadata(repository.layout.run_receipt(&id(1))).unwrap().len();
    let (result, captured) = repository.logs(&["prune", "--keep", "2", "--dry-run"]);
    assert_eq!((result.unwrap(), captured.out()), (0, format!("{}\n", id(1))));
    let bytes = format!("({} bytes)", receipt + 10);
    assert!(captured.err().contains("would remove 1 of 3 runs") && captured.err().contains(&bytes));
    assert_eq!(runs(&repository).len(), 3);
    assert_eq!(repository.out(&["prune", "--keep", "2"]), format!("{}\n", id(1)));
    assert_eq!(runs(&repository), [id(3), id(2)]);
    assert!(!repository.layout.run(&id(1)).folder().exists());
    assert!(!repository.layout.run_receipt(&id(1)).exists());
    assert_eq!(repository.out(&["prune", "--keep", "0"]), format!("{}\n{}\n", id(3), id(2)));
    assert_eq!(fs::read_dir(repository.layout.logs()).unwrap().count(), 0);
}

#[test]
fn age_and_number_both_protect() {
    let repository = with_runs(2);
    let young = id(u64::try_from(libloom_contract::Timestamp::now().nanoseconds()).unwrap());
    repository.write_receipt(&young, |receipt| receipt);
    assert_eq!(repository.out(&["prune", "--older-than", "1h", "--keep", "2"]), id(1) + "\n");
    assert_eq!(repository.out(&["prune", "--older-than", "1h"]), id(2) + "\n");
    assert_eq!(runs(&repository), [young]);
}

#[test]
fn a_run_in_progress_stays() {
    let repository = with_runs(1);
    fs::create_dir_all(repository.layout.run(&id(2)).folder()).unwrap();
    let _lock = lock::take(repository.layout.run(&id(2)).folder()).unwrap().unwrap();
    assert_eq!(repository.out(&["prune", "--keep", "0"]), id(1) + "\n");
    assert_eq!(runs(&repository), [id(2)]);
}

#[test]
fn links_of_the_workspace_go_with_their_run_and_nothing_else_there() {
    let repository = with_runs(1);
    let workspace = tempfile::tempdir().unwrap();
    let there = Layout::of_repository(workspace.path());
    fs::create_dir_all(there.logs()).unwrap();
    fs::create_dir_all(there.receipts()).unwrap();
    symlink(repository.layout.run(&id(1)).folder(), there.run(&id(1)).folder()).unwrap();
    symlink(repository.layout.run_receipt(&id(1)), there.run_receipt(&id(1))).unwrap();
    fs::create_dir(there.run(&id(7)).folder()).unwrap();
    let path = Some(workspace.path().to_string_lossy().into_owned());
    repository.write_receipt(&id(1), |receipt| RunReceipt { snapshot_path: path, ..receipt });
    repository.out(&["prune", "--keep", "0"]);
    assert!(fs::symlink_metadata(there.run(&id(1)).folder()).is_err());
    assert!(fs::symlink_metadata(there.run_receipt(&id(1))).is_err());
    assert!(there.run(&id(7)).folder().is_dir());
}

#[test]
fn what_a_killed_prune_left_goes_and_read_only_folders_are_no_obstacle() {
    use std::os::unix::fs::PermissionsExt as _;
    let repository = with_runs(1);
    let left = repository.layout.logs().join(".pruned-loom-run-local-9/jobs/a");
    fs::create_dir_all(&left).unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(repository.out(&["list"]).lines().count(), 2);
    repository.out(&["prune", "--keep", "1"]);
    assert_eq!(fs::read_dir(repository.layout.logs()).unwrap().count(), 1);
}

#[test]
fn receipts_of_checks_go_by_the_same_rules() {
    let repository = with_runs(1);
    for pid in 0..3 {
        fs::write(repository.layout.check_receipt("20260304T183012Z", pid), "{}").unwrap();
    }
    let (_, captured) = repository.logs(&["prune", "--keep", "1"]);
    assert!(captured.err().contains("and 2 receipts of checks"), "{}", captured.err());
    assert_eq!(fs::read_dir(repository.layout.receipts()).unwrap().count(), 2);
    assert_eq!(repository.logs(&["prune", "--older-than", "1d"]).0.unwrap(), 0);
    assert_eq!(fs::read_dir(repository.layout.receipts()).unwrap().count(), 1);
}
