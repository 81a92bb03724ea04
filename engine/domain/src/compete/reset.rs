//! What happens to boards by itself: periods end, and tournaments close. Each is noted once, also
//! across starts; of what was missed meanwhile, the last of each kind.

use base::limits::BOARD_EVENTS_MAX;

use super::board::{Board, Boards, Terms};
use super::schedule::Schedule;
use super::tournament::window;
use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record;
use crate::record::board::{BoardEvent, MARKS, event_key};

/// Something that happened to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A period is over.
    Reset,
    /// A tournament takes no scores any more, in this period.
    End,
}

impl Kind {
    pub fn number(self) -> u8 {
        match self {
            Kind::Reset => 0,
            Kind::End => 1,
        }
    }

    pub fn of_number(number: u8) -> Option<Kind> {
        [Kind::Reset, Kind::End].into_iter().find(|kind| kind.number() == number)
    }
}

/// When the last of each kind was, at or before a second, and when the next of any is, after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dates {
    reset: Option<u64>,
    end: Option<u64>,
    next: Option<u64>,
}

fn dates(terms: Option<&Terms>, reset: Option<&Schedule>, now: u64) -> Dates {
    let Some(terms) = terms else {
        let last = reset.and_then(|reset| reset.last(now));
        return Dates { reset: last, end: None, next: reset.and_then(|reset| reset.next(now)) };
    };
    let is_before_end = |time: &u64| terms.end_time == 0 || *time <= terms.end_time;
    let last = reset.and_then(|reset| reset.last(now));
    let last = last.filter(|time| *time > terms.start_time).filter(is_before_end);
    let current = window(terms, reset, now);
    let end = match current.end_active <= now {
        true => Some(current.end_active),
        // The window before this one.
        false if reset.is_some() && current.start_active > terms.start_time => {
            let before = window(terms, reset, current.start_active - 1);
            (before.end_active <= now).then_some(before.end_active)
        }
        false => None,
    };
    let next_reset = reset.and_then(|reset| reset.next(now.max(terms.start_time)));
    let next_reset = next_reset.filter(is_before_end);
    let next_end = match current.end_active > now {
        true => Some(current.end_active),
        false => next_reset.map(|time| window(terms, reset, time).end_active),
    };
    let next = [next_reset, next_end].into_iter().flatten().filter(|time| *time > now).min();
    Dates { reset: last, end, next }
}

impl Board {
    /// Notes what has happened since the last time; whether anything had, and when to look again.
    fn note_events(&self, ctx: &mut Ctx<'_>, is_told: bool) -> Applied<(bool, Option<u64>), Never> {
        let now = ctx.now.wall.secs();
        let terms = self.definition.tournament.as_ref();
        let Dates { reset, end, next } = dates(terms, self.reset.as_ref(), now);
        let prefix = self.definition.prefix;
        let mark = match ctx.view.get(MARKS, &prefix)? {
            None => self.definition.create_time,
            Some(bytes) => {
                let bytes = bytes[..].try_into().map_err(|_| Stop::Damaged(MARKS))?;
                u64::from_be_bytes(bytes)
            }
        };
        let happened = [(Kind::End, end), (Kind::Reset, reset)];
        let happened = happened.into_iter().filter_map(|(kind, time)| Some((kind, time?)));
        let happened: Vec<_> = happened.filter(|(_, time)| *time > mark).collect();
        let Some(newest) = happened.iter().map(|(_, time)| *time).max() else {
            return Ok((false, next));
        };
        ctx.put(MARKS, &prefix, newest.to_be_bytes().to_vec());
        // Nobody is told of them where too many wait already.
        for (kind, time) in happened.into_iter().filter(|_| is_told) {
            let event = BoardEvent {
                board: self.id.to_string(),
                kind: kind.number(),
                time,
                is_tournament: self.definition.tournament.is_some(),
            };
            record::write(ctx, &event_key(time, prefix, kind.number()), &event);
        }
        Ok((true, next))
    }
}

impl Boards {
    /// The second at which something is due, if anything ever is; 0: at once.
    pub fn next_event(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Notes what is due of a board of which something is. Gives its id, and whether anything was
    /// noted.
    pub fn note_events(
        &mut self,
        ctx: &mut Ctx<'_>,
        is_told: bool,
    ) -> Applied<Option<(String, bool)>, Never> {
        let is_told = is_told && self.events.len() < BOARD_EVENTS_MAX;
        let now = ctx.now.wall.secs();
        let first = self.due.first().filter(|(due, _)| *due <= now).cloned();
        let Some((due, id)) = first else { return Ok(None) };
        let noted = match self.find(&id) {
            Ok(board) => board.note_events(ctx, is_told)?,
            Err(_) => (false, None),
        };
        self.due.remove(&(due, id.clone()));
        self.due.extend(noted.1.map(|next| (next, id.clone())));
        Ok(Some((id.to_string(), noted.0)))
    }

    /// Events that are still to be told, in the order in which they happened.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&[u8; 17], &BoardEvent)> {
        self.events.iter()
    }

