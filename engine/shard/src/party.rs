//! Parties: what a session does to one, what its home makes of it, and the list of all.

use std::cmp::Reverse;
use std::sync::Arc;

use api::Error;
use api::convert::party::{parse_party_id, parse_presence, read_cursor, write_cursor};
use api::reply::{ListedParty, PartyPlace, Reply};
use api::request::{PartyAct, PartyCreate, PartyList, PartySettings, UserPresence};
use base::limits::{MATCHMAKER_QUERY_MAX, PARTIES_PER_SESSION_MAX};
use base::{Code, PartyId, SessionId, ShardId, TicketId};
use domain::ctx::Ctx;
use domain::effect::{Effect, Event};
use domain::identity::session::Bearer;
use domain::play::party::{
    self, Address, Command, Data, Label, MaxSize, NewParty, Notice, Party, Settings,
};
use domain::presence::Presence;
use matchmaker::Ticket;
use matchmaker::query::{self, Document, Value};

use crate::Shard;
use crate::message::{Answer, Errand, Known, Message, Query, TaskId};
use crate::session::{parse_ticket, ticket_entry};
use crate::state::State;
use crate::task::{Origin, Step, Task, invalid_token};
use crate::view::Depends;

/// A party at its home.
#[derive(Debug)]
pub(crate) struct Housed {
    party: Party,
    /// What everything depended on that has been done to it: so does all that follows, and nothing
    /// that it tells overtakes what it has told before.
    depends: Depends,
    /// Whether there may be tickets of it.
    has_tickets: bool,
    /// By which it is searched.
    label: query::Label,
}

impl Housed {
    fn new(party: Party, depends: Depends) -> Housed {
        let label = searched(&party);
        Housed { party, depends, has_tickets: false, label }
    }

    /// Something is done to it that depends on this.
    fn depends_also(&mut self, depends: &Depends) -> Depends {
        self.depends.merge(depends);
        self.depends.clone()
    }
}

/// What a party's home is asked, or what each shard is asked of the parties that live there.
#[derive(Clone, Debug)]
pub enum PartyQuery {
    Create(Box<NewParty>),
    Act {
        id: PartyId,
        by: Presence,
        command: Command,
    },
    /// All members are to wait for a match. The party's home names them.
    TicketAdd {
        by: SessionId,
        party: PartyId,
        ticket: Box<Ticket>,
        query: Arc<matchmaker::Query>,
        known: Known,
    },
    TicketRemove {
        by: SessionId,
        party: PartyId,
        ticket: TicketId,
    },
    /// To the ticket pool: the leader wishes it, and the others are to know.
    PoolAdd {
        leader: SessionId,
        party: PartyId,
        ticket: Box<Ticket>,
        query: Arc<matchmaker::Query>,
        known: Known,
    },
    List(Arc<Listing>),
}

/// Which parties are wanted.
#[derive(Debug)]
pub struct Listing {
    list: PartyList,
    query: matchmaker::Query,
    after: Option<PartyPlace>,
}

impl Listing {
    /// Nakama calls what is wrong with a query or a cursor an error of its own.
    fn new(list: PartyList) -> Result<Listing, Error> {
        let internal = |message: String| Error::new(Code::Internal, message);
        if list.query.len() > MATCHMAKER_QUERY_MAX {
            return Err(internal("The query is too long.".into()));
        }
        let query = matchmaker::Query::parse(&list.query);
        let query = query.map_err(|error| internal(error.to_string()))?;
        let after = match list.cursor.is_empty() {
            true => None,
            false => {
                let place = read_cursor(&list);
                Some(place.ok_or_else(|| internal("The cursor is not of this list.".into()))?)
            }
        };
        Ok(Listing { list, query, after })
    }

