//! The allocator, and how much of its memory is in use.
//!
//! Each thread keeps the difference between what it took and what it gave back, and adds it to a
//! sum now and then: that of its core, or that of all threads beside the cores. What one thread
//! takes and another gives back counts for the one and against the other, without end: the sum of
//! all of them is what is in use, a single one is only a hint.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

use base::id::SHARDS_MAX;
use mimalloc::MiMalloc;

/// What a thread keeps to itself at most.
const STEP: isize = 64 * 1024;

/// One for each core, the last for all other threads.
static SUMS: [AtomicI64; SHARDS_MAX + 1] = [const { AtomicI64::new(0) }; SHARDS_MAX + 1];

thread_local! {
    /// What is not yet in the thread's sum. Without a destructor, so that it is there to the end.
    static OWN: Cell<isize> = const { Cell::new(0) };
    static SUM: Cell<usize> = const { Cell::new(SHARDS_MAX) };
}

pub(crate) struct Allocator;

/// From here on this thread is that of a core.
pub(crate) fn serve_core(core: usize) {
    SUM.set(core.min(SHARDS_MAX));
}

/// Bytes in use by a core's own count; `None` for all other threads.
pub(crate) fn in_use(core: Option<usize>) -> i64 {
    SUMS[core.unwrap_or(SHARDS_MAX).min(SHARDS_MAX)].load(Ordering::Relaxed)
}

/// Bytes in use, but for a little of each thread.
pub(crate) fn all_in_use() -> u64 {
    let sum: i64 = SUMS.iter().map(|sum| sum.load(Ordering::Relaxed)).sum();
    u64::try_from(sum).unwrap_or(0)
}

/// Never fails: a panic has no place in an allocator.
#[inline]
fn count(bytes: isize) {
    let own = OWN.get().wrapping_add(bytes);
    OWN.set(own);
    if own.unsigned_abs() >= STEP.unsigned_abs() {
        settle(own);
    }
}

#[cold]
fn settle(own: isize) {
    OWN.set(0);
    if let Some(sum) = SUMS.get(SUM.get()) {
        sum.fetch_add(own as i64, Ordering::Relaxed);
    }
}

/// No layout is larger than `isize::MAX`.
fn size(layout: Layout) -> isize {
    layout.size().cast_signed()
}

// SAFETY: every call goes to mimalloc unchanged; counting touches no memory but the thread's own
// cells and a sum, and allocates nothing.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(size(layout).wrapping_neg());
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed().wrapping_sub(size(layout)));
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { MiMalloc.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On threads of their own, which nobody else allocates on; and on cores that no other test
    /// has.
    #[test]
    fn what_a_core_takes_is_counted_until_somebody_gives_it_back() {
        let (first, second) = (SHARDS_MAX - 1, SHARDS_MAX - 2);
        const SIZE: usize = 1 << 20;
        let taken = std::thread::spawn(move || {
            serve_core(first);
            let taken: Vec<u8> = Vec::with_capacity(SIZE);
            (taken, in_use(Some(first)))
        });
        let (taken, counted) = taken.join().unwrap();
        assert!(counted >= SIZE as i64 - STEP as i64, "{counted}");
        let given_back = std::thread::spawn(move || {
            serve_core(second);
            drop(taken);
            in_use(Some(second))
        });
        let counted = given_back.join().unwrap();
        assert!(counted <= -(SIZE as i64) + STEP as i64, "{counted}");
    }
}
