//! One pool in virtual time, deterministic for a seed: what a tick costs while tickets arrive,
//! leave and are matched at the rates of a steady state. `CASE WAITING SECONDS SEED` prints
//! `name value` lines; `count ADDS WAITING` only adds, for whoever counts instructions.

mod quality;
mod queue;

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::collections::IdMap;
use base::rng::Rng;
use base::{Instant, SessionId, TicketId, UnixTime, UserId};
use matchmaker::{Counts, Mode, Owner, Pool, Presence, Query, Settings, Ticket};
use mimalloc::MiMalloc;

/// Counts the bytes in use, as they were asked for.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the allocator of the server.
#[allow(unsafe_code, reason = "an allocator that counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as asked.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as asked.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a driver lets the pool do in a tick of a millisecond.
const BUDGET: usize = 2_000;
const TICKS_PER_S: usize = 1_000;
/// Of the tickets that arrive, those that are taken back.
const CANCELLED: f64 = 0.2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    OneOnOne,
    FiveOnFive,
    Queries,
}

fn main() -> Result<(), &'static str> {
    const USAGE: &str = "usage: matchmaker_bench nakama-1v1|nakama-5v5|nakama-queries|queue-5v5 WAITING SECONDS SEED | count CASE WAITING ADDS | quality 1v1|5v5|thin SEED";
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<usize>().map_err(|_| USAGE);
    match words[..] {
        ["count", "queue-5v5", waiting, adds] => queue::count(number(waiting)?, number(adds)?),
        ["count", case, waiting, adds] => {
            count(case_of(case).ok_or(USAGE)?, number(waiting)?, number(adds)?);
        }
        ["quality", scenario, seed] => quality::run(scenario, number(seed)?)?,
        ["queue-5v5", waiting, seconds, seed] => {
            queue::steady(number(waiting)?, number(seconds)?, number(seed)?);
        }
        [case, waiting, seconds, seed] => match case_of(case).ok_or(USAGE)? {
            Case::Queries => queries(number(waiting)?, number(seconds)?, number(seed)?),
            case => steady(case, number(waiting)?, number(seconds)?, number(seed)?),
        },
        _ => return Err(USAGE),
    }
    Ok(())
}

fn case_of(name: &str) -> Option<Case> {
    Some(match name {
        "nakama-1v1" => Case::OneOnOne,
        "nakama-5v5" => Case::FiveOnFive,
        "nakama-queries" => Case::Queries,
        _ => return None,
    })
}

/// The players of a game, who arrive one after another.
struct Players {
    case: Case,
    rng: Rng,
    drawn: u64,
    /// Different places: the more wait, the more there are, so that about as many suit each.
    places: u32,
}

impl Players {
    fn new(case: Case, waiting: usize, seed: usize) -> Players {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(seed as u64).to_le_bytes());
        // How many tickets of its max count each place has, and then how many lie in the span of
        // ratings, decides how long tickets wait.
        let per_place = match case {
            Case::OneOnOne => 14,
            Case::FiveOnFive => 22,
            Case::Queries => 50, // tickets of a room
        };
        let places = u32::try_from((waiting / per_place).max(1)).expect("a few millions at most");
        Players { case, rng: Rng::from_seed(bytes), drawn: 0, places }
    }

    /// Uniform in 0..1.
    fn share(&mut self) -> f64 {
        f64::from(self.rng.below(1 << 30)) / f64::from(1 << 30)
    }

    fn id(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn next(&mut self) -> (Ticket, String) {
        if self.case == Case::Queries {
            return asker(self);
        }
        self.drawn += 1;
        let (size, counts, reach) = match self.case {
            Case::OneOnOne => (1, (2, 2), 22.0),
            Case::FiveOnFive | Case::Queries => {
                let size = match self.rng.below(100) {
                    0..70 => 1,
                    70..88 => 2,
                    88..94 => 3,
                    94..97 => 4,
                    _ => 5,
                };
                (size, (10, 10), 110.0)
            }
        };
        // A place is a region of 20, a mode of 10, and a map.
        let place = self.rng.below(self.places);
        let (region, mode, map) = (place % 20, place / 20 % 10, place / 200);
        // The sum of three uniform draws: a bell of standard deviation 350 around 1500.
        let rating = 1500.0 + 700.0 * (self.share() + self.share() + self.share() - 1.5);
        let query = format!(
            "+properties.region:r{region} +properties.mode:m{mode} +properties.map:p{map} \
             +properties.rating:>={:.1} +properties.rating:<={:.1}",
            rating - reach,
            rating + reach
        );
        let strings = [("region", 'r', region), ("mode", 'm', mode), ("map", 'p', map)];
        let strings =
            strings.map(|(name, letter, value)| (name.into(), format!("{letter}{value}")));
        let ticket = self.ticket(size, counts, strings.into(), [("rating".into(), rating)].into());
        (ticket, query)
    }

    fn ticket(
        &mut self,
        size: u32,
        (min, max): (i32, i32),
        string_properties: BTreeMap<String, String>,
        numeric_properties: BTreeMap<String, f64>,
    ) -> Ticket {
        let entries = (0..size).map(|_| Presence {
            user_id: UserId::from_bytes(self.id()),
            session_id: SessionId::from_bytes(self.id()),
            username: format!("player{}", self.drawn).into(),
        });
        let entries = entries.collect();
        let party = (size > 1).then(|| base::PartyId::from_bytes(self.id()));
        Ticket {
            id: TicketId::from_bytes(self.id()),
            entries,
            party,
            counts: Counts::new(min, max, None).expect("good counts"),
            string_properties,
            numeric_properties,
            created: UnixTime(self.drawn),
        }
    }
}

