//! How good matches are and how long players wait for them: a declared queue, first come first
//! served, and Nakama's matchmaker, over the same players in virtual time.
//!
//! Players arrive as a Poisson process with a daily wave, alone or in parties, from twelve regions,
//! with roles and a rating that follows a skill nobody sees; they give up after a while, and come
//! back after their match. Every contender is tuned by the same search over twelve settings.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base::rng::Rng;
use base::{Instant, SessionId, TicketId, UnixTime, UserId};
use matchmaker::queue::{Definition, Event, Queue, Role, Seat, Steps, deal};
use matchmaker::{Counts, Mode, Owner, Pool, Presence, Query, Settings, Ticket};

use crate::BUDGET;

const STEP: Duration = Duration::from_millis(100);
const STEPS_PER_S: usize = 10;
/// Of virtual time: a day of an hour, after a warm-up.
const DAY_S: usize = 3_600;
const WARM_UP_S: usize = 600;
const MATCH_S: f64 = 900.0;
/// Of those who played, who plays again.
const AGAIN: f64 = 0.6;
/// Mean of the time after which players give up.
const PATIENCE_S: f64 = 240.0;
const REGIONS: usize = 12;
const ROLES: [&str; 5] = ["top", "jungle", "mid", "carry", "support"];
/// How often a role is named first, of 100.
const POPULAR: [u32; 5] = [20, 15, 30, 25, 10];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Scenario {
    team_size: usize,
    has_roles: bool,
    /// New tickets a second, on the mean of a day.
    rate: f64,
}

fn scenario(name: &str) -> Option<Scenario> {
    Some(match name {
        "1v1" => Scenario { team_size: 1, has_roles: false, rate: 4.0 },
        "5v5" => Scenario { team_size: 5, has_roles: true, rate: 6.0 },
        "thin" => Scenario { team_size: 5, has_roles: true, rate: 1.0 },
        _ => return None,
    })
}

/// A contender with one of its twelve settings.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    /// Points of the window at first and at last, and seconds between.
    Ours { from: f64, to: f64, over: u64 },
    /// Seconds for which tickets are held, so that there are more to choose of.
    Fcfs { hold: u64 },
    /// Points by which ratings may differ, and seconds between passes.
    Nakama { reach: f64, interval: u64 },
}

const CASES: [&str; 3] = ["ours", "fcfs", "nakama"];

fn settings(case: &str) -> Vec<Setting> {
    let mut all = Vec::new();
    match case {
        "ours" => {
            let terms = [
                (25.0, 50.0, 40),
                (25.0, 100.0, 40),
                (25.0, 300.0, 20),
                (25.0, 300.0, 40),
                (25.0, 600.0, 40),
                (50.0, 100.0, 40),
                (50.0, 300.0, 20),
                (50.0, 300.0, 40),
                (50.0, 600.0, 40),
                (100.0, 300.0, 40),
                (100.0, 600.0, 20),
                (100.0, 600.0, 40),
            ];
            all.extend(terms.map(|(from, to, over)| Setting::Ours { from, to, over }));
        }
        "fcfs" => {
            let holds = [0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 45, 60];
            all.extend(holds.map(|hold| Setting::Fcfs { hold }));
        }
        _ => {
            for reach in [50.0, 100.0, 200.0, 400.0, 800.0, 1600.0] {
                all.extend([5, 15].map(|interval| Setting::Nakama { reach, interval }));
            }
        }
    }
    all
}

/// The matchmaker of a contender: tickets in, matches out.
enum Contender {
    Ours(Box<Queue>),
    Fcfs { hold: Duration, waiting: Vec<VecDeque<(Instant, Ticket)>> },
    Nakama { pool: Box<Pool>, reach: f64, next: Instant, interval: Duration },
}

fn definition(scenario: Scenario) -> Definition {
    let mut definition = Definition::new("quality", scenario.team_size);
    if scenario.has_roles {
        definition.roles = ROLES.map(|name| Role { name: name.into(), slots: 1 }).into();
        definition.autofill = Some(Duration::from_secs(30));
    }
    definition.regions = (0..REGIONS).map(|region| format!("r{region}")).collect();
    definition
}

