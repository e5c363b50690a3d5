//! How many jobs execute at the same time. Making one ready and clearing up after it takes no slot.

use std::sync::{Condvar, Mutex};

/// A number of slots.
#[derive(Debug)]
pub struct Slots {
    free: Mutex<usize>,
    changed: Condvar,
}

/// A slot that is taken for as long as this exists.
#[derive(Debug)]
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// All are free.
    pub fn new(count: usize) -> Self {
        Slots { free: Mutex::new(count), changed: Condvar::new() }
    }

    /// Waits for a free one and takes it.
    pub fn take(&self) -> Slot<'_> {
        let free = self.free.lock().expect("no thread panics while it holds the lock");
        let mut free = self
            .changed
            .wait_while(free, |free| *free == 0)
            .expect("no thread panics while it holds the lock");
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut free = self.0.free.lock().expect("no thread panics while it holds the lock");
        *free += 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn never_more_than_the_slots_are_taken() {
        let (slots, inside) = (Slots::new(2), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _slot = slots.take();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(*slots.free.lock().unwrap(), 2);
    }
}