/// Tickets that wait, so that a random one can leave.
#[derive(Default)]
struct Owners {
    tickets: Vec<(TicketId, Owner)>,
    places: IdMap<TicketId, usize>,
}

impl Owners {
    fn add(&mut self, ticket: &Ticket) {
        let owner = match ticket.party {
            Some(party) => Owner::Party(party),
            None => Owner::Session(ticket.entries[0].session_id),
        };
        self.places.insert(ticket.id, self.tickets.len());
        self.tickets.push((ticket.id, owner));
    }

    fn remove(&mut self, id: TicketId) {
        let Some(place) = self.places.remove(&id) else { return };
        self.tickets.swap_remove(place);
        if let Some((moved, _)) = self.tickets.get(place) {
            self.places.insert(*moved, place);
        }
    }

    fn forget_matched(&mut self, pool: &mut Pool) {
        while let Some(formed) = pool.poll_match() {
            formed.tickets.iter().for_each(|ticket| self.remove(ticket.id));
        }
    }

    fn draw(&mut self, rng: &mut Rng) -> Option<(TicketId, Owner)> {
        let count = u32::try_from(self.tickets.len()).expect("a few millions at most");
        let (id, owner) = *self.tickets.get(rng.below(count.max(1)) as usize)?;
        self.remove(id);
        Some((id, owner))
    }
}

fn pool(rev_precision: bool) -> Pool {
    let settings = Settings {
        mode: Mode::Immediate,
        interval: Duration::from_secs(15),
        max_intervals: 2,
        max_tickets: 3,
        rev_precision,
        rev_threshold: 1,
    };
    Pool::new(settings, 7, "node")
}

/// Arrivals a second: a ticket waits for ten seconds, as things are in a steady state; in the pool
/// of a million, for twenty.
fn arrivals_per_s(waiting: usize) -> usize {
    if waiting > 500_000 { waiting / 20 } else { waiting / 10 }
}

