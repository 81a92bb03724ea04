//! Numbers in order, in chunks: a call moves a chunk, however many there are.

/// No value is there twice.
#[derive(Debug)]
pub(crate) struct Sorted(Chunks);

#[derive(Debug)]
enum Chunks {
    /// One value, in its two halves: so most groups need no memory of their own.
    Single([u64; 2]),
    /// Few values, or none.
    One(Vec<i128>),
    Many(Box<Many>),
}

/// Invariants: no chunk is empty; the values of a chunk are at least its first, and below the first
/// of the next chunk.
#[derive(Debug)]
struct Many {
    firsts: Vec<i128>,
    chunks: Vec<Vec<i128>>,
}

/// Values of [`Chunks::One`].
const ONE_MAX: usize = 64;

impl Default for Sorted {
    fn default() -> Sorted {
        Sorted(Chunks::One(Vec::new()))
    }
}

impl Sorted {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.0, Chunks::One(values) if values.is_empty())
    }

    /// The values from this one on, in order.
    pub(crate) fn from(&self, from: i128) -> Values<'_> {
        let is_before = |value: &i128| *value < from;
        let (values, rest) = match &self.0 {
            Chunks::Single(halves) => {
                let single = Some(whole(*halves)).filter(|single| *single >= from);
                return Values { single, values: [].iter(), chunks: [].iter() };
            }
            Chunks::One(values) => (values, [].iter()),
            Chunks::Many(many) => {
                let chunk = many.firsts.partition_point(is_before).saturating_sub(1);
                (&many.chunks[chunk], many.chunks[chunk + 1..].iter())
            }
        };
        let at = values.partition_point(is_before);
        Values { single: None, values: values[at..].iter(), chunks: rest }
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> Values<'_> {
        self.from(i128::MIN)
    }

    pub(crate) fn insert(&mut self, value: i128) {
        match &mut self.0 {
            Chunks::Single(halves) => {
                let other = whole(*halves);
                let mut values = Vec::with_capacity(4);
                values.extend([value.min(other), value.max(other)]);
                self.0 = Chunks::One(values);
            }
            Chunks::One(values) if values.is_empty() => self.0 = Chunks::Single(halves(value)),
            Chunks::One(values) if values.len() < ONE_MAX => insert(values, value),
            Chunks::One(values) => {
                let values = std::mem::take(values);
                let mut many = Many { firsts: vec![values[0]], chunks: vec![values] };
                many.insert(value);
                self.0 = Chunks::Many(Box::new(many));
            }
            Chunks::Many(many) => many.insert(value),
        }
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, value: i128) -> bool {
        match &mut self.0 {
            Chunks::Single(halves) => {
                let is_there = whole(*halves) == value;
                if is_there {
                    *self = Sorted::default();
                }
                is_there
            }
            Chunks::One(values) => {
                let is_removed = remove(values, value);
                if let [single] = values[..] {
                    self.0 = Chunks::Single(halves(single));
                }
                is_removed
            }
            Chunks::Many(many) => {
                let is_removed = many.remove(value);
                if many.chunks.len() == 1 {
                    self.0 = Chunks::One(std::mem::take(&mut many.chunks[0]));
                }
                is_removed
            }
        }
    }
}

impl Many {
    /// Values of a chunk: the more chunks there are, the larger they are, since the list of them is
    /// moved where one comes or goes.
    fn chunk_max(&self) -> usize {
        match self.chunks.len() {
            0..4096 => ONE_MAX,
            4096..8192 => 2 * ONE_MAX,
            _ => 4 * ONE_MAX,
        }
    }

    fn chunk_of(&self, value: i128) -> usize {
        self.firsts.partition_point(|first| *first <= value).saturating_sub(1)
    }

    fn insert(&mut self, value: i128) {
        let mut at = self.chunk_of(value);
        let chunk_max = self.chunk_max();
        let is_last = at + 1 == self.chunks.len();
        let values = &mut self.chunks[at];
        if values.len() >= chunk_max {
            let is_newest = is_last && values.last().is_some_and(|last| *last < value);
            let upper = match is_newest {
                true => Vec::with_capacity(chunk_max),
                false => values.split_off(values.len() / 2),
            };
            let first = upper.first().copied().unwrap_or(value);
            at += 1;
            self.firsts.insert(at, first);
            self.chunks.insert(at, upper);
            at -= usize::from(value < first);
        }
        self.firsts[at] = self.firsts[at].min(value);
        insert(&mut self.chunks[at], value);
    }

