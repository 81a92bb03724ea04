//! Random workloads: a few seeds of what `cargo xtask sim` runs by the minute.

use sim::cluster::Recording;
use sim::workload::run;

const SEEDS: u64 = 25;

#[test]
fn whatever_happens_nothing_acknowledged_is_lost_and_everything_comes_to_rest() {
    for seed in 0..SEEDS {
        run(seed, Recording::Tail);
    }
}

#[test]
fn one_seed_gives_one_history() {
    for seed in 0..3 {
        assert_eq!(run(seed, Recording::Tail), run(seed, Recording::Tail));
    }
}
