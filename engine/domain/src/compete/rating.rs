//! Rating systems: what a match makes of the ratings of its players.
//!
//! Elo: A. Elo, *The Rating of Chessplayers*. Glicko-2: M. Glickman, *Example of the Glicko-2
//! system*, 2022. OpenSkill: R. Weng and C.-J. Lin, *A Bayesian Approximation Method for Online
//! Ranking*, 2011, algorithm 4 (Plackett-Luce), with ties as the implementations of OpenSkill share
//! them.
//!
//! Of several teams, each plays against each other. In Elo and Glicko-2 a team counts as one
//! player: the mean rating, and the root of the mean square of the deviations.

/// Ratings and deviations lie within, whatever comes in.
pub const RATING_MAX: f64 = 1e6;
pub const DEVIATION_MIN: f64 = 1e-3;
pub const DEVIATION_MAX: f64 = 1e4;
const VOLATILITY_MIN: f64 = 1e-4;
const VOLATILITY_MAX: f64 = 1.0;
/// Elo's and Glicko's points a unit of the natural logarithm.
const GLICKO_SCALE: f64 = 173.7178;
/// Rounds in which the volatility is looked for; a few are enough.
const ROUNDS_MAX: usize = 100;
/// What a single match leaves of the square of a deviation at least.
const KEPT_MIN: f64 = 1e-4;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum System {
    /// No deviation: it stays as it is.
    Elo {
        /// Points that are at stake between two teams.
        k: f64,
    },
    /// A match is a rating period.
    Glicko2 {
        /// How fast volatilities change.
        tau: f64,
    },
    /// In the points of the queue: the rating is mu, the deviation sigma.
    OpenSkill {
        /// By how much a player's performance varies.
        beta: f64,
        /// What each match adds to the deviation, in squares.
        tau: f64,
    },
}

/// How the players of a queue are rated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    pub system: System,
    /// Of who has not played yet.
    pub first: Rating,
    /// Changes of the rating are larger in the first so many games,
    pub placement_games: u32,
    /// by this factor.
    pub placement_factor: f64,
    /// What a day without a match adds to the deviation, in squares.
    pub growth: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    pub rating: f64,
    pub deviation: f64,
    /// Of Glicko-2.
    pub volatility: f64,
}

/// A player of a match, as they come into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Player {
    pub rating: Rating,
    /// Matches before this one.
    pub games: u32,
    /// Left before the end: counts as if the own team alone had come last.
    pub has_quit: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// The lowest is the best; those of equal rank drew.
    pub rank: u32,
    pub players: Vec<Player>,
}

impl Rules {
    /// The ratings after a match: of each team and player, in their order.
    pub fn rate(&self, teams: &[Team]) -> Vec<Vec<Rating>> {
        let mut sound: Vec<Team> = teams.to_vec();
        for player in sound.iter_mut().flat_map(|team| &mut team.players) {
            player.rating = player.rating.bounded(&self.first);
        }
        let worst = sound.iter().map(|team| team.rank).max().unwrap_or(0);
        let rated = |index: usize| -> Vec<Rating> {
            let team = &sound[index];
            let stayed = self.rate_team(&sound, index);
            if !team.players.iter().any(|player| player.has_quit) {
                return stayed;
            }
            let mut lost = sound.clone();
            lost[index].rank = worst.saturating_add(1);
            let quit = self.rate_team(&lost, index);
            let players = team.players.iter().enumerate();
            players.map(|(at, one)| if one.has_quit { quit[at] } else { stayed[at] }).collect()
        };
        (0..sound.len()).map(rated).collect()
    }

    /// The rating of somebody who has not played for so many seconds.
    pub fn rested(&self, rating: Rating, secs: u64) -> Rating {
        #[expect(clippy::cast_precision_loss, reason = "far fewer seconds than 2^53")]
        let days = secs as f64 / 86_400.0;
        let Rating { deviation, .. } = rating;
        let grown = deviation.hypot(self.growth * days.sqrt());
        let deviation = grown.min(self.first.deviation).max(deviation);
        Rating { deviation, ..rating }.bounded(&self.first)
    }

