//! The order of a board in memory: what it takes, and how fast it is written and read.

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Instant;

use base::{Range, Table};
use bytes::Bytes;
use domain::compete::rank::Ranks;
use domain::ctx::{Row, Unavailable, View};
use domain::record::board::{Period, Place};
use hdrhistogram::Histogram;

use crate::{Failure, Scores, USED};

const WRITES: usize = 1_000_000;
/// A sorted list moves all that stands behind: few of them take long enough.
const LIST_WRITES: usize = 300;
const READS: usize = 200_000;
const PAGE: usize = 100;

/// Nothing but the board is there, and that is in memory.
struct Nothing;

impl View for Nothing {
    fn get(&mut self, _: Table, _: &[u8]) -> Result<Option<Bytes>, Unavailable> {
        Ok(None)
    }

    fn range(&mut self, _: &Range) -> Result<Vec<Row>, Unavailable> {
        Ok(Vec::new())
    }
}

pub(crate) fn run(records: usize, seed: u64) -> Result<(), Failure> {
    let mut scores = Scores::new(seed);
    let mut places: Vec<Place> = (0..records).map(|_| scores.place()).collect();
    let before = USED.load(Ordering::Relaxed);
    let mut ranks = Ranks::new(Period::new([1; 8], 0));
    for place in &places {
        write(&mut ranks, None, Some(place));
    }
    let used = USED.load(Ordering::Relaxed) - before;
    println!("bytes_per_record {}", used as f64 / records as f64);

    let began = Instant::now();
    for _ in 0..WRITES {
        let at = scores.below(records);
        let new = Place::new(scores.score(), 0, places[at].owner());
        write(&mut ranks, Some(&places[at]), Some(&new));
        places[at] = new;
    }
    println!("rank_writes_per_s {}", WRITES as f64 / began.elapsed().as_secs_f64());

    let mut times = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3)?;
    for _ in 0..READS {
        let place = places[scores.below(records)];
        times.saturating_record(nanos(|| below(&mut ranks, black_box(&place))));
        assert!(below(&mut ranks, &place).1, "every record has a place");
    }
    println!("rank_p50 {}", times.value_at_quantile(0.5) as f64 / 1e3);
    println!("rank_p99 {}", times.value_at_quantile(0.99) as f64 / 1e3);
    let top = median(|_| 0, &mut ranks);
    println!("top_page_us {top}");
    let around = median(|scores| scores.below(records - PAGE) as u64, &mut ranks);
    println!("around_page_us {around}");
    drop(ranks);
    list(places, &mut scores)
}

/// The yardstick: all places in one list.
fn list(mut places: Vec<Place>, scores: &mut Scores) -> Result<(), Failure> {
    places.sort_unstable();
    let mut times = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3)?;
    for _ in 0..READS {
        let place = places[scores.below(places.len())];
        times.saturating_record(nanos(|| places.binary_search(black_box(&place))));
    }
    println!("list_rank_p99 {}", times.value_at_quantile(0.99) as f64 / 1e3);
    let began = Instant::now();
    for _ in 0..LIST_WRITES {
        let old = places.remove(scores.below(places.len()));
        let new = Place::new(scores.score(), 0, old.owner());
        let (Ok(at) | Err(at)) = places.binary_search(&new);
        places.insert(at, new);
    }
    println!("list_writes_per_s {}", LIST_WRITES as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

fn write(ranks: &mut Ranks, old: Option<&Place>, new: Option<&Place>) {
    let counts = ranks.plan(&mut Nothing, old, new).expect("all of it is in memory");
    for (first, count) in counts {
        ranks.counted(first, count);
    }
    for (place, is_there) in [(old, false), (new, true)] {
        if let Some(place) = place {
            ranks.placed(*place, is_there);
        }
    }
}

fn below(ranks: &mut Ranks, place: &Place) -> (u64, bool) {
    ranks.below(&mut Nothing, place).expect("all of it is in memory")
}

/// The median time of a page that begins at such a place, in µs.
fn median(mut from: impl FnMut(&mut Scores) -> u64, ranks: &mut Ranks) -> f64 {
    let mut scores = Scores::new(7);
    let mut times: Vec<_> = (0..10_000)
        .map(|_| {
            let from = from(&mut scores);
            nanos(|| {
                let page = ranks.page(&mut Nothing, black_box(from), PAGE);
                page.expect("all of it is in memory").len()
            })
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2] as f64 / 1e3
}

/// How long the work takes. What it gives is looked at by nobody, and it is done all the same.
fn nanos<T>(work: impl FnOnce() -> T) -> u64 {
    let began = Instant::now();
    black_box(work());
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
