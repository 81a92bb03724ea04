//! A party: players who stay together, led by one of them.

use std::fmt;
use std::sync::Arc;

use base::json::Json;
use base::limits::{PARTY_LABEL_MAX, PARTY_SIZE_MAX};
use base::{Code, PartyId, SessionId, TicketId, UnixTime};
use bytes::Bytes;

use crate::ctx::Ctx;
use crate::effect::{self, Effect};
use crate::presence::Presence;

/// One party. Lives on the shard that its id names, in memory only, and exists while it has
/// members.
///
/// Invariants: a session is a member or a requester at most once, and never both; members stand in
/// the order in which they came; the leader is a member; there are no more members, and no more
/// requests, than the party may have. Only its creator may be one too many.
#[derive(Debug)]
pub struct Party {
    address: Address,
    created: UnixTime,
    max_size: MaxSize,
    settings: Settings,
    leader: SessionId,
    members: Vec<Guest>,
    requests: Vec<Guest>,
}

/// A session that is in, or asks to be let in.
#[derive(Debug)]
struct Guest {
    me: Presence,
    /// Of its newest request to come in.
    number: u64,
}

/// What clients name a party by: its id, and the node that it lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub id: PartyId,
    pub node: Arc<str>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.node)
    }
}

/// What the leader may change.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whoever wants to is let in.
    pub open: bool,
    /// It is not listed.
    pub hidden: bool,
    pub label: Label,
}

/// What a party is searched by: nothing, or a JSON object of a bounded size.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    text: Arc<str>,
}

impl Label {
    /// Nothing stands for an object without members.
    pub fn parse(text: &str) -> Result<Label, Error> {
        let is_object = || matches!(Json::parse(text.as_bytes()), Ok(Json::Object(_)));
        if text.is_empty() || (text.len() <= PARTY_LABEL_MAX && is_object()) {
            return Ok(Label { text: text.into() });
        }
        Err(Error::Label)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As it is listed.
    pub fn object_text(&self) -> &str {
        if self.text.is_empty() { "{}" } else { &self.text }
    }

    /// What is written there.
    pub fn object(&self) -> Json {
        Json::parse(self.object_text().as_bytes()).expect("it was read before")
    }
}

/// How many members a party may have, at most [`PARTY_SIZE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSize(u16);

const _: () = assert!(PARTY_SIZE_MAX <= u16::MAX as usize);

impl MaxSize {
    pub fn new(max_size: i32) -> Result<MaxSize, Error> {
        match u16::try_from(max_size) {
            Ok(max_size) if usize::from(max_size) <= PARTY_SIZE_MAX => Ok(MaxSize(max_size)),
            _ => Err(Error::MaxSize),
        }
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

/// A party that is about to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewParty {
    pub address: Address,
    pub max_size: MaxSize,
    pub settings: Settings,
    /// Its first member and leader.
    pub me: Presence,
    pub number: u64,
}

/// What a session can do to a party.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `number` tells the session's requests to come in from each other.
    Join {
        number: u64,
    },
    Leave,
    Promote(Presence),
    /// Let somebody in who has asked for it.
    Accept(Presence),
    /// Put a member out, or refuse a request.
    Remove(Presence),
    Close,
    /// Tell who asks to be let in.
    Requests,
    Update(Settings),
    Send(Data),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Requests(Vec<Presence>),
}

/// One message of a member to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    pub op_code: i64,
    pub bytes: Bytes,
}

/// A party as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub address: Address,
    pub open: bool,
    pub hidden: bool,
    pub max_size: MaxSize,
    pub label: Arc<str>,
    pub me: Presence,
    pub leader: Presence,
    pub members: Vec<Presence>,
}

/// What sessions are told of a party.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The receiver is a member. Nothing is said of the label and of hiding.
    Entered(View),
    Presence {
        joins: Vec<Presence>,
        leaves: Vec<Presence>,
    },
    Leader(Presence),
    /// To the leader: somebody asks to be let in.
    Request(Presence),
    Updated(Settings),
    Data {
        sender: Presence,
        data: Data,
    },
    /// To those whom the leader has waiting for a match with it.
    Ticket(TicketId),
    /// To those who are in it no longer.
    Closed,
}

