//! What a queue asks of its matches: teams, ratings, roles, regions, and how it asks for less the
//! longer a ticket waits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::steps::{Step, Steps};

/// Players of a match of a queue.
pub(super) const PLAYERS_MAX: usize = 64;
pub(super) const TEAMS_MAX: usize = 16;
pub(super) const ROLES_MAX: usize = 16;
pub(super) const REGIONS_MAX: usize = 32;
pub(super) const ATTRIBUTES_MAX: usize = 8;
/// Values that an attribute of [`Rule::Intersect`] can have.
pub(super) const VALUES_MAX: usize = 64;
/// A waiting ticket asks for less so many times at most.
pub(super) const STAGES_MAX: usize = 128;
/// Sizes that the teams of a match may have.
pub(super) const SHAPES_MAX: usize = 64;
/// Games in which ratings may change by larger steps.
pub(super) const PLACEMENT_GAMES_MAX: usize = 1000;
/// Bytes of a name: of a queue, team, role, region, attribute.
pub(super) const NAME_MAX: usize = 64;
/// No term waits longer than a day.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// What is played; told to the players, and nothing else.
    pub mode: String,
    pub teams: Vec<Team>,
    /// Sizes of the parties that may come; 1 is a player alone.
    pub party_sizes: BTreeSet<usize>,
    pub attributes: Vec<Attribute>,
    pub rating: Rating,
    /// Roles of each team; without any, players have none.
    pub roles: Vec<Role>,
    /// After so long, players take roles that they did not name.
    pub autofill: Option<Duration>,
    /// Where matches can be played. Without any, players bring no latencies.
    pub regions: Vec<String>,
    /// Milliseconds by which a region may be farther than the player's own best one.
    pub latency: Steps,
    /// The least quality of a match, 0 to 1.
    pub quality: Steps,
    /// After so long, teams below their max size are accepted; those of the same bounds are of the
    /// same size.
    pub smaller: Option<Duration>,
    /// How long matched players have to accept their match; without it, nobody asks them.
    pub ready: Option<Duration>,
    /// How long a ticket that a server added waits unless the server renews it.
    pub lease: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub name: String,
    pub min: usize,
    pub max: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The property's name.
    pub name: String,
    pub rule: Rule,
}

/// What holds for any two tickets of a match.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// The same text, or number; those without it are alike.
    Equal,
    /// Numbers that differ by no more than that. Who has none, fits everybody.
    Distance(Steps),
    /// Lists of these values; all tickets of the match share one. Who has none, takes any.
    Intersect(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rating {
    pub system: System,
    /// How far apart two players may be, in rating points.
    pub window: Steps,
    /// Two players count as nearer by so many of the deviations of both.
    pub uncertainty: f64,
    /// Of who brings none.
    pub default: f64,
    pub default_deviation: f64,
}

/// Where ratings come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum System {
    /// The properties `rating` and `rating_deviation` of the ticket.
    Given,
    /// What is kept of each player, from results of matches.
    Kept(Kept),
}

/// How ratings follow from results. Everything is in rating points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    pub method: Method,
    /// Changes are larger in a player's first so many games,
    pub placement_games: usize,
    /// by this factor.
    pub placement_factor: f64,
    /// What a day without a match adds to the deviation, in squares.
    pub growth: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    Elo { k: f64 },
    Glicko2 { tau: f64, volatility: f64 },
    OpenSkill { beta: f64, tau: f64 },
}

impl Kept {
    /// As by default.
    pub fn elo() -> Kept {
        let method = Method::Elo { k: 32.0 };
        Kept { method, placement_games: 10, placement_factor: 2.0, growth: 0.0 }
    }

    /// As by default where newcomers have this deviation: without matches, it takes an experienced
    /// player about a year to be as uncertain as they are.
    pub fn glicko2(default_deviation: f64) -> Kept {
        let method = Method::Glicko2 { tau: 0.5, volatility: 0.06 };
        let growth = default_deviation / 20.0;
        Kept { method, placement_games: 0, placement_factor: 2.0, growth }
    }