    /// Where the party stands in the list, if it does.
    fn place(&self, housed: &Housed) -> Option<PartyPlace> {
        let party = &housed.party;
        let Settings { open, hidden, .. } = party.settings();
        if *hidden || self.list.open.is_some_and(|wanted| wanted != *open) {
            return None;
        }
        let place = PartyPlace {
            score: Reverse(rank(self.query.score(housed)?)),
            created: Reverse(party.created()),
            id: party.address().id,
        };
        self.after.is_none_or(|after| after < place).then_some(place)
    }
}

/// Numbers in the order of the scores.
fn rank(score: f64) -> u64 {
    let bits = score.to_bits();
    if score.is_sign_negative() { !bits } else { bits | 1 << 63 }
}

impl Document for Housed {
    fn any(&self, field: &str, accepts: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let Settings { open, hidden, .. } = self.party.settings();
        let flag = |on: bool| Value::Text(if on { "T" } else { "F" });
        accepts(match field {
            "open" => flag(*open),
            "hidden" => flag(*hidden),
            "max_size" => Value::Number(self.party.max_size().get().into()),
            "node" => Value::Text(&self.party.address().node),
            "create_time" => Value::Date(self.party.created().0.cast_signed()),
            _ => return self.label.any(field, accepts),
        })
    }
}

// On the session's shard.

impl Shard {
    pub(crate) fn create_party(
        &mut self,
        task: u64,
        me: Presence,
        create: &PartyCreate,
    ) -> Result<Step, Error> {
        let max_size = MaxSize::new(create.max_size)?;
        let settings = parse_settings(&create.settings)?;
        let id = PartyId::born(self.config.placement.birth(self.id), &mut self.rng);
        if !self.note_party(me.session_id, id, task)? {
            return Ok(Step::Ended(Err(Code::Canceled)));
        }
        let address = self.party_address(id);
        let new = NewParty { address, max_size, settings, me, number: task };
        self.ask_party(task, self.id, PartyQuery::Create(Box::new(new)));
        Ok(Step::Wait(State::Party(id)))
    }

    pub(crate) fn act_on_party(
        &mut self,
        task: u64,
        me: Presence,
        party_id: &str,
        act: PartyAct,
    ) -> Result<Step, Error> {
        let (id, node) =
            parse_party_id(party_id).ok_or_else(|| Error::invalid("The party id is not valid."))?;
        let home = self.config.placement.of_party(id).filter(|_| node == self.config.name);
        if act == PartyAct::Leave {
            let session = self.sessions.get_mut(&me.session_id);
            if session.is_none_or(|session| session.parties.remove(&id).is_none()) {
                return Ok(Step::Done(Reply::Empty));
            }
        }
        let home = home.ok_or(party::Error::NotFound)?;
        let command = match act {
            PartyAct::Join => {
                if !self.note_party(me.session_id, id, task)? {
                    return Ok(Step::Ended(Err(Code::Canceled)));
                }
                Command::Join { number: task }
            }
            PartyAct::Leave => Command::Leave,
            PartyAct::Promote(who) => Command::Promote(whom(&who)?),
            PartyAct::Accept(who) => Command::Accept(whom(&who)?),
            PartyAct::Remove(who) => Command::Remove(whom(&who)?),
            PartyAct::Close => Command::Close,
            PartyAct::Requests => Command::Requests,
            PartyAct::Update(settings) => Command::Update(parse_settings(&settings)?),
            PartyAct::Send { op_code, data } => Command::Send(Data { op_code, bytes: data }),
            PartyAct::MatchmakerAdd(add) => {
                // Nakama has one code for all that can be wrong with it.
                let wish = self.wish(add).map_err(|error| Error::invalid(error.message));
                let ((ticket, query), by) = (wish?, me.session_id);
                let (party, known) = (id, None);
                let add = PartyQuery::TicketAdd { by, party, ticket, query, known };
                self.ask_party(task, home, add);
                return Ok(Step::Wait(State::Party(id)));
            }
            PartyAct::MatchmakerRemove { ticket } => {
                let (by, ticket) = (me.session_id, parse_ticket(&ticket)?);
                self.ask_party(task, home, PartyQuery::TicketRemove { by, party: id, ticket });
                return Ok(Step::Wait(State::Party(id)));
            }
        };
        self.ask_party(task, home, PartyQuery::Act { id, by: me, command });
        Ok(Step::Wait(State::Party(id)))
    }

