//! A short history, and a crash or a failure at every operation of it.

use std::sync::{Arc, Mutex};

use faultdisk::{Fate, FaultDisk, Kind};
use store::{Disk, Error, Opened, Steps, Store};

use crate::model::{Changes, Model, TINY, changes};
use crate::watched::{Tap, Watched};

#[derive(Clone, Copy, Debug)]
enum Act {
    /// One group, by the sizes of its batches' rows.
    Commit(&'static [usize]),
    Apply,
    Checkpoint,
    Keep,
    /// The process ends as it should, and another begins.
    Restart,
}

/// Six segments, of which three are used again; checkpoints in the middle of segments, at their
/// ends and far behind; a restart with a tail that is not applied.
const HISTORY: &[Act] = &[
    Act::Commit(&[10]),
    Act::Commit(&[400, 0]),
    Act::Apply,
    Act::Commit(&[2600]),
    Act::Checkpoint,
    Act::Keep,
    Act::Commit(&[300, 10, 900]),
    Act::Apply,
    Act::Checkpoint,
    Act::Keep,
    Act::Commit(&[2000]),
    Act::Commit(&[100]),
    Act::Restart,
    Act::Commit(&[1200]),
    Act::Apply,
    Act::Keep,
    Act::Commit(&[500, 500]),
    Act::Checkpoint,
    Act::Commit(&[2700]),
    Act::Apply,
    Act::Checkpoint,
    Act::Keep,
    Act::Commit(&[30]),
    Act::Commit(&[1500]),
];

/// Lives through the history until something fails.
fn live(disk: &dyn Fn() -> Arc<dyn Disk>, model: &Mutex<Model>) -> Result<(), Error> {
    let open = || Store::open_on(disk(), TINY).map(|opened| opened.store.into_steps());
    let mut steps = open()?;
    for act in HISTORY {
        match act {
            Act::Commit(sizes) => {
                let given = group(model, sizes);
                let group = model.lock().unwrap().offer(given);
                steps.commit(&group)?;
                model.lock().unwrap().announce_all();
            }
            Act::Apply => while steps.apply()? {},
            Act::Checkpoint => steps.checkpoint()?,
            Act::Keep => steps.keep()?,
            Act::Restart => {
                drop(steps);
                steps = open()?;
            }
        }
    }
    Ok(())
}

fn group(model: &Mutex<Model>, sizes: &[usize]) -> Vec<Changes> {
    let first = model.lock().unwrap().batches.len() as u64 + 1;
    (first..).zip(sizes).map(|(number, size)| changes(number, *size)).collect()
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Kill,
    Power(Fate),
}

/// Every end that what is not synced makes possible. What would be there at an earlier moment, too,
/// belongs to that.
fn ends(disk: &FaultDisk) -> Vec<End> {
    let steps = disk.unsynced();
    let mut ends = vec![End::Kill, End::Power(Fate::KeepNames)];
    ends.extend((0..=steps.len()).map(|kept| End::Power(Fate::KeepFirst(kept))));
    for (kept, bytes) in (0..).zip(steps) {
        ends.extend(tears(bytes).map(|bytes| End::Power(Fate::TearNext { kept, bytes })));
    }
    ends
}

/// Where a write of so many bytes is cut: around the edges of some sectors.
fn tears(size: usize) -> impl Iterator<Item = usize> {
    let sectors = size.div_ceil(512);
    let edges = [0, 1, sectors / 2, sectors.saturating_sub(1), sectors];
    let mut places: Vec<usize> =
        edges.iter().flat_map(|edge| [edge * 512 + 1, (edge * 512).saturating_sub(1)]).collect();
    places.extend(edges.map(|edge| edge * 512));
    places.retain(|place| *place > 0 && *place < size);
    places.sort_unstable();
    places.dedup();
    places.into_iter()
}

/// Lets the process end, opens again, compares, goes on working, loses the power, and compares.
fn end_and_check(disk: &FaultDisk, model: &Model, end: End) {
    let (disk, mut model) = (disk.fork(), model.clone());
    match end {
        End::Kill => disk.kill(),
        End::Power(fate) => drop(disk.crash_with(fate)),
    }
    let opened = Store::open_on(disk.boot(), TINY).unwrap();
    go_on(&disk, &mut model, opened);
}

fn go_on(disk: &FaultDisk, model: &mut Model, opened: Opened) {
    model.check(&opened);
    let mut steps = opened.store.into_steps();
    let number = model.batches.len() as u64 + 1;
    commit(&mut steps, model, changes(number, 600)).unwrap();
    commit(&mut steps, model, changes(number + 1, 2500)).unwrap();
    steps.apply().unwrap();
    disk.crash_with(Fate::LoseAll);
    model.check(&Store::open_on(disk.boot(), TINY).unwrap());
}

fn commit(steps: &mut Steps, model: &mut Model, changes: Changes) -> Result<(), Error> {
    let group = model.offer(vec![changes]);
    steps.commit(&group)?;
    model.announce_all();
    Ok(())
}

/// The disk and the model before each change or sync of what happens, and at the end.
fn moments(
    disk: &FaultDisk,
    model: &Arc<Mutex<Model>>,
    only: Option<&'static str>,
    happens: impl FnOnce(&dyn Fn() -> Arc<dyn Disk>),
) -> Vec<(FaultDisk, Model)> {
    let moments = Arc::new(Mutex::new(Vec::new()));
    let note = {
        let (disk, model, moments) = (disk.clone(), Arc::clone(model), Arc::clone(&moments));
        move || moments.lock().unwrap().push((disk.fork(), model.lock().unwrap().clone()))
    };
    let note = Arc::new(note);
    let tap: Tap = {
        let note = Arc::clone(&note);
        Arc::new(move |verb: &str, _: &str| {
            if only.is_none_or(|only| only == verb) {
                note();
            }
        })
    };
    happens(&|| Arc::new(Watched { disk: disk.boot(), tap: Arc::clone(&tap) }));
    note();
    std::mem::take(&mut *moments.lock().unwrap())
}

/// Before each sync of the history: what can be left at another moment can be left at the next
/// sync, too.
fn history() -> Vec<(FaultDisk, Model)> {
    let (disk, model) = (FaultDisk::default(), Arc::default());
    moments(&disk, &model, Some("sync"), |boot| live(boot, &model).unwrap())
}

#[test]
fn whatever_a_crash_leaves_is_opened_with_all_that_was_announced() {
    let mut count = 0;
    for (index, (disk, model)) in history().iter().enumerate() {
        for end in ends(disk) {
            count += 1;
            let check = || end_and_check(disk, model, end);
            run_named(&format!("moment {index}, {end:?}"), check);
        }
    }
    assert!(count > 1000, "only {count}");
}

/// A failed check says where it was.
fn run_named(name: &str, check: impl FnOnce()) {
    struct Name<'a>(&'a str);
    impl Drop for Name<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("at {}", self.0);
            }
        }
    }
    let _name = Name(name);
    check();
}