impl Contender {
    fn new(setting: Setting, scenario: Scenario) -> Contender {
        match setting {
            Setting::Ours { from, to, over } => {
                let mut definition = definition(scenario);
                definition.rating.window = Steps::evenly(from, to, Duration::from_secs(over));
                definition.check().expect("a good definition");
                Contender::Ours(Box::new(Queue::new(Arc::new(definition))))
            }
            Setting::Fcfs { hold } => Contender::Fcfs {
                hold: Duration::from_secs(hold),
                waiting: vec![VecDeque::new(); REGIONS],
            },
            Setting::Nakama { reach, interval } => {
                let interval = Duration::from_secs(interval);
                let settings = Settings {
                    mode: Mode::Compatible,
                    interval,
                    max_intervals: 2,
                    max_tickets: 3,
                    rev_precision: true,
                    rev_threshold: 1,
                };
                let pool = Box::new(Pool::new(settings, 7, "node"));
                Contender::Nakama { pool, reach, next: Instant(0).after(interval), interval }
            }
        }
    }

    fn add(&mut self, mut ticket: Ticket, home: usize, now: Instant) {
        match self {
            Contender::Ours(queue) => queue.add(&ticket, now).expect("a good ticket"),
            Contender::Fcfs { waiting, .. } => waiting[home].push_back((now, ticket)),
            Contender::Nakama { pool, reach, .. } => {
                // As its documentation has it: the region, and a range around the own rating.
                let rating = ticket.numeric_properties["rating"];
                let query = format!(
                    "+properties.region:r{home} +properties.rating:>={:.1} \
                     +properties.rating:<={:.1}",
                    rating - *reach,
                    rating + *reach
                );
                ticket.string_properties.insert("region".into(), format!("r{home}"));
                let query = Query::parse(&query).expect("a good query");
                pool.add(ticket, &query).expect("room");
            }
        }
    }

    fn remove(&mut self, id: TicketId, owner: Owner, home: usize) {
        match self {
            Contender::Ours(queue) => drop(queue.remove(id, owner)),
            Contender::Fcfs { waiting, .. } => {
                waiting[home].retain(|(_, ticket)| ticket.id != id);
            }
            Contender::Nakama { pool, .. } => drop(pool.remove(id, owner)),
        }
    }

    fn step(&mut self, scenario: Scenario, now: Instant) -> Vec<Vec<Ticket>> {
        match self {
            Contender::Ours(queue) => {
                while queue.step(BUDGET, now) {}
                let events = std::iter::from_fn(|| queue.poll_event());
                let matched = events.filter_map(|event| match event {
                    Event::Matched(lineup) => Some(lineup.tickets),
                    _ => None,
                });
                matched.collect()
            }
            Contender::Fcfs { hold, waiting } => {
                let first = |line: &mut VecDeque<_>| first_come(line, *hold, scenario, now);
                waiting
                    .iter_mut()
                    .flat_map(|line| std::iter::from_fn(move || first(line)))
                    .collect()
            }
            Contender::Nakama { pool, next, interval, .. } => {
                if now >= *next {
                    *next = next.after(*interval);
                    pool.begin_pass(now);
                    while pool.step(BUDGET, now) {}
                }
                std::iter::from_fn(|| pool.poll_match()).map(|one| one.tickets).collect()
            }
        }
    }
}

/// The first tickets of a line that fill the teams, once the first of them was held long enough;
/// who does not fit is passed over.
fn first_come(
    line: &mut VecDeque<(Instant, Ticket)>,
    hold: Duration,
    scenario: Scenario,
    now: Instant,
) -> Option<Vec<Ticket>> {
    let (came, _) = line.front()?;
    if now.since(*came) < hold {
        return None;
    }
    let mut room = [scenario.team_size; 2];
    let mut chosen = Vec::new();
    for (place, (_, ticket)) in line.iter().enumerate() {
        let size = ticket.entries.len();
        let fits = (0..2).filter(|team| room[*team] >= size).min_by_key(|team| room[*team]);
        if let Some(team) = fits {
            room[team] -= size;
            chosen.push(place);
        }
        if room == [0, 0] {
            let taken = chosen.iter().rev().filter_map(|place| line.remove(*place));
            let mut taken: Vec<_> = taken.map(|(_, ticket)| ticket).collect();
            taken.reverse();
            return Some(taken);
        }
    }
    None
}

