//! Data folders of released formats.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use base::{Offset, Table};
use faultdisk::{Fate, FaultDisk};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use store::Store;

use crate::model::{Model, TINY, changes};

/// Rows in the state, rows in the state and newer in the log, rows in the log only; deleted ones of
/// each; three segments.
fn make() -> (FaultDisk, Model) {
    let disk = FaultDisk::default();
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    let mut model = Model { table: Table(7), ..Model::default() };
    for group in [&[1, 2][..], &[3], &[4, 5], &[6], &[7, 8], &[9]] {
        let size = |number: u64| if number > 4 { 900 } else { 30 };
        let group = group.iter().map(|number| changes(*number, size(*number)));
        steps.commit(&model.offer(group.collect())).unwrap();
        if model.batches.len() == 6 {
            while steps.apply().unwrap() {}
            steps.checkpoint().unwrap();
        }
    }
    model.announce_all();
    disk.kill();
    (disk, model)
}

/// Each file as its name, its length and its bytes.
fn pack(disk: &FaultDisk) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for name in disk.names() {
        let bytes = disk.read_all(&name);
        let head = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
        packed.write_all(&head).unwrap();
        packed.write_all(&(bytes.len() as u64).to_le_bytes()).unwrap();
        packed.write_all(&bytes).unwrap();
    }
    packed.finish().unwrap()
}

fn unpack(packed: &[u8]) -> FaultDisk {
    let (disk, mut bytes) = (FaultDisk::default(), Vec::new());
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    let mut take = || -> Option<Vec<u8>> {
        let (len, behind) = rest.split_first_chunk()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).unwrap();
        let (piece, behind) = behind.split_at(len);
        rest = behind;
        Some(piece.to_vec())
    };
    while let Some(name) = take() {
        disk.overwrite(&String::from_utf8(name).unwrap(), &take().unwrap());
    }
    disk
}

/// With `UPDATE_GOLDEN=1` the file is made anew: for a new format, under its own name.
#[test]
fn a_folder_of_format_1_is_opened_with_every_row() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1.gz");
    let (made, mut model) = make();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, pack(&made)).unwrap();
    }
    let disk = unpack(&fs::read(&path).unwrap());
    let opened = Store::open_on(disk.boot(), TINY).unwrap();
    assert_eq!((opened.incarnation, opened.durable), (2, Offset(9)));
    assert!(opened.backlog_bytes > 0, "a part is in the log only");
    assert_eq!(opened.cut, None);
    model.check(&opened);
    let mut steps = opened.store.into_steps();
    steps.commit(&model.offer(vec![changes(10, 100)])).unwrap();
    model.announce_all();
    while steps.apply().unwrap() {}
    steps.checkpoint().unwrap();
    disk.crash_with(Fate::LoseAll);
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
}
