//! The container engines that the tests of the Docker provider talk to: Docker and Podman.
//!
//! `tests/lab` starts them. The tests of one that did not answer when the tests were built
//! (`tests/build.rs`) are reported as ignored; `.ci/run` has both, and counts.

use libloom_testkit::Engine;

/// `on_engines!(name)` makes two tests of `fn name(engine: &Engine)`: `name::docker` and
/// `name::podman`. What Podman cannot do is said with the answer of its API that is the cause, and
/// begins with `podman cannot: `.
macro_rules! on_engines {
    ($test:ident) => {
        on_engines!(@both $test cfg_attr(
            not(has_podman),
            ignore = "no Podman service answered when the tests were built"
        ));
    };
    ($test:ident, $podman_cannot:literal) => {
        on_engines!(@both $test ignore = $podman_cannot);
    };
    (@both $test:ident $($on_podman:tt)*) => {
        mod $test {
            #[test]
            #[cfg_attr(not(has_docker), ignore = "no Docker engine answered when the tests were built")]
            fn docker() {
                super::$test(&crate::engines::docker());
            }

            #[test]
            #[$($on_podman)*]
            fn podman() {
                super::$test(&crate::engines::podman());
            }
        }
    };
}

pub(crate) fn docker() -> Engine {
    Engine::new("docker", env!("LOOM_TEST_DOCKER"))
}

pub(crate) fn podman() -> Engine {
    Engine::new("podman", env!("LOOM_TEST_PODMAN"))
}