/// What the party's shard has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There are other members than before: the party waits for no match any more.
    Changed,
    /// The session has become a member.
    Entered(SessionId),
    /// The session, whose newest request to come in was this, is out, and not by its own doing.
    Out { session: SessionId, number: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NotFound,
    MaxSize,
    Label,
    /// What is hidden is not searched for.
    HiddenLabel,
    Full,
    /// It has been asked for already.
    Requested,
    TooManyRequests,
    NotMember,
    NotLeader,
    /// Whom the leader names is neither a member nor asks to be one.
    NotThere,
    /// The leader cannot be put out.
    Oneself,
}

impl Error {
    /// Nakama has one code for all of them.
    pub fn code(self) -> Code {
        Code::InvalidArgument
    }
}

impl Party {
    /// A party with its creator in it, and all that the creator may know.
    pub fn create(ctx: &mut Ctx<'_>, new: NewParty) -> (Party, View) {
        let NewParty { address, max_size, settings, me, number } = new;
        let party = Party {
            address,
            created: ctx.now.wall,
            max_size,
            settings,
            leader: me.session_id,
            members: vec![Guest { me: me.clone(), number }],
            requests: Vec::new(),
        };
        party.welcome(ctx, &me);
        let (hidden, label) = (party.settings.hidden, party.settings.label.text.clone());
        let view = View { hidden, label, ..party.view(&me) };
        (party, view)
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn created(&self) -> UnixTime {
        self.created
    }

    pub fn max_size(&self) -> MaxSize {
        self.max_size
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A party without members is no party any more.
    pub fn is_over(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the session is a member or asks to be one.
    pub fn knows(&self, session: SessionId) -> bool {
        self.members.iter().chain(&self.requests).any(|guest| guest.me.session_id == session)
    }

    /// The session, if it is known, asks to come in once more: that request has this number.
    pub fn renumber(&mut self, session: SessionId, number: u64) {
        let guests = self.members.iter_mut().chain(&mut self.requests);
        for guest in guests.filter(|guest| guest.me.session_id == session) {
            guest.number = number;
        }
    }

    /// All members, if the session leads them.
    pub fn led_by(&self, session: SessionId) -> Result<Vec<Presence>, Error> {
        self.check_leader(session)?;
        Ok(presences(&self.members))
    }

    pub fn apply(
        &mut self,
        ctx: &mut Ctx<'_>,
        by: &Presence,
        command: Command,
    ) -> Result<Reply, Error> {
        let session = by.session_id;
        match command {
            Command::Join { number } => self.join(ctx, by, number)?,
            Command::Leave => self.leave(ctx, session),
            Command::Promote(to) => {
                self.check_leader(session)?;
                position(&self.members, &to)?;
                self.leader = to.session_id;
                self.tell(ctx, Event::Leader(to));
            }
            Command::Accept(who) => self.accept(ctx, session, &who)?,
            Command::Remove(who) => self.remove(ctx, session, &who)?,
            Command::Close => {
                self.check_leader(session)?;
                ctx.push(self.notice(Notice::Changed));
                self.tell(ctx, Event::Closed);
                let members = std::mem::take(&mut self.members);
                self.put_out(ctx, members);
                self.end_if_empty(ctx);
            }
            Command::Requests => {
                self.check_leader(session)?;
                return Ok(Reply::Requests(presences(&self.requests)));
            }
            Command::Update(settings) => {
                self.check_leader(session)?;
                if settings.hidden && !settings.label.text.is_empty() {
                    return Err(Error::HiddenLabel);
                }
                self.settings = settings.clone();
                self.tell(ctx, Event::Updated(settings));
            }
            Command::Send(data) => {
                if !self.members.iter().any(|member| member.me.session_id == session) {
                    return Err(Error::NotMember);
                }
                let others = self.sessions().into_iter().filter(|other| *other != session);
                self.tell_some(ctx, others.collect(), Event::Data { sender: by.clone(), data });
            }
        }
        Ok(Reply::Done)
    }

    fn join(&mut self, ctx: &mut Ctx<'_>, me: &Presence, number: u64) -> Result<(), Error> {
        self.check_room()?;
        let is_same = |guest: &Guest| guest.me.session_id == me.session_id;
        if self.members.iter().any(is_same) {
            return Ok(());
        }
        let guest = Guest { me: me.clone(), number };
        if self.settings.open {
            self.requests.retain(|request| !is_same(request));
            self.enter(ctx, guest);
            return Ok(());
        }
        if self.requests.iter().any(is_same) {
            return Err(Error::Requested);
        }
        if self.requests.len() >= usize::from(self.max_size.0) {
            return Err(Error::TooManyRequests);
        }
        self.requests.push(guest);
        self.tell_some(ctx, vec![self.leader], Event::Request(me.clone()));
        Ok(())
    }

    fn accept(&mut self, ctx: &mut Ctx<'_>, by: SessionId, who: &Presence) -> Result<(), Error> {
        self.check_leader(by)?;
        self.check_room()?;
        let at = position(&self.requests, who)?;
        let guest = self.requests.remove(at);
        self.enter(ctx, guest);
        Ok(())
    }

    fn enter(&mut self, ctx: &mut Ctx<'_>, guest: Guest) {
        let me = guest.me.clone();
        self.members.push(guest);
        ctx.push(self.notice(Notice::Changed));
        self.welcome(ctx, &me);
    }

    fn welcome(&self, ctx: &mut Ctx<'_>, me: &Presence) {
        ctx.push(self.notice(Notice::Entered(me.session_id)));
        // Nakama greets nobody in a party that is for nobody.
        if self.max_size.0 > 0 {
            self.tell_some(ctx, vec![me.session_id], Event::Entered(self.view(me)));
        }
        self.tell(ctx, Event::Presence { joins: vec![me.clone()], leaves: vec![] });
    }

    fn leave(&mut self, ctx: &mut Ctx<'_>, session: SessionId) {
        self.requests.retain(|request| request.me.session_id != session);
        let Some(at) = self.members.iter().position(|member| member.me.session_id == session)
        else {
            return;
        };
        let left = self.members.remove(at);
        ctx.push(self.notice(Notice::Changed));
        if session == self.leader
            && let Some(oldest) = self.members.first()
        {
            self.leader = oldest.me.session_id;
            self.tell(ctx, Event::Leader(oldest.me.clone()));
        }
        self.tell(ctx, Event::Presence { joins: vec![], leaves: vec![left.me] });
        self.end_if_empty(ctx);
    }

    fn remove(&mut self, ctx: &mut Ctx<'_>, by: SessionId, who: &Presence) -> Result<(), Error> {
        self.check_leader(by)?;
        if who.session_id == by {
            return Err(Error::Oneself);
        }
        if let Ok(at) = position(&self.requests, who) {
            let refused = self.requests.remove(at);
            self.put_out(ctx, vec![refused]);
            return Ok(());
        }
        let at = position(&self.members, who)?;
        let removed = self.members.remove(at);
        ctx.push(self.notice(Notice::Changed));
        self.tell_some(ctx, vec![who.session_id], Event::Closed);
        self.tell(ctx, Event::Presence { joins: vec![], leaves: vec![removed.me.clone()] });
        self.put_out(ctx, vec![removed]);
        Ok(())
    }

    /// Nobody is left who could let anybody in.
    fn end_if_empty(&mut self, ctx: &mut Ctx<'_>) {
        if self.members.is_empty() {
            let requests = std::mem::take(&mut self.requests);
            self.put_out(ctx, requests);
        }
    }

    fn put_out(&self, ctx: &mut Ctx<'_>, guests: Vec<Guest>) {
        for Guest { me, number } in guests {
            ctx.push(self.notice(Notice::Out { session: me.session_id, number }));
        }
    }

    fn check_leader(&self, session: SessionId) -> Result<(), Error> {
        if session == self.leader { Ok(()) } else { Err(Error::NotLeader) }
    }

    fn check_room(&self) -> Result<(), Error> {
        let has_room = self.members.len() < usize::from(self.max_size.0);
        if has_room { Ok(()) } else { Err(Error::Full) }
    }

    fn view(&self, me: &Presence) -> View {
        let leader = self.members.iter().find(|member| member.me.session_id == self.leader);
        View {
            address: self.address.clone(),
            open: self.settings.open,
            hidden: false,
            max_size: self.max_size,
            label: "".into(),
            me: me.clone(),
            leader: leader.expect("the leader is a member").me.clone(),
            members: presences(&self.members),
        }
    }

    fn sessions(&self) -> Vec<SessionId> {
        self.members.iter().map(|member| member.me.session_id).collect()
    }

    fn notice(&self, notice: Notice) -> Effect {
        Effect::Party { id: self.address.id, notice }
    }

    fn tell(&self, ctx: &mut Ctx<'_>, event: Event) {
        self.tell_some(ctx, self.sessions(), event);
    }

    fn tell_some(&self, ctx: &mut Ctx<'_>, to: Vec<SessionId>, event: Event) {
        if !to.is_empty() {
            let event = effect::Event::Party { address: self.address.clone(), event };
            ctx.push(Effect::Push { to, event });
        }
    }
}

/// Where exactly this presence stands.
fn position(guests: &[Guest], who: &Presence) -> Result<usize, Error> {
    guests.iter().position(|guest| guest.me == *who).ok_or(Error::NotThere)
}

fn presences(guests: &[Guest]) -> Vec<Presence> {
    guests.iter().map(|guest| guest.me.clone()).collect()
}

#[cfg(test)]
mod tests {
    use base::{Now, Rng, UserId};

    use super::*;
    use crate::ctx::world::Nothing;

    /// Rows 404, 405, 408, 409 and 410.
    #[test]
    fn a_newcomer_is_greeted_and_everybody_is_told() {
        let mut scene = Scene::new(4, true);
        assert_eq!(scene.told, ["in: 1", "1: party [1] of 1", "1: +1"]);
        assert_eq!(scene.join(2), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "in: 2", "2: party [1, 2] of 1", "1 2: +2"]);
        assert_eq!(scene.join(2), Ok(Reply::Done));
        assert_eq!(scene.told, [""; 0], "it is in");
    }

    /// Row 415.
    #[test]
    fn the_creator_counts_and_who_is_one_too_many_is_refused() {
        let mut scene = Scene::new(2, true);
        assert_eq!(scene.join(2), Ok(Reply::Done));
        assert_eq!([scene.join(3), scene.join(2)], [Err(Error::Full), Err(Error::Full)]);
        let mut scene = Scene::new(0, true);
        assert_eq!(scene.told, ["in: 1", "1: +1"]);
        assert_eq!(scene.join(2), Err(Error::Full));
        assert_eq!(Scene::new(1, false).join(2), Err(Error::Full));
    }

    /// Rows 411, 412, 413, 414 and 415.
    #[test]
    fn a_closed_party_asks_its_leader() {
        let mut scene = Scene::new(2, false);
        assert_eq!(scene.join(2), Ok(Reply::Done));
        assert_eq!(scene.told, ["1: 2?"]);
        assert_eq!(scene.join(2), Err(Error::Requested));
        assert_eq!(scene.join(3), Ok(Reply::Done));
        assert_eq!(scene.join(4), Err(Error::TooManyRequests));
        assert_eq!(scene.by(2, Command::Requests), Err(Error::NotLeader));
        let asking = Reply::Requests(vec![presence(2), presence(3)]);
        assert_eq!(scene.by(1, Command::Requests), Ok(asking));

        assert_eq!(scene.by(1, Command::Remove(presence(2))), Ok(Reply::Done));
        assert_eq!(scene.told, ["out: 2 since 2"]);
        assert_eq!(scene.by(1, Command::Accept(presence(2))), Err(Error::NotThere));
        assert_eq!(scene.by(3, Command::Accept(presence(3))), Err(Error::NotLeader));
        let namesake = Presence { username: "another".into(), ..presence(3) };
        assert_eq!(scene.by(1, Command::Accept(namesake)), Err(Error::NotThere));
        assert_eq!(scene.join(2), Ok(Reply::Done));
        assert_eq!(scene.by(1, Command::Accept(presence(3))), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "in: 3", "3: party [1, 3] of 1", "1 3: +3"]);
        assert_eq!(scene.by(1, Command::Accept(presence(2))), Err(Error::Full));
        assert_eq!(scene.by(2, Command::Leave), Ok(Reply::Done));
        assert_eq!(scene.by(1, Command::Requests), Ok(Reply::Requests(vec![])), "withdrawn");
    }

    #[test]
    fn who_waited_enters_once_the_party_is_open() {
        let mut scene = Scene::new(4, false);
        scene.join(2).expect("a request");
        scene.by(1, Command::Update(settings(true))).expect("of the leader");
        assert_eq!(scene.told, ["1: open"]);
        assert_eq!(scene.join(2), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "in: 2", "2: party [1, 2] of 1", "1 2: +2"]);
        assert_eq!(scene.by(1, Command::Requests), Ok(Reply::Requests(vec![])));
    }

