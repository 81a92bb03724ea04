//! One test per promise of the disk.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use base::Rng;
use store::{Disk, File};

use crate::{Fate, FaultDisk, Kind, Losses};

#[test]
fn what_was_synced_survives_whatever_is_lost() {
    for seed in 0..200 {
        let (disk, process, file) = disk_with("a", b"synced!!");
        file.write(0, b"s").unwrap();
        file.set_len(2).unwrap();
        file.set_len(9).unwrap();
        file.write(8, b"?").unwrap();
        process.create("b").unwrap();
        let losses = disk.crash(&mut rng(seed));
        assert_eq!(losses.kept + losses.torn + losses.lost, 4);
        assert!(disk.read_all("a").starts_with(b"sy"));
        assert_eq!(losses.lost_names, u64::from(disk.names() == ["a"]));
    }
}

#[test]
fn a_crash_keeps_any_order_and_tears_at_bytes_and_at_sectors() {
    let (disk, _process, file) = disk_with("a", &[0; 2048]);
    file.write(0, &[1; 1024]).unwrap();
    file.write(1024, &[2; 1024]).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk.fork();
        disk.crash(&mut rng(seed));
        let bytes = disk.read_all("a");
        assert_eq!(bytes.len(), 2048);
        seen.insert((bytes[0], bytes[600], bytes[1024], bytes[1700]));
    }
    let second_only = (0, 0, 2, 2);
    let (head, tail) = ((1, 0, 0, 0), (0, 1, 0, 0));
    for image in [second_only, head, tail, (0, 0, 0, 0), (1, 1, 0, 0), (1, 1, 2, 2)] {
        assert!(seen.contains(&image), "{image:?}");
    }
}

#[test]
fn the_same_seed_leaves_the_same() {
    let (disk, _process, file) = disk_with("a", &[0; 5000]);
    for at in 0..50 {
        file.write(at * 97, &[7; 300]).unwrap();
    }
    let crash = |seed| {
        let disk = disk.fork();
        (disk.crash(&mut rng(seed)), disk.read_all("a"))
    };
    assert_eq!(crash(1), crash(1));
    assert_ne!(crash(1), crash(2));
}

#[test]
fn a_name_is_durable_only_when_the_folder_was_synced() {
    let (disk, process, old) = disk_with("a", b"old");
    let new = process.create("b").unwrap();
    new.write(0, b"new").unwrap();
    new.sync().unwrap();
    process.rename("b", "a").unwrap();
    process.create("c").unwrap();
    process.remove("c").unwrap();
    assert_eq!(disk.names(), ["a"]);
    let mut read = [0; 3];
    old.read(0, &mut read).unwrap();
    assert_eq!(&read, b"old", "a handle outlives the name");
    assert_eq!(disk.unsynced(), [0, 0, 0, 0]);

    let left = |fate| {
        let disk = disk.fork();
        let losses = disk.crash_with(fate);
        (disk.names().join(" "), disk.read_all("a"), losses.lost_names)
    };
    assert_eq!(left(Fate::LoseAll), ("a".to_owned(), b"old".to_vec(), 4));
    assert_eq!(left(Fate::KeepFirst(1)), ("a b".to_owned(), b"old".to_vec(), 3));
    assert_eq!(left(Fate::KeepFirst(3)), ("a c".to_owned(), b"new".to_vec(), 1));
    assert_eq!(left(Fate::KeepAll), ("a".to_owned(), b"new".to_vec(), 0));

    process.sync().unwrap();
    disk.crash_with(Fate::LoseAll);
    assert_eq!(disk.read_all("a"), b"new");
}

#[test]
fn names_are_lost_in_any_order_that_makes_sense() {
    let (disk, process, _) = disk_with("a", b"1");
    process.rename("a", "b").unwrap();
    process.create("c").unwrap();
    process.rename("c", "d").unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk.fork();
        disk.crash(&mut rng(seed));
        seen.insert(disk.names().join(" "));
    }
    let seen: Vec<_> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, ["a", "a c", "a d", "b", "b c", "b d"]);
}

#[test]
fn a_removed_file_may_come_back_and_a_name_may_overtake_its_content() {
    let (disk, process, _) = disk_with("a", b"old");
    process.remove("a").unwrap();
    process.create("b").unwrap().write(0, b"new").unwrap();
    let fork = disk.fork();
    fork.crash_with(Fate::LoseAll);
    assert_eq!(fork.read_all("a"), b"old");
    disk.crash_with(Fate::KeepNames);
    assert_eq!(disk.names(), ["b"]);
    assert_eq!(disk.read_all("b"), b"");
}

