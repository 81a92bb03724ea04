//! What has to be true of leaderboards.

use std::collections::BTreeMap;

use base::UserId;
use base::json::Json;
use domain::record::Record as _;
use domain::record::board::{
    COUNTS, Definition, INDEX, OWNED, Period, Place, Score, split_place_key,
};

use super::decode;
use crate::cluster::store::Store;

/// A record as a client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub owner: String,
    pub score: u64,
    pub num_score: u64,
    pub rank: u64,
}

/// Each record stands in the index once, blocks count what is in them, and each owner's records are
/// known: a batch is durable as a whole.
pub fn invariant_boards_belong_together(store: &Store) {
    let mut places: BTreeMap<Period, Vec<Place>> = BTreeMap::new();
    let mut owned = 0;
    for (key, value) in store.rows(Score::TABLE) {
        let (period, owner) = split(key);
        let score = decode::<Score>(value);
        let place = Place::new(score.score, score.subscore, owner);
        places.entry(period).or_default().push(place);
        assert!(store.get(OWNED, &period.owned_key(owner)).is_some(), "a record has its owner");
        owned += 1;
    }
    assert_eq!(store.rows(OWNED).count(), owned, "an owner has their records");
    let mut index: BTreeMap<Period, Vec<Place>> = BTreeMap::new();
    for (key, _) in store.rows(INDEX) {
        let (period, place) = split_place_key(key).expect("what shards write decodes");
        index.entry(period).or_default().push(place);
    }
    places.values_mut().for_each(|places| places.sort_unstable());
    assert_eq!(index, places, "each record stands in the index once");
    let mut counted: BTreeMap<Period, u64> = BTreeMap::new();
    for (key, value) in store.rows(COUNTS) {
        let (period, _) = split_place_key(key).expect("what shards write decodes");
        let count = u32::from_be_bytes(value[..].try_into().expect("a count"));
        *counted.entry(period).or_default() += u64::from(count);
    }
    let expected = index.iter().map(|(period, places)| (*period, places.len() as u64)).collect();
    assert_eq!(counted, expected, "blocks count what is in them");
}

/// What a writer is told was durable.
pub fn invariant_written(store: &Store, board: &str, told: &Told) {
    let key = period(store, board).expect("an answer tells what is durable");
    let key = key.score_key(UserId::parse(&told.owner).expect("a user id"));
    let is_told = |row: Option<&bytes::Bytes>| {
        row.map(|row| decode::<Score>(row)).is_some_and(|score| {
            score.score == told.score && u64::from(score.num_score) == told.num_score
        })
    };
    assert!(store.first(Score::TABLE, &key, is_told).is_some(), "an answer tells what is durable");
}

/// A list is in order, and its ranks follow each other.
pub fn invariant_sorted(records: &[Told], is_descending: bool) {
    for pair in records.windows(2) {
        let is_in_order = match is_descending {
            true => pair[0].score >= pair[1].score,
            false => pair[0].score <= pair[1].score,
        };
        assert!(is_in_order && pair[0].rank + 1 == pair[1].rank, "a list is in order: {pair:?}");
    }
}

/// At rest a board lists what is on disk, and each rank is that of a sorted list.
pub fn invariant_rank_equals_sort(store: &Store, board: &str, listed: &[Told]) {
    let mut places = Vec::new();
    let definition = store.get(Definition::TABLE, board.as_bytes());
    let is_descending = definition.is_some_and(|row| decode::<Definition>(&row).is_descending);
    if let Some(period) = period(store, board) {
        let of_board = |key: &&bytes::Bytes| key.starts_with(&period.0);
        let rows = store.rows(Score::TABLE).filter(|(key, _)| of_board(key));
        places.extend(rows.map(|(key, value)| {
            let score = decode::<Score>(value);
            (score.score, split(key).1, u64::from(score.num_score))
        }));
    }
    places.sort_unstable();
    if is_descending {
        places.reverse();
    }
    let expected: Vec<_> = places
        .into_iter()
        .zip(1..)
        .map(|((score, owner, num_score), rank)| Told {
            owner: owner.to_string(),
            score,
            num_score,
            rank,
        })
        .collect();
    assert_eq!(listed, expected, "a rank is that of a sorted list");
}

/// The records of an answer, or the one that it is.
pub fn records(body: &str) -> Vec<Told> {
    let json = Json::parse(body.as_bytes()).expect("an answer is JSON");
    match member(&json, "records") {
        Some(Json::List(records)) => records.iter().map(told).collect(),
        Some(other) => panic!("records are a list: {other:?}"),
        None if member(&json, "owner_id").is_some() => vec![told(&json)],
        None => Vec::new(),
    }
}

fn told(json: &Json) -> Told {
    let number = |name| match member(json, name) {
        None => 0,
        Some(Json::Text(text)) => text.parse().expect("a number"),
        Some(Json::Integer(number)) => u64::try_from(*number).expect("a number"),
        Some(other) => panic!("{name} is a number: {other:?}"),
    };
    let Some(Json::Text(owner)) = member(json, "owner_id") else { panic!("{json:?}") };
    Told {
        owner: owner.clone(),
        score: number("score"),
        num_score: number("num_score"),
        rank: number("rank"),
    }
}

fn member<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    let Json::Object(members) = json else { panic!("{json:?} is an object") };
    members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

fn period(store: &Store, board: &str) -> Option<Period> {
    let row = store.get(Definition::TABLE, board.as_bytes())?;
    Some(Period::new(decode::<Definition>(&row).prefix, 0))
}

fn split(key: &[u8]) -> (Period, UserId) {
    let (period, owner) = key.split_first_chunk().expect("what shards write decodes");
    let owner = UserId::from_bytes(owner.try_into().expect("what shards write decodes"));
    (Period(*period), owner)
}
