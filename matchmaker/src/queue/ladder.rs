//! Numbers in ascending order, in short runs: near ones are near in memory, and no insertion moves
//! many.

/// A run that is longer is cut in two.
const RUN_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// Mostly the only run: it is empty where there is none.
    first: Vec<u64>,
    /// No run of these is empty, and there are none where the first one is.
    more: Vec<Vec<u64>>,
}

/// A place between two numbers, or at an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    run: usize,
    at: usize,
}

impl Ladder {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn run(&self, index: usize) -> Option<&Vec<u64>> {
        match index.checked_sub(1) {
            None => Some(&self.first),
            Some(index) => self.more.get(index),
        }
    }

    fn run_mut(&mut self, index: usize) -> &mut Vec<u64> {
        match index.checked_sub(1) {
            None => &mut self.first,
            Some(index) => &mut self.more[index],
        }
    }

    /// The run in which a number is, or would be.
    fn run_of(&self, number: u64) -> usize {
        if self.more.is_empty() || self.first[self.first.len() - 1] >= number {
            return 0;
        }
        let after = self.more.partition_point(|run| run[run.len() - 1] < number);
        1 + after.min(self.more.len() - 1)
    }

    /// A number that is not there yet.
    pub(super) fn insert(&mut self, number: u64) {
        let index = self.run_of(number);
        let run = self.run_mut(index);
        let at = run.partition_point(|other| *other < number);
        run.insert(at, number);
        if run.len() > RUN_MAX {
            let upper = run.split_off(RUN_MAX / 2);
            self.more.insert(index, upper);
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        let index = self.run_of(number);
        let run = self.run_mut(index);
        let Ok(at) = run.binary_search(&number) else { return };
        run.remove(at);
        if !run.is_empty() {
            return;
        }
        match index.checked_sub(1) {
            Some(index) => drop(self.more.remove(index)),
            None if self.more.is_empty() => {}
            None => self.first = self.more.remove(0),
        }
    }

    /// The place before the first number that is no smaller.
    pub(super) fn place(&self, number: u64) -> Place {
        let run = self.run_of(number);
        let at = self.run(run).map_or(0, |run| run.partition_point(|other| *other < number));
        Place { run, at }
    }

    /// The number after a place, which moves behind it.
    pub(super) fn up(&self, place: &mut Place) -> Option<u64> {
        let run = self.run(place.run)?;
        if let Some(number) = run.get(place.at) {
            place.at += 1;
            return Some(*number);
        }
        let next = self.run(place.run + 1)?;
        (place.run, place.at) = (place.run + 1, 1);
        next.first().copied()
    }

    /// The number before a place, which moves before it.
    pub(super) fn down(&self, place: &mut Place) -> Option<u64> {
        if let Some(at) = place.at.checked_sub(1) {
            place.at = at;
            return self.run(place.run)?.get(at).copied();
        }
        let run = self.run(place.run.checked_sub(1)?)?;
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
            prop_assert!(ladder.first.len() <= RUN_MAX);
            prop_assert!(ladder.more.is_empty() || !ladder.first.is_empty());
            prop_assert!(ladder.more.iter().all(|run| (1..=RUN_MAX).contains(&run.len())));
            let mut place = ladder.place(from);
            let up: Vec<_> = std::iter::from_fn(|| ladder.up(&mut place)).collect();
            prop_assert_eq!(up, model.range(from..).copied().collect::<Vec<_>>());
            let mut place = ladder.place(from);
            let down: Vec<_> = std::iter::from_fn(|| ladder.down(&mut place)).collect();
            prop_assert_eq!(down, model.range(..from).rev().copied().collect::<Vec<_>>());
        }
    }
}