#[test]
fn every_moment_of_a_history_can_be_tried() {
    let (disk, process, file) = disk_with("a", b"");
    let other = process.create("b").unwrap();
    process.sync().unwrap();
    file.write(0, b"123").unwrap();
    other.set_len(2).unwrap();
    file.write(2, b"45").unwrap();
    let steps = disk.unsynced();
    assert_eq!(steps, [3, 0, 2]);
    let mut images = Vec::new();
    for (kept, len) in steps.into_iter().enumerate() {
        for bytes in 0..=len {
            let disk = disk.fork();
            disk.crash_with(Fate::TearNext { kept, bytes });
            let a = String::from_utf8(disk.read_all("a")).unwrap();
            images.push(format!("{a} {}", disk.read_all("b").len()));
        }
    }
    let expected = [" 0", "1 0", "12 0", "123 0", "123 0", "123 2", "124 2", "1245 2"];
    assert_eq!(images, expected);
}

#[test]
fn what_a_failed_sync_should_have_written_is_never_safe_again() {
    let (disk, _process, file) = disk_with("a", b"....");
    file.write(0, b"1").unwrap();
    disk.fail_nth(Kind::Sync, 1);
    assert!(file.sync().is_err());
    file.write(1, b"2").unwrap();
    file.sync().unwrap();
    file.write(2, b"3").unwrap();
    assert_eq!(disk.unsynced(), [1, 1]);
    let fork = disk.fork();
    let losses = fork.crash_with(Fate::LoseAll);
    assert_eq!(losses, Losses { lost: 2, failed_syncs: 1, ..Losses::default() });
    assert_eq!(fork.read_all("a"), b".2..");
    disk.crash_with(Fate::KeepFirst(1));
    assert_eq!(disk.read_all("a"), b"12..");
}

#[test]
fn what_a_failed_sync_of_the_folder_should_have_kept_is_never_safe_again() {
    let (disk, process, _) = disk_with("a", b"");
    process.create("b").unwrap();
    disk.fail_nth(Kind::FolderSync, 1);
    assert!(process.sync().is_err());
    process.create("c").unwrap();
    process.sync().unwrap();
    disk.crash_with(Fate::LoseAll);
    assert_eq!(disk.names(), ["a", "c"]);
}

#[test]
fn the_dead_do_nothing() {
    let (disk, dead, file) = disk_with("a", b"1");
    disk.crash_with(Fate::KeepAll);
    let living = disk.boot();
    assert!(dead.list().is_err() && dead.open("a").is_err() && dead.create("b").is_err());
    assert!(dead.rename("a", "b").is_err() && dead.remove("a").is_err());
    assert!(dead.sync().is_err() && dead.free().is_err());
    assert!(file.len().is_err() && file.read(0, &mut [0]).is_err() && file.sync().is_err());
    assert!(file.write(0, b"2").is_err() && file.set_len(0).is_err());
    assert_eq!(living.open("a").unwrap().len().unwrap(), 1);
    assert_eq!(disk.read_all("a"), b"1");
}

#[test]
fn a_killed_process_loses_nothing_until_the_power_goes() {
    let (disk, _, file) = disk_with("a", b"1");
    file.write(0, b"2").unwrap();
    disk.kill();
    assert!(file.len().is_err());
    assert_eq!(disk.read_all("a"), b"2");
    disk.crash_with(Fate::LoseAll);
    assert_eq!(disk.read_all("a"), b"1");
}

#[test]
fn the_nth_operation_of_a_kind_fails_and_changes_nothing() {
    let (disk, process, file) = disk_with("a", b"1");
    let run = |kind| {
        disk.fail_nth(kind, 2);
        let mut failed = Vec::new();
        for _ in 0..2 {
            let results = [
                ("read", file.read(0, &mut [0]).is_ok()),
                ("write", file.write(0, b"1").is_ok()),
                ("create", process.create("b").is_ok()),
                ("rename", process.rename("b", "c").is_ok()),
                ("remove", process.remove("c").is_ok()),
                ("sync", file.sync().is_ok()),
                ("folder", process.sync().is_ok()),
            ];
            failed.extend(results.iter().filter(|(_, is_ok)| !is_ok).map(|(name, _)| *name));
            for name in ["b", "c"] {
                let _ = process.remove(name);
            }
        }
        failed.join(" ")
    };
    assert_eq!(run(Kind::Read), "read");
    assert_eq!(run(Kind::Write), "write");
    assert_eq!(run(Kind::Create), "create rename remove");
    assert_eq!(run(Kind::Rename), "rename remove");
    assert_eq!(run(Kind::Remove), "remove");
    assert_eq!(run(Kind::Sync), "sync");
    assert_eq!(run(Kind::FolderSync), "folder");
    assert_eq!(run(Kind::Any), "create rename remove");
    assert_eq!(disk.read_all("a"), b"1");
    assert_eq!(disk.names(), ["a"]);
}

