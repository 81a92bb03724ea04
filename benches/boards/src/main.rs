//! One board of many records: `ranks RECORDS SEED` is its order in memory, beside a sorted list;
//! `fill DIR RECORDS SEED` makes a data folder that has it, for a server to start on. Both print
//! `name value` lines.

mod fill;
mod ranks;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{Rng, UserId};
use domain::record::board::Place;
use mimalloc::MiMalloc;

/// Counts the bytes in use, as they were asked for.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the allocator of the server.
#[allow(unsafe_code, reason = "an allocator that counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as asked.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as asked.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    const USAGE: &str = "usage: boards-bench ranks RECORDS SEED | fill DIR RECORDS SEED";
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["ranks", records, seed] => ranks::run(records.parse()?, seed.parse()?),
        ["fill", folder, records, seed] => {
            fill::run(folder.as_ref(), records.parse()?, seed.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}

/// Scores of a game: most players have few points, and few have many.
struct Scores(Rng);

impl Scores {
    fn new(seed: u64) -> Scores {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Scores(Rng::from_seed(bytes))
    }

    fn score(&mut self) -> u64 {
        (u64::from(self.0.below(1 << 20)) * u64::from(self.0.below(1 << 20))) >> 20
    }

    fn place(&mut self) -> Place {
        let mut owner = [0; 16];
        self.0.fill(&mut owner);
        Place::new(self.score(), 0, UserId::from_bytes(owner))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0.below(u32::try_from(bound).unwrap_or(u32::MAX)) as usize
    }
}
