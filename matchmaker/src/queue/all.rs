//! All declared queues of a shard.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::{Instant, PartyId, SessionId, TicketId};

use super::{
    Acknowledged, Answer, Backfill, BackfillError, Definition, Dropped, Event, Explanation, Offer,
    Queue, Refused, Wait,
};
use crate::ticket::{Error, Owner, Ticket};

/// What dropping a ticket costs, in tickets looked at.
const DROP_COST: usize = 32;

/// Lives on the shard that owns the ticket pool, and is driven as a [`Queue`] is.
#[derive(Debug, Default)]
pub struct Queues {
    queues: BTreeMap<String, Queue>,
    /// Those that were deleted, while their tickets are dropped.
    deleted: VecDeque<Queue>,
    /// The queue that works first in the next step.
    turn: usize,
    is_paused: bool,
    events: VecDeque<Event>,
}

impl Queues {
    /// These are the queues from here on. A ticket stays in its queue while the queue's definition
    /// takes it, and keeps its age.
    pub fn define(&mut self, definitions: &[Arc<Definition>]) {
        let gone = self
            .queues
            .extract_if(.., |id, _| !definitions.iter().any(|definition| definition.id == *id));
        let gone: Vec<_> = gone.map(|(_, queue)| queue).collect();
        self.deleted.extend(gone);
        for definition in definitions {
            match self.queues.get_mut(&definition.id) {
                Some(queue) => queue.redefine(definition.clone()),
                None => {
                    let mut queue = Queue::new(definition.clone());
                    queue.set_paused(self.is_paused);
                    self.queues.insert(definition.id.clone(), queue);
                }
            }
        }
    }

    pub fn get(&self, id: &str) -> Option<&Queue> {
        self.queues.get(id)
    }