    /// Nothing that a session asks of parties overtakes what it has asked before.
    pub(crate) fn ask_party(&mut self, task: u64, home: ShardId, query: PartyQuery) {
        if let Some(Task { origin: Origin::Session { session, .. }, depends, .. }) =
            self.tasks.get_mut(&task)
            && let Some(session) = self.sessions.get(session)
        {
            depends.merge(&session.asked);
        }
        self.ask(task, home, Query::Party(query));
    }

    /// Notes that the session may be in this party from here on; `false` when there is no session.
    fn note_party(&mut self, session: SessionId, id: PartyId, task: u64) -> Result<bool, Error> {
        let Some(session) = self.sessions.get_mut(&session) else { return Ok(false) };
        let is_known = session.parties.contains_key(&id);
        if !is_known && session.parties.len() >= PARTIES_PER_SESSION_MAX {
            return Err(Error::invalid("The session is in too many parties."));
        }
        session.parties.insert(id, task);
        Ok(true)
    }

    /// The session is a member: with `single_party`, of no other.
    pub(crate) fn enter_party(&mut self, id: PartyId, session: SessionId) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        if !session.parties.contains_key(&id) {
            return;
        }
        let others = session.parties.extract_if(.., |other, _| *other != id);
        let others: Vec<_> = others.map(|(other, _)| other).collect();
        let (me, depends) = (session.me.clone(), session.asked.clone());
        self.leave_parties(others, &me, &depends);
    }

    pub(crate) fn leave_parties(
        &mut self,
        parties: impl IntoIterator<Item = PartyId>,
        me: &Presence,
        depends: &Depends,
    ) {
        for id in parties {
            if let Some(home) = self.config.placement.of_party(id) {
                self.send(home, Message::PartyLeave { id, by: me.clone() }, depends);
            }
        }
    }

    /// The session is out, unless it has asked to come in again since.
    pub(crate) fn forget_party(&mut self, id: PartyId, session: SessionId, number: u64) {
        if let Some(session) = self.sessions.get_mut(&session)
            && session.parties.get(&id) == Some(&number)
        {
            session.parties.remove(&id);
        }
    }

    pub(crate) fn party_address(&self, id: PartyId) -> Address {
        Address { id, node: self.config.name.as_str().into() }
    }
}

// On the party's home.

impl Shard {
    pub(crate) fn answer_party(&mut self, task: TaskId, query: PartyQuery, depends: &Depends) {
        match query {
            PartyQuery::Create(new) => {
                let mut effects = Vec::new();
                let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
                let (party, view) = Party::create(ctx, *new);
                self.parties.insert(view.address.id, Housed::new(party, depends.clone()));
                self.answer(task, Answer::PartyCreated(Box::new(view)), depends);
                self.deliver(effects, depends);
            }
            PartyQuery::Act { id, by, command } => {
                self.apply_to_party(Some(task), id, &by, command, depends);
            }
            PartyQuery::TicketAdd { by, party, mut ticket, query, known } => {
                match self.lead_party(by, party, depends) {
                    Err(error) => self.answer(task, Answer::Refused(error.into()), depends),
                    Ok((members, depends)) => {
                        ticket.party = Some(party);
                        ticket.entries = members.into_iter().map(ticket_entry).collect();
                        let add = PartyQuery::PoolAdd { leader: by, party, ticket, query, known };
                        self.ask_pool(task, Query::Party(add), &depends);
                    }
                }
            }
            PartyQuery::TicketRemove { by, party, ticket } => {
                match self.lead_party(by, party, depends) {
                    Err(error) => self.answer(task, Answer::Refused(error.into()), depends),
                    Ok((_, depends)) => {
                        let owner = matchmaker::Owner::Party(party);
                        self.ask_pool(task, Query::TicketRemove { ticket, owner }, &depends);
                    }
                }
            }
            PartyQuery::PoolAdd { leader, party, ticket, query, known } => {
                // The party's home is asked again: it knows who its members are by then.
                let again = || {
                    let (by, ticket, query) = (leader, ticket.clone(), query.clone());
                    Query::Party(PartyQuery::TicketAdd { by, party, ticket, query, known: None })
                };
                if let Some(unrated) = self.unrated(&ticket, &known, again) {
                    return self.answer(task, unrated, depends);
                }
                let answer = self.add_to_pool(&ticket, &query, &known).map_or_else(
                    |error| Answer::Refused(Error::invalid(error.message)),
                    Answer::Ticket,
                );
                if let Answer::Ticket(id) = answer {
                    let sessions = ticket.entries.iter().map(|entry| entry.session_id);
                    let to: Vec<_> = sessions.filter(|session| *session != leader).collect();
                    let event = party::Event::Ticket(id);
                    let event = Event::Party { address: self.party_address(party), event };
                    self.deliver(vec![Effect::Push { to, event }], depends);
                }
                self.answer(task, answer, depends);
            }
            PartyQuery::List(listing) => {
                let found = self.parties_of(&listing);
                self.answer(task, Answer::Parties(found), depends);
            }
        }
    }

