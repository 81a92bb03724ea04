//! Numbers in ascending order, in short runs: near ones are near in memory, and no insertion moves
//! many.

/// A run that is longer is cut in two.
const RUN_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// No run is empty.
    runs: Vec<Vec<u64>>,
}

/// A place between two numbers, or at an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    run: usize,
    at: usize,
}

impl Ladder {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The run in which a number is, or would be.
    fn run_of(&self, number: u64) -> usize {
        match &self.runs[..] {
            [] | [_] => 0,
            runs => runs.partition_point(|run| run[run.len() - 1] < number).min(runs.len() - 1),
        }
    }

    /// A number that is not there yet.
    pub(super) fn insert(&mut self, number: u64) {
        let index = self.run_of(number);
        let Some(run) = self.runs.get_mut(index) else {
            self.runs.push(vec![number]);
            return;
        };
        let at = run.partition_point(|other| *other < number);
        run.insert(at, number);
        if run.len() > RUN_MAX {
            let upper = run.split_off(RUN_MAX / 2);
            self.runs.insert(index + 1, upper);
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        let index = self.run_of(number);
        let Some(run) = self.runs.get_mut(index) else { return };
        if let Ok(at) = run.binary_search(&number) {
            run.remove(at);
            if run.is_empty() {
                self.runs.remove(index);
            }
        }
    }

    /// The place before the first number that is no smaller.
    pub(super) fn place(&self, number: u64) -> Place {
        let run = self.run_of(number);
        let at = self.runs.get(run).map_or(0, |run| run.partition_point(|other| *other < number));
        Place { run, at }
    }

    /// The number after a place, which moves behind it.
    pub(super) fn up(&self, place: &mut Place) -> Option<u64> {
        let run = self.runs.get(place.run)?;
        if let Some(number) = run.get(place.at) {
            place.at += 1;
            return Some(*number);
        }
        let next = self.runs.get(place.run + 1)?;
        (place.run, place.at) = (place.run + 1, 1);
        next.first().copied()
    }

    /// The number before a place, which moves before it.
    pub(super) fn down(&self, place: &mut Place) -> Option<u64> {
        if let Some(at) = place.at.checked_sub(1) {
            place.at = at;
            return self.runs.get(place.run)?.get(at).copied();
        }
        let run = self.runs.get(place.run.checked_sub(1)?)?;
        (place.run, place.at) = (place.run - 1, run.len() - 1);
        run.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_an_ordered_set(
            changes in prop::collection::vec((any::<bool>(), 0_u64..2000), 0..3000),
            from in 0_u64..2000,
        ) {
            let (mut ladder, mut model) = (Ladder::default(), BTreeSet::new());
            for (adds, number) in changes {
                // Mostly adds, so that it grows.
                if adds || number % 3 != 0 {
                    if model.insert(number) {
                        ladder.insert(number);
                    }
                } else {
                    model.remove(&number);
                    ladder.remove(number);
                }
            }
            prop_assert_eq!(ladder.is_empty(), model.is_empty());
            prop_assert!(ladder.runs.iter().all(|run| (1..=RUN_MAX).contains(&run.len())));
            let mut place = ladder.place(from);
            let up: Vec<_> = std::iter::from_fn(|| ladder.up(&mut place)).collect();
            prop_assert_eq!(up, model.range(from..).copied().collect::<Vec<_>>());
            let mut place = ladder.place(from);
            let down: Vec<_> = std::iter::from_fn(|| ladder.down(&mut place)).collect();
            prop_assert_eq!(down, model.range(..from).rev().copied().collect::<Vec<_>>());
        }
    }
}