#[test]
fn after_its_end_a_disk_fails_until_the_next_crash() {
    let (disk, process, file) = disk_with("a", b"1");
    disk.fail_after(1);
    file.write(0, b"2").unwrap();
    assert!(file.sync().is_err() && file.sync().is_err() && process.create("b").is_err());
    assert!(file.read(0, &mut [0]).is_ok());
    disk.live_on();
    file.write(0, b"3").unwrap();
    disk.fail_after(0);
    let losses = disk.crash_with(Fate::LoseAll);
    assert_eq!((losses.lost, losses.failed_syncs), (2, 1));
    assert_eq!(disk.read_all("a"), b"1");
    disk.boot().create("b").unwrap();
}

#[test]
fn a_full_disk_takes_what_does_not_grow_it() {
    let (disk, process, file) = disk_with("a", b"12345");
    disk.set_free(Some(2));
    file.write(0, b"54321").unwrap();
    assert_eq!(file.write(4, b"....").unwrap_err().kind(), ErrorKind::StorageFull);
    file.write(4, b"...").unwrap();
    assert_eq!(process.free().unwrap(), 0);
    assert_eq!(file.set_len(8).unwrap_err().kind(), ErrorKind::StorageFull);
    file.set_len(3).unwrap();
    assert_eq!(process.free().unwrap(), 4);
    process.remove("a").unwrap();
    assert_eq!(process.free().unwrap(), 7);
    disk.set_free(None);
    file.set_len(64 << 20).unwrap();
}

#[test]
fn bytes_rot() {
    let (disk, process, file) = disk_with("a", b"abc");
    file.write(2, b"d").unwrap();
    disk.flip_bit("a", 0, 1);
    disk.fail_reads("a", 1..2);
    assert_eq!(disk.read_all("a"), b"cbd");
    process.rename("a", "b").unwrap();
    process.sync().unwrap();
    disk.crash_with(Fate::LoseAll);
    assert_eq!(disk.read_all("b"), b"cbc");
    let file = disk.boot().open("b").unwrap();
    file.read(0, &mut [0]).unwrap();
    file.read(2, &mut [0]).unwrap();
    assert_eq!(file.read(0, &mut [0; 3]).unwrap_err().raw_os_error(), Some(5));
    assert_eq!(file.read(2, &mut [0; 2]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    disk.live_on();
    file.read(0, &mut [0; 3]).unwrap();
}

#[test]
fn a_test_puts_files_as_it_wants_them() {
    let disk = FaultDisk::default();
    disk.overwrite("b", b"12345");
    disk.overwrite("a", b"1");
    disk.cut("b", 2);
    disk.crash_with(Fate::LoseAll);
    assert_eq!(disk.names(), ["a", "b"]);
    assert_eq!(disk.read_all("b"), b"12");
    let process = disk.boot();
    assert_eq!(process.create("a").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(process.open("c").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(process.path("a"), PathBuf::from("<disk>/a"));
}

#[test]
fn the_trace_shows_what_came_before_what() {
    let (disk, process, file) = disk_with("a", b"");
    let before = disk.operations();
    file.write(0, b"not written down").unwrap();
    disk.record(6);
    file.write(0, b"1").unwrap();
    disk.fail_nth(Kind::Sync, 1);
    assert!(file.sync().is_err());
    disk.mark("acknowledged 7");
    process.rename("a", "b").unwrap();
    process.sync().unwrap();
    file.set_len(3).unwrap();
    file.read(0, &mut [0]).unwrap();
    assert_eq!(disk.operations() - before, 5);
    let trace = ["write a", "sync a failed", "acknowledged 7", "rename a b", "sync", "set_len b"];
    assert_eq!(disk.trace(), trace);
    process.remove("b").unwrap();
    assert_eq!(disk.trace()[5], "remove b");
    assert_eq!(disk.trace().len(), 6);
}

#[test]
fn a_fork_shares_no_change_and_costs_little() {
    let (disk, _process, file) = disk_with("a", b"1");
    file.set_len(64 << 20).unwrap();
    file.write(0, b"2").unwrap();
    for last in 0..200 {
        let fork = disk.fork();
        let file = fork.boot().open("a").unwrap();
        file.write(0, &[last]).unwrap();
        fork.crash_with(Fate::KeepAll);
    }
    assert_eq!(disk.read_all("a")[0], b'2');
    disk.crash_with(Fate::LoseAll);
    assert_eq!(disk.read_all("a"), b"1");
}

#[test]
fn files_that_nothing_leads_to_take_no_memory() {
    let (disk, process, file) = disk_with("a", b"1");
    process.remove("a").unwrap();
    process.sync().unwrap();
    assert_eq!(disk.state().files.len(), 1);
    drop(file);
    process.sync().unwrap();
    assert_eq!(disk.state().files.len(), 0);
}

fn rng(seed: u8) -> Rng {
    Rng::from_seed([seed; 32])
}

/// A disk with a file that is wholly durable.
fn disk_with(name: &str, bytes: &[u8]) -> (FaultDisk, Arc<dyn Disk>, Arc<dyn File>) {
    let disk = FaultDisk::default();
    disk.overwrite(name, bytes);
    let process = disk.boot();
    let file = process.open(name).unwrap();
    (disk, process, file)
}
