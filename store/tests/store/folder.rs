//! What happens to the data folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base::Offset;
use store::{Error, Store};

use crate::fixture::{Rig, SETTINGS};

const FIRST_SEGMENT: &str = "00000000000000000001.log";

#[test]
fn reopening_sees_everything_acknowledged_and_raises_the_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let first = Rig::open(dir.path());
    assert_eq!((first.incarnation, first.durable), (1, Offset(0)));
    assert_eq!(first.write(1, &[(b"a", Some(b"1"))]), Offset(1));
    assert_eq!(first.write(2, &[(b"b", Some(b"2"))]), Offset(2));
    first.running.shutdown().unwrap();

    let second = Rig::open(dir.path());
    assert_eq!((second.incarnation, second.durable), (2, Offset(2)));
    assert_eq!(second.read(b"a", Offset(2)).0.unwrap(), "1");
    assert_eq!(second.read(b"b", Offset(2)).0.unwrap(), "2");
    assert_eq!(second.write(1, &[(b"a", None)]), Offset(3));
    second.running.shutdown().unwrap();

    let third = Rig::open(dir.path());
    assert_eq!((third.incarnation, third.durable), (3, Offset(3)));
    assert_eq!(third.read(b"a", Offset(3)), (None, Offset(3)));
}

#[test]
fn the_folder_and_those_above_are_made_for_this_user_only() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("deep").join("data");
    drop(Store::open(&data, SETTINGS).unwrap());
    for made in [&data, data.parent().unwrap()] {
        let mode = fs::metadata(made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    let names: Vec<_> =
        fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| name == "ringmaster.redb" || name == FIRST_SEGMENT));
}

#[test]
fn a_second_store_on_one_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Rig::open(dir.path());
    let error = Store::open(dir.path(), SETTINGS).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }));
    assert_eq!(
        error.to_string(),
        format!("the data folder {} is in use by another process", dir.path().display())
    );
    first.running.shutdown().unwrap();
    drop(Store::open(dir.path(), SETTINGS).unwrap());
}

#[test]
fn files_of_others_are_refused_and_left_as_they_are() {
    let foreign: [&[u8]; 3] = [b"hello", &[0; 10_000], &[0xa5; 70_000]];
    for bytes in foreign {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ringmaster.redb");
        fs::write(&path, bytes).unwrap();
        let error = Store::open(dir.path(), SETTINGS).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("{} is not a store of Ringmaster", path.display()));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_redb_file_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let redb = redb::Database::create(dir.path().join("ringmaster.redb")).unwrap();
    let transaction = redb.begin_write().unwrap();
    let table = redb::TableDefinition::<u64, u64>::new("meta");
    transaction.open_table(table).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(redb);
    let error = Store::open(dir.path(), SETTINGS).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
}

#[test]
fn an_unusable_folder_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Store::open(&path, SETTINGS).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        let expected = format!("cannot use {}", path.display());
        assert_eq!(error.to_string(), expected);
        assert!(std::error::Error::source(&error).is_some());
    }

    let folder_in_place_of_file = dir.path().join("data");
    fs::create_dir_all(folder_in_place_of_file.join("ringmaster.redb")).unwrap();
    let error = Store::open(&folder_in_place_of_file, SETTINGS).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[test]
fn a_truncated_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    rig.write(1, &[(b"a", Some(&[1; 100_000]))]);
    rig.running.shutdown().unwrap();
    let path = dir.path().join("ringmaster.redb");
    let whole = fs::read(&path).unwrap();
    for len in [9, 100, 320, 4096, 50_000, whole.len() - 4096] {
        fs::write(&path, &whole[..len]).unwrap();
        let error = Store::open(dir.path(), SETTINGS).unwrap_err();
        assert!(error.to_string().contains("ringmaster.redb"), "{error}");
    }
}

/// A sample of places. redb panics over some of them, and that too becomes an error. Many flips are
/// in unused bytes.
#[test]
fn a_flipped_bit_is_unused_or_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    rig.write(1, &[(b"a", Some(b"1"))]);
    rig.running.shutdown().unwrap();
    let path = dir.path().join("ringmaster.redb");
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..320).step_by(3).chain((4096..whole.len()).step_by(9973)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = Store::open(dir.path(), SETTINGS) {
            assert!(error.to_string().contains("ringmaster.redb"), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 20);
}