#[test]
fn a_failure_of_any_operation_loses_nothing_that_was_announced() {
    let disk = FaultDisk::default();
    live(&|| disk.boot(), &Mutex::default()).unwrap();
    for n in 1..=disk.operations() {
        let disk = FaultDisk::default();
        disk.fail_nth(Kind::Any, n);
        let model = Mutex::default();
        let _ = live(&|| disk.boot(), &model);
        let model = model.into_inner().unwrap();
        for fate in [Fate::LoseAll, Fate::KeepAll, Fate::KeepNames] {
            let check = || end_and_check(&disk, &model, End::Power(fate));
            run_named(&format!("operation {n} failed, {fate:?}"), check);
        }
    }
}

/// The torn and the lossless end of some moments.
fn before_starts() -> Vec<(FaultDisk, Model)> {
    let mut crashed = Vec::new();
    for (disk, model) in history().into_iter().step_by(11) {
        let torn = ends(&disk).pop().unwrap();
        for end in [torn, End::Power(Fate::KeepAll)] {
            let disk = disk.fork();
            if let End::Power(fate) = end {
                disk.crash_with(fate);
            }
            crashed.push((disk, model.clone()));
        }
    }
    crashed
}

#[test]
fn a_crash_at_any_operation_of_a_start_is_followed_by_a_whole_start() {
    for (number, (disk, model)) in before_starts().into_iter().enumerate() {
        let model = Arc::new(Mutex::new(model));
        let moments = moments(&disk, &model, None, |boot| drop(Store::open_on(boot(), TINY)));
        for (index, (disk, model)) in moments.iter().enumerate() {
            let torn = ends(disk).pop().unwrap();
            let others = [Fate::LoseAll, Fate::KeepAll, Fate::KeepNames].map(End::Power);
            for end in [torn, End::Kill].into_iter().chain(others) {
                let name = format!("start {number}, moment {index}, {end:?}");
                run_named(&name, || end_and_check(disk, model, end));
            }
        }
    }
}

#[test]
fn a_failure_of_any_operation_of_a_start_is_followed_by_a_whole_start() {
    for (number, (disk, model)) in before_starts().into_iter().enumerate() {
        for kind in [Kind::Any, Kind::Read] {
            for n in 1.. {
                let disk = disk.fork();
                disk.fail_nth(kind, n);
                let has_failed = Store::open_on(disk.boot(), TINY).is_err();
                // Only what happens at the end of a store may fail without a word.
                if !has_failed && n > 20 {
                    break;
                }
                let fates = [Fate::LoseAll, Fate::KeepAll];
                for fate in fates {
                    let name = format!("start {number}, {kind:?} {n} failed, {fate:?}");
                    run_named(&name, || end_and_check(&disk, &model, End::Power(fate)));
                }
            }
        }
    }
}
