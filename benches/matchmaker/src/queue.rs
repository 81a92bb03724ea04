//! The case `queue-5v5`: a declared queue of two teams of five, with parties, roles and regions.

use std::sync::Arc;
use std::time::Duration;

use base::rng::Rng;
use base::{Instant, SessionId, TicketId, UnixTime, UserId};
use matchmaker::queue::{Attribute, Definition, Event, Queue, Role, Rule};
use matchmaker::{Counts, Owner, Presence, Ticket};

use crate::{BUDGET, CANCELLED, Owners, TICKS_PER_S, arrivals_per_s, per_ticket, used};

const ROLES: [&str; 5] = ["top", "jungle", "mid", "carry", "support"];
const REGIONS: [&str; 3] = ["eu", "us", "asia"];

/// Tickets of each place, and the more places the more wait.
const PER_PLACE: usize = 60;

fn definition() -> Definition {
    let mut definition = Definition::new("ranked", 5);
    definition.roles = ROLES.iter().map(|name| Role { name: (*name).into(), slots: 1 }).collect();
    definition.autofill = Some(Duration::from_secs(20));
    definition.regions = REGIONS.iter().map(|name| (*name).into()).collect();
    definition.attributes = vec![Attribute { name: "place".into(), rule: Rule::Equal }];
    definition.check().expect("a good definition");
    definition
}

struct Players {
    rng: Rng,
    drawn: u64,
    places: u32,
}

impl Players {
    fn share(&mut self) -> f64 {
        f64::from(self.rng.below(1 << 30)) / f64::from(1 << 30)
    }