    /// An event was told.
    pub fn told(&self, ctx: &mut Ctx<'_>, key: &[u8]) {
        record::delete::<BoardEvent>(ctx, key);
    }

    /// What was noted could not be written: it is due again.
    pub fn forget_noted(&mut self, id: &str) {
        self.due.insert((0, id.into()));
    }
}

#[cfg(test)]
mod tests {
    use base::Frame;

    use super::super::board::{ANY_SIZE, NUM_SCORE_DEFAULT, NewBoard};
    use super::super::leaderboard::tests::leaderboard;
    use super::*;
    use crate::ctx::world::World;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn terms(duration: u64, end_time: u64) -> Terms {
        Terms {
            title: String::new(),
            description: String::new(),
            category: 0,
            duration,
            start_time: DAY,
            end_time,
            max_size: ANY_SIZE,
            max_num_score: NUM_SCORE_DEFAULT,
            is_join_required: false,
        }
    }

    #[test]
    fn dates_are_those_of_resets_and_of_the_ends_of_windows() {
        let daily = Schedule::parse("0 0 * * *").expect("it is one");
        let check = |terms: Option<&Terms>, is_daily: bool, now, expected| {
            let Dates { reset, end, next } = dates(terms, is_daily.then_some(&daily), now);
            assert_eq!((reset, end, next), expected, "at {now}");
        };
        check(None, false, 5, (None, None, None));
        check(None, true, 3 * DAY, (Some(3 * DAY), None, Some(4 * DAY)));
        let once = terms(HOUR, 0);
        check(Some(&once), false, 5, (None, None, Some(DAY + HOUR)));
        check(Some(&once), false, DAY + HOUR, (None, Some(DAY + HOUR), None));
        let again = terms(HOUR, 4 * DAY);
        check(Some(&again), true, DAY + 5, (None, None, Some(DAY + HOUR)));
        let first = DAY + HOUR;
        check(Some(&again), true, DAY + 2 * HOUR, (None, Some(first), Some(2 * DAY)));
        check(Some(&again), true, 2 * DAY, (Some(2 * DAY), Some(first), Some(2 * DAY + HOUR)));
        let last = 3 * DAY + HOUR;
        check(Some(&again), true, last, (Some(3 * DAY), Some(last), Some(4 * DAY)));
        check(Some(&again), true, 9 * DAY, (None, Some(4 * DAY), None));
    }

    struct Home {
        world: World,
        boards: Boards,
    }

    impl Home {
        fn run<T>(&mut self, command: impl FnOnce(&mut Boards, &mut Ctx<'_>) -> T) -> T {
            let Home { world, boards } = self;
            boards.load(world.view(), |_| true).expect("all is here");
            let (result, changes) = world.apply_and_tell(|ctx| command(boards, ctx));
            boards.follow(&Frame::encode(&changes));
            result
        }

        fn note(&mut self) -> Vec<(u64, u8)> {
            while let Some(due) = self.run(|boards, _| boards.next_event())
                && due <= self.world.now
            {
                self.run(|boards, ctx| boards.note_events(ctx, true)).expect("all is here");
            }
            self.boards.events().map(|(_, event)| (event.time, event.kind)).collect()
        }
    }

    #[test]
    fn what_was_missed_is_noted_once() {
        let mut home = Home { world: World::default(), boards: Boards::default() };
        home.world.now = 5 * DAY + 5;
        let new = NewBoard { reset: "0 0 * * *".into(), ..leaderboard() };
        home.run(|boards, ctx| boards.create(ctx, &new)).expect("it is created");
        assert_eq!(home.note(), [], "nothing before it was created");
        home.world.now = 6 * DAY;
        assert_eq!(home.note(), [(6 * DAY, 0)]);
        home.world.now = 9 * DAY;
        home.boards = Boards::default();
        assert_eq!(home.note(), [(6 * DAY, 0), (9 * DAY, 0)], "three were missed");
        home.world.now = 8 * DAY;
        home.boards = Boards::default();
        assert_eq!(home.note().len(), 2, "a clock that is set back brings none again");
        let key = *home.boards.events().next().expect("it waits").0;
        home.run(|boards, ctx| boards.told(ctx, &key));
        home.boards = Boards::default();
        assert_eq!(home.note(), [(9 * DAY, 0)]);
        home.run(|boards, ctx| boards.delete(ctx, "board")).expect("it is there");
        home.world.now = 12 * DAY;
        assert_eq!(home.note(), [(9 * DAY, 0)]);
    }
}