    /// Row 417.
    #[test]
    fn only_the_leader_leads() {
        let mut scene = Scene::new(4, true);
        scene.join(2).expect("room for two");
        for command in [
            Command::Promote(presence(2)),
            Command::Accept(presence(2)),
            Command::Remove(presence(1)),
            Command::Close,
            Command::Requests,
            Command::Update(settings(false)),
        ] {
            for by in [2, 3] {
                let refused = scene.by(by, command.clone());
                assert_eq!(refused, Err(Error::NotLeader), "{by}: {command:?}");
            }
        }
        assert_eq!(scene.party.led_by(session(2)), Err(Error::NotLeader));
        assert_eq!(scene.party.led_by(session(1)), Ok(vec![presence(1), presence(2)]));
    }

    /// Rows 416 and 419.
    #[test]
    fn leader_leaving_promotes_the_oldest_member() {
        let mut scene = Scene::new(4, true);
        (2..=4).for_each(|n| drop(scene.join(n)));
        assert_eq!(scene.by(1, Command::Promote(presence(9))), Err(Error::NotThere));
        assert_eq!(scene.by(1, Command::Promote(presence(3))), Ok(Reply::Done));
        assert_eq!(scene.told, ["1 2 3 4: leader 3"]);
        assert_eq!(scene.by(3, Command::Leave), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "1 2 4: leader 1", "1 2 4: -3"]);
        assert_eq!(scene.by(4, Command::Leave), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "1 2: -4"]);
        assert_eq!(scene.by(4, Command::Leave), Ok(Reply::Done));
        assert_eq!(scene.told, [""; 0], "no member");
    }

    #[test]
    fn a_party_ends_with_its_last_member_and_lets_nobody_wait() {
        let mut scene = Scene::new(4, false);
        scene.join(2).expect("a request");
        assert_eq!(scene.by(1, Command::Leave), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "out: 2 since 2"]);
        assert!(scene.party.is_over());
    }

    /// Rows 418 and 420.
    #[test]
    fn who_is_put_out_is_told_so() {
        let mut scene = Scene::new(4, true);
        (2..=3).for_each(|n| drop(scene.join(n)));
        assert_eq!(scene.by(1, Command::Remove(presence(1))), Err(Error::Oneself));
        assert_eq!(scene.by(1, Command::Remove(presence(9))), Err(Error::NotThere));
        scene.party.renumber(session(2), 22);
        assert_eq!(scene.by(1, Command::Remove(presence(2))), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "2: closed", "1 3: -2", "out: 2 since 22"]);
        assert!(!scene.party.knows(session(2)));
        assert_eq!(scene.by(1, Command::Close), Ok(Reply::Done));
        assert_eq!(scene.told, ["changed", "1 3: closed", "out: 1 since 1", "out: 3 since 3"]);
        assert!(scene.party.is_over());
    }

    /// Row 421.
    #[test]
    fn data_goes_to_the_others() {
        let mut scene = Scene::new(4, true);
        (2..=3).for_each(|n| drop(scene.join(n)));
        let data = Command::Send(Data { op_code: 5, bytes: Bytes::new() });
        assert_eq!(scene.by(2, data.clone()), Ok(Reply::Done));
        assert_eq!(scene.told, ["1 3: 5 from 2"]);
        assert_eq!(scene.by(9, data), Err(Error::NotMember));
    }

    /// Row 427.
    #[test]
    fn what_is_hidden_has_no_label() {
        let mut scene = Scene::new(4, true);
        let hidden = |label| {
            let label = Label::parse(label).expect("an object");
            Command::Update(Settings { open: false, hidden: true, label })
        };
        assert_eq!(scene.by(1, hidden("{}")), Err(Error::HiddenLabel));
        assert_eq!(scene.by(1, hidden("")), Ok(Reply::Done));
        assert_eq!(scene.told, ["1: hidden"]);
    }

    /// Rows 406 and 407.
    #[test]
    fn labels_are_objects_and_sizes_are_bounded() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(PARTY_LABEL_MAX - 8));
        for (text, object) in [("", "{}"), ("{\"a\":1}", "{\"a\":1}"), (&long, &long)] {
            let label = Label::parse(text).expect("an object");
            assert_eq!((label.text(), label.object_text()), (text, object));
        }
        for wrong in ["nonsense", "[]", "1", "null", " ", &format!("{long} ")] {
            assert_eq!(Label::parse(wrong), Err(Error::Label), "{wrong}");
        }
        assert_eq!(MaxSize::new(256).map(MaxSize::get), Ok(256));
        assert_eq!(MaxSize::new(0).map(MaxSize::get), Ok(0));
        assert_eq!([-1, 257].map(MaxSize::new), [Err(Error::MaxSize); 2]);
    }

    /// A party, and what came of the last command.
    struct Scene {
        party: Party,
        told: Vec<String>,
    }

    impl Scene {
        fn new(max_size: i32, open: bool) -> Scene {
            let id = PartyId::from_bytes([5; 16]);
            let new = NewParty {
                address: Address { id, node: "node".into() },
                max_size: MaxSize::new(max_size).expect("a size"),
                settings: settings(open),
                me: presence(1),
                number: 1,
            };
            let ((party, view), told) = apply(|ctx| Party::create(ctx, new));
            assert_eq!(&*view.label, "{\"k\":1}");
            Scene { party, told }
        }

        fn by(&mut self, n: u8, command: Command) -> Result<Reply, Error> {
            let (reply, told) = apply(|ctx| self.party.apply(ctx, &presence(n), command));
            assert!(reply.is_ok() || told.is_empty(), "a refusal leaves no trace");
            self.told = told;
            reply
        }

        fn join(&mut self, n: u8) -> Result<Reply, Error> {
            self.by(n, Command::Join { number: n.into() })
        }
    }

    fn settings(open: bool) -> Settings {
        Settings { open, hidden: false, label: Label::parse("{\"k\":1}").expect("an object") }
    }

    fn session(n: u8) -> SessionId {
        SessionId::from_bytes([n; 16])
    }

    fn presence(n: u8) -> Presence {
        let user_id = UserId::from_bytes([n; 16]);
        Presence { user_id, session_id: session(n), username: "someone".into() }
    }

    fn apply<T>(f: impl FnOnce(&mut Ctx<'_>) -> T) -> (T, Vec<String>) {
        let (mut rng, mut effects) = (Rng::from_seed([0; 32]), vec![]);
        let result = f(&mut Ctx::new(Now::default(), &mut rng, &mut Nothing, &mut effects));
        (result, effects.iter().map(shown).collect())
    }

    /// An effect in few letters: sessions are named by the byte that they consist of.
    fn shown(effect: &Effect) -> String {
        let name = |session: &SessionId| session.as_bytes()[0].to_string();
        let names = |list: &[Presence]| {
            list.iter().map(|one| name(&one.session_id)).collect::<Vec<_>>().join(", ")
        };
        match effect {
            Effect::Party { notice: Notice::Changed, .. } => "changed".to_owned(),
            Effect::Party { notice: Notice::Entered(session), .. } => {
                format!("in: {}", name(session))
            }
            Effect::Party { notice: Notice::Out { session, number }, .. } => {
                format!("out: {} since {number}", name(session))
            }
            Effect::Push { to, event: effect::Event::Party { event, .. } } => {
                let event = match event {
                    Event::Entered(view) => {
                        assert!(view.label.is_empty() && !view.hidden);
                        let (members, leader) =
                            (names(&view.members), name(&view.leader.session_id));
                        format!("party [{members}] of {leader}")
                    }
                    Event::Presence { joins, leaves } if leaves.is_empty() => {
                        format!("+{}", names(joins))
                    }
                    Event::Presence { leaves, .. } => format!("-{}", names(leaves)),
                    Event::Leader(leader) => format!("leader {}", name(&leader.session_id)),
                    Event::Request(who) => format!("{}?", name(&who.session_id)),
                    Event::Updated(Settings { hidden: true, .. }) => "hidden".to_owned(),
                    Event::Updated(_) => "open".to_owned(),
                    Event::Data { sender, data } => {
                        format!("{} from {}", data.op_code, name(&sender.session_id))
                    }
                    Event::Ticket(ticket) => panic!("the pool tells of {ticket}"),
                    Event::Closed => "closed".to_owned(),
                };
                format!("{}: {event}", to.iter().map(name).collect::<Vec<_>>().join(" "))
            }
            other => panic!("no effect of a party: {other:?}"),
        }
    }
}
