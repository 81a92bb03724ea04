//! Ranks: which place a record has among all of its period, without counting them one by one.
//!
//! The places of a period lie in blocks. How many places a block holds is a row of its own, written
//! in the batch that changes it. So after a start the few rows of the blocks tell every rank but
//! for the inside of one block, and the places of a block are read when somebody asks.

use base::limits::{RANK_BLOCK_MAX, RANK_BLOCKS_MAX};
use base::{Range, Table};

use crate::ctx::{Applied, Never, Stop, View};
use crate::record::board::{COUNTS, INDEX, Period, Place, split_place_key};

/// Places beyond which room in a block is made for at a time.
const ROOM: usize = 16;
/// Two blocks with no more places than this together become one.
const MERGED_MAX: u32 = RANK_BLOCK_MAX / 2;

/// The places of one period, in ascending order. Lives at the board's home, as a cache: what is not
/// here is read.
///
/// Invariants: what is here is as the newest change left it; the places of a loaded block are as
/// many as its count says.
#[derive(Debug)]
pub struct Ranks {
    period: Period,
    blocks: Option<Blocks>,
}

/// The blocks, in ascending order: a block's places are at or above its first and below the next
/// one's. The first of the first block is [`Place::LOWEST`].
#[derive(Debug, Default)]
struct Blocks {
    firsts: Vec<Place>,
    counts: Vec<u32>,
    places: Vec<Option<Loaded>>,
    /// Loaded places of all blocks, as much room as they take.
    room: usize,
    /// Where the search for cold blocks goes on.
    hand: usize,
}

#[derive(Debug)]
struct Loaded {
    places: Vec<Place>,
    /// Asked for since the hand passed.
    is_warm: bool,
}

/// A block's new number of places; without one, it is gone.
pub type Count = (Place, Option<u32>);

impl Ranks {
    pub fn new(period: Period) -> Ranks {
        Ranks { period, blocks: None }
    }

    /// All places.
    pub fn count(&mut self, view: &mut dyn View) -> Applied<u64, Never> {
        Ok(sum(&self.blocks(view)?.counts))
    }

    /// How many places are below this one, and whether it is there itself.
    pub fn below(&mut self, view: &mut dyn View, place: &Place) -> Applied<(u64, bool), Never> {
        let period = self.period;
        let blocks = self.blocks(view)?;
        if blocks.counts.is_empty() {
            return Ok((0, false));
        }
        let at = blocks.find(place);
        let before = sum(&blocks.counts[..at]);
        let places = blocks.load(view, period, at)?;
        let found = places.binary_search(place);
        let (Ok(inside) | Err(inside)) = found;
        Ok((before + inside as u64, found.is_ok()))
    }

    /// Places from this number on, 0 is the lowest.
    pub fn page(
        &mut self,
        view: &mut dyn View,
        from: u64,
        limit: usize,
    ) -> Applied<Vec<Place>, Never> {
        let period = self.period;
        let blocks = self.blocks(view)?;
        let (mut at, mut skipped) = (0, from);
        while at < blocks.counts.len() && u64::from(blocks.counts[at]) <= skipped {
            skipped -= u64::from(blocks.counts[at]);
            at += 1;
        }
        let mut skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let (mut page, mut is_missing, mut wanted) = (Vec::new(), false, limit);
        while wanted > 0 && at < blocks.counts.len() {
            let found = (blocks.counts[at] as usize).saturating_sub(skipped).min(wanted);
            match blocks.load(view, period, at) {
                Ok(places) => page.extend(places.iter().skip(skipped).take(wanted)),
                // All that is missing is asked for at once.
                Err(Stop::Unavailable) => is_missing = true,
                Err(stop) => return Err(stop),
            }
            (wanted, skipped, at) = (wanted - found, 0, at + 1);
        }
        if is_missing { Err(Stop::Unavailable) } else { Ok(page) }
    }

