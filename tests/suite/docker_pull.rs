//! Images that the engine has not got: pulled from a registry, or not.

use std::fs;
use std::time::Duration;

use libloom_testkit::{Engine, Fault};

use crate::docker_job::{provider_events, run, said, with_proxy, with_repo};

/// An image of the lab's open registry; the one that wants a user and a password is its neighbour.
fn image(name: &str) -> String {
    format!("127.0.0.1:{}/library/{name}:1", port())
}

fn port() -> u16 {
    env!("LOOM_TEST_REGISTRY").parse().unwrap()
}

/// Without this image the engine is as it was.
struct Pulled<'a>(&'a Engine, String);

impl<'a> Pulled<'a> {
    fn new(engine: &'a Engine, image: &str) -> Self {
        let pulled = Pulled(engine, image.to_owned());
        pulled.forget();
        pulled
    }

    fn forget(&self) {
        self.0.ask("DELETE", &format!("/images/{}?force=1", self.1), b"");
    }
}

impl Drop for Pulled<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

fn keys(image: &str, policy: &str) -> String {
    format!("image: {{name: '{image}', network: none, pull_policy: {policy}}}")
}

on_engines!(a_missing_image_is_pulled_once_and_then_there, with registry);
fn a_missing_image_is_pulled_once_and_then_there(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        let image = image("pulled");
        let _pulled = Pulled::new(engine, &image);
        let refused = run(repo, &keys(&image, "never"), &["true"]).expect_code(1);
        refused.expect_said(&[&image, "never"]);
        assert_eq!(proxy.count("POST", "/images/create"), 0);
        let keys = keys(&image, "if_not_present");
        let ran = run(repo, &keys, &["stat -c %s /noise"]).expect_code(0);
        assert_eq!(said(&ran, 1), "1048576\n");
        let events = provider_events(&ran, "box");
        assert!(
            events.iter().any(|event| event["text"].as_str().is_some_and(|t| t.contains("pulled")))
        );
        run(repo, &keys, &["true"]).expect_code(0);
        assert_eq!(proxy.count("POST", "/images/create"), 1);
    });
}

on_engines!(an_image_is_pulled_each_time_if_the_job_says_so, with registry);
fn an_image_is_pulled_each_time_if_the_job_says_so(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        let image = image("always");
        let _pulled = Pulled::new(engine, &image);
        for _ in 0..2 {
            run(repo, &keys(&image, "always"), &["true"]).expect_code(0);
        }
        assert_eq!(proxy.count("POST", "/images/create"), 2);
    });
}

on_engines!(credentials_are_those_of_the_docker_configuration, with registry);
fn credentials_are_those_of_the_docker_configuration(engine: &Engine) {
    with_repo(engine, |repo| {
        let registry = format!("127.0.0.1:{}", port() + 1);
        let image = format!("{registry}/library/locked:1");
        let _pulled = Pulled::new(engine, &image);
        let keys = keys(&image, "if_not_present");
        let ran = run(repo, &keys, &["true"]).expect_code(1);
        ran.expect_said(&["image pull failed", &image]);
        // lab:lab-pass
        let config = format!(r#"{{"auths": {{"{registry}": {{"auth": "bGFiOmxhYi1wYXNz"}}}}}}"#);
        let folder = repo.sandbox().home().join(".docker");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config.json"), config).unwrap();
        run(repo, &keys, &["true"]).expect_code(0);
    });
}

on_engines!(an_image_that_does_not_exist_is_named, with registry);
fn an_image_that_does_not_exist_is_named(engine: &Engine) {
    with_repo(engine, |repo| {
        let image = image("no-such");
        let ran = run(repo, &keys(&image, "if_not_present"), &["true"]).expect_code(1);
        let ran = ran.expect_said(&["image pull failed", &image]);
        assert_eq!(ran.job("box")["failing_section"], "provider");
    });
}

on_engines!(a_pull_that_breaks_off_fails_the_job_and_one_that_is_slow_does_not, with registry);
fn a_pull_that_breaks_off_fails_the_job_and_one_that_is_slow_does_not(engine: &Engine) {
    let image = image("faulty");
    let _pulled = Pulled::new(engine, &image);
    let broken = [Fault::Answer(500, "the moon is full"), Fault::Kill, Fault::Cut(200), Fault::Die];
    for fault in broken {
        with_proxy(engine, |repo, proxy| {
            proxy.disturb("POST", "/images/create", 1, fault.clone());
            let ran = run(repo, &keys(&image, "always"), &["true"]).expect_code(1);
            assert_eq!(proxy.disturbed().len(), 1, "{fault:?}");
            let words = if fault == Fault::Answer(500, "the moon is full") {
                "the moon is full"
            } else {
                "daemon"
            };
            ran.expect_said(&["image pull failed", words]);
            proxy.revive();
        });
    }
    with_proxy(engine, |repo, proxy| {
        let late = Fault::Delay(Duration::from_secs(2));
        proxy.disturb("POST", "/images/create", 1, late);
        run(repo, &keys(&image, "always"), &["true"]).expect_code(0);
        assert_eq!(proxy.disturbed().len(), 1);
    });
}
