//! Ratings: results are taken in as one batch over the homes of their players, and players,
//! servers and tickets are told what is known of a player.
//!
//! By which rules a queue is rated, the home of the tickets knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::Error;
use api::convert::rating::{self as convert, HistoryWish};
use api::reply::Reply;
use base::limits::{
    RATING_TRIES_MAX, RESULT_MATCH_ID_MAX, RESULT_PLAYERS_MAX, RESULT_TEAM_NAME_MAX,
    RESULT_TEAMS_MAX,
};
use base::{Code, UserId};
use domain::compete::rating::{Rating, Rules, System};
use domain::compete::result::{self, Ending, MatchResult, Plan, Standing};
use domain::play::party;
use matchmaker::queue::{self, Definition, Method};

use crate::Shard;
use crate::batch::Purpose;
use crate::message::{Answer, Claim, PoolQuery, Query, QueueQuery, Unrated};
use crate::party::PartyQuery;
use crate::state::State;
use crate::task::{Origin, Step};

/// A call about ratings under way.
#[derive(Debug)]
pub(crate) struct Rated {
    wanted: Wanted,
    /// By which the queue is rated, once that is known.
    rules: Option<Rules>,
    /// Players of whom is known what they are.
    found: BTreeMap<UserId, Standing>,
    tries: u32,
}

#[derive(Debug)]
pub(crate) enum Wanted {
    /// A result is to be taken in.
    Result(Arc<Ending>),
    Rating {
        queue: String,
        user: UserId,
        asker: Asker,
    },
    History {
        asker: Asker,
    },
    /// A ticket is to be added, and its task waits like this then.
    Ticket {
        unrated: Box<Unrated>,
        then: Box<State>,
    },
}

/// Who wants to know.
#[derive(Debug)]
pub(crate) enum Asker {
    Operator,
    /// A player, by the function of this name.
    Function(String),
}

impl Asker {
    fn told(&self, json: String) -> Step {
        Step::Done(match self {
            Asker::Operator => Reply::Document { json: json.into() },
            Asker::Function(id) => Reply::Rpc { id: id.clone(), payload: json },
        })
    }

    fn refused(&self, error: Error) -> Step {
        Step::Fail(match self {
            Asker::Operator => error,
            Asker::Function(_) => error.of_function(),
        })
    }
}

/// A result whose batch is in the making.
#[derive(Debug)]
pub(crate) struct TakenIn {
    rated: Rated,
    result: MatchResult,
}

impl Shard {
    pub(crate) fn take_in_result(&mut self, task: u64, ending: Ending) -> Step {
        let queue = ending.queue.clone();
        self.ask_rules(task, queue, Wanted::Result(Arc::new(ending)))
    }

    pub(crate) fn read_rating(
        &mut self,
        task: u64,
        queue: String,
        user: UserId,
        asker: Asker,
    ) -> Step {
        self.ask_rules(task, queue.clone(), Wanted::Rating { queue, user, asker })
    }

    /// A history is there as long as its player: its queue may be deleted.
    pub(crate) fn read_history(&mut self, task: u64, wish: HistoryWish, asker: Asker) -> Step {
        self.ask(task, self.config.placement.of_user(wish.user), Query::History(wish));
        wait(Wanted::History { asker })
    }

    /// The queue of a ticket asks what its players are.
    pub(crate) fn find_ratings(&mut self, task: u64, unrated: Box<Unrated>, then: State) -> Step {
        for user in &unrated.users {
            self.ask_standing(task, *user, unrated.queue.clone());
        }
        wait(Wanted::Ticket { unrated, then: Box::new(then) })
    }

    /// That is known.
    fn add_rated(&mut self, task: u64, rated: Rated) -> Step {
        let Rated { wanted: Wanted::Ticket { unrated, then }, found, .. } = rated else {
            return Step::Fail(Error::internal());
        };
        // Its session may have ended meanwhile, and its tickets have been dropped.
        if let Some(Origin::Session { session, .. }) = self.origin(task)
            && !self.sessions.contains_key(&session)
        {
            return Step::Ended(Err(Code::Canceled));
        }
        let (known, pool) = (Some(Arc::new(found)), self.config.placement.of_tickets());
        match unrated.query {
            Query::TicketAdd { ticket, query, .. } => {
                self.ask(task, pool, Query::TicketAdd { ticket, query, known });
            }
            Query::Pool(PoolQuery::Server { act, .. }) => {
                self.ask(task, pool, Query::Pool(PoolQuery::Server { act, known }));
            }
            Query::Party(PartyQuery::TicketAdd { by, party, ticket, query, .. }) => {
                let Some(home) = self.config.placement.of_party(party) else {
                    return Step::Fail(party::Error::NotFound.into());
                };
                let add = PartyQuery::TicketAdd { by, party, ticket, query, known };
                self.ask_party(task, home, add);
            }
            query => {
                debug_assert!(false, "{query:?} adds no ticket");
                return Step::Fail(Error::internal());
            }
        }
        Step::Wait(*then)
    }