    /// OpenSkill's own figures, in which a newcomer's deviation is the measure.
    pub fn openskill(default_deviation: f64) -> Kept {
        let (beta, tau) = (default_deviation / 2.0, default_deviation / 100.0);
        let method = Method::OpenSkill { beta, tau };
        let growth = default_deviation / 20.0;
        Kept { method, placement_games: 0, placement_factor: 2.0, growth }
    }

    /// Its terms by their names in a definition, with the bounds of each.
    fn terms(&self) -> Vec<(&'static str, f64, f64, f64)> {
        let mut terms = match self.method {
            Method::Elo { k } => vec![("k", k, 0.0, 1000.0)],
            Method::Glicko2 { tau, volatility } => {
                vec![("tau", tau, 0.1, 5.0), ("volatility", volatility, 0.0001, 1.0)]
            }
            Method::OpenSkill { beta, tau } => {
                vec![("beta", beta, 0.001, DEVIATION_MAX), ("tau", tau, 0.0, DEVIATION_MAX)]
            }
        };
        terms.push(("placement_factor", self.placement_factor, 0.1, 10.0));
        terms.push(("growth", self.growth, 0.0, DEVIATION_MAX));
        terms
    }

    /// What is wrong with it.
    fn check(&self, default_deviation: f64) -> Vec<String> {
        let is_out =
            |(_, value, least, most): &(_, f64, f64, f64)| !(*least..=*most).contains(value);
        let terms = self.terms().into_iter().filter(is_out);
        let mut wrong: Vec<_> = terms
            .map(|(name, _, least, most)| format!("rating.{name}: from {least} to {most}"))
            .collect();
        if self.placement_games > PLACEMENT_GAMES_MAX {
            wrong.push(format!("rating.placement_games: at most {PLACEMENT_GAMES_MAX}"));
        }
        if default_deviation < 0.001 {
            wrong.push("rating.default_deviation: from 0.001 where ratings are kept".into());
        }
        wrong
    }
}

/// A role, and how many players of each full team have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    pub slots: usize,
}

/// What a ticket asks for after some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The age at which it begins.
    pub from: Duration,
    pub window: f64,
    /// Milliseconds.
    pub latency: f64,
    pub quality: f64,
    /// Of the attributes with a distance, in their order.
    pub distances: Vec<f64>,
    pub autofill: bool,
    pub smaller: bool,
}

impl Definition {
    /// A queue of this name for two teams of so many players, everything else as by default.
    pub fn new(id: &str, team_size: usize) -> Definition {
        let team = |name: &str| Team { name: name.into(), min: team_size, max: team_size };
        Definition {
            id: id.into(),
            mode: String::new(),
            teams: vec![team("red"), team("blue")],
            party_sizes: (1..=team_size).collect(),
            attributes: Vec::new(),
            rating: Rating {
                system: System::Given,
                window: Steps::evenly(100.0, 500.0, Duration::from_secs(40)),
                uncertainty: 0.0,
                default: 1500.0,
                default_deviation: 350.0,
            },
            roles: Vec::new(),
            autofill: None,
            regions: Vec::new(),
            latency: Steps::evenly(30.0, 150.0, Duration::from_secs(40)),
            quality: Steps::constant(0.0),
            smaller: None,
            ready: None,
            lease: Duration::from_secs(30),
        }
    }

    /// Players of a full match.
    pub fn players(&self) -> usize {
        self.teams.iter().map(|team| team.max).sum()
    }

