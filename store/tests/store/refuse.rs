//! What cannot have come from a crash is refused, by a message that names the file.

use base::Offset;
use expect_test::{Expect, expect};
use faultdisk::{Fate, FaultDisk};
use store::{Error, Store};

use crate::model::{Model, TINY, changes};

fn segment(number: u64) -> String {
    format!("{number:020}.log")
}

/// Nine batches of a sector in segment 1 and two of three sectors in each of the next, of which the
/// state has so many.
fn store(applied: usize) -> (FaultDisk, Model) {
    let disk = FaultDisk::default();
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    let mut model = Model::default();
    for number in 1..=9 {
        let size = if number < 6 { 10 } else { 1200 };
        steps.commit(&model.offer(vec![changes(number, size)])).unwrap();
        if number as usize == applied {
            while steps.apply().unwrap() {}
            steps.checkpoint().unwrap();
        }
    }
    model.announce_all();
    disk.kill();
    disk.crash_with(Fate::KeepAll);
    (disk, model)
}

fn refused(disk: &FaultDisk, expected: &Expect) -> Error {
    let before = disk.fork();
    let error = Store::open_on(disk.boot(), TINY).unwrap_err();
    expected.assert_eq(&error.to_string());
    // redb writes to its file at every start.
    for name in before.names().into_iter().filter(|name| name.ends_with(".log")) {
        assert!(before.read_all(&name) == disk.read_all(&name), "{name} was changed");
    }
    error
}

fn remove(disk: &FaultDisk, name: &str) {
    disk.boot().remove(name).unwrap();
    disk.boot().sync().unwrap();
}

#[test]
fn the_segments_are_as_these_tests_want_them() {
    let (disk, mut model) = store(0);
    let names = disk.names();
    let live = names.iter().filter(|name| disk.read_all(name)[..8] == *b"RMLOGSEG");
    assert_eq!(live.count(), 3);
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
}

#[test]
fn a_flipped_bit_with_entries_behind_it() {
    let (disk, _) = store(0);
    disk.flip_bit(&segment(1), 512 + 60, 3);
    let error = refused(
        &disk,
        &expect![
            "<disk>/00000000000000000001.log is damaged at byte 512, offset 1, and has whole entries behind it: no crash does that; restore a backup, or give up what follows by `ringmaster check --repair`"
        ],
    );
    assert!(matches!(error, Error::LogDamaged { at: 512, offset: Some(Offset(1)), .. }));
}

#[test]
fn a_flipped_bit_in_the_last_segment_with_entries_behind_it() {
    let disk = FaultDisk::default();
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    for number in 1..=3 {
        steps.commit(&Model::default().offer(vec![changes(number, 10)])).unwrap();
    }
    disk.kill();
    for at in [1024, 1024 + 9, 1024 + 60] {
        let disk = disk.fork();
        disk.flip_bit(&segment(1), at, 3);
        let error = Store::open_on(disk.boot(), TINY).unwrap_err();
        assert!(matches!(error, Error::LogDamaged { at: 1024, offset: Some(Offset(2)), .. }));
    }
}

#[test]
fn a_flipped_bit_in_the_last_entry_of_a_segment_that_is_not_the_last() {
    let (disk, _) = store(0);
    disk.flip_bit(&segment(2), 2048 + 100, 0);
    let error = refused(
        &disk,
        &expect![
            "<disk>/00000000000000000002.log is damaged at byte 2048, offset 7, and has whole entries behind it: no crash does that; restore a backup, or give up what follows by `ringmaster check --repair`"
        ],
    );
    assert!(matches!(error, Error::LogDamaged { .. }));
}