    fn ask_rules(&mut self, task: u64, queue: String, wanted: Wanted) -> Step {
        let query = Query::Queue(QueueQuery::Definition { queue });
        self.ask(task, self.config.placement.of_tickets(), query);
        wait(wanted)
    }

    pub(crate) fn rated_step(
        &mut self,
        task: u64,
        mut rated: Box<Rated>,
        answer: Answer,
        is_last: bool,
    ) -> Step {
        match (&rated.wanted, answer) {
            (wanted, Answer::Refused(error)) => wanted.refused(error),
            (Wanted::Result(ending), Answer::Definition(definition)) => {
                let checked = rules(&definition).and_then(|rules| {
                    let ending = check(&definition, ending)?;
                    Ok((rules, ending))
                });
                match checked {
                    Err(error) => Step::Fail(error),
                    Ok((rules, ending)) => {
                        rated.rules = Some(rules);
                        rated.wanted = Wanted::Result(Arc::new(ending));
                        self.ask_result(task, rated)
                    }
                }
            }
            (Wanted::Result(ending), Answer::MatchResult(Some(result))) => {
                let json = convert::result(&ending.queue, &ending.match_id, &result);
                Step::Done(Reply::Document { json: json.into() })
            }
            (Wanted::Result(ending), Answer::MatchResult(None)) => {
                let ending = ending.clone();
                for player in ending.players() {
                    self.ask_standing(task, player.user, ending.queue.clone());
                }
                Step::Wait(State::Rated(rated))
            }
            (Wanted::Result(_), Answer::Standing(user, standing)) => {
                rated.found.insert(user, standing);
                match is_last {
                    true => self.commit_result(task, *rated),
                    false => Step::Wait(State::Rated(rated)),
                }
            }
            (Wanted::Rating { queue, user, asker }, Answer::Definition(definition)) => {
                match rules(&definition) {
                    Err(error) => asker.refused(error),
                    Ok(rules) => {
                        self.ask_standing(task, *user, queue.clone());
                        rated.rules = Some(rules);
                        Step::Wait(State::Rated(rated))
                    }
                }
            }
            (Wanted::Rating { queue, user, asker }, Answer::Standing(_, standing)) => {
                let Some(rules) = &rated.rules else { return Step::Fail(Error::internal()) };
                let known = standing.rating.as_ref();
                let rating = result::at(rules, known, self.now.wall);
                asker.told(convert::rating(queue, *user, rules, known, rating))
            }
            (Wanted::Ticket { .. }, Answer::Standing(user, standing)) => {
                rated.found.insert(user, standing);
                match is_last {
                    true => self.add_rated(task, *rated),
                    false => Step::Wait(State::Rated(rated)),
                }
            }
            (Wanted::History { asker }, Answer::History(page)) => {
                asker.told(convert::played(&page))
            }
            (wanted, answer) => {
                debug_assert!(false, "{wanted:?} does not wait for {answer:?}");
                Step::Fail(Error::internal())
            }
        }
    }

    fn ask_result(&mut self, task: u64, mut rated: Box<Rated>) -> Step {
        let Wanted::Result(ending) = &rated.wanted else { return Step::Fail(Error::internal()) };
        rated.found.clear();
        let home = self.config.placement.of_key(&ending.key());
        self.ask(task, home, Query::MatchResult(ending.clone()));
        Step::Wait(State::Rated(rated))
    }

    fn ask_standing(&mut self, task: u64, user: UserId, queue: String) {
        let home = self.config.placement.of_user(user);
        self.ask(task, home, Query::Standing { user, queue });
    }

    /// One batch: that the match was taken in, and what it makes of each player.
    fn commit_result(&mut self, task: u64, rated: Rated) -> Step {
        let (Wanted::Result(ending), Some(rules)) = (&rated.wanted, &rated.rules) else {
            return Step::Fail(Error::internal());
        };
        let Plan { result, outcomes } = result::plan(ending, rules, &rated.found, self.now.wall);
        let mut claims: Vec<_> =
            outcomes.into_iter().map(|outcome| Claim::Rate(Box::new(outcome))).collect();
        let (ending, kept) = (ending.clone(), Box::new(result.clone()));
        claims.push(Claim::Result { ending, result: kept });
        self.begin_batch(task, Purpose::Rate(Box::new(TakenIn { rated, result })), claims)
    }