    /// The counts that change when one place goes and another comes.
    pub fn plan(
        &mut self,
        view: &mut dyn View,
        old: Option<&Place>,
        new: Option<&Place>,
    ) -> Applied<Vec<Count>, Never> {
        let period = self.period;
        let blocks = self.blocks(view)?;
        let is_empty = blocks.counts.is_empty();
        let find = |blocks: &Blocks, place: &Place| (!is_empty).then(|| blocks.find(place));
        let from = old.and_then(|place| find(blocks, place));
        let to = new.and_then(|place| find(blocks, place));
        if from.is_some() && from == to {
            return Ok(Vec::new());
        }
        let mut counts = Vec::new();
        if let Some(at) = from {
            blocks.plan_removal(at, to, &mut counts);
        }
        match (new, to) {
            (Some(_), None) => counts.push((Place::LOWEST, Some(1))),
            (Some(place), Some(at)) => {
                blocks.plan_addition(view, period, at, place, &mut counts)?;
            }
            (None, _) => {}
        }
        Ok(counts)
    }

    /// Follows a row of [`COUNTS`]. Those of a change come before its rows of [`INDEX`].
    pub fn counted(&mut self, first: Place, count: Option<u32>) {
        if let Some(blocks) = &mut self.blocks {
            match count {
                Some(count) => blocks.set(first, count),
                None => blocks.remove(&first),
            }
        }
    }

    /// Follows a row of [`INDEX`].
    pub fn placed(&mut self, place: Place, is_there: bool) {
        let Some(blocks) = self.blocks.as_mut().filter(|blocks| !blocks.firsts.is_empty()) else {
            return;
        };
        let at = blocks.find(&place);
        let Some(Loaded { places, .. }) = &mut blocks.places[at] else { return };
        blocks.room -= places.capacity();
        match (places.binary_search(&place), is_there) {
            (Err(at), true) => {
                if places.len() == places.capacity() {
                    places.reserve_exact(ROOM);
                }
                places.insert(at, place);
            }
            (Ok(at), false) => drop(places.remove(at)),
            (Ok(_), true) | (Err(_), false) => {}
        }
        blocks.room += places.capacity();
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.blocks.as_ref().map_or(0, |blocks| {
            let block = size_of::<Place>() + size_of::<u32>() + size_of::<Option<Loaded>>();
            blocks.room * size_of::<Place>() + blocks.firsts.capacity() * block
        })
    }

    /// Forgets the places of blocks that nobody asks for, until so many bytes are free or all were
    /// looked at twice.
    pub fn cool(&mut self, wanted: usize) {
        let Some(blocks) = &mut self.blocks else { return };
        let goal = blocks.room.saturating_sub(wanted / size_of::<Place>());
        for _ in 0..2 * blocks.places.len() {
            if blocks.room <= goal {
                return;
            }
            blocks.hand = (blocks.hand + 1) % blocks.places.len();
            let place = blocks.hand;
            match &mut blocks.places[place] {
                Some(loaded) if loaded.is_warm => loaded.is_warm = false,
                Some(_) => blocks.unload(place),
                None => {}
            }
        }
    }

    fn blocks(&mut self, view: &mut dyn View) -> Applied<&mut Blocks, Never> {
        if self.blocks.is_none() {
            let range = Range::prefix(COUNTS, &self.period.0, RANK_BLOCKS_MAX);
            let mut blocks = Blocks::default();
            for (key, value) in view.range(&range)? {
                let count = <[u8; 4]>::try_from(&value[..]).map(u32::from_be_bytes);
                let (Some((_, first)), Ok(count)) = (split_place_key(&key), count) else {
                    return Err(Stop::Damaged(COUNTS));
                };
                blocks.firsts.push(first);
                blocks.counts.push(count);
                blocks.places.push(None);
            }
            self.blocks = Some(blocks);
        }
        Ok(self.blocks.as_mut().expect("they were just read"))
    }
}

impl Blocks {
    /// The block that a place belongs to; there has to be one.
    fn find(&self, place: &Place) -> usize {
        self.firsts.partition_point(|first| first <= place).saturating_sub(1)
    }

    /// The places of a block.
    fn load(&mut self, view: &mut dyn View, period: Period, at: usize) -> Applied<&[Place], Never> {
        if self.places[at].is_none() {
            let places = self.read(view, period, at)?;
            self.room += places.capacity();
            self.places[at] = Some(Loaded { places, is_warm: true });
        }
        let loaded = self.places[at].as_mut().expect("it was just loaded");
        loaded.is_warm = true;
        Ok(&loaded.places)
    }

