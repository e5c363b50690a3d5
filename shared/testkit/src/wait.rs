//! Waiting for a condition, never for an amount of time.

use std::thread;
use std::time::{Duration, Instant};

/// Returns as soon as `condition` holds; panics, naming `what`, when `limit` has passed.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "still waiting after {limit:?}: {what}");
}

/// Whether `condition` came to hold within `limit`; it is asked at least once.
pub(crate) fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_once_the_condition_holds() {
        let mut asked = 0;
        wait_until("three questions", Duration::from_secs(10), || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }

    #[test]
    #[should_panic(expected = "the moon")]
    fn says_what_it_waited_for() {
        wait_until("the moon", Duration::ZERO, || false);
    }
}
