//! What players of declared queues hear, whose sessions, party and tickets live on different
//! shards: ready checks, changes by operators, and how long a ticket can be passed over.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use api::http::Request;
use api::ops::Door;
use base::{ConnectionId, ShardId};
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};
use matchmaker::queue::{Definition, Steps};
use sim::cluster::client::{Login, bearer, device, text_of};
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

const READY: Duration = Duration::from_secs(5);
const WIDENING: Duration = Duration::from_secs(4);

/// A player with an open socket.
#[derive(Clone, Debug)]
struct Player {
    socket: ConnectionId,
    user: String,
}

/// A cluster, and what players have heard beside the answers that they waited for.
struct Scene {
    cluster: Cluster,
    kept: BTreeMap<ConnectionId, Vec<String>>,
}

impl Scene {
    fn new(options: Options) -> Scene {
        Scene { cluster: Cluster::new(options), kept: BTreeMap::new() }
    }

    /// What the player heard and did not take yet.
    fn kept(&mut self, player: &Player) -> &mut Vec<String> {
        let texts = self.cluster.texts(player.socket);
        let kept = self.kept.entry(player.socket).or_default();
        kept.extend(texts);
        kept
    }

    /// Says something with the cid `x`, and gives its answer.
    fn ask(&mut self, player: &Player, text: String) -> String {
        self.cluster.say(player.socket, text);
        self.cluster.settle();
        let kept = self.kept(player);
        let at = kept.iter().position(|text| text.starts_with("{\"cid\":\"x\""));
        kept.remove(at.expect("an answer"))
    }
}

