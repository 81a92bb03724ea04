//! Who may play with whom, and in which team.

use std::collections::BTreeMap;

use base::Instant;
use base::json::Json;

use super::super::{member, session, text};
use super::{FARNESS, Line, Lines, REGIONS, ROLES, Rules};

/// One of the players of a match, as all are told of them.
#[derive(Debug)]
pub struct Player {
    pub session: String,
    user: String,
    party: Option<String>,
    pub tag: u64,
    queue: String,
    pub mode: String,
    team: String,
    role: Option<String>,
    region: Option<String>,
    rating: u32,
    roles: String,
}

impl Player {
    pub fn is_of_party(&self) -> bool {
        self.party.is_some()
    }

    pub fn read(told: &Json) -> Player {
        let user = text(told, "presence/user_id").expect("a user").to_owned();
        let property = |name: &str| {
            let own = format!("string_properties/{name}@{user}");
            let found =
                text(told, &own).or_else(|| text(told, &format!("string_properties/{name}")));
            found.map(str::to_owned)
        };
        let numbers = member(told, "numeric_properties").expect("numbers");
        let number = |name: &str| {
            let own = member(numbers, &format!("{name}@{user}"));
            match own.or_else(|| member(numbers, name)) {
                Some(Json::Integer(number)) => u64::try_from(*number).expect("a number as sent"),
                other => panic!("a number as it was sent: {other:?}"),
            }
        };
        Player {
            session: session(member(told, "presence").expect("a presence")),
            party: text(told, "party_id").map(str::to_owned),
            tag: number("tag"),
            queue: property("queue").expect("a queue"),
            mode: property("mode").expect("a mode"),
            team: property("team").expect("a team"),
            role: property("role"),
            region: property("region"),
            rating: u32::try_from(number("rating")).expect("a rating as it was sent"),
            roles: property("roles").expect("roles as they were sent"),
            user,
        }
    }
}

/// What may differ by so much at first, and by the last number after so many seconds, after a time.
fn reached((from, to, over): (u32, u32, u32), since: Instant, now: Instant) -> f64 {
    let share = now.since(since).as_secs_f64() / f64::from(over.max(1));
    f64::from(from) + f64::from(to - from) * share.min(1.0)
}

/// Ratings are kept in sixteenths.
const ROUNDING: f64 = 0.25;

impl Lines {
    /// A match has full teams of the queue's sizes, a party in one team, each role as often as its
    /// slots, ratings and regions within what the waits allow, and nobody whom another blocks.
    pub(super) fn invariant_lineup(&self, rules: &Rules, users: &[Player], now: Instant) {
        let of = |team: &str| users.iter().filter(|user| user.team == team).collect::<Vec<_>>();
        let teams = [of("a"), of("b")];
        for team in &teams {
            assert_eq!(team.len(), rules.size, "a team has the size that its queue asks for");
            let mut roles: Vec<_> = team.iter().filter_map(|user| user.role.as_deref()).collect();
            roles.sort_unstable_by_key(|role| ROLES.iter().position(|known| known == role));
            let expected: &[_] = if rules.has_roles { &ROLES } else { &[] };
            assert_eq!(roles, expected, "a team has each role as often as its slots");
        }
        assert_eq!(users.len(), 2 * rules.size, "a match has two teams");
        // With two sockets, a user is in one party twice.
        let distinct: BTreeMap<_, _> = users.iter().map(|user| (&user.user, user.tag)).collect();
        let is_one = users.iter().all(|user| distinct[&user.user] == user.tag);
        assert!(is_one, "a user is in a match by one ticket");
        let mut by_tag: BTreeMap<u64, Vec<&Player>> = BTreeMap::new();
        for user in users {
            assert_eq!(user.queue, rules.id, "a match is of the queue that its players named");
            self.invariant_says(user);
            by_tag.entry(user.tag).or_default().push(user);
        }
        for players in by_tag.values() {
            let first = players[0];
            let is_one =
                |player: &&Player| (&player.team, &player.party) == (&first.team, &first.party);
            assert!(players.iter().all(is_one), "a party plays in one team");
            assert!(first.party.is_some() || players.len() == 1, "a player alone is one");
        }
        let tickets: Vec<_> = by_tag.into_iter().collect();
        for (at, (tag, players)) in tickets.iter().enumerate() {
            self.invariant_region(rules, &self.lines[tag], players[0], now);
            for (other, others) in &tickets[at + 1..] {
                let window = |tag: &u64| reached(rules.window, self.lines[tag].since, now);
                let gap = (mean(players) - mean(others)).abs();
                let most = window(tag).min(window(other)) + ROUNDING;
                assert!(gap <= most, "ratings lie within the windows of both: {gap} {most}");
                assert!(
                    are_friends(&self.lines[tag], &self.lines[other], players, others),
                    "nobody plays with somebody blocked, or on another map"
                );
            }
        }
    }