    /// Does what somebody wants of a party; without a task, nobody waits for an answer.
    pub(crate) fn apply_to_party(
        &mut self,
        task: Option<TaskId>,
        id: PartyId,
        by: &Presence,
        command: Command,
        depends: &Depends,
    ) {
        // As Nakama does: who comes and goes is answered before the members are told.
        let is_told_first =
            matches!(command, Command::Promote(_) | Command::Update(_) | Command::Close);
        let number = if let Command::Join { number } = command { Some(number) } else { None };
        let (mut effects, mut depends) = (Vec::new(), depends.clone());
        let (result, is_known) = match self.parties.get_mut(&id) {
            None if command == Command::Leave => (Ok(party::Reply::Done), false),
            None => (Err(party::Error::NotFound), false),
            Some(housed) => {
                depends = housed.depends_also(&depends);
                if let Some(number) = number {
                    housed.party.renumber(by.session_id, number);
                }
                let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
                let is_update = matches!(command, Command::Update(_));
                let result = housed.party.apply(ctx, by, command);
                if is_update && result.is_ok() {
                    housed.label = searched(&housed.party);
                }
                (result, housed.party.knows(by.session_id))
            }
        };
        if let (Some(number), false) = (number, is_known) {
            let notice = Notice::Out { session: by.session_id, number };
            effects.push(Effect::Party { id, notice });
        }
        let answer = match result {
            Ok(party::Reply::Done) => Answer::Done,
            Ok(party::Reply::Requests(presences)) => {
                Answer::PartyRequests(self.party_address(id), presences)
            }
            Err(error) => Answer::Refused(error.into()),
        };
        if is_told_first {
            self.deliver(std::mem::take(&mut effects), &depends);
        }
        if let Some(task) = task {
            self.answer(task, answer, &depends);
        }
        self.deliver(effects, &depends);
        if self.parties.get(&id).is_some_and(|housed| housed.party.is_over()) {
            self.parties.remove(&id);
        }
    }

    pub(crate) fn heed_party(&mut self, id: PartyId, notice: &Notice, depends: &Depends) {
        let (session, message) = match *notice {
            Notice::Changed => return self.drop_party_tickets(id, depends),
            Notice::Entered(_) if !self.config.single_party => return,
            Notice::Entered(session) => (session, Message::PartyEntered { id, session }),
            Notice::Out { session, number } => (session, Message::PartyOut { id, session, number }),
        };
        if let Some(home) = self.config.placement.of_session(session) {
            self.send(home, message, depends);
        }
    }