    /// Tickets that wait in all of them.
    pub fn len(&self) -> usize {
        self.all().map(Queue::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn all(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values().chain(&self.deleted)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Queue> {
        self.queues.values_mut().chain(&mut self.deleted)
    }

    /// The queue that a ticket is in.
    pub fn of_ticket(&self, id: TicketId) -> Option<&Queue> {
        self.all().find(|queue| queue.has(id))
    }

    /// Paused queues take tickets and form no match.
    pub fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
        self.queues.values_mut().for_each(|queue| queue.set_paused(is_paused));
    }

    /// Adds a ticket to the queue of this id, if there is one.
    pub fn add(&mut self, id: &str, ticket: &Ticket, now: Instant) -> Option<Result<(), Refused>> {
        Some(self.queues.get_mut(id)?.add(ticket, now))
    }

    fn queue_of(&mut self, id: TicketId) -> Result<&mut Queue, Error> {
        self.all_mut().find(|queue| queue.has(id)).ok_or(Error::NotFound)
    }

    pub fn remove(&mut self, id: TicketId, owner: Owner) -> Result<(), Error> {
        self.queue_of(id)?.remove(id, owner)
    }

    pub fn expel(&mut self, id: TicketId) -> Result<(), Error> {
        self.queue_of(id)?.expel(id)
    }

    pub fn remove_session(&mut self, session: SessionId) {
        self.all_mut().for_each(|queue| queue.remove_session(session));
    }

    pub fn remove_party(&mut self, party: PartyId) {
        self.all_mut().for_each(|queue| queue.remove_party(party));
    }

    pub fn renew(&mut self, id: TicketId, now: Instant) -> Result<(), Error> {
        self.queue_of(id)?.renew(id, now)
    }

    pub fn answer(
        &mut self,
        id: TicketId,
        session: Option<SessionId>,
        answer: Answer,
    ) -> Result<(), Error> {
        // In a deleted one, matches lose their tickets one after another.
        let queue = self.queues.values_mut().find(|queue| queue.has(id));
        queue.ok_or(Error::NotFound)?.answer(id, session, answer)
    }

    /// A running match looks for players of the queue of this id, if there is one.
    pub fn add_backfill(
        &mut self,
        id: &str,
        backfill: Backfill,
        now: Instant,
    ) -> Option<Result<(), BackfillError>> {
        Some(self.queues.get_mut(id)?.add_backfill(backfill, now))
    }

    fn backfilled(&mut self, id: TicketId) -> Result<&mut Queue, BackfillError> {
        self.queues.values_mut().find(|queue| queue.has(id)).ok_or(BackfillError::NotFound)
    }

    pub fn backfill(
        &mut self,
        id: TicketId,
        now: Instant,
    ) -> Result<(Arc<Definition>, &Backfill, Vec<&Offer>), BackfillError> {
        let (definition, backfill, offers) = self.backfilled(id)?.backfill(id, now)?;
        Ok((definition.clone(), backfill, offers))
    }

    pub fn acknowledge(
        &mut self,
        id: TicketId,
        tickets: &[TicketId],
        now: Instant,
    ) -> Result<Acknowledged, BackfillError> {
        self.backfilled(id)?.acknowledge(id, tickets, now)
    }

    pub fn remove_backfill(&mut self, id: TicketId) -> Result<(), BackfillError> {
        self.backfilled(id)?.remove_backfill(id)
    }

    pub fn explain(
        &self,
        id: TicketId,
        so_far: Option<Explanation>,
        now: Instant,
    ) -> Result<Explanation, Error> {
        self.of_ticket(id).ok_or(Error::NotFound)?.explain(id, so_far, now)
    }

    /// How long players of this rating, or of the queue's default, have waited lately.
    pub fn wait(&self, id: &str, rating: Option<f64>) -> Option<Option<Wait>> {
        let queue = self.queues.get(id)?;
        Some(queue.wait(rating.unwrap_or(queue.definition().rating.default)))
    }

    pub fn has_work(&self, now: Instant) -> bool {
        !self.deleted.is_empty() || self.queues.values().any(|queue| queue.has_work(now))
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.queues.values().filter_map(Queue::next_timeout).min()
    }

    /// Each queue has its turn at going first.
    pub fn step(&mut self, budget: usize, now: Instant) -> bool {
        let mut left = budget;
        while left > 0
            && let Some(queue) = self.deleted.front_mut()
        {
            left = left.saturating_sub(DROP_COST);
            self.events.extend(std::iter::from_fn(|| queue.poll_event()));
            match queue.drop_one() {
                Some(ticket) => {
                    let why = Dropped::QueueDeleted;
                    self.events.push_back(Event::Dropped { ticket: Box::new(ticket), why });
                }
                None => drop(self.deleted.pop_front()),
            }
        }
        let count = self.queues.len();
        let first = self.turn.checked_rem(count).unwrap_or(0);
        self.turn = self.turn.wrapping_add(1);
        let order = self.queues.values_mut().enumerate();
        let mut order: Vec<_> =
            order.map(|(place, queue)| ((place + count - first) % count, queue)).collect();
        order.sort_by_key(|(place, _)| *place);
        for (_, queue) in order {
            if left > 0 && queue.has_work(now) {
                left = queue.work(left, now);
            }
            self.events.extend(std::iter::from_fn(|| queue.poll_event()));
        }
        self.has_work(now)
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::{SessionId, UnixTime, UserId};

    use super::*;
    use crate::{Counts, Presence};

    fn ticket(number: u8) -> Ticket {
        let presence = Presence {
            user_id: UserId::from_bytes([number; 16]),
            session_id: SessionId::from_bytes([number; 16]),
            username: "".into(),
        };
        Ticket {
            id: TicketId::from_bytes([number; 16]),
            entries: vec![presence],
            party: None,
            counts: Counts::new(2, 2, None).expect("good counts"),
            string_properties: [].into(),
            numeric_properties: [].into(),
            created: UnixTime(0),
        }
    }

    #[test]
    fn tickets_of_a_deleted_queue_are_dropped() {
        let now = Instant(1);
        let duel = Arc::new(Definition::new("duel", 1));
        let team = Arc::new(Definition::new("team", 2));
        let mut queues = Queues::default();
        queues.define(&[duel.clone(), team]);
        assert_eq!(queues.add("solo", &ticket(1), now), None);
        assert_eq!(queues.add("team", &ticket(1), now), Some(Ok(())));
        assert_eq!(queues.add("duel", &ticket(2), now), Some(Ok(())));
        queues.define(&[duel]);
        assert_eq!(queues.len(), 2);
        while queues.step(1, now) {}
        let why = Dropped::QueueDeleted;
        let event = queues.poll_event();
        assert_eq!(event, Some(Event::Dropped { ticket: Box::new(ticket(1)), why }));
        assert_eq!((queues.len(), queues.poll_event()), (1, None));
        assert_eq!(
            queues.remove(ticket(1).id, Owner::Session(SessionId::from_bytes([1; 16]))),
            Err(Error::NotFound)
        );
        queues.remove_session(SessionId::from_bytes([2; 16]));
        assert!(queues.is_empty());
    }
    /// Two players of a queue with a ready check, who are asked.
    fn asked() -> Queues {
        let definition =
            Definition { ready: Some(Duration::from_secs(9)), ..Definition::new("duel", 1) };
        let mut queues = Queues::default();
        queues.define(&[Arc::new(definition)]);
        for number in [1, 2] {
            assert_eq!(queues.add("duel", &ticket(number), Instant(1)), Some(Ok(())));
        }
        while queues.step(100, Instant(1)) {}
        assert!(matches!(queues.poll_event(), Some(Event::Asked { .. })));
        queues
    }

    fn accept(queues: &mut Queues, number: u8) -> Result<(), Error> {
        let session = Some(SessionId::from_bytes([number; 16]));
        queues.answer(ticket(number).id, session, Answer::Accept)
    }

    #[test]
    fn what_happened_in_a_queue_is_told_though_it_is_deleted() {
        let mut queues = asked();
        assert_eq!([1, 2].map(|number| accept(&mut queues, number)), [Ok(()), Ok(())]);
        queues.define(&[]);
        while queues.step(1, Instant(1)) {}
        assert!(matches!(queues.poll_event(), Some(Event::Matched(_))));
        assert_eq!(queues.poll_event(), None);
    }

    #[test]
    fn nobody_accepts_a_match_of_a_deleted_queue() {
        let mut queues = asked();
        assert_eq!(accept(&mut queues, 1), Ok(()));
        queues.define(&[]);
        queues.step(1, Instant(1)); // one of them is dropped
        assert_eq!([1, 2].map(|number| accept(&mut queues, number)), [Err(Error::NotFound); 2]);
        while queues.step(1, Instant(1)) {}
        let is_drop = |event: &Event| matches!(event, Event::Dropped { .. });
        let events: Vec<_> = std::iter::from_fn(|| queues.poll_event()).collect();
        assert!(events.len() == 2 && events.iter().all(is_drop), "{events:?}");
    }
}
