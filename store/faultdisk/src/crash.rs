//! What a crash leaves of the steps that were not synced.

use std::collections::BTreeMap;

use base::Rng;

use crate::content::Content;
use crate::state::{Change, Safety, State, Step};

const SECTOR: usize = 512;

/// What a crash did to steps that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Writes, and changes of a length, that are there.
    pub kept: u64,
    pub torn: u64,
    pub lost: u64,
    /// Files that were not created, renamed or removed after all.
    pub lost_names: u64,
    /// Syncs that failed since the crash before, without those of a disk that had failed already.
    pub failed_syncs: u64,
}

impl std::ops::AddAssign for Losses {
    fn add_assign(&mut self, more: Losses) {
        self.kept += more.kept;
        self.torn += more.torn;
        self.lost += more.lost;
        self.lost_names += more.lost_names;
        self.failed_syncs += more.failed_syncs;
    }
}

/// What is left of the steps that `FaultDisk::unsynced` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    LoseAll,
    KeepAll,
    /// Everything that happened to names, and nothing that was written.
    KeepNames,
    /// So many, from the first.
    KeepFirst(usize),
    /// So many, from the first, and so many bytes of the next one, which is lost if it is no write.
    TearNext {
        kept: usize,
        bytes: usize,
    },
}

/// A step that a crash may undo.
pub(crate) struct AtRisk {
    number: u64,
    is_naming: bool,
    /// Where it writes.
    at: usize,
    pub(crate) bytes: usize,
}

/// Those that are not in the map are lost.
pub(crate) type Outcomes = BTreeMap<u64, Outcome>;

pub(crate) enum Outcome {
    Kept,
    /// So many bytes of a write.
    Prefix(usize),
    /// The length of a write, and those of its sectors that are `true`.
    Sectors(Vec<bool>),
}

/// All steps of the disk that a crash may undo, in their order.
pub(crate) fn in_order(state: &State) -> Vec<AtRisk> {
    let mut steps: Vec<AtRisk> = groups(state).into_iter().flatten().collect();
    steps.sort_by_key(|step| step.number);
    steps
}

pub(crate) fn decide(state: &State, fate: Fate) -> Outcomes {
    let outcome = |(index, step): (usize, &AtRisk)| match fate {
        Fate::LoseAll => None,
        Fate::KeepAll => Some(Outcome::Kept),
        Fate::KeepNames => step.is_naming.then_some(Outcome::Kept),
        Fate::KeepFirst(count) => (index < count).then_some(Outcome::Kept),
        Fate::TearNext { kept, .. } if index < kept => Some(Outcome::Kept),
        Fate::TearNext { kept, bytes } => {
            (index == kept && step.bytes > 0).then_some(Outcome::Prefix(bytes.min(step.bytes)))
        }
    };
    let steps = in_order(state);
    let outcomes = steps.iter().enumerate();
    outcomes.filter_map(|step| Some((step.1.number, outcome(step)?))).collect()
}

pub(crate) fn draw(state: &State, rng: &mut Rng) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for group in groups(state) {
        let is_prefix = rng.below(2) == 0;
        let end = below(rng, group.len() + 1);
        for (index, step) in group.iter().enumerate() {
            let fate = match is_prefix {
                true if index < end => 0,
                true if index > end => 3,
                true => 2,
                false => rng.below(4),
            };
            let outcome = match fate {
                0 | 1 => Outcome::Kept,
                2 if step.bytes > 0 => tear(step, rng),
                _ => continue,
            };
            outcomes.insert(step.number, outcome);
        }
    }
    outcomes
}

/// The steps at risk of each file, and of the folder.
fn groups(state: &State) -> Vec<Vec<AtRisk>> {
    fn at_risk<C>(steps: &[Step<C>], describe: impl Fn(&Step<C>) -> AtRisk) -> Vec<AtRisk> {
        steps.iter().filter(|step| step.safety != Safety::Synced).map(describe).collect()
    }
    let mut groups = Vec::new();
    for file in state.files.values() {
        groups.push(at_risk(&file.steps, |step| {
            let (at, bytes) = match &step.change {
                Change::Write { at, data } => (*at, data.len()),
                Change::SetLen(_) => (0, 0),
            };
            AtRisk { number: step.number, is_naming: false, at, bytes }
        }));
    }
    groups.push(at_risk(&state.namings, |step| AtRisk {
        number: step.number,
        is_naming: true,
        at: 0,
        bytes: 0,
    }));
    groups
}

fn tear(step: &AtRisk, rng: &mut Rng) -> Outcome {
    if rng.below(2) == 0 {
        return Outcome::Prefix(below(rng, step.bytes + 1));
    }
    let count = sectors(step.at, step.bytes).count();
    Outcome::Sectors((0..count).map(|_| rng.below(2) == 0).collect())
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(u32::try_from(bound).expect("a test is smaller")) as usize
}

/// Where the sectors under a write begin and end, counted from its first byte.
fn sectors(at: usize, bytes: usize) -> impl Iterator<Item = (usize, usize)> {
    let first = at / SECTOR;
    (first..(at + bytes).div_ceil(SECTOR)).map(move |sector| {
        let start = (sector * SECTOR).max(at) - at;
        (start, ((sector + 1) * SECTOR - at).min(bytes))
    })
}

impl State {
    /// Goes back to what is durable, and does again what is kept.
    pub(crate) fn crash(&mut self, outcomes: &Outcomes) -> Losses {
        let mut losses =
            Losses { failed_syncs: std::mem::take(&mut self.failed_syncs), ..Losses::default() };
        for file in self.files.values_mut() {
            file.content.roll_back();
            for step in file.steps.drain(..) {
                redo(&step, outcomes, &mut file.content, &mut losses);
            }
            file.content.sync();
        }
        for step in self.namings.drain(..) {
            let is_kept = step.safety == Safety::Synced || outcomes.contains_key(&step.number);
            // What cannot happen without something that was lost is lost with it.
            if !is_kept || !step.change.apply(&mut self.durable_names) {
                losses.lost_names += 1;
            }
        }
        self.names.clone_from(&self.durable_names);
        for (name, id) in self.names.clone() {
            self.file(id).name = name.into();
        }
        self.mend();
        self.end_life();
        self.forget_files();
        losses
    }
}

fn redo(step: &Step<Change>, outcomes: &Outcomes, content: &mut Content, losses: &mut Losses) {
    let is_synced = step.safety == Safety::Synced;
    let outcome = if is_synced { Some(&Outcome::Kept) } else { outcomes.get(&step.number) };
    let count = match (&step.change, outcome) {
        (_, None) => &mut losses.lost,
        (Change::SetLen(len), Some(_)) => {
            content.set_len(*len);
            &mut losses.kept
        }
        (Change::Write { at, data }, Some(Outcome::Kept)) => {
            content.write(*at, data);
            &mut losses.kept
        }
        (Change::Write { at, data }, Some(Outcome::Prefix(bytes))) => {
            content.write(*at, &data[..*bytes]);
            &mut losses.torn
        }
        (Change::Write { at, data }, Some(Outcome::Sectors(kept))) => {
            content.grow(at + data.len());
            for ((start, end), _) in sectors(*at, data.len()).zip(kept).filter(|(_, kept)| **kept) {
                content.write(at + start, &data[start..end]);
            }
            &mut losses.torn
        }
    };
    *count += u64::from(!is_synced);
}