/// A player or a party, before and between matches.
#[derive(Clone, Debug)]
struct Group {
    ticket: Ticket,
    home: usize,
}

struct World {
    scenario: Scenario,
    rng: Rng,
    drawn: u64,
}

impl World {
    /// Uniform in 0..1.
    fn share(&mut self) -> f64 {
        (f64::from(self.rng.below(1 << 30)) + 0.5) / f64::from(1 << 30)
    }

    /// Of an exponential distribution.
    fn waiting_time(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * self.share().ln())
    }

    /// Of a normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.share().ln()).sqrt(), self.share());
        radius * (2.0 * std::f64::consts::PI * angle).cos()
    }

    fn id(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn role(&mut self) -> usize {
        let mut at = self.rng.below(100);
        POPULAR
            .iter()
            .position(|share| {
                let is_it = at < *share;
                at = at.saturating_sub(*share);
                is_it
            })
            .unwrap_or(0)
    }

    fn group(&mut self) -> Group {
        self.drawn += 1;
        let size = match self.rng.below(100) {
            _ if self.scenario.team_size == 1 => 1,
            0..70 => 1,
            70..88 => 2,
            88..94 => 3,
            94..97 => 4,
            _ => 5,
        };
        // Few far regions, many near ones; friends are alike.
        let home = self.rng.below(REGIONS as u32).min(self.rng.below(REGIONS as u32)) as usize;
        let skill = 1500.0 + 300.0 * self.normal();
        let (mut texts, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        let mut entries = Vec::new();
        let mut sum = 0.0;
        for _ in 0..size {
            let user_id = UserId::from_bytes(self.id());
            let session_id = SessionId::from_bytes(self.id());
            entries.push(Presence { user_id, session_id, username: "player".into() });
            // A skill that nobody sees, with a tail of the very good, and a rating that follows it.
            let own =
                skill + 80.0 * self.normal() + if self.rng.below(50) == 0 { 500.0 } else { 0.0 };
            let rating = own + 60.0 * self.normal();
            sum += rating;
            numbers.insert(format!("rating@{user_id}"), rating);
            if self.scenario.has_roles {
                let (first, second) = (self.role(), self.role());
                let name = if size > 1 { format!("roles@{user_id}") } else { "roles".into() };
                texts.insert(name, format!("{},{}", ROLES[first], ROLES[second]));
            }
        }
        numbers.insert("rating".into(), sum / f64::from(size));
        for region in 0..REGIONS {
            let apart = home.abs_diff(region).min(REGIONS - home.abs_diff(region));
            let latency = 15.0 + 22.0 * apart as f64 + 10.0 * self.share();
            numbers.insert(format!("latency.r{region}"), latency);
        }
        let ticket = Ticket {
            id: TicketId::from_bytes(self.id()),
            party: (size > 1).then(|| base::PartyId::from_bytes(self.id())),
            entries,
            counts: counts(self.scenario),
            string_properties: texts,
            numeric_properties: numbers,
            created: UnixTime(self.drawn),
        };
        Group { ticket, home }
    }
}

fn counts(scenario: Scenario) -> Counts {
    let players = i32::try_from(2 * scenario.team_size).expect("few");
    Counts::new(players, players, None).expect("good counts")
}

/// What a run has shown.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// Seconds, of tickets that were matched or gave up.
    waits: Vec<f64>,
    gave_up: usize,
    matches: usize,
    /// Matches whose predicted win probability lies within 45 to 55 %.
    fair: usize,
    spreads: Vec<f64>,
    players: usize,
    /// Players with a role that they named.
    in_role: usize,
}