    fn rate_team(&self, teams: &[Team], index: usize) -> Vec<Rating> {
        let team = &teams[index];
        if teams.len() < 2 || teams.iter().any(|team| team.players.is_empty()) {
            return team.players.iter().map(|player| player.rating).collect();
        }
        let rated = match self.system {
            System::Elo { k } => elo(k, teams, index),
            System::Glicko2 { tau } => {
                let own = composite(team);
                let opponents = opponents(teams, index);
                let rate = |player: &Player| glicko2(tau, player.rating, own.rating, &opponents);
                team.players.iter().map(rate).collect()
            }
            System::OpenSkill { beta, tau } => plackett_luce(beta, tau, teams, index),
        };
        let place = |(player, after): (&Player, Rating)| {
            let before = player.rating;
            let is_placed = player.games >= self.placement_games;
            let factor = if is_placed { 1.0 } else { self.placement_factor };
            let rating = before.rating + (after.rating - before.rating) * factor;
            Rating { rating, ..after }.bounded(&before)
        };
        team.players.iter().zip(rated).map(place).collect()
    }
}

impl Rating {
    /// Within its bounds; what is no number is taken from the other.
    fn bounded(self, other: &Rating) -> Rating {
        let pick = |own: f64, other: f64| if own.is_finite() { own } else { other };
        Rating {
            rating: pick(self.rating, other.rating).clamp(-RATING_MAX, RATING_MAX),
            deviation: pick(self.deviation, other.deviation).clamp(DEVIATION_MIN, DEVIATION_MAX),
            volatility: pick(self.volatility, other.volatility)
                .clamp(VOLATILITY_MIN, VOLATILITY_MAX),
        }
    }
}