    fn read(&self, view: &mut dyn View, period: Period, at: usize) -> Applied<Vec<Place>, Never> {
        let limit = self.counts[at] as usize + 1; // one more would be damage
        let mut range = Range::prefix(INDEX, &period.0, limit);
        if at > 0 {
            range.from = period.place_key(&self.firsts[at]).to_vec().into();
        }
        if let Some(next) = self.firsts.get(at + 1) {
            range.to = period.place_key(next).to_vec().into();
        }
        let rows = view.range(&range)?;
        let places = rows.iter().map(|(key, _)| split_place_key(key).map(|(_, place)| place));
        let places: Option<Vec<_>> = places.collect();
        let is_whole = |places: &Vec<Place>| places.len() == self.counts[at] as usize;
        places.filter(is_whole).ok_or(Stop::Damaged(INDEX))
    }

    /// One place of this block goes; the other block is about to change, too.
    fn plan_removal(&self, at: usize, other: Option<usize>, counts: &mut Vec<Count>) {
        let left = self.counts[at].saturating_sub(1);
        // The first block stays as long as there is another: it has whatever is below that.
        if left == 0 && (at > 0 || self.counts.len() == 1) {
            return counts.push((self.firsts[at], None));
        }
        let neighbour = |at: usize| {
            let count = self.counts.get(at)?;
            (Some(at) != other && count + left <= MERGED_MAX).then_some((at, count + left))
        };
        let (into, gone, together) = if let Some((next, together)) = neighbour(at + 1) {
            (at, next, together)
        } else if let Some((before, together)) = at.checked_sub(1).and_then(neighbour) {
            (before, at, together)
        } else {
            return counts.push((self.firsts[at], Some(left)));
        };
        counts.push((self.firsts[into], Some(together)));
        counts.push((self.firsts[gone], None));
    }

    fn plan_addition(
        &mut self,
        view: &mut dyn View,
        period: Period,
        at: usize,
        place: &Place,
        counts: &mut Vec<Count>,
    ) -> Applied<(), Never> {
        let (first, count) = (self.firsts[at], self.counts[at] + 1);
        if count <= RANK_BLOCK_MAX {
            counts.push((first, Some(count)));
            return Ok(());
        }
        // The upper half becomes a block of its own.
        let places = self.load(view, period, at)?;
        let middle = places[places.len() / 2];
        let lower = places.len() / 2 + usize::from(*place < middle);
        let lower = u32::try_from(lower).expect("a block has few places");
        counts.extend([(first, Some(lower)), (middle, Some(count - lower))]);
        Ok(())
    }

    fn set(&mut self, first: Place, count: u32) {
        let at = match self.firsts.binary_search(&first) {
            Ok(at) => {
                self.counts[at] = count;
                return;
            }
            Err(at) => at,
        };
        let places = match at.checked_sub(1).map(|below| &mut self.places[below]) {
            None => Some(Loaded { places: Vec::new(), is_warm: true }),
            Some(None) => None,
            Some(Some(below)) => {
                let places = &mut below.places;
                self.room -= places.capacity();
                let upper = places.split_off(places.partition_point(|place| *place < first));
                places.shrink_to(places.len() + ROOM);
                self.room += places.capacity() + upper.capacity();
                Some(Loaded { places: upper, is_warm: true })
            }
        };
        self.firsts.insert(at, first);
        self.counts.insert(at, count);
        self.places.insert(at, places);
    }

    /// The block's places fall to the one below, if there is one.
    fn remove(&mut self, first: &Place) {
        let Ok(at) = self.firsts.binary_search(first) else { return };
        let gone = self.places[at].take();
        self.room -= gone.as_ref().map_or(0, |gone| gone.places.capacity());
        if let Some(below) = at.checked_sub(1) {
            match (gone, &mut self.places[below]) {
                (Some(gone), Some(Loaded { places, .. })) => {
                    self.room -= places.capacity();
                    places.reserve_exact(gone.places.len());
                    places.extend_from_slice(&gone.places);
                    self.room += places.capacity();
                }
                (None, Some(_)) => self.unload(below),
                (_, None) => {}
            }
        }
        self.firsts.remove(at);
        self.counts.remove(at);
        self.places.remove(at);
    }

