//! Tickets of one match are dealt out to its teams: parties stay together, and the teams are as
//! equal as they can be.

use std::cmp::Reverse;

use super::Seat;
use super::definition::TEAMS_MAX;
use super::entrant::{FINE, Player};
use super::roles::{self, Wish};

/// So many tickets are dealt out to two teams in every possible way, or to more teams.
const EXACT_TWO: usize = 12;
const EXACT_MORE: usize = 9;

/// Exchanges of tickets that are looked at beyond that, and those that are made.
const LOOKED_MAX: usize = 4_000;
const EXCHANGED_MAX: usize = 32;

/// A ticket: a player or a party.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// Sums over the players.
    pub(super) rating: f64,
    pub(super) variance: f64,
    pub(super) wishes: Vec<Wish>,
}

impl Unit {
    fn size(&self) -> usize {
        self.wishes.len()
    }
}

impl Unit {
    pub(super) fn of(players: &[Player], autofill: bool) -> Unit {
        Unit {
            rating: players.iter().map(|player| f64::from(player.rating) / FINE).sum(),
            variance: players.iter().map(|player| f64::from(player.deviation).powi(2)).sum(),
            wishes: players.iter().map(|player| Wish { named: player.roles, autofill }).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Split {
    /// By unit.
    pub(super) team_of: Vec<u8>,
    /// By unit and player; empty where there are no roles.
    pub(super) roles: Vec<Vec<u8>>,
    /// Of the strongest team against the weakest, by the means of their ratings.
    pub(super) win_probability: f64,
    /// Sum over players of how many roles they would have liked more.
    pub(super) role_cost: u32,
}

impl Split {
    /// What the players of a unit are.
    pub(super) fn seats(&self, unit: usize, players: &[Player]) -> Vec<Seat> {
        let seat = |(place, player): (usize, &Player)| {
            let role = self.roles.get(unit).map(|roles| usize::from(roles[place]));
            let is_named = |role| player.roles.is_empty() || player.roles.has(role);
            Seat {
                team: usize::from(self.team_of[unit]),
                role,
                is_autofilled: role.is_some_and(|role| !is_named(role)),
            }
        };
        players.iter().enumerate().map(seat).collect()
    }
}

/// Deals units out to teams of exactly these sizes. The best split of all where there are few
/// units, and else a good one. `None` if there is none in which everybody has a role.
pub(super) fn balance(units: &[Unit], sizes: &[usize], slots: &[usize]) -> Option<Split> {
    let dealing = Dealing { units, sizes, slots };
    let most = if sizes.len() <= 2 { EXACT_TWO } else { EXACT_MORE };
    match units.len() <= most {
        true => dealing.best(),
        false => dealing.good(),
    }
}

/// Glicko's expectation for two teams of these mean ratings, `variance` being that of the
/// difference (Glickman, "The Glicko system", 1999).
pub(super) fn win_probability(difference: f64, variance: f64) -> f64 {
    let q = std::f64::consts::LN_10 / 400.0;
    let g = 1.0 / (1.0 + 3.0 * q * q * variance / std::f64::consts::PI.powi(2)).sqrt();
    1.0 / (1.0 + 10_f64.powf(-g * difference / 400.0))
}

/// The team of each unit.
type Dealt = Vec<u8>;

#[derive(Clone, Copy)]
struct Dealing<'a> {
    units: &'a [Unit],
    sizes: &'a [usize],
    /// Of each role in a team.
    slots: &'a [usize],
}

impl Dealing<'_> {
    fn best(self) -> Option<Split> {
        let mut all = Vec::new();
        let mut dealt = Vec::with_capacity(self.units.len());
        self.deal(&mut dealt, &mut self.sizes.to_vec(), &mut |dealt| {
            let mut kept = [0; EXACT_TWO];
            kept[..dealt.len()].copy_from_slice(dealt);
            all.push((self.spread(dealt), kept));
            true
        });
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.iter().find_map(|(_, dealt)| self.split(Dealt::from(&dealt[..self.units.len()])))
    }

    /// Every way to deal out the rest, until `take` says that it is enough. Teams of one size that
    /// are still empty are alike, so only the first of them is tried.
    fn deal(
        self,
        dealt: &mut Dealt,
        room: &mut [usize],
        take: &mut impl FnMut(&[u8]) -> bool,
    ) -> bool {
        let Some(unit) = self.units.get(dealt.len()) else {
            return room.iter().any(|room| *room > 0) || take(dealt);
        };
        for team in 0..room.len() {
            let is_empty = |team: usize| room[team] == self.sizes[team];
            let is_like_one_before = is_empty(team)
                && (0..team).any(|b| is_empty(b) && self.sizes[b] == self.sizes[team]);
            if room[team] < unit.size() || is_like_one_before {
                continue;
            }
            room[team] -= unit.size();
            dealt.push(u8::try_from(team).expect("there are few teams"));
            let goes_on = self.deal(dealt, room, take);
            dealt.pop();
            room[team] += unit.size();
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Mean ratings of the teams.
    #[expect(clippy::cast_precision_loss, reason = "teams are small")]
    fn means(self, dealt: &[u8]) -> [f64; TEAMS_MAX] {
        let mut means = [0.0; TEAMS_MAX];
        for (unit, team) in self.units.iter().zip(dealt) {
            means[usize::from(*team)] += unit.rating;
        }
        for (mean, size) in means.iter_mut().zip(self.sizes) {
            *mean /= (*size).max(1) as f64;
        }
        means
    }

    /// By how much the strongest team is better than the weakest.
    fn spread(self, dealt: &[u8]) -> f64 {
        let means = self.means(dealt);
        let means = &means[..self.sizes.len()];
        let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most - means.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Gives roles, if everybody can have one.
    fn split(self, team_of: Dealt) -> Option<Split> {
        let (roles, role_cost) = match self.slots {
            [] => (Vec::new(), 0),
            slots => self.roles(&team_of, slots)?,
        };
        let win_probability = self.win_probability(&team_of);
        Some(Split { team_of, roles, win_probability, role_cost })
    }

    #[expect(clippy::cast_precision_loss, reason = "teams are small")]
    fn win_probability(self, dealt: &[u8]) -> f64 {
        let means = self.means(dealt);
        let mut variances = vec![0.0; self.sizes.len()];
        for (unit, team) in self.units.iter().zip(dealt) {
            variances[usize::from(*team)] += unit.variance;
        }
        let by_mean = |a: &usize, b: &usize| means[*a].total_cmp(&means[*b]);
        let teams = 0..self.sizes.len();
        let (Some(best), Some(worst)) =
            (teams.clone().max_by(by_mean), teams.rev().min_by(by_mean))
        else {
            return 0.5;
        };
        if best == worst {
            return 0.5;
        }
        let of_mean = |team: usize| variances[team] / (self.sizes[team] as f64).powi(2);
        win_probability(means[best] - means[worst], of_mean(best) + of_mean(worst))
    }

    fn roles(self, dealt: &[u8], slots: &[usize]) -> Option<(Vec<Vec<u8>>, u32)> {
        let mut roles = vec![Vec::new(); self.units.len()];
        let mut cost = 0;
        for team in 0..self.sizes.len() {
            let (given, team_cost) = roles::assign(&self.wishes(dealt, team), slots)?;
            cost += team_cost;
            let mut given = given.into_iter();
            for (unit, _) in dealt.iter().enumerate().filter(|(_, t)| usize::from(**t) == team) {
                roles[unit] = given.by_ref().take(self.units[unit].size()).collect();
            }
        }
        Some((roles, cost))
    }

    fn wishes(&self, dealt: &[u8], team: usize) -> Vec<Wish> {
        let units = self.units.iter().zip(dealt);
        let units = units.filter(|(_, of)| usize::from(**of) == team);
        units.flat_map(|(unit, _)| unit.wishes.iter().copied()).collect()
    }

    /// Whether everybody in the team can have a role.
    fn is_seated(self, dealt: &[u8], team: usize) -> bool {
        self.slots.is_empty() || roles::can_seat(&self.wishes(dealt, team), self.slots)
    }

    fn good(self) -> Option<Split> {
        let mut dealt = self.differences().or_else(|| self.pack())?;
        self.exchange(&mut dealt);
        self.split(dealt)
    }

    /// The differencing method of Karmarkar and Karp for several teams (Korf, "Multi-way number
    /// partitioning", 2009): the two partial splits with the largest spread become one, in which
    /// they cancel out. `None` if teams of other sizes come of that.
    fn differences(self) -> Option<Dealt> {
        #[derive(Clone)]
        struct Part {
            rating: f64,
            size: usize,
            units: Vec<usize>,
        }
        let size = self.sizes[0];
        if self.sizes.iter().any(|other| *other != size) {
            return None;
        }
        let spread = |parts: &[Part]| parts[0].rating - parts[parts.len() - 1].rating;
        let none = Part { rating: 0.0, size: 0, units: Vec::new() };
        let mut splits: Vec<Vec<Part>> = Vec::new();
        // From the mean of all, so that sizes do not weigh.
        #[expect(clippy::cast_precision_loss, reason = "there are few players")]
        let mean = self.units.iter().map(|unit| unit.rating).sum::<f64>()
            / self.sizes.iter().sum::<usize>() as f64;
        for (index, unit) in self.units.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a party is small")]
            let rating = unit.rating - mean * unit.size() as f64;
            let mut parts = vec![none.clone(); self.sizes.len()];
            parts[0] = Part { rating, size: unit.size(), units: vec![index] };
            parts.sort_by(|a, b| b.rating.total_cmp(&a.rating));
            splits.push(parts);
        }
        while splits.len() > 1 {
            splits.sort_by(|a, b| spread(a).total_cmp(&spread(b)));
            let (one, mut other) = (splits.pop()?, splits.pop()?);
            other.reverse();
            let merged = |one: &[Part], other: &[Part]| -> Option<Vec<Part>> {
                let pairs = one.iter().zip(other);
                let mut parts: Vec<_> = pairs
                    .map(|(a, b)| Part {
                        rating: a.rating + b.rating,
                        size: a.size + b.size,
                        units: [a.units.as_slice(), &b.units].concat(),
                    })
                    .collect();
                parts.sort_by(|a, b| b.rating.total_cmp(&a.rating));
                parts.iter().all(|part| part.size <= size).then_some(parts)
            };
            let parts = merged(&one, &other).or_else(|| {
                // The smaller ones to the larger ones.
                let (mut one, mut other) = (one.clone(), other.clone());
                one.sort_by_key(|part| part.size);
                other.sort_by_key(|part| Reverse(part.size));
                merged(&one, &other)
            });
            splits.push(parts?);
        }
        let mut dealt = vec![0; self.units.len()];
        for (team, part) in splits.pop()?.iter().enumerate() {
            for unit in &part.units {
                dealt[*unit] = u8::try_from(team).ok()?;
            }
        }
        Some(dealt)
    }

    /// Any way to fill the teams: the largest parties first, each where there is the least room
    /// left.
    fn pack(self) -> Option<Dealt> {
        let mut order: Vec<_> = (0..self.units.len()).collect();
        order.sort_by_key(|unit| Reverse(self.units[*unit].size()));
        let mut room = self.sizes.to_vec();
        let mut dealt = vec![0; self.units.len()];
        for unit in order {
            let size = self.units[unit].size();
            let teams = (0..room.len()).filter(|team| room[*team] >= size);
            let team = teams.min_by_key(|team| room[*team])?;
            room[team] -= size;
            dealt[unit] = u8::try_from(team).ok()?;
        }
        Some(dealt)
    }

    /// Exchanges tickets of one size between teams, as long as that seats more teams, or makes
    /// them more equal.
    fn exchange(self, dealt: &mut Dealt) {
        let unseated = |dealt: &[u8]| {
            (0..self.sizes.len()).filter(|team| !self.is_seated(dealt, *team)).count()
        };
        let (mut spread, mut without) = (self.spread(dealt), unseated(dealt));
        let (mut looked, mut exchanged, mut has_changed) = (0, 0, true);
        while has_changed {
            has_changed = false;
            for one in 0..dealt.len() {
                for other in one + 1..dealt.len() {
                    let is_alike = self.units[one].size() == self.units[other].size();
                    if dealt[one] == dealt[other] || !is_alike {
                        continue;
                    }
                    looked += 1;
                    if looked > LOOKED_MAX || exchanged >= EXCHANGED_MAX {
                        return;
                    }
                    dealt.swap(one, other);
                    let now = self.spread(dealt);
                    if now < spread || without > 0 {
                        exchanged += 1;
                        let still = unseated(dealt);
                        if (still, now) < (without, spread) {
                            (without, spread, has_changed) = (still, now, true);
                            continue;
                        }
                    }
                    dealt.swap(one, other);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::queue::roles::RoleList;

    fn any() -> Wish {
        Wish { named: RoleList::default(), autofill: false }
    }

    fn unit(rating: f64, size: usize) -> Unit {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let rating = rating * size as f64;
        Unit { rating, variance: 0.0, wishes: vec![any(); size] }
    }

    #[test]
    fn the_expectation_is_that_of_glickmans_examples() {
        // "The Glicko system": 1500 against 1400, 1550 and 1700 of these deviations.
        let check = |other: f64, deviation: f64, expected: f64| {
            let found = win_probability(1500.0 - other, deviation * deviation);
            assert!((found - expected).abs() < 0.0006, "{found}, {expected}");
        };
        check(1400.0, 30.0, 0.639);
        check(1550.0, 100.0, 0.432);
        check(1700.0, 300.0, 0.303);
    }

    #[test]
    fn parties_stay_together_and_teams_are_equal() {
        let units = [unit(1500.0, 3), unit(1400.0, 2), unit(1450.0, 2), unit(1480.0, 3)];
        let split = balance(&units, &[5, 5], &[]).expect("there is one");
        // 3 and 2 each: 1500·3 + 1400·2 against 1480·3 + 1450·2.
        assert_eq!(split.team_of, [0, 0, 1, 1]);
        let odd = [unit(1500.0, 3), unit(1500.0, 3), unit(1500.0, 3), unit(1500.0, 1)];
        assert_eq!(balance(&odd, &[5, 5], &[]), None, "three parties of three");
    }

    #[test]
    fn large_teams_are_nearly_equal() {
        let ratings = (0..32_u32).map(|n| f64::from(1000 + n * n * 3 % 997));
        let units: Vec<_> = ratings.map(|rating| unit(rating, 1)).collect();
        let dealing = Dealing { units: &units, sizes: &[16, 16], slots: &[] };
        let split = dealing.good().expect("there is one");
        assert!(dealing.spread(&split.team_of) < 1.0, "{split:?}");
        let dealing = Dealing { units: &units, sizes: &[8, 8, 8, 8], slots: &[] };
        let split = dealing.good().expect("there is one");
        assert!(dealing.spread(&split.team_of) < 10.0, "{split:?}");
        assert!(split.win_probability < 0.52);
    }

    /// The least spread of all splits in which everybody has a role, by brute force over all
    /// numbers of as many digits as there are units.
    fn least(units: &[Unit], sizes: &[usize], slots: &[usize]) -> Option<f64> {
        let teams = sizes.len();
        let count = teams.pow(u32::try_from(units.len()).expect("few"));
        let dealing = Dealing { units, sizes, slots };
        let mut best = None;
        for number in 0..count {
            let (mut rest, mut sums) = (number, vec![0; teams]);
            let mut dealt = Vec::new();
            for unit in units {
                sums[rest % teams] += unit.size();
                dealt.push(u8::try_from(rest % teams).expect("few"));
                rest /= teams;
            }
            if sums == sizes && (0..teams).all(|team| dealing.is_seated(&dealt, team)) {
                let spread = dealing.spread(&dealt);
                best = Some(best.map_or(spread, |best: f64| best.min(spread)));
            }
        }
        best
    }

    fn parties() -> impl Strategy<Value = Vec<(f64, Vec<Vec<u8>>)>> {
        let roles = prop::collection::vec(0_u8..5, 0..3);
        let party = (800.0..2200.0_f64, prop::collection::vec(roles, 1..=3));
        prop::collection::vec(party, 2..=10).prop_map(|mut parties| {
            let mut left = 10;
            for (_, players) in &mut parties {
                players.truncate(left);
                left -= players.len();
            }
            parties.retain(|(_, players)| !players.is_empty());
            parties.extend((0..left).map(|_| (1500.0, vec![vec![]])));
            parties
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn splits_are_the_best_for_five_against_five(
            parties in parties(),
            has_roles: bool,
            autofill: bool,
        ) {
            let units: Vec<_> = parties.iter().map(|(rating, players)| {
                let wishes = players.iter().map(|roles| {
                    let mut named = RoleList::default();
                    roles.iter().for_each(|role| named.push(usize::from(*role)));
                    Wish { named, autofill }
                }).collect();
                Unit { wishes, ..unit(*rating, players.len()) }
            }).collect();
            let slots: &[usize] = if has_roles { &[1, 1, 1, 1, 1] } else { &[] };
            let found = balance(&units, &[5, 5], slots);
            let least = least(&units, &[5, 5], slots);
            let dealing = Dealing { units: &units, sizes: &[5, 5], slots };
            let spread = found.map(|split| dealing.spread(&split.team_of));
            prop_assert!(
                spread == least || (spread.unwrap() - least.unwrap()).abs() < 1e-9,
                "{spread:?} {least:?}"
            );
        }
    }
}