impl Deref for Scene {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

/// Ratings may lie 100 apart at first, and 400 in the end.
fn queue(id: &str, team_size: usize, ready: Option<Duration>) -> Definition {
    let mut definition = Definition { ready, ..Definition::new(id, team_size) };
    definition.rating.window = Steps::evenly(100.0, 400.0, WIDENING);
    definition
}

fn enter(cluster: &mut Scene, name: &str, home: ShardId) -> Player {
    let (_, body) = cluster.call(A, device(&format!("device-of-{name}")));
    let Login { token, user_id, .. } = Login::read(&body);
    Player { socket: cluster.open(B, home, &token), user: user_id }
}

/// Each scenario in many orders, with the home of the tickets on every shard in turn, and with
/// players whose sessions live apart.
fn in_any_order(queues: &[Definition], scenario: impl Fn(Scene, [Player; 4])) {
    for seed in 0..24 {
        let mut cluster = Scene::new(Options {
            seed,
            queue: Some([A, B, C][seed as usize % 3]),
            queues: queues.iter().cloned().map(Arc::new).collect(),
            ..Options::default()
        });
        let players = [("ann", A), ("ben", B), ("cat", C), ("dan", A)]
            .map(|(name, home)| enter(&mut cluster, name, home));
        scenario(cluster, players);
    }
}

fn properties(queue: &str, rating: u32, more: &str) -> String {
    format!(
        "\"min_count\":2,\"max_count\":2,\"string_properties\":{{\"queue\":\"{queue}\"{more}}},\
         \"numeric_properties\":{{\"rating\":{rating}}}"
    )
}

fn add(cluster: &mut Scene, player: &Player, queue: &str, rating: u32, more: &str) -> String {
    let properties = properties(queue, rating, more);
    let text = format!("{{\"cid\":\"x\",\"matchmaker_add\":{{{properties}}}}}");
    let answer = cluster.ask(player, text);
    text_of(&answer, "matchmaker_ticket/ticket").unwrap_or_else(|| panic!("a ticket: {answer}"))
}

/// What the player was told of queues, in short.
fn hear(cluster: &mut Scene, player: &Player) -> Vec<String> {
    let kinds = ["match_found", "queue_rejoined", "queue_left", "matchmaker_matched"];
    let texts = std::mem::take(cluster.kept(player));
    let kind = |text: &String| kinds.iter().find(|kind| text.contains(**kind));
    texts.iter().filter_map(kind).map(|kind| (*kind).to_owned()).collect()
}

fn check_heard(cluster: &mut Scene, players: &[&Player], expected: &[&[&str]]) {
    let heard: Vec<_> = players.iter().map(|player| hear(cluster, player)).collect();
    assert_eq!(heard, expected);
}

fn call(cluster: &mut Scene, player: &Player, id: &str, payload: &str) -> String {
    let payload = payload.replace('"', "\\\"");
    let call = format!("{{\"id\":\"{id}\",\"payload\":\"{payload}\"}}");
    cluster.ask(player, format!("{{\"cid\":\"x\",\"rpc\":{call}}}"))
}

fn answer(cluster: &mut Scene, player: &Player, ticket: &str, accepts: bool) -> bool {
    let payload = format!("{{\"ticket\":\"{ticket}\",\"accept\":{accepts}}}");
    !call(cluster, player, "queue_ready", &payload).contains("\"error\"")
}

fn explain(cluster: &mut Scene, player: &Player, ticket: &str) -> Option<String> {
    let payload = format!("{{\"ticket\":\"{ticket}\"}}");
    text_of(&call(cluster, player, "queue_explain", &payload), "rpc/payload")
}

fn operate(cluster: &mut Scene, method: &str, path: &str, body: &str) -> (u16, String) {
    let expiry = cluster.now.wall.secs() + 60;
    let claims = OperatorClaims { bearer: Bearer::Machine { role: Role::Operator }, expiry };
    let token = cluster.config.operator_keys.sign_operator(&claims);
    let request = bearer(method, &format!("/v2/console/{path}"), &token, body);
    cluster.call(C, Request { door: Door::Operators, ..request })
}

/// A party of the first two; gives its ticket.
fn add_party(cluster: &mut Scene, [leader, member]: [&Player; 2], queue: &str) -> String {
    let texts = cluster.tell(leader.socket, "{\"party_create\":{\"open\":true,\"max_size\":2}}");
    let party = texts.iter().find_map(|text| text_of(text, "party/party_id")).expect("a party");
    cluster.tell(member.socket, format!("{{\"party_join\":{{\"party_id\":\"{party}\"}}}}"));
    let properties = properties(queue, 1500, "");
    let add = format!(
        "{{\"party_matchmaker_add\":{{\"party_id\":\"{party}\",\"query\":\"*\",{properties}}}}}"
    );
    let texts = cluster.tell(leader.socket, add);
    let told = texts.iter().find_map(|text| text_of(text, "party_matchmaker_ticket/ticket"));
    told.unwrap_or_else(|| panic!("a ticket: {texts:?}"))
}

#[test]
fn a_match_begins_when_all_have_accepted_it() {
    in_any_order(&[queue("duel", 1, Some(READY))], |mut cluster, [ann, ben, cat, _]| {
        let one = add(&mut cluster, &ann, "duel", 1500, "");
        check_heard(&mut cluster, &[&ann], &[&[]]);
        let other = add(&mut cluster, &ben, "duel", 1550, "");
        check_heard(&mut cluster, &[&ann, &ben], &[&["match_found"], &["match_found"]]);
        assert!(!answer(&mut cluster, &cat, &one, true), "not hers");
        assert!(answer(&mut cluster, &ann, &one, true));
        assert!(answer(&mut cluster, &ann, &one, true), "twice is once");
        check_heard(&mut cluster, &[&ann, &ben], &[&[], &[]]);
        assert!(answer(&mut cluster, &ben, &other, true));
        check_heard(
            &mut cluster,
            &[&ann, &ben],
            &[&["matchmaker_matched"], &["matchmaker_matched"]],
        );
        assert!(!answer(&mut cluster, &ben, &other, false), "it is too late");
        cluster.advance(4 * READY);
        check_heard(&mut cluster, &[&ann, &ben], &[&[], &[]]);
    });
}

#[test]
fn who_declines_or_says_nothing_leaves_and_the_others_keep_their_age() {
    in_any_order(&[queue("duel", 1, Some(READY))], |mut cluster, [ann, ben, cat, _]| {
        let one = add(&mut cluster, &ann, "duel", 1500, "");
        cluster.advance(Duration::from_secs(1));
        let other = add(&mut cluster, &ben, "duel", 1500, "");
        check_heard(&mut cluster, &[&ann, &ben], &[&["match_found"], &["match_found"]]);
        assert!(explain(&mut cluster, &ann, &one).is_none(), "who is asked does not wait");
        assert!(answer(&mut cluster, &ben, &other, false));
        check_heard(&mut cluster, &[&ann, &ben], &[&["queue_rejoined"], &["queue_left"]]);
        let told = explain(&mut cluster, &ann, &one).expect("ann waits again");
        assert!(told.contains("\"waited_sec\":1"), "{told}");

        add(&mut cluster, &ben, "duel", 1500, "");
        check_heard(&mut cluster, &[&ann, &ben], &[&["match_found"], &["match_found"]]);
        assert!(answer(&mut cluster, &ann, &one, true));
        cluster.advance(READY);
        check_heard(&mut cluster, &[&ann, &ben], &[&["queue_rejoined"], &["queue_left"]]);
        let told = explain(&mut cluster, &ann, &one).expect("ann waits again");
        assert!(told.contains("\"waited_sec\":6"), "{told}");

        let third = add(&mut cluster, &cat, "duel", 1500, "");
        assert!(answer(&mut cluster, &cat, &third, true));
        assert!(answer(&mut cluster, &ann, &one, true));
        let heard = hear(&mut cluster, &ann);
        assert_eq!(heard.last().map(String::as_str), Some("matchmaker_matched"), "{heard:?}");
        check_heard(&mut cluster, &[&cat], &[&["match_found", "matchmaker_matched"]]);
    });
}

#[test]
fn a_member_of_a_party_who_goes_declines_for_all_of_it() {
    in_any_order(&[queue("pairs", 2, Some(READY))], |mut cluster, [ann, ben, cat, dan]| {
        let party = add_party(&mut cluster, [&ann, &ben], "pairs");
        let others = [&cat, &dan].map(|player| add(&mut cluster, player, "pairs", 1500, ""));
        let all = [&ann, &ben, &cat, &dan];
        check_heard(&mut cluster, &all, &[&["match_found"] as &[&str]; 4]);
        assert!(answer(&mut cluster, &ann, &party, true));
        assert!(answer(&mut cluster, &cat, &others[0], true));
        cluster.disconnect(ben.socket);
        cluster.settle();
        let expected: [&[&str]; 3] = [&["queue_left"], &["queue_rejoined"], &["queue_rejoined"]];
        check_heard(&mut cluster, &[&ann, &cat, &dan], &expected);
        for (player, ticket) in [&cat, &dan].into_iter().zip(&others) {
            let told = explain(&mut cluster, player, ticket).expect("they wait again");
            assert!(told.contains("\"others\":1"), "the party is gone: {told}");
        }
        assert!(!answer(&mut cluster, &ann, &party, true), "nobody is asked");
        add(&mut cluster, &ann, "pairs", 1500, "");
        check_heard(&mut cluster, &[&ann, &cat, &dan], &[&[], &[], &[]]);
    });
}

#[test]
fn a_deleted_queue_lets_everybody_go() {
    in_any_order(&[], |mut cluster, [ann, ben, cat, dan]| {
        let duel = queue("duel", 1, Some(READY));
        assert_eq!(operate(&mut cluster, "PUT", "queue/duel", &duel.text()).0, 200);
        let one = add(&mut cluster, &ann, "duel", 1500, "");
        add(&mut cluster, &ben, "duel", 1500, "");
        add(&mut cluster, &cat, "duel", 9000, "");
        let asked: &[&str] = &["match_found"];
        check_heard(&mut cluster, &[&ann, &ben, &cat], &[asked, asked, &[]]);
        assert!(answer(&mut cluster, &ann, &one, true));
        assert_eq!(operate(&mut cluster, "DELETE", "queue/duel", "").0, 200);
        check_heard(&mut cluster, &[&ann, &ben, &cat], &[&["queue_left"] as &[&str]; 3]);
        assert!(!answer(&mut cluster, &ann, &one, true), "nobody is asked");
        cluster.advance(2 * READY);
        check_heard(&mut cluster, &[&ann, &ben, &cat], &[&[], &[], &[]]);

        assert_eq!(operate(&mut cluster, "PUT", "queue/duel", &duel.text()).0, 200);
        add(&mut cluster, &ann, "duel", 1500, "");
        add(&mut cluster, &dan, "duel", 1500, "");
        check_heard(&mut cluster, &[&ann, &dan], &[&["match_found"], &["match_found"]]);
    });
}

#[test]
fn another_definition_keeps_who_fits_it() {
    in_any_order(&[queue("duel", 1, None)], |mut cluster, [ann, ben, cat, _]| {
        let one = add(&mut cluster, &ann, "duel", 1500, ",\"roles\":\"\"");
        add_party(&mut cluster, [&ben, &cat], "pairs");
        cluster.advance(Duration::from_secs(1));
        let regions = Definition { regions: vec!["eu".into()], ..queue("duel", 1, None) };
        assert_eq!(operate(&mut cluster, "PUT", "queue/duel", &regions.text()).0, 200);
        check_heard(&mut cluster, &[&ann], &[&["queue_left"]]);
        assert!(explain(&mut cluster, &ann, &one).is_none());
        assert_eq!(operate(&mut cluster, "DELETE", "queue/duel", "").0, 200);
        let one = add(&mut cluster, &ann, "duel", 1500, "");
        cluster.advance(Duration::from_secs(1));
        let ready = queue("duel", 1, Some(READY));
        assert_eq!(operate(&mut cluster, "PUT", "queue/duel", &ready.text()).0, 200);
        let told = explain(&mut cluster, &ann, &one).expect("ann waits still");
        assert!(told.contains("\"waited_sec\":1"), "{told}");
        add(&mut cluster, &ben, "duel", 1500, "");
        check_heard(&mut cluster, &[&ann, &ben], &[&["match_found"], &["match_found"]]);
    });
}

#[test]
fn paused_queues_take_tickets_and_match_them_when_they_go_on() {
    in_any_order(&[queue("duel", 1, None)], |mut cluster, [ann, ben, cat, _]| {
        add(&mut cluster, &cat, "duel", 1800, "");
        assert_eq!(operate(&mut cluster, "POST", "matchmaker/pause", "").0, 200);
        for player in [&ann, &ben] {
            add(&mut cluster, player, "duel", 1500, "");
        }
        cluster.advance(4 * WIDENING);
        check_heard(&mut cluster, &[&ann, &ben, &cat], &[&[], &[], &[]]);
        assert_eq!(operate(&mut cluster, "POST", "matchmaker/resume", "").0, 200);
        let all: Vec<_> = [&ann, &ben, &cat].map(|player| hear(&mut cluster, player)).concat();
        assert_eq!(all, ["matchmaker_matched", "matchmaker_matched"], "one of three is left");
    });
}

#[test]
fn operators_see_and_remove_tickets_of_queues() {
    in_any_order(&[queue("duel", 1, Some(READY))], |mut cluster, [ann, ben, cat, _]| {
        let one = add(&mut cluster, &ann, "duel", 1500, "");
        let other = add(&mut cluster, &ben, "duel", 1800, "");
        let path = format!("matchmaker/ticket/{one}");
        let (status, told) = operate(&mut cluster, "GET", &path, "");
        assert_eq!(status, 200, "{told}");
        for part in [
            "\"others\":1",
            "\"acceptable\":0",
            "{\"rule\":\"rating window\",\"tickets\":1}",
            &format!("\"next_ticket\":\"{other}\""),
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert_eq!(operate(&mut cluster, "DELETE", &path, "").0, 200);
        assert_eq!(operate(&mut cluster, "DELETE", &path, "").0, 400, "it is gone");
        assert_eq!(operate(&mut cluster, "GET", &path, "").0, 400);
        cluster.advance(2 * WIDENING);
        check_heard(&mut cluster, &[&ann, &ben], &[&[], &[]]);

        let third = add(&mut cluster, &cat, "duel", 1800, "");
        check_heard(&mut cluster, &[&ben, &cat], &[&["match_found"], &["match_found"]]);
        let path = format!("matchmaker/ticket/{third}");
        assert_eq!(operate(&mut cluster, "DELETE", &path, "").0, 200, "though it is asked");
        check_heard(&mut cluster, &[&ben, &cat], &[&["queue_rejoined"], &["queue_left"]]);
    });
}

// Nobody is passed over for ever.

/// A ticket that is overdue and fits everybody is in the first match, however well newcomers fit
/// each other.
#[test]
fn an_overdue_ticket_is_passed_over_by_nobody_whom_it_fits() {
    for seed in 0..3 {
        let queues = vec![Arc::new(queue("pairs", 2, None))];
        let mut cluster = Scene::new(Options { seed, queues, ..Options::default() });
        let mut number = 0;
        let mut come = |cluster: &mut Scene, rating| {
            number += 1;
            let player = enter(cluster, &number.to_string(), A);
            add(cluster, &player, "pairs", rating, "");
            player
        };
        for _ in 0..5 {
            let old = come(&mut cluster, 1590);
            cluster.advance(WIDENING);
            for _ in 0..2 {
                come(&mut cluster, 1500);
                check_heard(&mut cluster, &[&old], &[&[]]);
            }
            come(&mut cluster, 1500);
            check_heard(&mut cluster, &[&old], &[&["matchmaker_matched"]]);
        }
    }
}

/// Behind others who are overdue, too, and who cannot play with each other, a ticket is in the
/// match of the newcomer whose number is its place in the line: also beyond those that one search
/// looks at first.
#[test]
fn overdue_tickets_are_taken_in_the_order_in_which_they_came() {
    const LINE: usize = 40;
    for seed in 0..2 {
        let queues = vec![Arc::new(queue("duel", 1, None))];
        let mut cluster = Scene::new(Options { seed, queues, ..Options::default() });
        let home = |number: usize| [A, B, C][number % 3];
        let enter_all = |cluster: &mut Scene, kind: &str| -> Vec<Player> {
            let name = |number| format!("{kind}-{number}");
            (0..LINE).map(|number| enter(cluster, &name(number), home(number))).collect()
        };
        let line = enter_all(&mut cluster, "old");
        let newcomers = enter_all(&mut cluster, "new");
        let users: Vec<_> = line.iter().map(|player| player.user.clone()).collect();
        let blocked = format!(",\"blocked\":\"{}\"", users.join(","));
        for player in &line {
            add(&mut cluster, player, "duel", 1590, &blocked);
        }
        cluster.advance(WIDENING);
        for (place, pair) in newcomers.chunks(2).enumerate() {
            let properties = properties("duel", 1500, "");
            for player in pair {
                let add = format!("{{\"matchmaker_add\":{{{properties}}}}}");
                cluster.say(player.socket, add);
            }
            cluster.settle();
            let first = 2 * place;
            for player in [&line[first], &line[first + 1], &pair[0], &pair[1]] {
                check_heard(&mut cluster, &[player], &[&["matchmaker_matched"]]);
            }
        }
    }
}