    /// Everybody is told what each ticket says.
    fn invariant_says(&self, user: &Player) {
        let line = self.lines.get(&user.tag).expect("a ticket was added before it is matched");
        let said = line.of(&user.user);
        let is_said = user.rating == said.rating && user.roles == said.roles.join(",");
        assert!(is_said, "a match tells what each ticket said: {user:?}, {said:?}");
        let takes = user.role.as_deref().is_none_or(|role| takes(&said.roles, role));
        assert!(takes, "a player takes the role: {user:?}");
    }

    fn invariant_region(&self, rules: &Rules, line: &Line, player: &Player, now: Instant) {
        assert_eq!(player.region.is_some(), rules.has_regions, "a match is played in a region");
        let Some(region) = &player.region else { return };
        let place = REGIONS.iter().position(|known| known == region).expect("a region");
        let latency = line.latencies[place].expect("all players reach the region");
        let best = line.latencies.iter().flatten().min().expect("there is one");
        let most = reached(FARNESS, line.since, now);
        assert!(f64::from(latency - best) <= most, "a region is as near as the waits allow");
    }
}

fn mean(players: &[&Player]) -> f64 {
    let sum: f64 = players.iter().map(|player| f64::from(player.rating)).sum();
    sum / f64::from(u32::try_from(players.len()).expect("a few"))
}

fn are_friends(one: &Line, other: &Line, players: &[&Player], others: &[&Player]) -> bool {
    let blocks = |line: &Line, players: &[&Player]| {
        players.iter().any(|player| line.blocked.as_ref() == Some(&player.user))
    };
    !blocks(one, others) && !blocks(other, players) && one.map == other.map
}

// At rest.

/// A ticket that waits, and its users.
type Unit<'a> = (&'a Line, Vec<&'a str>);

/// Of those who wait, no match is left: every set of them is tried.
pub(super) fn invariant_no_match_is_left(rules: &Rules, units: &[Unit<'_>]) {
    for (line, users) in units {
        assert!(users.len() <= rules.size, "no party waits that is too large: {line:?}");
        let reaches = !rules.has_regions || line.latencies.iter().flatten().count() > 0;
        assert!(reaches, "nobody waits who reaches no region: {line:?}");
    }
    extend(rules, units, &mut Vec::new(), 0);
}

fn extend<'a>(rules: &Rules, rest: &'a [Unit<'a>], chosen: &mut Vec<&'a Unit<'a>>, players: usize) {
    if players == 2 * rules.size {
        let is_left = has_region(rules, chosen) && can_play(rules, chosen, &mut [vec![], vec![]]);
        assert!(!is_left, "nobody waits beside others with whom a match is possible: {chosen:?}");
        return;
    }
    for (at, unit) in rest.iter().enumerate() {
        if chosen.iter().all(|other| fit(rules, other, unit)) {
            chosen.push(unit);
            extend(rules, &rest[at + 1..], chosen, players + unit.1.len());
            chosen.pop();
        }
    }
}

fn fit(rules: &Rules, one: &Unit<'_>, other: &Unit<'_>) -> bool {
    let mean = |(line, users): &Unit<'_>| {
        let sum: f64 = users.iter().map(|user| f64::from(line.of(user).rating)).sum();
        sum / f64::from(u32::try_from(users.len()).expect("a few"))
    };
    let blocks = |(line, _): &Unit<'_>, (_, users): &Unit<'_>| {
        users.iter().any(|user| line.blocked.as_deref() == Some(*user))
    };
    (mean(one) - mean(other)).abs() + ROUNDING <= f64::from(rules.window.1)
        && one.0.map == other.0.map
        && !blocks(one, other)
        && !blocks(other, one)
        && !one.1.iter().any(|user| other.1.contains(user))
}

fn has_region(rules: &Rules, chosen: &[&Unit<'_>]) -> bool {
    let accepts = |place: usize| {
        chosen.iter().all(|(line, _)| {
            let best = line.latencies.iter().flatten().min();
            let far = line.latencies[place].zip(best).map(|(latency, best)| latency - best);
            far.is_some_and(|far| far <= FARNESS.1)
        })
    };
    !rules.has_regions || (0..REGIONS.len()).any(accepts)
}

fn takes(roles: &[&str], role: &str) -> bool {
    roles.is_empty() || roles.contains(&role)
}

/// Whether the players can be dealt out to the teams, and have roles there.
fn can_play(rules: &Rules, rest: &[&Unit<'_>], teams: &mut [Vec<Vec<&'static str>>; 2]) -> bool {
    let Some(((line, users), rest)) = rest.split_first() else {
        let is_seated = |team: &Vec<Vec<&str>>| {
            let [one, other] = &team[..] else { return false };
            let in_order = |[first, second]: [&str; 2]| takes(one, first) && takes(other, second);
            in_order(ROLES) || in_order([ROLES[1], ROLES[0]])
        };
        return teams
            .iter()
            .all(|team| team.len() == rules.size && (!rules.has_roles || is_seated(team)));
    };
    (0..2).any(|team| {
        let before = teams[team].len();
        teams[team].extend(users.iter().map(|user| line.of(user).roles.clone()));
        let can = can_play(rules, rest, teams);
        teams[team].truncate(before);
        can
    })
}