    /// Everything that is wrong with it, each with the place where.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        let mut say = |is_wrong: bool, what: String| {
            if is_wrong {
                wrong.push(what);
            }
        };
        say(!is_name(&self.id), format!("id: {NAME_RULE}"));
        say(self.mode.len() > NAME_MAX, format!("mode: at most {NAME_MAX} bytes"));
        let teams = &self.teams;
        say(
            teams.is_empty() || teams.len() > TEAMS_MAX,
            format!("teams: from 1 to {TEAMS_MAX} of them"),
        );
        say(
            self.players() < 2 || self.players() > PLAYERS_MAX,
            format!("teams: from 2 to {PLAYERS_MAX} players in all"),
        );
        for team in teams {
            let name = &team.name;
            say(!is_name(name), format!("teams: name: {NAME_RULE}"));
            say(team.min < 1 || team.min > team.max, format!("teams: {name}: 1 <= min <= max"));
        }
        let sizes = self.bounds().into_iter().map(|(min, max)| max.saturating_sub(min) + 1);
        let shapes = sizes.fold(1_usize, usize::saturating_mul);
        say(
            self.smaller.is_some() && shapes > SHAPES_MAX,
            format!("teams: their bounds allow more than {SHAPES_MAX} sizes"),
        );
        let names = [
            ("teams", teams.iter().map(|team| &team.name).collect::<Vec<_>>()),
            ("roles", self.roles.iter().map(|role| &role.name).collect()),
            ("regions", self.regions.iter().collect()),
            ("attributes", self.attributes.iter().map(|attribute| &attribute.name).collect()),
        ];
        for (list, names) in names {
            let distinct: BTreeSet<_> = names.iter().collect();
            say(distinct.len() < names.len(), format!("{list}: a name is there twice"));
        }
        let largest = teams.iter().map(|team| team.max).max().unwrap_or(0);
        let sizes = &self.party_sizes;
        say(
            sizes.is_empty() || sizes.iter().any(|size| *size < 1 || *size > largest),
            format!("party_sizes: each from 1 to {largest}, the largest team"),
        );
        say(
            self.attributes.len() > ATTRIBUTES_MAX,
            format!("attributes: at most {ATTRIBUTES_MAX}"),
        );
        for Attribute { name, rule } in &self.attributes {
            say(
                !is_name(name) || is_reserved(name),
                format!("attributes: name: {NAME_RULE}, and not one that queues know"),
            );
            match rule {
                Rule::Equal => {}
                Rule::Distance(steps) => {
                    if let Err(what) = steps.check(0.0, f64::MAX, Step::Rising) {
                        say(true, format!("attributes: {name}: {what}"));
                    }
                }
                Rule::Intersect(values) => {
                    let distinct: BTreeSet<_> = values.iter().collect();
                    let is_good = (1..=VALUES_MAX).contains(&values.len())
                        && distinct.len() == values.len()
                        && values.iter().all(|value| is_name(value));
                    say(
                        !is_good,
                        format!("attributes: {name}: values: 1 to {VALUES_MAX} names, each once"),
                    );
                }
            }
        }
        let Rating { window, uncertainty, default, default_deviation, .. } = &self.rating;
        let terms = [
            ("rating.window", window, 1e9, Step::Rising),
            ("latency", &self.latency, 60_000.0, Step::Rising),
            ("quality", &self.quality, 1.0, Step::Falling),
        ];
        for (name, steps, most, step) in terms {
            if let Err(what) = steps.check(0.0, most, step) {
                say(true, format!("{name}: {what}"));
            }
        }
        say(!(0.0..=10.0).contains(uncertainty), "rating.uncertainty: from 0 to 10".into());
        say(!is_rating(*default), format!("rating.default: {RATING_RULE}"));
        say(
            !(0.0..=DEVIATION_MAX).contains(default_deviation),
            format!("rating.default_deviation: from 0 to {DEVIATION_MAX}"),
        );
        if let System::Kept(kept) = &self.rating.system {
            kept.check(*default_deviation).into_iter().for_each(|what| say(true, what));
        }
        say(self.roles.len() > ROLES_MAX, format!("roles: at most {ROLES_MAX}"));
        for role in &self.roles {
            let name = &role.name;
            say(!is_name(name), format!("roles: name: {NAME_RULE}"));
            say(role.slots < 1, format!("roles: {name}: slots: 1 or more"));
        }
        let slots: usize = self.roles.iter().map(|role| role.slots).sum();
        let is_filled = teams.iter().all(|team| team.max == slots);
        say(
            !self.roles.is_empty() && !is_filled,
            "roles: their slots have to add up to the max size of every team".into(),
        );
        say(self.regions.len() > REGIONS_MAX, format!("regions: at most {REGIONS_MAX}"));
        say(self.regions.iter().any(|region| !is_name(region)), format!("regions: {NAME_RULE}"));
        let waits = [("autofill_after_sec", self.autofill), ("smaller_after_sec", self.smaller)];
        for (name, wait) in waits {
            say(wait.is_some_and(|wait| wait > WAIT_MAX), format!("{name}: a day at most"));
        }
        let short = Duration::from_secs(1)..=Duration::from_secs(300);
        say(self.ready.is_some_and(|ready| !short.contains(&ready)), "ready_sec: 1 to 300".into());
        let lease = Duration::from_secs(5)..=Duration::from_secs(3600);
        say(!lease.contains(&self.lease), "lease_sec: 5 to 3600".into());
        say(
            self.stage_ages().len() > STAGES_MAX,
            format!("the terms change at more than {STAGES_MAX} ages"),
        );
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// What a ticket asks for, by age. The first one begins at 0.
    pub fn stages(&self) -> Vec<Stage> {
        let distances = |age| {
            let distance = |attribute: &Attribute| match &attribute.rule {
                Rule::Distance(steps) => Some(steps.at(age)),
                Rule::Equal | Rule::Intersect(_) => None,
            };
            self.attributes.iter().filter_map(distance).collect()
        };
        let stage = |age: Duration| Stage {
            from: age,
            window: self.rating.window.at(age),
            latency: self.latency.at(age),
            quality: self.quality.at(age),
            distances: distances(age),
            autofill: self.autofill.is_some_and(|autofill| age >= autofill),
            smaller: self.smaller.is_some_and(|smaller| age >= smaller),
        };
        self.stage_ages().into_iter().map(stage).collect()
    }

    /// Sizes of the teams that a match may have, most players first.
    pub(super) fn shapes(&self) -> Vec<Vec<usize>> {
        let full = || self.teams.iter().map(|team| team.max).collect();
        if self.smaller.is_none() {
            return vec![full()];
        }
        let mut shapes: Vec<Vec<usize>> = vec![full()];
        for (min, max) in self.bounds() {
            let mut smaller = Vec::new();
            for shape in &shapes {
                for size in min..max {
                    let teams = self.teams.iter().zip(shape);
                    let sized = |(team, was): (&Team, &usize)| {
                        if (team.min, team.max) == (min, max) { size } else { *was }
                    };
                    smaller.push(teams.map(sized).collect());
                }
            }
            shapes.extend(smaller);
        }
        shapes.retain(|shape| shape.iter().sum::<usize>() >= 2);
        shapes.sort_by_key(|shape| std::cmp::Reverse(shape.iter().sum::<usize>()));
        shapes
    }

    /// The different bounds of its teams.
    fn bounds(&self) -> BTreeSet<(usize, usize)> {
        self.teams.iter().map(|team| (team.min, team.max)).collect()
    }

    fn stage_ages(&self) -> BTreeSet<Duration> {
        let mut ages: BTreeSet<_> = [Duration::ZERO].into();
        ages.extend(self.autofill);
        ages.extend(self.smaller);
        ages.extend(self.rating.window.ages());
        ages.extend(self.quality.ages());
        if !self.regions.is_empty() {
            ages.extend(self.latency.ages());
        }
        for attribute in &self.attributes {
            if let Rule::Distance(steps) = &attribute.rule {
                ages.extend(steps.ages());
            }
        }
        ages
    }
}

const NAME_RULE: &str = "1 to 64 letters, digits, '-', '_', '.' or spaces";
const _: () = assert!(NAME_MAX == 64, "named in the text above");

/// Ratings lie within.
pub(super) const RATING_MAX: f64 = 1e6;
pub(super) const DEVIATION_MAX: f64 = 1e4;
const RATING_RULE: &str = "from -1000000 to 1000000";

pub(super) fn is_rating(rating: f64) -> bool {
    (-RATING_MAX..=RATING_MAX).contains(&rating)
}

fn is_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_good) && name.trim() == name
}

/// Properties that every queue reads.
fn is_reserved(name: &str) -> bool {
    ["queue", "rating", "rating_deviation", "roles", "blocked"].contains(&name)
        || name.starts_with("latency.")
}