fn steady(case: Case, waiting: usize, seconds: usize, seed: usize) {
    let mut players = Players::new(case, waiting, seed);
    let mut dice = players.rng.child("dice");
    let mut pool = pool(false);
    let mut owners = Owners::default();
    let now = Instant(0);
    // To the steady state: first all at once, then as they come and go.
    let per_tick = arrivals_per_s(waiting) as f64 / TICKS_PER_S as f64;
    let used = USED.load(Ordering::Relaxed);
    fill(waiting, &mut players, &mut pool, &mut owners);
    println!("bytes_per_ticket {:.0}", per_ticket(used, &owners));

    let mut ticks = Vec::new();
    let mut ages = Vec::new();
    let (mut arrived, mut matched, mut cancelled) = (0_u64, 0_u64, 0_u64);
    let (mut due_arrivals, mut due_cancels) = (0.0, 0.0);
    let mut busy = Duration::ZERO;
    let mut carried = 0_u64;
    let warm_up = seconds / 2 * TICKS_PER_S;
    let mut begun_with = 0;
    for tick in 0..warm_up + seconds * TICKS_PER_S {
        if tick == warm_up {
            ticks.clear();
            ages.clear();
            (arrived, matched, cancelled, busy) = (0, 0, 0, Duration::ZERO);
            begun_with = pool.len();
        }
        due_arrivals += per_tick;
        due_cancels += per_tick * CANCELLED;
        let mut leaving = Vec::new();
        while due_cancels >= 1.0 {
            due_cancels -= 1.0;
            leaving.extend(owners.draw(&mut dice));
        }
        let mut new = Vec::new();
        while due_arrivals >= 1.0 {
            due_arrivals -= 1.0;
            let (ticket, query) = players.next();
            owners.add(&ticket);
            new.push((ticket, Query::parse(&query).expect("a good query")));
        }
        arrived += new.len() as u64;
        let begin = std::time::Instant::now();
        for (id, owner) in &leaving {
            cancelled += u64::from(pool.remove(*id, *owner).is_ok());
        }
        for (ticket, query) in new {
            pool.add(ticket, &query).expect("room");
        }
        let has_more = pool.step(BUDGET, now);
        let mut formed = Vec::new();
        while let Some(one) = pool.poll_match() {
            formed.push(one);
        }
        let time = begin.elapsed();
        busy += time;
        ticks.push(time);
        carried = if has_more { carried + 1 } else { 0 };
        ages.push(Duration::from_millis(carried));
        for ticket in formed.iter().flat_map(|one| &one.tickets) {
            matched += 1;
            owners.remove(ticket.id);
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    ticks.sort_unstable();
    ages.sort_unstable();
    let at = |times: &[Duration], share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("tick_p50 {:.1}", micros(at(&ticks, 0.5)));
    println!("tick_p99 {:.1}", micros(at(&ticks, 0.99)));
    println!("tick_max {:.1}", micros(at(&ticks, 1.0)));
    println!("carried_age_p99 {:.0}", micros(at(&ages, 0.99)));
    println!("steady_ops_per_s {:.0}", (arrived + cancelled) as f64 / busy.as_secs_f64());
    println!("matched_share {:.3}", matched as f64 / arrived as f64);
    println!("waiting_at_begin {begun_with}");
    println!("waiting_at_end {}", pool.len());

    // As many adds as cancels, all the time.
    let ops = 200_000;
    let (mut done, mut busy) = (0, Duration::ZERO);
    while done < ops {
        let (ticket, query) = players.next();
        let query = Query::parse(&query).expect("a good query");
        let leaving = owners.draw(&mut dice);
        owners.add(&ticket);
        let begin = std::time::Instant::now();
        if let Some((id, owner)) = leaving {
            pool.remove(id, owner).expect("it waits");
        }
        pool.add(ticket, &query).expect("room");
        while pool.step(BUDGET, now) {}
        busy += begin.elapsed();
        done += 2;
        owners.forget_matched(&mut pool);
    }
    println!("adds_cancels_per_s {:.0}", f64::from(done) / busy.as_secs_f64());
}

/// Distinct queries.
const QUERIES: u32 = 10_000;

/// What a ticket of [`queries`] asks for, and is.
#[derive(Clone, Copy)]
enum Kind {
    /// No ticket that waits has what it asks for.
    Nothing,
    /// It accepts the tickets of one room, which accept nobody.
    Room,
    /// It accepts all duellists of some ratings and modes, more than 10,000 of 100,000 tickets,
    /// whose counts exclude it.
    Counts,
    /// The same; no duellist accepts it, and nobody else does.
    Guest,
    /// It accepts most guests, who do not accept it: so guests are accepted by many, too.
    Watcher,
}

/// Tickets of 10,000 distinct queries of four clauses, mutual matches, and none that can form.
fn asker(players: &mut Players) -> (Ticket, String) {
    players.drawn += 1;
    let number = players.rng.below(QUERIES);
    let kind = match number % 9 {
        0..3 => Kind::Nothing,
        3..6 => Kind::Room,
        6 => Kind::Counts,
        7 => Kind::Guest,
        _ => Kind::Watcher,
    };
    let place = number / 9;
    let (low, high) = (800 + place % 100, 2200 - place / 100 % 100);
    let rating = 3000.0 * players.share();
    let mode = players.rng.below(4);
    let (own, wanted) = match kind {
        Kind::Nothing => ("duel", format!("+properties.room:closed{place}")),
        Kind::Room => ("duel", format!("+properties.room:room{}", place % players.places)),
        Kind::Counts => ("raid", "+properties.kind:duel".to_owned()),
        Kind::Guest => ("guest", "+properties.kind:duel".to_owned()),
        Kind::Watcher => ("watch", "+properties.kind:guest".to_owned()),
    };
    let (low, high) = match kind {
        Kind::Watcher => (low - 800, high + 800),
        _ => (low, high),
    };
    let query = format!(
        "{wanted} +properties.rating:>={low} +properties.rating:<={high} -properties.mode:m{}",
        place % 5 // no ticket has the last one
    );
    let room = match kind {
        Kind::Nothing => format!("room{}", players.rng.below(players.places)),
        _ => "lobby".to_owned(),
    };
    let strings = [("kind", own.to_owned()), ("room", room)];
    let strings = strings.into_iter().chain([("mode", format!("m{mode}"))]);
    let strings = strings.map(|(name, text)| (name.to_owned(), text)).collect();
    let counts = if matches!(kind, Kind::Counts) { (10, 10) } else { (2, 2) };
    let ticket = players.ticket(1, counts, strings, [("rating".into(), rating)].into());
    (ticket, query)
}

fn queries(waiting: usize, seconds: usize, seed: usize) {
    let mut players = Players::new(Case::Queries, waiting, seed);
    let mut dice = players.rng.child("dice");
    let mut pool = pool(true);
    let mut owners = Owners::default();
    let used = USED.load(Ordering::Relaxed);
    fill(waiting, &mut players, &mut pool, &mut owners);
    println!("bytes_per_ticket {:.0}", per_ticket(used, &owners));
    let (mut adds, mut busy) = (0_u32, Duration::ZERO);
    let mut times = Vec::new();
    while busy < Duration::from_secs(seconds as u64) {
        let (id, owner) = owners.draw(&mut dice).expect("many wait");
        pool.remove(id, owner).expect("it waits");
        let (ticket, query) = players.next();
        owners.add(&ticket);
        let begin = std::time::Instant::now();
        pool.add(ticket, &Query::parse(&query).expect("a good query")).expect("room");
        while pool.step(BUDGET, Instant(0)) {}
        let time = begin.elapsed();
        assert!(pool.poll_match().is_none(), "nobody is accepted");
        busy += time;
        adds += 1;
        times.push(time);
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("adds_per_s {:.0}", f64::from(adds) / busy.as_secs_f64());
    println!("add_p50 {:.1}", at(0.5));
    println!("add_p99 {:.1}", at(0.99));
    println!("waiting_at_end {}", pool.len());
}

/// Bytes in use.
fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

/// Bytes that each waiting ticket takes, but for what the benchmark knows of it.
fn per_ticket(used: usize, owners: &Owners) -> f64 {
    let owned = owners.tickets.capacity() * size_of::<(TicketId, Owner)>()
        + owners.places.capacity() * 8 / 7 * (size_of::<(TicketId, usize)>() + 1);
    (USED.load(Ordering::Relaxed) - used - owned) as f64 / owners.tickets.len() as f64
}

/// Adds tickets to a pool that is full already, and cancels as many.
fn count(case: Case, waiting: usize, adds: usize) {
    let mut players = Players::new(case, waiting, 1);
    let mut pool = pool(case == Case::Queries);
    let mut owners = Owners::default();
    fill(waiting, &mut players, &mut pool, &mut owners);
    let mut dice = players.rng.child("dice");
    for _ in 0..adds {
        let (ticket, query) = players.next();
        let leaving = owners.draw(&mut dice).expect("many wait");
        owners.add(&ticket);
        add_and_cancel(&mut pool, ticket, &query, leaving);
        owners.forget_matched(&mut pool);
    }
}

/// Its instructions are counted.
#[inline(never)]
fn add_and_cancel(pool: &mut Pool, ticket: Ticket, query: &str, (id, owner): (TicketId, Owner)) {
    pool.remove(id, owner).expect("it waits");
    pool.add(ticket, &Query::parse(query).expect("a good query")).expect("room");
    while pool.step(BUDGET, Instant(0)) {}
}

/// Until so many wait, or more come no nearer to it.
fn fill(waiting: usize, players: &mut Players, pool: &mut Pool, owners: &mut Owners) {
    for _ in 0..2 * waiting {
        if pool.len() >= waiting {
            return;
        }
        add_one(players, pool, owners);
    }
}

fn add_one(players: &mut Players, pool: &mut Pool, owners: &mut Owners) {
    let (ticket, query) = players.next();
    owners.add(&ticket);
    pool.add(ticket, &Query::parse(&query).expect("a good query")).expect("room");
    while pool.step(BUDGET, Instant(0)) {}
    owners.forget_matched(pool);
}