    fn id(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn next(&mut self) -> Ticket {
        self.drawn += 1;
        let size = match self.rng.below(100) {
            0..70 => 1,
            70..88 => 2,
            88..94 => 3,
            94..97 => 4,
            _ => 5,
        };
        let entries: Vec<_> = (0..size)
            .map(|_| Presence {
                user_id: UserId::from_bytes(self.id()),
                session_id: SessionId::from_bytes(self.id()),
                username: format!("player{}", self.drawn).into(),
            })
            .collect();
        let place = format!("p{}", self.rng.below(self.places));
        let mut strings = vec![("queue".to_owned(), "ranked".to_owned()), ("place".into(), place)];
        for entry in &entries {
            let first = self.rng.below(5);
            let second = (first + 1 + self.rng.below(4)) % 5;
            let roles = format!("{},{}", ROLES[first as usize], ROLES[second as usize]);
            let name = match size {
                1 => "roles".to_owned(),
                _ => format!("roles@{}", entry.user_id),
            };
            strings.push((name, roles));
        }
        let rating = 1500.0 + 700.0 * (self.share() + self.share() + self.share() - 1.5);
        let mut numbers = vec![("rating".to_owned(), rating)];
        let home = self.rng.below(3) as usize;
        for (place, region) in REGIONS.iter().enumerate() {
            let far = if place == home { 20.0 } else { 100.0 };
            numbers.push((format!("latency.{region}"), far + 60.0 * self.share()));
        }
        let party = (size > 1).then(|| base::PartyId::from_bytes(self.id()));
        Ticket {
            id: TicketId::from_bytes(self.id()),
            entries,
            party,
            counts: Counts::new(2, 2, None).expect("good counts"),
            string_properties: strings.into_iter().collect(),
            numeric_properties: numbers.into_iter().collect(),
            created: UnixTime(self.drawn),
        }
    }
}

/// Adds tickets to a queue in which so many wait, and cancels as many.
pub(crate) fn count(waiting: usize, adds: usize) {
    let places = u32::try_from((waiting / PER_PLACE).max(1)).expect("a few millions at most");
    let mut players = Players { rng: Rng::from_seed([1; 32]), drawn: 0, places };
    let mut dice = players.rng.child("dice");
    let mut queue = Queue::new(Arc::new(definition()));
    let mut owners = Owners::default();
    let forget_matched = |queue: &mut Queue, owners: &mut Owners| {
        while let Some(event) = queue.poll_event() {
            if let Event::Matched(lineup) = event {
                lineup.tickets.iter().for_each(|ticket| owners.remove(ticket.id));
            }
        }
    };
    while queue.len() < waiting {
        let ticket = players.next();
        owners.add(&ticket);
        queue.add(&ticket, Instant(1)).expect("room");
        while queue.step(BUDGET, Instant(1)) {}
        forget_matched(&mut queue, &mut owners);
    }
    for _ in 0..adds {
        let ticket = players.next();
        let leaving = owners.draw(&mut dice).expect("many wait");
        owners.add(&ticket);
        add_and_cancel_queued(&mut queue, &ticket, leaving);
        forget_matched(&mut queue, &mut owners);
    }
}

/// Its instructions are counted.
#[inline(never)]
fn add_and_cancel_queued(queue: &mut Queue, ticket: &Ticket, (id, owner): (TicketId, Owner)) {
    queue.remove(id, owner).expect("it waits");
    queue.add(ticket, Instant(1)).expect("room");
    while queue.step(BUDGET, Instant(1)) {}
}

pub(crate) fn steady(waiting: usize, seconds: usize, seed: usize) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(seed as u64).to_le_bytes());
    let places = u32::try_from((waiting / PER_PLACE).max(1)).expect("a few millions at most");
    let mut players = Players { rng: Rng::from_seed(bytes), drawn: 0, places };
    let mut busy_time = Duration::ZERO;
    let mut cancelled = 0_u64;
    let mut dice = players.rng.child("dice");
    let mut queue = Queue::new(Arc::new(definition()));
    let mut owners = Owners::default();
    let before = used();
    let per_tick = arrivals_per_s(waiting) as f64 / TICKS_PER_S as f64;
    let (mut due_arrivals, mut due_cancels) = (0.0, 0.0);
    let (mut ticks, mut ages) = (Vec::new(), Vec::new());
    let (mut arrived, mut matched, mut carried) = (0_u64, 0_u64, 0_u64);
    let mut quality = 0.0;
    let mut fair = 0_u64;
    let mut formed = 0_u64;
    let mut begun_with = 0;
    let mut worst = [Duration::ZERO; 3];
    let warm_up = seconds.max(60) * TICKS_PER_S;
    let mut now = Instant(1);
    for tick in 0..warm_up + seconds * TICKS_PER_S {
        if tick == warm_up {
            (ticks, ages) = (Vec::new(), Vec::new());
            (arrived, matched, formed, quality, fair) = (0, 0, 0, 0.0, 0);
            (busy_time, cancelled) = (Duration::ZERO, 0);
            worst = [Duration::ZERO; 3];
            begun_with = queue.len();
            println!("bytes_per_ticket {:.0}", per_ticket(before, &owners));
        }
        now = now.after(Duration::from_millis(1));
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
            let ticket = players.next();
            owners.add(&ticket);
            new.push(ticket);
        }
        arrived += new.len() as u64;
        let begin = std::time::Instant::now();
        let mut since = begin;
        let mut note = |worst: &mut Duration| {
            let end = std::time::Instant::now();
            *worst = (*worst).max(end - since);
            since = end;
        };
        for (id, owner) in &leaving {
            cancelled += u64::from(queue.remove(*id, *owner).is_ok());
            note(&mut worst[0]);
        }
        for ticket in &new {
            queue.add(ticket, now).expect("room");
            note(&mut worst[1]);
        }
        let has_more = queue.step(BUDGET, now);
        note(&mut worst[2]);
        let mut events = Vec::new();
        while let Some(event) = queue.poll_event() {
            events.push(event);
        }
        let time = begin.elapsed();
        busy_time += time;
        ticks.push(time);
        carried = if has_more { carried + 1 } else { 0 };
        ages.push(Duration::from_millis(carried));
        for event in events {
            let Event::Matched(lineup) = event else { continue };
            formed += 1;
            quality += lineup.quality;
            fair += u64::from(lineup.win_probability <= 0.55);
            for ticket in &lineup.tickets {
                matched += 1;
                owners.remove(ticket.id);
            }
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    ticks.sort_unstable();
    ages.sort_unstable();
    let at = |times: &[Duration], share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("tick_p50 {:.1}", micros(at(&ticks, 0.5)));
    println!("tick_p99 {:.1}", micros(at(&ticks, 0.99)));
    println!("tick_max {:.1}", micros(at(&ticks, 1.0)));
    for (call, worst) in ["remove", "add", "step"].iter().zip(worst) {
        println!("{call}_max {:.1}", micros(worst));
    }
    println!("carried_age_p99 {:.0}", micros(at(&ages, 0.99)));
    println!("steady_ops_per_s {:.0}", (arrived + cancelled) as f64 / busy_time.as_secs_f64());
    println!("matched_share {:.3}", matched as f64 / arrived as f64);
    println!("mean_quality {:.3}", quality / formed.max(1) as f64);
    println!("fair_share {:.3}", fair as f64 / formed.max(1) as f64);
    println!("waiting_at_begin {begun_with}");
    println!("waiting_at_end {}", queue.len());

    let ops = 200_000;
    let (mut done, mut busy) = (0, Duration::ZERO);
    while done < ops {
        let ticket = players.next();
        let leaving = owners.draw(&mut dice);
        owners.add(&ticket);
        let begin = std::time::Instant::now();
        if let Some((id, owner)) = leaving {
            queue.remove(id, owner).expect("it waits");
        }
        queue.add(&ticket, now).expect("room");
        while queue.step(BUDGET, now) {}
        busy += begin.elapsed();
        done += 2;
        while let Some(event) = queue.poll_event() {
            if let Event::Matched(lineup) = event {
                lineup.tickets.iter().for_each(|ticket| owners.remove(ticket.id));
            }
        }
    }
    println!("adds_cancels_per_s {:.0}", f64::from(done) / busy.as_secs_f64());
}