impl Outcome {
    fn of(values: &[f64], share: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = ((sorted.len().max(1) - 1) as f64 * share) as usize;
        sorted.get(at).copied().unwrap_or(f64::INFINITY)
    }

    fn wait(&self, share: f64) -> f64 {
        Outcome::of(&self.waits, share)
    }

    fn fair_share(&self) -> f64 {
        self.fair as f64 / self.matches.max(1) as f64
    }
}

/// A ticket that waits: since when, whose, and of which group.
struct Waits {
    since: Instant,
    group: Group,
}

fn play(setting: Setting, scenario: Scenario, seed: usize) -> Outcome {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(seed as u64).to_le_bytes());
    let mut world = World { scenario, rng: Rng::from_seed(bytes), drawn: 0 };
    let mut contender = Contender::new(setting, scenario);
    let names = definition(scenario);
    let mut waiting: BTreeMap<TicketId, Waits> = BTreeMap::new();
    let mut ends: BinaryHeap<Reverse<(Instant, TicketId)>> = BinaryHeap::new();
    let mut back: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    let mut away: BTreeMap<u64, Group> = BTreeMap::new();
    let mut outcome = Outcome::default();
    let (mut due, mut now) = (0.0, Instant(1));
    let begin = Instant(1).after(Duration::from_secs(WARM_UP_S as u64));
    for step in 0..(WARM_UP_S + DAY_S) * STEPS_PER_S {
        now = now.after(STEP);
        let day = step as f64 / (DAY_S * STEPS_PER_S) as f64;
        let wave = 1.0 + 0.6 * (2.0 * std::f64::consts::PI * day).sin();
        due += scenario.rate * wave / STEPS_PER_S as f64 * -world.share().ln();
        let mut new = Vec::new();
        while due >= 1.0 {
            due -= 1.0;
            new.push(world.group());
        }
        while back.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, number))) = back.pop() else { break };
            let Some(mut group) = away.remove(&number) else { continue };
            world.drawn += 1;
            group.ticket.id = TicketId::from_bytes(world.id());
            group.ticket.created = UnixTime(world.drawn);
            new.push(group);
        }
        for group in new {
            let id = group.ticket.id;
            contender.add(group.ticket.clone(), group.home, now);
            ends.push(Reverse((now.after(world.waiting_time(PATIENCE_S)), id)));
            waiting.insert(id, Waits { since: now, group });
        }
        while ends.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, id))) = ends.pop() else { break };
            let Some(Waits { since, group }) = waiting.remove(&id) else { continue };
            contender.remove(id, owner(&group.ticket), group.home);
            if since >= begin {
                outcome.waits.push(now.since(since).as_secs_f64());
                outcome.gave_up += 1;
            }
        }
        for tickets in contender.step(scenario, now) {
            let is_counted = now >= begin;
            for ticket in &tickets {
                let Some(Waits { since, group }) = waiting.remove(&ticket.id) else { continue };
                if is_counted {
                    outcome.waits.push(now.since(since).as_secs_f64());
                }
                if world.share() < AGAIN {
                    world.drawn += 1;
                    let rest = world.waiting_time(MATCH_S);
                    back.push(Reverse((now.after(rest), world.drawn)));
                    away.insert(world.drawn, group);
                }
            }
            if is_counted {
                judge(&names, &tickets, &mut outcome);
            }
        }
    }
    outcome
}

fn owner(ticket: &Ticket) -> Owner {
    match ticket.party {
        Some(party) => Owner::Party(party),
        None => Owner::Session(ticket.entries[0].session_id),
    }
}

/// Teams are dealt out for every contender in the same way, the best there is.
fn judge(definition: &Definition, tickets: &[Ticket], outcome: &mut Outcome) {
    let Some((seats, win_probability)) = deal(definition, tickets) else { return };
    outcome.matches += 1;
    outcome.fair += usize::from(win_probability <= 0.55);
    let ratings = || tickets.iter().map(|ticket| ticket.numeric_properties["rating"]);
    let most = ratings().fold(f64::NEG_INFINITY, f64::max);
    outcome.spreads.push(most - ratings().fold(f64::INFINITY, f64::min));
    let seats: Vec<Seat> = seats.into_iter().flatten().collect();
    outcome.players += seats.len();
    outcome.in_role += seats.iter().filter(|seat| !seat.is_autofilled).count();
}