    fn unload(&mut self, at: usize) {
        if let Some(gone) = self.places[at].take() {
            self.room -= gone.places.capacity();
        }
    }
}

fn sum(counts: &[u32]) -> u64 {
    counts.iter().map(|count| u64::from(*count)).sum()
}

/// The table of a change that [`Ranks`] follow, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    Counted(Period, Place, Option<u32>),
    Placed(Period, Place, bool),
}

impl Followed {
    pub fn of(table: Table, key: &[u8], value: Option<&[u8]>) -> Option<Followed> {
        if table != COUNTS && table != INDEX {
            return None;
        }
        let (period, place) = split_place_key(key)?;
        if table == INDEX {
            return Some(Followed::Placed(period, place, value.is_some()));
        }
        let count = match value {
            Some(value) => Some(u32::from_be_bytes(value.try_into().ok()?)),
            None => None,
        };
        Some(Followed::Counted(period, place, count))
    }
}

const _: () = assert!(RANK_BLOCK_MAX >= 4);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base::UserId;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    type Rows = BTreeMap<(Table, Vec<u8>), Bytes>;

    /// Ranks over rows, and the plain list that they have to agree with.
    struct Board {
        rows: Rows,
        ranks: Ranks,
        model: BTreeMap<u8, Place>,
        extra: Vec<Place>,
    }

    const PERIOD: Period = Period([3; 16]);

    impl Board {
        fn new() -> Board {
            let (rows, model) = (Rows::new(), BTreeMap::new());
            Board { rows, ranks: Ranks::new(PERIOD), model, extra: Vec::new() }
        }

        fn change(&mut self, old: Option<Place>, new: Option<Place>) {
            if old == new {
                return;
            }
            let counts = self.ranks.plan(&mut self.rows, old.as_ref(), new.as_ref());
            for (first, count) in counts.expect("rows are here") {
                let value = count.map(|count| Bytes::copy_from_slice(&count.to_be_bytes()));
                self.put(COUNTS, first, value);
            }
            if let Some(old) = old {
                self.put(INDEX, old, None);
            }
            if let Some(new) = new {
                self.put(INDEX, new, Some(Bytes::new()));
            }
        }

        fn put(&mut self, table: Table, place: Place, value: Option<Bytes>) {
            let key = PERIOD.place_key(&place);
            match Followed::of(table, &key, value.as_deref()) {
                Some(Followed::Counted(_, first, count)) => self.ranks.counted(first, count),
                Some(Followed::Placed(_, place, is_there)) => self.ranks.placed(place, is_there),
                None => panic!("a row of ranks"),
            }
            match value {
                Some(value) => drop(self.rows.insert((table, key.to_vec()), value)),
                None => drop(self.rows.remove(&(table, key.to_vec()))),
            }
        }

        fn check(&mut self) {
            let mut sorted: Vec<_> =
                self.model.values().copied().chain(self.extra.iter().copied()).collect();
            sorted.sort_unstable();
            assert_eq!(self.ranks.count(&mut self.rows), Ok(sorted.len() as u64));
            for (index, place) in sorted.iter().enumerate().step_by(7) {
                assert_eq!(self.ranks.below(&mut self.rows, place), Ok((index as u64, true)));
            }
            for from in [0, sorted.len() / 2, sorted.len().saturating_sub(3)] {
                let limit = RANK_BLOCK_MAX as usize + 5;
                let expected: Vec<_> = sorted[from..].iter().take(limit).copied().collect();
                let page = self.ranks.page(&mut self.rows, from as u64, limit);
                assert_eq!(page, Ok(expected));
            }
            let blocks = self.ranks.blocks.as_ref().expect("they are read");
            assert!(blocks.firsts.is_sorted());
            assert!(blocks.firsts.first().is_none_or(|first| *first == Place::LOWEST));
            assert!(blocks.counts.iter().all(|count| *count <= RANK_BLOCK_MAX));
            assert!(blocks.counts.iter().skip(1).all(|count| *count > 0));
            for (at, loaded) in blocks.places.iter().enumerate() {
                let Some(Loaded { places, .. }) = loaded else { continue };
                assert_eq!(places.len(), blocks.counts[at] as usize);
                let is_here = |place: &Place| blocks.find(place) == at;
                assert!(places.is_sorted() && places.iter().all(is_here));
            }
            let room = blocks.places.iter().flatten().map(|loaded| loaded.places.capacity());
            assert_eq!(blocks.room, room.sum::<usize>());
        }
    }

    fn place(owner: u8, score: u64) -> Place {
        Place::new(score, 0, UserId::from_bytes([owner; 16]))
    }

    /// Owners that are many, for blocks that are full; the first is in the middle of all.
    fn many(number: u64) -> Place {
        let mut owner = [1; 16];
        owner[..8].copy_from_slice(&number.to_be_bytes());
        Place::new((number * 31 + 48) % 97, number % 5, UserId::from_bytes(owner))
    }

    #[derive(Clone, Debug)]
    enum Act {
        Write(u8, u64),
        Delete(u8),
        Reload,
        Cool(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            8 => (any::<u8>(), 0..100u64).prop_map(|(owner, score)| Act::Write(owner, score)),
            4 => any::<u8>().prop_map(Act::Delete),
            1 => Just(Act::Reload),
            1 => (0..100_000usize).prop_map(Act::Cool),
        ];
        prop::collection::vec(act, 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ranks_are_those_of_a_sorted_list(
            acts in acts(),
            start in 0..1500u64,
            left in 0..600u64,
        ) {
            let mut board = Board::new();
            for number in 0..start {
                board.change(None, Some(many(number)));
            }
            for number in left..start {
                board.change(Some(many(number)), None);
            }
            board.extra = (0..start.min(left)).map(many).collect();
            board.check();
            for act in acts {
                match act {
                    Act::Write(owner, score) => {
                        let new = place(owner, score);
                        let old = board.model.insert(owner, new);
                        board.change(old, Some(new));
                    }
                    Act::Delete(owner) => {
                        if let Some(old) = board.model.remove(&owner) {
                            board.change(Some(old), None);
                        }
                    }
                    Act::Reload => board.ranks = Ranks::new(PERIOD),
                    Act::Cool(bytes) => board.ranks.cool(bytes),
                }
            }
            board.check();
        }
    }

    #[test]
    fn a_loaded_record_takes_less_than_64_bytes() {
        let mut board = Board::new();
        let count = 20_000;
        for number in 0..count {
            board.change(None, Some(many(number * 7919 % count)));
        }
        let size = board.ranks.size();
        assert!(size < 64 * usize::try_from(count).expect("it is small"), "{size}");
        board.ranks.cool(usize::MAX);
        assert!(board.ranks.size() < size / 20, "only the blocks' rows are left");
        let lowest = (0..count).map(many).min().expect("there are some");
        assert_eq!(board.ranks.below(&mut board.rows, &lowest), Ok((0, true)));
    }

    #[test]
    fn a_write_inside_a_block_changes_no_count() {
        let mut board = Board::new();
        board.change(None, Some(place(1, 5)));
        board.change(None, Some(place(2, 7)));
        let plan = board.ranks.plan(&mut board.rows, Some(&place(1, 5)), Some(&place(1, 9)));
        assert_eq!(plan, Ok(Vec::new()));
    }

    #[test]
    fn rows_that_do_not_agree_are_damage() {
        let mut board = Board::new();
        for number in 0..10 {
            board.change(None, Some(many(number)));
        }
        board.rows.remove(&(INDEX, PERIOD.place_key(&many(3)).to_vec()));
        board.ranks = Ranks::new(PERIOD);
        assert_eq!(board.ranks.page(&mut board.rows, 0, 5), Err(Stop::Damaged(INDEX)));
        board.rows.insert((COUNTS, PERIOD.place_key(&many(3)).to_vec()), Bytes::new());
        board.ranks = Ranks::new(PERIOD);
        assert_eq!(board.ranks.count(&mut board.rows), Err(Stop::Damaged(COUNTS)));
    }
}
