//! What `ringmaster check` finds, and what its repair cuts.

use base::{Offset, Table};
use expect_test::expect;
use faultdisk::{Fate, FaultDisk, Kind};
use store::{Store, check_on, repair_on};

use crate::fixture::TABLE;
use crate::model::{Model, TINY, changes};

/// Twelve batches, of which the state has the first eight.
fn store() -> (FaultDisk, Model) {
    let disk = FaultDisk::default();
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    let mut model = Model::default();
    for number in 1..=12 {
        steps.commit(&model.offer(vec![changes(number, 700)])).unwrap();
        if number == 8 {
            while steps.apply().unwrap() {}
            steps.checkpoint().unwrap();
        }
    }
    model.announce_all();
    drop(steps);
    disk.crash_with(Fate::KeepAll);
    (disk, model)
}

/// Flips a bit of the value of batch 10, which has whole ones behind it.
fn damaged() -> (FaultDisk, Model) {
    let (disk, model) = store();
    for name in disk.names().into_iter().filter(|name| name.ends_with(".log")) {
        let bytes = disk.read_all(&name);
        let value = bytes.windows(64).position(|window| window == [10; 64]);
        if let Some(at) = value {
            disk.flip_bit(&name, at as u64, 3);
            return (disk, model);
        }
    }
    panic!("batch 10 is in the log");
}

fn contents(disk: &FaultDisk) -> Vec<(String, Vec<u8>)> {
    disk.names().into_iter().map(|name| (name.clone(), disk.read_all(&name))).collect()
}

#[test]
fn a_whole_store_is_counted_and_left_as_it_is() {
    let (disk, mut model) = store();
    let before = contents(&disk);
    let checked = check_on(&*disk.boot()).unwrap();
    assert!(checked.problems.is_empty(), "{:?}", checked.problems);
    assert_eq!(checked.damage, None);
    assert_eq!(checked.applied, Offset(8));
    assert_eq!(checked.log.map(|(_, last)| last), Some(Offset(12)));
    let rows: u64 = checked.tables.values().map(|size| size.rows).sum();
    assert_eq!(checked.tables.keys().collect::<Vec<&Table>>(), [&TABLE]);
    assert_eq!(rows, 8, "`shared`, and the own rows of 1 to 8 without 3, which 6 deletes");
    assert!(before == contents(&disk), "a check changes nothing");
    assert_eq!(repair_on(&*disk.boot()).unwrap(), Vec::<std::path::PathBuf>::new());
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
}

#[test]
fn a_repair_saves_what_it_cuts_and_what_is_before_it_stays() {
    let (disk, model) = damaged();
    let before = contents(&disk);
    assert!(Store::open_on(disk.boot(), TINY).is_err());
    let checked = check_on(&*disk.boot()).unwrap();
    let damage = checked.damage.unwrap();
    assert_eq!(damage.offset, Offset(10));
    assert_eq!(checked.problems.len(), 1);

    let saved = repair_on(&*disk.boot()).unwrap();
    assert!(!saved.is_empty());
    for path in saved {
        let copy = path.file_name().unwrap().to_str().unwrap().to_owned();
        let name = copy.strip_suffix(".cut-10").unwrap();
        let (_, old) = before.iter().find(|(known, _)| known == name).unwrap();
        assert!(disk.read_all(&copy) == *old, "{copy}");
    }
    assert!(check_on(&*disk.boot()).unwrap().problems.is_empty());
    let opened = Store::open_on(disk.boot(), TINY).unwrap();
    assert_eq!(opened.durable, Offset(9));
    let mut cut = Model::default();
    for changes in &model.batches[..9] {
        cut.offer(vec![changes.clone()]);
    }
    cut.check(&opened);
}

/// Whatever fails, and wherever the power goes: a repair can be asked for again.
#[test]
fn a_repair_that_is_cut_short_can_be_done_again() {
    let (damaged, _) = damaged();
    for n in 1.. {
        let disk = damaged.fork();
        disk.fail_nth(Kind::Any, n);
        let is_over = repair_on(&*disk.boot()).is_ok_and(|saved| !saved.is_empty());
        disk.crash_with(Fate::LoseAll);
        repair_on(&*disk.boot()).unwrap();
        let opened = Store::open_on(disk.boot(), TINY).unwrap();
        assert_eq!(opened.durable, Offset(9));
        if is_over {
            assert!(n > 5);
            return;
        }
    }
}

#[test]
fn damage_that_no_cut_mends_is_a_problem_and_stays() {
    let (disk, _) = store();
    let first = format!("{:020}.log", 1);
    disk.boot().remove(&first).unwrap();
    disk.boot().sync().unwrap();
    let size = disk.read_all("ringmaster.redb").len() as u64;
    for bit in 0..8 {
        disk.flip_bit("ringmaster.redb", size / 2, bit);
    }
    let checked = check_on(&*disk.boot()).unwrap();
    assert_eq!(checked.damage, None);
    assert!(repair_on(&*disk.boot()).unwrap().is_empty());
}

#[test]
fn a_state_that_is_none_is_a_problem_that_names_the_file() {
    let (disk, _) = store();
    disk.overwrite("ringmaster.redb", b"hello");
    let checked = check_on(&*disk.boot()).unwrap();
    assert!(checked.tables.is_empty());
    let told: Vec<_> = checked.problems.iter().map(ToString::to_string).collect();
    expect!["<disk>/ringmaster.redb is not a store of Ringmaster"].assert_eq(&told.join("\n"));
}
