//! Publication of a model: readers pin the one in use once per batch and never wait; a new one is swapped in.
//!
//! The current model is a raw `Arc`. A reader has to load it and then count itself in, and between the two the model
//! must not go away; so it says beforehand that it is entering, and a publisher that has swapped the pointer lets go of
//! the old model only once nobody is. That is a wait for a handful of instructions of each reader, not for its batch.
//!
//! Why this is sound: `entering` is only ever changed and asked by read-modify-write operations, which form one
//! order. If the publisher's question comes before a reader's entry, the reader's entry reads from it (acquire from
//! release), so the swap happened before and the reader loads the new pointer. If it comes after, the answer is not
//! 0 until the reader has counted itself in and left (release), and then the publisher knows of it (acquire).
//! `RUSTFLAGS="--cfg loom" cargo test -p model --release --lib publish` has loom try the interleavings.

#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicPtr, AtomicUsize, Ordering},
};

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicPtr, AtomicUsize, Ordering},
};

use crate::Model;
use std::marker::PhantomData;

/// The model in use. Any number of readers and publishers.
#[derive(Debug)]
pub struct Published<T = Model> {
    /// From `Arc::into_raw`; this holds one count of it.
    current: AtomicPtr<T>,
    /// Readers between saying so and having counted themselves in.
    entering: AtomicUsize,
    /// What `current` is, for `Send` and `Sync`: an `AtomicPtr` alone would be both for any `T`.
    owns: PhantomData<Arc<T>>,
}

/// A model pinned by a reader: it stays, and stays the same, until the pin is dropped.
#[derive(Debug)]
pub struct Pin<T = Model>(Arc<T>);

impl<T> Published<T> {
    /// Publishes the first model.
    pub fn new(model: T) -> Self {
        let current = Arc::into_raw(Arc::new(model)).cast_mut();
        Self {
            current: AtomicPtr::new(current),
            entering: AtomicUsize::new(0),
            owns: PhantomData,
        }
    }

    /// Pins the model in use; once per batch. Never waits.
    pub fn pin(&self) -> Pin<T> {
        self.entering.fetch_add(1, Ordering::AcqRel);
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: `current` is from `Arc::into_raw`, and whoever swaps it out keeps its count until `entering` is 0.
        unsafe { Arc::increment_strong_count(current) };
        self.entering.fetch_sub(1, Ordering::Release);
        // SAFETY: the count just added is this pin's.
        Pin(unsafe { Arc::from_raw(current) })
    }

    /// Puts a new model in use. Batches already pinned finish on the old one, which goes with the last of them.
    pub fn publish(&self, model: T) {
        let new = Arc::into_raw(Arc::new(model)).cast_mut();
        let old = self.current.swap(new, Ordering::AcqRel);
        // A question that is a change (of nothing), because a mere load may come before a reader's entry unnoticed.
        while self.entering.fetch_add(0, Ordering::AcqRel) != 0 {
            wait();
        }
        // SAFETY: from `Arc::into_raw`, no longer to be found in `current`, and every reader that found it there has
        // counted itself in: what is given up is the count that `current` held.
        drop(unsafe { Arc::from_raw(old) });
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        // SAFETY: nobody else is left, and `current` holds a count.
        drop(unsafe { Arc::from_raw(self.current.load(Ordering::Acquire)) });
    }
}

impl<T> std::ops::Deref for Pin<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(not(loom))]
fn wait() {
    std::thread::yield_now();
}

#[cfg(loom)]
fn wait() {
    loom::thread::yield_now();
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use loom::thread;

    /// Loom finds a use after free through its `Arc`; `Counted` shows that nothing is leaked or dropped early.
    struct Counted(usize, std::sync::Arc<std::sync::atomic::AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Interleavings of readers and publishers; afterwards every model is gone, once.
    fn explore(readers: usize, publishers: usize) {
        let mut builder = loom::model::Builder::new();
        // Two threads are explored exhaustively. With three, up to two (loom's advice) forced switches.
        builder.preemption_bound = (readers + publishers > 2).then_some(2);
        // Two publishers spinning beside each other have no end of interleavings: a sample of them.
        builder.max_permutations = (publishers > 1).then_some(20_000);
        builder.max_branches = 100_000;
        builder.check(move || {
            let dropped = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let published = Arc::new(Published::new(Counted(0, std::sync::Arc::clone(&dropped))));
            let mut threads = Vec::new();
            for _ in 0..readers {
                let published = Arc::clone(&published);
                threads.push(thread::spawn(move || {
                    let first = published.pin();
                    assert!(first.0.0 <= publishers);
                    if readers + publishers == 2 {
                        // Time does not run backwards. (With more threads, twice as many steps are too many.)
                        assert!(first.0.0 <= published.pin().0.0);
                    }
                }));
            }
            for number in 1..=publishers {
                let published = Arc::clone(&published);
                let dropped = std::sync::Arc::clone(&dropped);
                threads.push(thread::spawn(move || {
                    published.publish(Counted(number, dropped))
                }));
            }
            for thread in threads {
                thread.join().unwrap();
            }
            drop(published);
            assert_eq!(dropped.load(Ordering::SeqCst), 1 + publishers);
        });
    }

    #[test]
    fn a_reader_and_a_publisher() {
        explore(1, 1);
    }

    #[test]
    fn two_readers_and_a_publisher() {
        explore(2, 1);
    }

    #[test]
    fn a_reader_and_two_publishers() {
        explore(1, 2);
    }
}