    /// All members of a party that the session leads.
    fn lead_party(
        &mut self,
        by: SessionId,
        id: PartyId,
        depends: &Depends,
    ) -> Result<(Vec<Presence>, Depends), party::Error> {
        let housed = self.parties.get_mut(&id).ok_or(party::Error::NotFound)?;
        let members = housed.party.led_by(by)?;
        housed.has_tickets = true;
        Ok((members, housed.depends_also(depends)))
    }

    /// Whatever waits in the pool for a party that is not the same any more, goes: the pool hears
    /// of this behind all that the party has asked of it.
    fn drop_party_tickets(&mut self, party: PartyId, depends: &Depends) {
        if let Some(housed) = self.parties.get_mut(&party)
            && std::mem::take(&mut housed.has_tickets)
        {
            self.tell_pool(Message::TicketsDropParty { party }, depends);
        }
    }

    /// Has the pool answer the task.
    fn ask_pool(&mut self, task: TaskId, query: Query, depends: &Depends) {
        self.tell_pool(Message::Ask { task, query }, depends);
    }

    /// The pool forms matches of what it hears at once, so it hears what is durable.
    fn tell_pool(&mut self, message: Message, depends: &Depends) {
        match self.config.placement.of_tickets() {
            home if home == self.id => self.send_when_durable(message, depends),
            home => self.send(home, message, depends),
        }
    }

    fn answer(&mut self, task: TaskId, answer: Answer, depends: &Depends) {
        self.send(task.shard, Message::Answer { task: task.number, answer }, depends);
    }
}

// The list.

impl Shard {
    pub(crate) fn list_parties(
        &mut self,
        task: u64,
        bearer: Option<Bearer>,
        list: PartyList,
    ) -> Step {
        let Some(bearer) = bearer else { return Step::Fail(invalid_token()) };
        match Listing::new(list) {
            Err(error) => self.refuse_after_guard(task, bearer, error),
            Ok(listing) => {
                self.ask_guarded(task, bearer, Errand::Nothing);
                Step::Wait(State::PartiesGuard(Arc::new(listing)))
            }
        }
    }

    pub(crate) fn ask_for_parties(&mut self, task: u64, listing: Arc<Listing>) -> Step {
        for shard in ShardId::all(self.config.placement.count) {
            self.ask(task, shard, Query::Party(PartyQuery::List(listing.clone())));
        }
        Step::Wait(State::Parties { listing, found: Vec::new() })
    }

    /// The first parties of the list that live here, one more than it shows.
    fn parties_of(&self, listing: &Listing) -> Vec<ListedParty> {
        let parties = self.parties.values();
        let mut found: Vec<_> =
            parties.filter_map(|housed| Some((listing.place(housed)?, &housed.party))).collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        found.truncate(listing.list.limit + 1);
        let listed = |(place, party): (_, &Party)| ListedParty {
            place,
            address: party.address().clone(),
            open: party.settings().open,
            max_size: party.max_size(),
            label: party.settings().label.object_text().into(),
        };
        found.into_iter().map(listed).collect()
    }
}

/// The first page of what all shards have found.
pub(crate) fn page(listing: &Listing, mut parties: Vec<ListedParty>) -> Reply {
    let list = &listing.list;
    parties.sort_unstable_by_key(|party| party.place);
    let is_more = parties.len() > list.limit;
    parties.truncate(list.limit);
    let last = parties.last().filter(|_| is_more);
    let cursor = last.map(|last| write_cursor(list, last.place));
    Reply::Parties { parties, cursor }
}

fn searched(party: &Party) -> query::Label {
    query::Label::new("label", &party.settings().label.object())
}

fn parse_settings(settings: &PartySettings) -> Result<Settings, Error> {
    let label = Label::parse(&settings.label)?;
    Ok(Settings { open: settings.open, hidden: settings.hidden, label })
}

fn whom(presence: &UserPresence) -> Result<Presence, Error> {
    parse_presence(presence).ok_or_else(|| Error::invalid("The presence is not complete."))
}