    /// The batch is on its way to the store.
    pub(crate) fn taken_in(&self, TakenIn { rated, result }: &TakenIn) -> Step {
        let Wanted::Result(ending) = &rated.wanted else { return Step::Fail(Error::internal()) };
        let json = convert::result(&ending.queue, &ending.match_id, result);
        Step::Done(Reply::Document { json: json.into() })
    }

    /// Somebody else's result of these players, or of this match, was faster.
    pub(crate) fn resolve_result(&mut self, task: u64, taken_in: TakenIn) -> Step {
        let mut rated = taken_in.rated;
        rated.tries += 1;
        match rated.tries < RATING_TRIES_MAX {
            true => self.ask_result(task, Box::new(rated)),
            false => Step::Fail(result::Error::Changed.into()),
        }
    }
}

impl Wanted {
    fn refused(&self, error: Error) -> Step {
        match self {
            Wanted::Result(_) | Wanted::Ticket { .. } => Step::Fail(error),
            Wanted::Rating { asker, .. } | Wanted::History { asker } => asker.refused(error),
        }
    }
}

fn wait(wanted: Wanted) -> Step {
    let rated = Rated { wanted, rules: None, found: BTreeMap::new(), tries: 0 };
    Step::Wait(State::Rated(Box::new(rated)))
}

/// By which rules a queue is rated.
fn rules(definition: &Definition) -> Result<Rules, Error> {
    let text = "The queue keeps no ratings: its rating.system is \"given\".";
    kept(definition).ok_or_else(|| Error::new(Code::FailedPrecondition, text))
}

/// The same; `None` where tickets bring their ratings.
pub(crate) fn kept(definition: &Definition) -> Option<Rules> {
    let queue::Rating { system, default, default_deviation, .. } = &definition.rating;
    let queue::System::Kept(kept) = system else { return None };
    let (system, volatility) = match kept.method {
        Method::Elo { k } => (System::Elo { k }, 0.06),
        Method::Glicko2 { tau, volatility } => (System::Glicko2 { tau }, volatility),
        Method::OpenSkill { beta, tau } => (System::OpenSkill { beta, tau }, 0.06),
    };
    Some(Rules {
        system,
        first: Rating { rating: *default, deviation: *default_deviation, volatility },
        placement_games: u32::try_from(kept.placement_games).unwrap_or(u32::MAX),
        placement_factor: kept.placement_factor,
        growth: kept.growth,
    })
}

/// The ending with the names of all teams, if it is one of a match of the queue.
fn check(definition: &Definition, ending: &Ending) -> Result<Ending, Error> {
    let wrong = |what: String| Err(Error::invalid(what));
    if ending.match_id.is_empty() || ending.match_id.len() > RESULT_MATCH_ID_MAX {
        return wrong(format!("match_id has to be 1 to {RESULT_MATCH_ID_MAX} bytes."));
    }
    let known = &definition.teams;
    if ending.teams.len() != known.len() || ending.teams.len() > RESULT_TEAMS_MAX {
        return wrong(format!("teams: the queue's matches have {} teams.", known.len()));
    }
    if ending.players().count() > RESULT_PLAYERS_MAX {
        return wrong(format!("teams: at most {RESULT_PLAYERS_MAX} players in all."));
    }
    let mut ending = ending.clone();
    let (mut names, mut users) = (BTreeSet::new(), BTreeSet::new());
    for (team, of_place) in ending.teams.iter_mut().zip(known) {
        if team.name.is_empty() {
            team.name.clone_from(&of_place.name);
        }
        let shown = team.name.get(..RESULT_TEAM_NAME_MAX).unwrap_or(&team.name);
        let Some(known) = known.iter().find(|known| known.name == team.name) else {
            return wrong(format!("teams: the queue has no team {shown:?}."));
        };
        if !names.insert(known.name.as_str()) {
            return wrong(format!("teams: {shown:?} is there twice."));
        }
        // Somebody else may have taken the place of a player who left.
        let stayed = team.players.iter().filter(|player| !player.has_quit).count();
        if team.players.is_empty() || stayed > known.max {
            let most = known.max;
            return wrong(format!("teams: {shown:?} has 1 to {most} players who have not quit."));
        }
        if let Some(twice) = team.players.iter().find(|player| !users.insert(player.user)) {
            return wrong(format!("players: {} is there twice.", twice.user));
        }
    }
    Ok(ending)
}