/// Whether one outcome is to be preferred: waits of a minute at most first, then fair matches, then
/// short waits.
fn rank(outcome: &Outcome) -> (bool, f64, f64) {
    let wait = outcome.wait(0.95);
    (wait <= 60.0, (outcome.fair_share() * 1000.0).round(), -wait)
}

/// Plays every setting of every contender, and prints the figures of the best ones; `point` lines
/// are the curve of each.
pub(crate) fn run(name: &str, seed: usize) -> Result<(), &'static str> {
    let scenario = scenario(name).ok_or("a scenario is 1v1, 5v5 or thin")?;
    for case in CASES {
        let mut best: Option<(Setting, Outcome)> = None;
        for setting in settings(case) {
            let outcome = play(setting, scenario, seed);
            println!(
                "point {case} {:.3} {:.4} {setting:?}",
                outcome.wait(0.95),
                outcome.fair_share()
            );
            let is_better = best.as_ref().is_none_or(|(_, known)| rank(&outcome) > rank(known));
            if is_better {
                best = Some((setting, outcome));
            }
        }
        let Some((setting, outcome)) = best else { continue };
        println!("tuned {case} {setting:?}");
        let tickets = outcome.waits.len().max(1) as f64;
        for (figure, value) in [
            ("wait_p50_s", outcome.wait(0.5)),
            ("wait_p95_s", outcome.wait(0.95)),
            ("wait_p99_s", outcome.wait(0.99)),
            ("wait_max_s", outcome.wait(1.0)),
            ("fair_share", outcome.fair_share()),
            ("rating_spread_p95", Outcome::of(&outcome.spreads, 0.95)),
            ("role_share", outcome.in_role as f64 / outcome.players.max(1) as f64),
            ("gave_up_share", outcome.gave_up as f64 / tickets),
            ("matches", outcome.matches as f64),
        ] {
            println!("{case} {figure} {value:.4}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sizes: &[usize]) -> VecDeque<(Instant, Ticket)> {
        let scenario = scenario("5v5").expect("it is one");
        let mut world = World { scenario, rng: Rng::from_seed([3; 32]), drawn: 0 };
        let mut line = VecDeque::new();
        for size in sizes {
            let ticket = loop {
                let ticket = world.group().ticket;
                if ticket.entries.len() == *size {
                    break ticket;
                }
            };
            line.push_back((Instant(0), ticket));
        }
        line
    }

    #[test]
    fn first_come_first_served_passes_over_who_does_not_fit() {
        let scenario = scenario("5v5").expect("it is one");
        let take = |line: &mut VecDeque<_>, hold: u64, now: u64| {
            let (hold, now) = (Duration::from_secs(hold), Instant(now * 1_000_000_000));
            let taken = first_come(line, hold, scenario, now)?;
            Some(taken.iter().map(|ticket| ticket.entries.len()).collect::<Vec<_>>())
        };
        let mut waiting = line(&[3, 3, 3, 2, 1, 1, 1, 1, 1]);
        assert_eq!(take(&mut waiting, 5, 4), None, "they are held");
        assert_eq!(take(&mut waiting, 5, 5), Some(vec![3, 3, 2, 1, 1]));
        assert_eq!(waiting.len(), 4, "a party of three was passed over");
        assert_eq!(take(&mut waiting, 0, 5), None);
    }

    #[test]
    fn a_run_is_the_same_for_a_seed_and_every_contender_plays() {
        let scenario = Scenario { rate: 1.0, ..scenario("1v1").expect("it is one") };
        for case in CASES {
            let setting = settings(case)[3];
            let [one, other] = [(); 2].map(|()| play(setting, scenario, 5));
            assert_eq!((one.matches, &one.waits), (other.matches, &other.waits), "{case}");
            assert!(one.matches > 500, "{case}: {}", one.matches);
            assert_eq!(settings(case).len(), 12, "the same budget for each");
        }
    }
}
