//! Services beside a job: real databases, their names, variables and ends.

use std::fs;
use std::time::Instant;

use libloom_testkit::Engine;

use crate::docker_job::{IMAGE, jobs, run, said, with_proxy, with_repo};
use crate::ran::Ran;

/// A job that talks to its services, in an image with the clients.
fn job(image: &str, services: &str) -> String {
    format!("image: '{image}'\nservices:\n{services}")
}

const WITH_CHECK: &str = "  - {name: 'postgres:15-healthcheck', alias: db, variables: {POSTGRES_USER: runner, \
    POSTGRES_DB: testdb, POSTGRES_PASSWORD: $SECRET_WORD}}";

on_engines!(a_database_with_a_healthcheck_is_ready_when_the_job_begins);
fn a_database_with_a_healthcheck_is_ready_when_the_job_begins(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = format!("variables: {{SECRET_WORD: word}}\n{}", job("postgres:15", WITH_CHECK));
        let query = "PGPASSWORD=word psql -h db -U runner -d testdb -Atc 'select 6 * 7'";
        let ran = run(repo, &keys, &[query]).expect_code(0);
        assert_eq!(said(&ran, 1), "42\n");
        let services = ran.logs().join("jobs/box/system/services");
        let mut logs = fs::read_dir(services).unwrap().map(|entry| entry.unwrap().path());
        let is_log = |text: String| text.contains("database system is ready to accept connections");
        assert!(logs.any(|path| fs::read_to_string(path).is_ok_and(is_log)), "the service's logs");
    });
}

on_engines!(a_service_answers_to_the_name_of_its_image);
fn a_service_answers_to_the_name_of_its_image(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = job("redis:7", "  - redis:7");
        // Without a healthcheck a service that runs is ready, whether or not it answers yet.
        let entries =
            ["until redis-cli -h redis ping; do sleep 0.1; done", "redis-cli -h redis set k v"];
        let ran = run(repo, &keys, &entries).expect_code(0);
        assert!(said(&ran, 1).ends_with("PONG\n"));
        assert_eq!(said(&ran, 2), "OK\n");
    });
}

on_engines!(a_service_is_run_as_its_keys_say);
fn a_service_is_run_as_its_keys_say(engine: &Engine) {
    with_repo(engine, |repo| {
        let serve = "while :; do echo \"I am $NAME\" | nc -l -p 80; done";
        let services = format!(
            "  - {{name: '{IMAGE}', alias: one, entrypoint: [sh, -c], command: ['{serve}'], variables: {{NAME: one}}}}\n  \
             - {{name: '{IMAGE}', alias: two, entrypoint: [sh, -c], command: ['{serve}'], variables: {{NAME: two}}}}"
        );
        let ask = |name: &str| format!("until nc {name} 80 </dev/null; do sleep 0.1; done");
        let ran = run(repo, &job(IMAGE, &services), &[&ask("one"), &ask("two")]).expect_code(0);
        assert_eq!(said(&ran, 1), "I am one\n");
        assert_eq!(said(&ran, 2), "I am two\n");
    });
}

on_engines!(jobs_beside_each_other_have_services_of_their_own);
fn jobs_beside_each_other_have_services_of_their_own(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = job("redis:7", "  - {name: 'redis:7', alias: store}");
        let wait = "until redis-cli -h store ping >/dev/null; do sleep 0.1; done";
        let entries = [wait, "redis-cli -h store incr count"];
        repo.workflow(&jobs(&[("a", &keys, &entries), ("b", &keys, &entries)]));
        let ran = Ran::of(repo, &["--jobs", "2"]).expect_code(0);
        for job in ["a", "b"] {
            assert_eq!(ran.output_text(job, "script/02", "stdout"), "1\n", "{job}");
        }
    });
}

on_engines!(a_service_that_ends_before_it_is_ready_fails_the_job_with_its_last_words);
fn a_service_that_ends_before_it_is_ready_fails_the_job_with_its_last_words(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = job(IMAGE, "  - {name: 'postgres:15-healthcheck', alias: db}");
        let words = "superuser password is not specified";
        let ran = run(repo, &keys, &["echo never"]).expect_code(1).expect_said(&["`db`", words]);
        let manifest = ran.job("box");
        assert_eq!(manifest["status"], "failure", "{manifest:#}");
        assert_eq!(manifest["failing_section"], "services", "{manifest:#}");
        assert_eq!(said(&ran, 1), "");
        let services = ran.logs().join("jobs/box/system/services");
        let logs = fs::read_dir(services).unwrap().map(|entry| entry.unwrap().path());
        let texts: Vec<String> = logs.filter_map(|path| fs::read_to_string(path).ok()).collect();
        assert!(texts.iter().any(|text| text.contains(words)), "{texts:?}");
    });
}

on_engines!(a_service_that_does_not_become_ready_is_given_up_after_its_time);
fn a_service_that_does_not_become_ready_is_given_up_after_its_time(engine: &Engine) {
    with_repo(engine, |repo| {
        let service =
            "  - {name: 'postgres:15-healthcheck', alias: db, entrypoint: [sleep, '1000']}";
        let began = Instant::now();
        let ran = run(repo, &job(IMAGE, service), &["echo never"]);
        let ran = ran.expect_code(1).expect_said(&["`db`", "not ready within 35 s"]);
        assert!(began.elapsed().as_secs() >= 35);
        assert_eq!(ran.job("box")["failing_section"], "services");
    });
}

on_engines!(everything_of_a_service_is_removed_after_a_failure_too);
fn everything_of_a_service_is_removed_after_a_failure_too(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        let ran = run(repo, &job(IMAGE, "  - redis:7"), &["exit 3"]).expect_code(1);
        assert_eq!(ran.step("box", "script/01")["exit_code"], 3);
        assert_eq!(proxy.count("POST", "/networks/create"), 1);
        assert_eq!(proxy.count("DELETE", "/networks/*"), 1);
        let created = proxy.count("POST", "/containers/create");
        assert_eq!(proxy.count("DELETE", "/containers/*"), created);
        // That nothing is left is seen by the sandbox.
    });
}

on_engines!(an_image_of_a_service_that_is_missing_is_named);
fn an_image_of_a_service_that_is_missing_is_named(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = job(IMAGE, "  - {name: 'loom.invalid/none:1', pull_policy: never}");
        let ran = run(repo, &keys, &["echo never"]);
        ran.expect_code(1).expect_said(&["loom.invalid/none:1", "never"]);
    });
}