/// What a player or a team met, and how that ended: 1 won, 0.5 drew, 0 lost.
#[derive(Clone, Copy, Debug)]
struct Opponent {
    rating: f64,
    deviation: f64,
    score: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a team is small")]
fn composite(team: &Team) -> Rating {
    let count = team.players.len() as f64;
    let sum = |of: fn(&Rating) -> f64| -> f64 {
        team.players.iter().map(|player| of(&player.rating)).sum()
    };
    Rating {
        rating: sum(|r| r.rating) / count,
        deviation: (sum(|r| r.deviation * r.deviation) / count).sqrt(),
        volatility: VOLATILITY_MIN,
    }
}

fn opponents(teams: &[Team], index: usize) -> Vec<Opponent> {
    let own = teams[index].rank;
    let others = teams.iter().enumerate().filter(|(other, _)| *other != index);
    let opponent = |(_, team): (usize, &Team)| {
        let Rating { rating, deviation, .. } = composite(team);
        let score = match own.cmp(&team.rank) {
            std::cmp::Ordering::Less => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 0.0,
        };
        Opponent { rating, deviation, score }
    };
    others.map(opponent).collect()
}

#[expect(clippy::cast_precision_loss, reason = "teams are few")]
fn elo(k: f64, teams: &[Team], index: usize) -> Vec<Rating> {
    let own = composite(&teams[index]).rating;
    let opponents = opponents(teams, index);
    let surprise = |other: &Opponent| {
        let expected = 1.0 / (1.0 + 10_f64.powf((other.rating - own) / 400.0));
        other.score - expected
    };
    let change = k * opponents.iter().map(surprise).sum::<f64>() / opponents.len() as f64;
    let players = teams[index].players.iter();
    players.map(|one| Rating { rating: one.rating.rating + change, ..one.rating }).collect()
}

/// One rating period of a player whose side is expected to win by its mean.
fn glicko2(tau: f64, player: Rating, side: f64, opponents: &[Opponent]) -> Rating {
    let phi = player.deviation / GLICKO_SCALE;
    let (mut weight, mut surprise) = (0.0, 0.0);
    for other in opponents {
        let ratio = other.deviation / GLICKO_SCALE / std::f64::consts::PI;
        let g = 1.0 / (1.0 + 3.0 * ratio * ratio).sqrt();
        let expected = 1.0 / (1.0 + (-g * (side - other.rating) / GLICKO_SCALE).exp());
        // Nothing is certain: without it, the variance of an expected end would be infinite.
        let expected = expected.clamp(1e-9, 1.0 - 1e-9);
        weight += g * g * expected * (1.0 - expected);
        surprise += g * (other.score - expected);
    }
    let variance = 1.0 / weight;
    let volatility = volatility(tau, player.volatility, phi, variance, variance * surprise);
    let before = phi.hypot(volatility);
    let after = 1.0 / (1.0 / (before * before) + 1.0 / variance).sqrt();
    Rating {
        rating: player.rating + GLICKO_SCALE * after * after * surprise,
        deviation: GLICKO_SCALE * after,
        volatility,
    }
}

/// Step 5 of Glicko-2, by the Illinois algorithm.
fn volatility(tau: f64, sigma: f64, phi: f64, variance: f64, delta: f64) -> f64 {
    let start = (sigma * sigma).ln();
    let f = |x: f64| {
        let power = x.exp();
        let sum = phi * phi + variance + power;
        power * (delta * delta - sum) / (2.0 * sum * sum) - (x - start) / (tau * tau)
    };
    let mut low = start;
    let excess = delta * delta - phi * phi - variance;
    let mut high = start - tau;
    if excess > 0.0 {
        high = excess.ln();
    } else {
        let mut rounds = 0;
        while f(high) < 0.0 && rounds < ROUNDS_MAX {
            high -= tau;
            rounds += 1;
        }
    }
    let (mut at_low, mut at_high) = (f(low), f(high));
    for _ in 0..ROUNDS_MAX {
        if (high - low).abs() <= 1e-6 || at_high.total_cmp(&at_low).is_eq() {
            break;
        }
        let middle = low + (low - high) * at_low / (at_high - at_low);
        let at_middle = f(middle);
        if at_middle * at_high <= 0.0 {
            (low, at_low) = (high, at_high);
        } else {
            at_low /= 2.0;
        }
        (high, at_high) = (middle, at_middle);
    }
    (low / 2.0).exp()
}

#[expect(clippy::cast_precision_loss, reason = "teams are few")]
fn plackett_luce(beta: f64, tau: f64, teams: &[Team], index: usize) -> Vec<Rating> {
    let square = |player: &Player| {
        let Rating { deviation, .. } = player.rating;
        deviation * deviation + tau * tau
    };
    let mu = |team: &Team| team.players.iter().map(|one| one.rating.rating).sum::<f64>();
    let sigma = |team: &Team| team.players.iter().map(square).sum::<f64>();
    let c = teams.iter().map(|team| sigma(team) + beta * beta).sum::<f64>().sqrt();
    let (own, own_mu, own_sigma) = (&teams[index], mu(&teams[index]), sigma(&teams[index]));
    let (mut omega, mut delta) = (0.0, 0.0);
    for (other, team) in teams.iter().enumerate().filter(|(_, team)| team.rank <= own.rank) {
        // The chance that this team comes before all that came no better than the other. The
        // exponents are bounded, so that the sum is finite.
        let rest = teams.iter().filter(|rest| rest.rank >= team.rank);
        let sum: f64 = rest.map(|rest| ((mu(rest) - own_mu) / c).clamp(-600.0, 600.0).exp()).sum();
        let chance = 1.0 / sum;
        let ties = teams.iter().filter(|tied| tied.rank == team.rank).count() as f64;
        let won = if other == index { 1.0 } else { 0.0 };
        omega += (won - chance) / ties;
        delta += chance * (1.0 - chance) / ties;
    }
    let gamma = own_sigma.sqrt() / c;
    let omega = omega * own_sigma / c;
    let delta = gamma * delta * own_sigma / (c * c);
    let rate = |player: &Player| {
        let share = square(player) / own_sigma;
        Rating {
            rating: player.rating.rating + share * omega,
            deviation: (square(player) * (1.0 - share * delta).max(KEPT_MIN)).sqrt(),
            ..player.rating
        }
    };
    own.players.iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NATIVE: System = System::OpenSkill { beta: 25.0 / 6.0, tau: 0.0 };

    fn rating(rating: f64, deviation: f64) -> Rating {
        Rating { rating, deviation, volatility: 0.06 }
    }

    fn rules(system: System) -> Rules {
        let first = rating(1500.0, 350.0);
        Rules { system, first, placement_games: 0, placement_factor: 2.0, growth: 0.0 }
    }

    fn team(rank: u32, players: &[(f64, f64)]) -> Team {
        let player = |(mu, sigma): &(f64, f64)| Player {
            rating: rating(*mu, *sigma),
            games: 50,
            has_quit: false,
        };
        Team { rank, players: players.iter().map(player).collect() }
    }

    fn check(system: System, teams: &[Team], expected: &[&[(f64, f64)]]) {
        let rated = rules(system).rate(teams);
        assert_eq!(rated.len(), expected.len());
        for (team, expected) in rated.iter().zip(expected) {
            assert_eq!(team.len(), expected.len());
            for (after, (mu, sigma)) in team.iter().zip(*expected) {
                let is_near = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.abs().max(1.0);
                let is_good = is_near(after.rating, *mu) && is_near(after.deviation, *sigma);
                assert!(is_good, "{after:?} is not {mu}, {sigma}");
            }
        }
    }

    /// The example of Glickman's paper: three opponents in one rating period.
    #[test]
    fn glicko2_is_that_of_the_paper() {
        let opponent = |rating, deviation, score| Opponent { rating, deviation, score };
        let met = [
            opponent(1400.0, 30.0, 1.0),
            opponent(1550.0, 100.0, 0.0),
            opponent(1700.0, 300.0, 0.0),
        ];
        let after = glicko2(0.5, rating(1500.0, 200.0), 1500.0, &met);
        assert!((after.rating - 1464.06).abs() < 0.01, "{after:?}");
        assert!((after.deviation - 151.52).abs() < 0.01, "{after:?}");
        assert!((after.volatility - 0.05999).abs() < 0.00001, "{after:?}");

        // The same in one match of four teams.
        let teams = [
            team(2, &[(1500.0, 200.0)]),
            team(3, &[(1400.0, 30.0)]),
            team(0, &[(1550.0, 100.0)]),
            team(1, &[(1700.0, 300.0)]),
        ];
        assert_eq!(rules(System::Glicko2 { tau: 0.5 }).rate(&teams)[0], [after]);
    }

    /// Elo's formula in round numbers: 400 points are odds of ten to one.
    #[test]
    fn elo_moves_by_what_was_not_expected() {
        let elo = System::Elo { k: 32.0 };
        let (a, b) = ((1500.0, 350.0), (1500.0, 350.0));
        let by = |a: f64, b: f64| ((1500.0 + a, 350.0), (1500.0 + b, 350.0));
        let (won, lost) = by(16.0, -16.0);
        check(elo, &[team(1, &[a]), team(2, &[b])], &[&[won], &[lost]]);
        check(elo, &[team(1, &[a]), team(1, &[b])], &[&[a], &[b]]);
        let favourite = (1900.0, 350.0);
        let step = 32.0 * 10.0 / 11.0;
        check(
            elo,
            &[team(2, &[favourite]), team(1, &[a])],
            &[&[(1900.0 - step, 350.0)], &[(1500.0 + step, 350.0)]],
        );
        // Each of three teams meets the two others.
        let (won, lost) = by(16.0, -16.0);
        check(
            elo,
            &[team(1, &[a, a]), team(2, &[a, a]), team(3, &[a, a])],
            &[&[won, won], &[a, a], &[lost, lost]],
        );
    }

    /// The example in the documentation of OpenSkill.
    #[test]
    fn openskill_is_that_of_its_documentation() {
        check(
            NATIVE,
            &[
                team(1, &[(25.0, 25.0 / 3.0), (32.444, 5.123)]),
                team(2, &[(43.381, 2.421), (25.188, 6.211)]),
            ],
            &[
                &[(28.669648436582808, 8.071520788025197), (33.83086971107981, 5.062772998705765)],
                &[
                    (43.071274808241974, 2.4166900452721256),
                    (23.149503312339064, 6.1378606973362135),
                ],
            ],
        );
    }

    #[test]
    fn openskill_is_the_same_in_other_points() {
        let scaled = |scale: f64| {
            let mut rules = rules(System::OpenSkill { beta: scale / 2.0, tau: scale / 100.0 });
            rules.first = rating(0.0, scale);
            let teams =
                [team(1, &[(0.0, scale), (0.5 * scale, 0.2 * scale)]), team(2, &[(scale, scale)])];
            rules.rate(&teams)
        };
        for (one, other) in scaled(1.0).iter().flatten().zip(scaled(350.0).iter().flatten()) {
            assert!((one.rating * 350.0 - other.rating).abs() < 1e-9, "{one:?} {other:?}");
            assert!((one.deviation * 350.0 - other.deviation).abs() < 1e-9, "{one:?} {other:?}");
        }
    }

    #[test]
    fn equals_who_draw_keep_their_ratings() {
        for system in [System::Elo { k: 32.0 }, System::Glicko2 { tau: 0.5 }, NATIVE] {
            let teams = [team(1, &[(30.0, 5.0)]), team(1, &[(30.0, 5.0)])];
            for after in rules(system).rate(&teams).into_iter().flatten() {
                assert!((after.rating - 30.0).abs() < 1e-9, "{system:?}: {after:?}");
            }
        }
    }

    #[test]
    fn who_quits_has_lost_whatever_the_team_did() {
        for system in [System::Elo { k: 32.0 }, System::Glicko2 { tau: 0.5 }, NATIVE] {
            let mut teams = [
                team(1, &[(1500.0, 100.0), (1500.0, 100.0)]),
                team(2, &[(1500.0, 100.0), (1500.0, 100.0)]),
            ];
            let plain = rules(system).rate(&teams);
            teams[0].players[1].has_quit = true;
            let rated = rules(system).rate(&teams);
            assert_eq!(rated[0][0], plain[0][0]);
            assert_eq!(rated[1], plain[1]);
            assert!(rated[0][1].rating < 1500.0, "{system:?}: {rated:?}");
        }
    }

    #[test]
    fn the_first_games_count_more() {
        let rules = Rules { placement_games: 3, ..rules(System::Elo { k: 32.0 }) };
        let mut teams = [team(1, &[(1500.0, 350.0)]), team(2, &[(1500.0, 350.0)])];
        teams[0].players[0].games = 2;
        teams[1].players[0].games = 3;
        let rated = rules.rate(&teams);
        assert_eq!((rated[0][0].rating, rated[1][0].rating), (1532.0, 1484.0));
    }

    #[test]
    fn a_deviation_grows_without_matches_up_to_that_of_a_newcomer() {
        let rules = Rules { growth: 20.0, ..rules(System::Glicko2 { tau: 0.5 }) };
        let rested =
            |deviation, days: u64| rules.rested(rating(1700.0, deviation), days * 86_400).deviation;
        assert_eq!(rested(50.0, 0), 50.0);
        assert!((rested(30.0, 4) - 50.0).abs() < 1e-9, "30 and 40 make 50");
        assert_eq!(rested(50.0, 10_000), 350.0);
        assert_eq!(rested(400.0, 10_000), 400.0, "it never falls");
    }

    #[test]
    fn nothing_is_ever_infinite() {
        let odd = [
            0.0,
            1.0,
            -1.0,
            25.0,
            1e-300,
            1e6,
            -1e6,
            1e300,
            -1e300,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
        ];
        let systems = [
            System::Elo { k: 1000.0 },
            System::Glicko2 { tau: 0.1 },
            System::Glicko2 { tau: 5.0 },
            System::OpenSkill { beta: 1e-3, tau: 0.0 },
            System::OpenSkill { beta: 1e4, tau: 1e4 },
        ];
        for system in systems {
            for mu in odd {
                for sigma in odd {
                    for rank in 0..3 {
                        let mut teams = [
                            team(rank, &[(mu, sigma), (sigma, mu)]),
                            team(1, &[(-mu, sigma)]),
                            team(u32::MAX, &[(mu, mu)]),
                        ];
                        teams[2].players[0].has_quit = true;
                        teams[0].players[0].rating.volatility = sigma;
                        for Rating { rating, deviation, volatility } in
                            rules(system).rate(&teams).into_iter().flatten()
                        {
                            assert!((-RATING_MAX..=RATING_MAX).contains(&rating));
                            assert!((DEVIATION_MIN..=DEVIATION_MAX).contains(&deviation));
                            assert!((VOLATILITY_MIN..=VOLATILITY_MAX).contains(&volatility));
                        }
                    }
                }
            }
        }
        assert_eq!(rules(NATIVE).rate(&[]), Vec::<Vec<Rating>>::new());
        let alone = team(1, &[(1.0, 2.0)]);
        assert_eq!(rules(NATIVE).rate(&[alone])[0][0], rating(1.0, 2.0));
    }
}