/// A flipped bit in the newest entry of all looks as a torn write does: nobody can tell that it was
/// acknowledged, unless the state has it. Only a copy of the log elsewhere guards against this.
#[test]
fn a_flipped_bit_in_the_newest_entry_is_taken_for_a_torn_write() {
    let (disk, mut model) = store(0);
    let last = 512 + 3 * 512 * ((model.batches.len() as u64 - 5) - 1) % 3072;
    disk.flip_bit(&segment(3), last + 100, 0);
    let opened = Store::open_on(disk.boot(), TINY).unwrap();
    assert_eq!(opened.cut.as_ref().map(|cut| cut.offset), Some(Offset(9)));
    model.announced = 8;
    model.check(&opened);
}

#[test]
fn a_flipped_bit_in_the_newest_entry_that_the_state_has() {
    let (disk, _) = store(9);
    let last = 512 + 3 * 512 * 3 % 3072;
    disk.flip_bit(&segment(3), last + 100, 0);
    let error = refused(
        &disk,
        &expect![
            "the log ends at offset 8, at byte 2048 of <disk>/00000000000000000003.log, but the state has 9: the disk has lost what it had synced; restore a backup"
        ],
    );
    assert!(matches!(error, Error::LogShort { ends: Offset(8), applied: Offset(9), .. }));
}

#[test]
fn a_missing_segment_in_the_middle() {
    let (disk, _) = store(0);
    remove(&disk, &segment(2));
    let error = refused(
        &disk,
        &expect![
            "<disk>/00000000000000000002.log of the log is missing: put it back, or restore a backup"
        ],
    );
    assert!(matches!(error, Error::LogHole { .. }));
}

#[test]
fn the_missing_oldest_segment() {
    let (disk, _) = store(0);
    remove(&disk, &segment(1));
    let error = refused(
        &disk,
        &expect![
            "the log begins at offset 6 with <disk>/00000000000000000002.log, but the state needs it from 1 on: put the earlier files of the log back, or restore a backup"
        ],
    );
    assert!(matches!(error, Error::LogGap { .. }));
}

/// What the state has is needed from the log no more.
#[test]
fn the_oldest_segment_is_missed_only_if_it_is_needed() {
    let (disk, mut model) = store(6);
    remove(&disk, &segment(1));
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
}

#[test]
fn a_log_behind_the_state() {
    let (disk, _) = store(9);
    let mut bytes = disk.read_all(&segment(3));
    bytes[512..].fill(0);
    disk.overwrite(&segment(3), &bytes);
    let error = refused(
        &disk,
        &expect![
            "the log ends at offset 7, at byte 512 of <disk>/00000000000000000003.log, but the state has 9: the disk has lost what it had synced; restore a backup"
        ],
    );
    assert!(matches!(error, Error::LogShort { applied: Offset(9), .. }));
}

#[test]
fn a_state_without_a_log() {
    let (disk, _) = store(0);
    for name in disk.names().iter().filter(|name| name.ends_with(".log")) {
        remove(&disk, name);
    }
    let error = refused(
        &disk,
        &expect![
            "<disk>/ has a state but no log: put the files of the log back, or restore a backup"
        ],
    );
    assert!(matches!(error, Error::LogMissing { .. }));
}

#[test]
fn a_log_without_its_state() {
    let (disk, _) = store(0);
    remove(&disk, "ringmaster.redb");
    let error = refused(
        &disk,
        &expect!["<disk>/ has a log but no ringmaster.redb: put it back, or restore a backup"],
    );
    assert!(matches!(error, Error::StateMissing { .. }));
}

/// Not even damage makes a log look like that of a first start that was cut short.
#[test]
fn a_damaged_log_without_its_state_is_left_as_it_is() {
    for at in [3, 20, 512, 512 + 8] {
        let (disk, _) = store(0);
        remove(&disk, "ringmaster.redb");
        disk.flip_bit(&segment(1), at, 1);
        let error = refused(
            &disk,
            &expect!["<disk>/ has a log but no ringmaster.redb: put it back, or restore a backup"],
        );
        assert!(matches!(error, Error::StateMissing { .. }));
    }
}

