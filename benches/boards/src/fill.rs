//! A data folder with one board of many records, as a server writes it.

use std::path::Path;

use base::{BatchId, Change, Frame, ShardId};
use domain::record::Record as _;
use domain::record::board::{COUNTS, Definition, INDEX, OWNED, Period, Place, Score};
use store::{Commit, Settings, Store};

use crate::{Failure, Scores};

/// Of the board; ringload writes to one of this name.
const BOARD: &str = "ringload";
const PREFIX: [u8; 8] = *b"ringload";
/// Places in a block, as they are after blocks have grown and were split.
const BLOCK: usize = 384;
/// Rows of one batch.
const ROWS: usize = 5_000;

pub(crate) fn run(folder: &Path, records: usize, seed: u64) -> Result<(), Failure> {
    let mut scores = Scores::new(seed);
    let mut places: Vec<Place> = (0..records).map(|_| scores.place()).collect();
    places.sort_unstable();
    let mut writer = Writer::open(folder)?;
    let definition = Definition {
        prefix: PREFIX,
        is_descending: true,
        operator: 1,
        is_authoritative: false,
        has_ranks: true,
        reset: String::new(),
        metadata: "{}".into(),
        create_time: 1,
        tournament: None,
    };
    writer.put(Definition::TABLE.0, BOARD.as_bytes().to_vec(), definition.encode())?;
    let period = Period::new(PREFIX, 0);
    for place in &places {
        writer.put(INDEX.0, period.place_key(place).to_vec(), Vec::new())?;
    }
    for block in places.chunks(BLOCK) {
        let count = u32::try_from(block.len())?;
        let first = period.place_key(&block[0]);
        writer.put(COUNTS.0, first.to_vec(), count.to_be_bytes().to_vec())?;
    }
    places.sort_unstable_by_key(Place::owner); // as their keys stand in the tables
    for place in &places {
        let (key, value) = (period.score_key(place.owner()), score(place));
        writer.put(Score::TABLE.0, key.to_vec(), value.encode())?;
    }
    for place in &places {
        writer.put(OWNED.0, period.owned_key(place.owner()).to_vec(), Vec::new())?;
    }
    writer.finish()?;
    let owner = places[records / 2].owner();
    println!("owner {owner}");
    println!("mib {}", std::fs::metadata(folder.join(store::FILE_NAME))?.len() / (1 << 20));
    Ok(())
}

fn score(place: &Place) -> Score {
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&place.0[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    Score {
        score: number(0),
        subscore: number(8),
        num_score: 1,
        max_num_score: 1_000_000,
        username: "aBcDeFgHiJ".into(),
        metadata: "{}".into(),
        create_time: 1_790_000_000,
        update_time: 1_790_000_000,
    }
}

struct Writer {
    steps: store::Steps,
    rows: Vec<Change>,
    batches: u64,
}

impl Writer {
    fn open(folder: &Path) -> Result<Writer, Failure> {
        let steps = Store::open(folder, Settings::default())?.store.into_steps();
        Ok(Writer { steps, rows: Vec::new(), batches: 0 })
    }

    fn put(&mut self, table: u8, key: Vec<u8>, value: Vec<u8>) -> Result<(), Failure> {
        self.rows.push(Change { table, key, value: Some(value) });
        if self.rows.len() >= ROWS { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.batches += 1;
        let shard = ShardId::nth(0);
        let frames = vec![Frame::encode(&std::mem::take(&mut self.rows))];
        let batch = BatchId { shard, number: self.batches };
        self.steps.commit(&[Commit { batch, frames, holders: vec![shard] }])?;
        if self.batches.is_multiple_of(20) {
            self.steps.apply()?;
        }
        if self.batches.is_multiple_of(400) {
            self.steps.checkpoint()?;
            self.steps.keep()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.commit()?;
        while self.steps.apply()? {}
        Ok(self.steps.checkpoint()?)
    }
}