    fn remove(&mut self, value: i128) -> bool {
        let at = self.chunk_of(value);
        let is_removed = remove(&mut self.chunks[at], value);
        let count = self.chunks[at].len();
        let chunk_max = self.chunk_max();
        if is_removed && count < chunk_max / 4 {
            let fits = |at: &usize| {
                let neighbour = self.chunks.get(*at);
                neighbour
                    .is_some_and(|values| count == 0 || values.len() + count <= chunk_max * 3 / 4)
            };
            let above = [at.checked_sub(1), Some(at + 1)].into_iter().flatten().find(fits);
            if let Some(neighbour) = above {
                let at = at.max(neighbour);
                self.firsts.remove(at);
                let upper = self.chunks.remove(at);
                let lower = &mut self.chunks[at - 1];
                lower.reserve_exact(upper.len());
                lower.extend(upper);
            }
        }
        is_removed
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn halves(value: i128) -> [u64; 2] {
    let value = value.cast_unsigned();
    [value as u64, (value >> 64) as u64]
}

fn whole([low, high]: [u64; 2]) -> i128 {
    (u128::from(high) << 64 | u128::from(low)).cast_signed()
}

fn insert(values: &mut Vec<i128>, value: i128) {
    let count = values.len();
    if count == values.capacity() {
        values.reserve_exact(4 + count / 4); // little is left over
    }
    let at = match values.last() {
        Some(last) if *last > value => values.partition_point(|other| *other < value),
        _ => count,
    };
    values.insert(at, value);
}

fn remove(values: &mut Vec<i128>, value: i128) -> bool {
    let Ok(at) = values.binary_search(&value) else { return false };
    values.remove(at);
    let count = values.len();
    if values.capacity() > 10 + count + count / 2 {
        values.shrink_to(count + 3 + count / 4);
    }
    true
}

/// Values in order.
#[derive(Clone, Debug)]
pub(crate) struct Values<'a> {
    single: Option<i128>,
    values: std::slice::Iter<'a, i128>,
    chunks: std::slice::Iter<'a, Vec<i128>>,
}

impl Iterator for Values<'_> {
    type Item = i128;

    fn next(&mut self) -> Option<i128> {
        if self.single.is_some() {
            return self.single.take();
        }
        loop {
            if let Some(value) = self.values.next() {
                return Some(*value);
            }
            self.values = self.chunks.next()?.iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(sorted: &Sorted) {
        assert!(size_of::<Sorted>() <= 24);
        let Chunks::Many(many) = &sorted.0 else { return };
        assert!(many.chunks.len() > 1 && many.firsts.len() == many.chunks.len());
        for (at, values) in many.chunks.iter().enumerate() {
            assert!(!values.is_empty() && values.len() <= many.chunk_max());
            assert!(many.firsts[at] <= values[0]);
            let next = many.firsts.get(at + 1);
            assert!(next.is_none_or(|next| values[values.len() - 1] < *next));
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set(calls in prop::collection::vec((0..100_u32, 0..500_i128), 0..2000)) {
            let (mut sorted, mut set) = (Sorted::default(), BTreeSet::new());
            let mut share = 30;
            for (at, (dice, value)) in calls.iter().enumerate() {
                share = if at % 700 == 0 { 100 - share } else { share };
                if *dice < share {
                    if set.insert(*value) {
                        sorted.insert(*value);
                    }
                } else {
                    prop_assert_eq!(sorted.remove(*value), set.remove(value));
                }
                check(&sorted);
                prop_assert_eq!(sorted.is_empty(), set.is_empty());
            }
            prop_assert!(sorted.iter().eq(set.iter().copied()));
            for from in (0..500).step_by(20) {
                prop_assert!(sorted.from(from).eq(set.range(from..).copied()));
            }
        }

        #[test]
        fn who_comes_last_and_leaves_first_is_kept_in_few_chunks(gone in 0..3000_i128) {
            let mut sorted = Sorted::default();
            (0..3000).for_each(|value| sorted.insert(value));
            (0..gone).for_each(|value| assert!(sorted.remove(value)));
            check(&sorted);
            prop_assert!(sorted.iter().eq(gone..3000));
            if let Chunks::Many(many) = &sorted.0 {
                let chunks = i128::try_from(many.chunks.len()).expect("few");
                prop_assert!(chunks <= (3000 - gone) / 64 + 2);
            }
        }
    }
}