#[test]
fn a_segment_of_another_store() {
    let (disk, _) = store(0);
    let (other, _) = store(0);
    disk.overwrite(&segment(2), &other.read_all(&segment(2)));
    let error =
        refused(&disk, &expect!["<disk>/00000000000000000002.log is the log of another store"]);
    assert!(matches!(error, Error::LogForeign { .. }));
}

#[test]
fn a_segment_of_a_newer_program() {
    let (disk, _) = store(0);
    let mut bytes = disk.read_all(&segment(2));
    bytes[8] = 2;
    let id = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
    let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..48], id);
    bytes[48..56].copy_from_slice(&checksum.to_le_bytes());
    disk.overwrite(&segment(2), &bytes);
    let error = refused(
        &disk,
        &expect![
            "<disk>/00000000000000000002.log has format version 2, but this program knows versions up to 1: start a newer one"
        ],
    );
    assert!(matches!(error, Error::Format { found: 2, known: 1, .. }));
    // Not even without a state is it taken for nothing.
    remove(&disk, "ringmaster.redb");
    remove(&disk, &segment(1));
    let error = refused(
        &disk,
        &expect!["<disk>/ has a log but no ringmaster.redb: put it back, or restore a backup"],
    );
    assert!(matches!(error, Error::StateMissing { .. }));
}

#[test]
fn a_log_that_cannot_be_read() {
    for (at, shown) in [(0, 0), (512, 512)] {
        let (disk, _) = store(0);
        disk.fail_reads(&segment(2), at..at + 1);
        let error = Store::open_on(disk.boot(), TINY).unwrap_err();
        let message = format!("cannot read <disk>/{} at byte {shown}", segment(2));
        assert_eq!(error.to_string(), message);
        assert!(matches!(error, Error::LogRead { .. }));
    }
}

#[test]
fn a_state_that_cannot_be_read() {
    let (disk, _) = store(6);
    disk.fail_reads("ringmaster.redb", 0..u64::MAX);
    let error = Store::open_on(disk.boot(), TINY).unwrap_err();
    assert!(error.to_string().contains("ringmaster.redb"), "{error}");
}

/// Its first entry says what the title did.
#[test]
fn the_flipped_title_of_the_last_segment_is_healed() {
    let (disk, mut model) = store(0);
    disk.flip_bit(&segment(3), 20, 3);
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
    disk.crash_with(Fate::LoseAll);
    assert_eq!(disk.read_all(&segment(3))[..8], *b"RMLOGSEG");
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
}

#[test]
fn the_flipped_title_of_another_segment() {
    let (disk, _) = store(0);
    disk.flip_bit(&segment(2), 20, 3);
    let error = refused(
        &disk,
        &expect!["<disk>/00000000000000000002.log is damaged at byte 0: restore a backup"],
    );
    assert!(matches!(error, Error::LogDamaged { at: 0, .. }));
}

#[test]
fn the_flipped_title_of_the_only_segment() {
    let disk = FaultDisk::default();
    drop(Store::open_on(disk.boot(), TINY).unwrap());
    disk.flip_bit(&segment(1), 20, 3);
    let error = refused(
        &disk,
        &expect!["<disk>/00000000000000000001.log is damaged at byte 0: restore a backup"],
    );
    assert!(matches!(error, Error::LogDamaged { at: 0, .. }));
}

/// Neither more room for an entry than before nor less is in the way of files of before.
#[test]
fn spares_of_a_smaller_size_are_not_in_the_way() {
    let (disk, mut model) = store(0);
    let settings = store::Settings { commit_bytes: 20_000, segment_bytes: 40_000, ..TINY };
    let opened = Store::open_on(disk.boot(), settings).unwrap();
    model.check(&opened);
    let mut steps = opened.store.into_steps();
    steps.commit(&model.offer(vec![changes(10, 18_000)])).unwrap();
    model.announce_all();
    disk.crash_with(Fate::LoseAll);
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
}
