//! Parties, as clients see them: members on other shards than their party.

use std::time::Duration;

use base::{ConnectionId, ShardId};
use matchmaker::Mode;
use sim::cluster::client::{Login, bearer, device_named, text_of};
use sim::cluster::{Cluster, INTERVAL, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

const NOBODYS: &str = "11111111-1111-4111-8111-111111111111";

/// A player with an open socket.
#[derive(Clone, Debug)]
struct Player {
    socket: ConnectionId,
    login: Login,
    session: String,
}

impl Player {
    /// As clients write a presence.
    fn presence(&self) -> String {
        let Login { user_id, username, .. } = &self.login;
        let session = &self.session;
        format!(
            "{{\"user_id\":\"{user_id}\",\"session_id\":\"{session}\",\"username\":\"{username}\"}}"
        )
    }
}

/// Runs a scenario under many orders of events, with three players whose sessions live apart.
fn in_any_order(scenario: impl Fn(Cluster, [Player; 3])) {
    in_any_order_with(|_| Options::default(), scenario);
}

fn in_any_order_with(options: impl Fn(u64) -> Options, scenario: impl Fn(Cluster, [Player; 3])) {
    for seed in 0..30 {
        let mut cluster = Cluster::new(Options { seed, ..options(seed) });
        let players = [("alice", A), ("bob", B), ("carol", C)]
            .map(|(name, home)| enter(&mut cluster, name, home));
        scenario(cluster, players);
    }
}

/// A player whose session lives on this shard.
fn enter(cluster: &mut Cluster, name: &str, home: ShardId) -> Player {
    let (_, body) = cluster.call(A, device_named(&format!("device-{name}"), name));
    let login = Login::read(&body);
    let socket = cluster.open(B, home, &login.token);
    let heard = cluster.tell(socket, "{\"match_create\":{}}");
    let session = heard.iter().find_map(|text| text_of(text, "match/self/session_id"));
    Player { socket, login, session: session.expect("one's own session") }
}

/// Creates a party and forgets what was told of it.
fn create(cluster: &mut Cluster, leader: &Player, fields: &str) -> String {
    let texts =
        cluster.tell(leader.socket, format!("{{\"cid\":\"c\",\"party_create\":{{{fields}}}}}"));
    text_of(&texts[0], "party/party_id").expect("a party")
}

/// Does something to the party; gives all that was heard from then on.
fn act(cluster: &mut Cluster, by: &Player, id: &str, what: &str, more: &str) -> Vec<String> {
    let text = format!("{{\"cid\":\"x\",\"party_{what}\":{{\"party_id\":\"{id}\"{more}}}}}");
    cluster.texts(by.socket);
    cluster.tell(by.socket, text)
}

fn act_on(cluster: &mut Cluster, by: &Player, id: &str, what: &str, whom: &Player) -> Vec<String> {
    act(cluster, by, id, what, &format!(",\"presence\":{}", whom.presence()))
}

fn join(cluster: &mut Cluster, id: &str, player: &Player) {
    let heard = act(cluster, player, id, "join", "");
    assert_eq!(heard[0], DONE, "{heard:?}");
}

/// The kinds of messages that were heard.
fn kinds(heard: &[String]) -> Vec<&str> {
    let kind = |text: &'_ String| {
        let start = text.find("party").map_or(0, |at| at);
        let end = text[start..].find('"').map_or(text.len(), |end| start + end);
        start..end
    };
    heard.iter().map(|text| &text[kind(text)]).collect()
}

fn check_refused(heard: &[String]) {
    let [text] = heard else { panic!("one answer was expected: {heard:?}") };
    assert!(text.contains("\"code\":3"), "{text}");
}

const DONE: &str = "{\"cid\":\"x\"}";
const OPEN: &str = "\"open\":true,\"max_size\":4";

/// Rows 404, 405, 408, 409 and 410.
#[test]
fn a_party_is_told_of_in_nakamas_order() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        let text = "{\"cid\":\"c\",\"party_create\":{\"open\":true,\"max_size\":4,\
                    \"label\":\"{\\\"a\\\":1}\"}}";
        let heard = cluster.tell(alice.socket, text);
        assert_eq!(kinds(&heard), ["party", "party", "party_presence_event"], "{heard:?}");
        assert!(heard[0].contains("\"cid\":\"c\"") && heard[0].contains("\"label\":\"{\\\"a"));
        assert!(!heard[1].contains("cid") && !heard[1].contains("label"));
        let id = text_of(&heard[0], "party/party_id").expect("a party");
        assert!(id.ends_with(".node"), "{id}");

        let heard = act(&mut cluster, &bob, &id, "join", "");
        assert_eq!(heard[0], DONE);
        assert_eq!(kinds(&heard[1..]), ["party", "party_presence_event"], "{heard:?}");
        let leader = format!("\"leader\":{}", alice.presence());
        assert!(heard[1].contains(&leader) && !heard[1].contains("label"), "{heard:?}");
        let heard = cluster.texts(alice.socket);
        assert_eq!(kinds(&heard), ["party_presence_event"]);
        assert!(heard[0].contains(&format!("\"joins\":[{}]", bob.presence())));
        assert_eq!(act(&mut cluster, &bob, &id, "join", ""), [DONE]);
        assert_eq!(cluster.texts(alice.socket), [""; 0]);
        assert_eq!(cluster.texts(carol.socket), [""; 0]);
    });
}

/// Rows 406, 407 and 415.
#[test]
fn bad_parties_and_ids_are_refused() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        for fields in [
            "\"max_size\":257",
            "\"max_size\":-1",
            "\"max_size\":4,\"label\":\"nonsense\"",
            "\"max_size\":4,\"label\":\"[]\"",
        ] {
            let create = format!("{{\"party_create\":{{{fields}}}}}");
            check_refused(&cluster.tell(alice.socket, create));
        }
        let id = create(&mut cluster, &alice, "\"open\":true,\"max_size\":2");
        join(&mut cluster, &id, &bob);
        let (uuid, node) = id.split_once('.').expect("a node");
        let others = [format!("{NOBODYS}.{node}"), format!("{uuid}."), format!("{uuid}.other")];
        let malformed = ["".to_owned(), "abc".to_owned(), uuid.to_owned()];
        for wrong in [id.clone()].iter().chain(&others).chain(&malformed) {
            check_refused(&act(&mut cluster, &carol, wrong, "join", ""));
            check_refused(&act(&mut cluster, &carol, wrong, "data_send", ""));
            check_refused(&act(&mut cluster, &carol, wrong, "close", ""));
        }
        for other in [id.clone()].iter().chain(&others) {
            assert_eq!(act(&mut cluster, &carol, other, "leave", ""), [DONE]);
        }
        for wrong in &malformed {
            check_refused(&act(&mut cluster, &carol, wrong, "leave", ""));
        }
        check_refused(&act(&mut cluster, &alice, &id, "promote", ""));
        let unnamed = format!(",\"presence\":{{\"session_id\":\"{}\"}}", bob.session);
        check_refused(&act(&mut cluster, &alice, &id, "promote", &unnamed));
    });
}

/// Rows 411, 412, 413 and 414.
#[test]
fn the_leader_of_a_closed_party_decides() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        let id = create(&mut cluster, &alice, "\"max_size\":4");
        for player in [&bob, &carol] {
            assert_eq!(act(&mut cluster, player, &id, "join", ""), [DONE]);
            check_refused(&act(&mut cluster, player, &id, "join", ""));
        }
        let heard = cluster.texts(alice.socket);
        assert_eq!(kinds(&heard), ["party_join_request"; 2]);
        let heard = act(&mut cluster, &alice, &id, "join_request_list", "");
        assert!(heard[0].contains(&bob.session) && heard[0].contains(&carol.session), "{heard:?}");

        let heard = act_on(&mut cluster, &alice, &id, "accept", &bob);
        assert_eq!((&*heard[0], kinds(&heard[1..])), (DONE, vec!["party_presence_event"]));
        let heard = cluster.texts(bob.socket);
        assert_eq!(kinds(&heard), ["party", "party_presence_event"], "{heard:?}");
        assert_eq!(act_on(&mut cluster, &alice, &id, "remove", &carol), [DONE]);
        assert_eq!(cluster.texts(carol.socket), [""; 0]);
        let heard = act(&mut cluster, &alice, &id, "join_request_list", "");
        assert!(!heard[0].contains("presences"), "{heard:?}");

        assert_eq!(act(&mut cluster, &carol, &id, "join", ""), [DONE], "once more");
        cluster.disconnect(carol.socket);
        cluster.settle();
        let heard = act(&mut cluster, &alice, &id, "join_request_list", "");
        assert!(heard.iter().all(|text| !text.contains("presences")), "{heard:?}");
        check_refused(&act_on(&mut cluster, &alice, &id, "accept", &carol));
    });
}

/// Rows 416, 417, 418, 420 and 427.
#[test]
fn the_leader_leads_and_nobody_else() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        let id = create(&mut cluster, &alice, OPEN);
        [&bob, &carol].into_iter().for_each(|player| join(&mut cluster, &id, player));
        for player in [&alice, &bob, &carol] {
            cluster.texts(player.socket);
        }
        for (what, more) in [
            ("close", ""),
            ("join_request_list", ""),
            ("update", ",\"open\":false"),
            ("remove", &*format!(",\"presence\":{}", carol.presence())),
            ("promote", &*format!(",\"presence\":{}", bob.presence())),
        ] {
            check_refused(&act(&mut cluster, &bob, &id, what, more));
        }
        let heard = act(&mut cluster, &alice, &id, "update", ",\"label\":\"{}\"");
        assert_eq!((kinds(&heard[..1]), &*heard[1]), (vec!["party_update"], DONE));
        let hide = ",\"label\":\"{}\",\"hidden\":true";
        check_refused(&act(&mut cluster, &alice, &id, "update", hide));
        let heard = act_on(&mut cluster, &alice, &id, "promote", &bob);
        assert_eq!((kinds(&heard[..1]), &*heard[1]), (vec!["party_leader"], DONE));
        check_refused(&act(&mut cluster, &alice, &id, "close", ""));
        let heard = act_on(&mut cluster, &bob, &id, "remove", &carol);
        assert_eq!(heard.iter().filter(|text| **text == DONE).count(), 1, "{heard:?}");
        let heard = cluster.texts(carol.socket);
        assert_eq!(kinds(&heard), ["party_update", "party_leader", "party_close"], "{heard:?}");
        let heard = cluster.texts(alice.socket);
        assert!(heard[0].contains(&format!("\"leaves\":[{}]", carol.presence())), "{heard:?}");

        act(&mut cluster, &bob, &id, "close", "");
        assert_eq!(kinds(&cluster.texts(alice.socket)), ["party_close"]);
        check_refused(&act(&mut cluster, &alice, &id, "join", ""));
        assert_eq!(act(&mut cluster, &alice, &id, "leave", ""), [DONE]);
        assert_eq!(cluster.texts(carol.socket), [""; 0], "no member");
    });
}

/// Rows 419 and 428.
#[test]
fn leader_leaving_promotes_the_oldest_member() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        let id = create(&mut cluster, &alice, OPEN);
        [&bob, &carol].into_iter().for_each(|player| join(&mut cluster, &id, player));
        [&bob, &carol].into_iter().for_each(|player| drop(cluster.texts(player.socket)));
        cluster.disconnect(alice.socket);
        cluster.settle();
        for player in [&bob, &carol] {
            let heard = cluster.texts(player.socket);
            assert_eq!(kinds(&heard), ["party_leader", "party_presence_event"], "{heard:?}");
            assert!(heard[0].contains(&bob.session), "{heard:?}");
        }
        assert_eq!(act(&mut cluster, &bob, &id, "leave", ""), [DONE]);
        let heard = cluster.texts(carol.socket);
        assert_eq!(kinds(&heard), ["party_leader", "party_presence_event"], "{heard:?}");
        cluster.disconnect(carol.socket);
        cluster.settle();
        check_refused(&act(&mut cluster, &bob, &id, "join", ""));
        cluster.disconnect(bob.socket);
        cluster.settle();
        assert!(cluster.is_quiet());
    });
}

/// Rows 421 and 422.
#[test]
fn data_reaches_the_others_in_the_order_in_which_it_was_sent() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        let id = create(&mut cluster, &alice, OPEN);
        join(&mut cluster, &id, &bob);
        cluster.texts(alice.socket);
        for n in 1..=20 {
            let text = format!(
                "{{\"party_data_send\":{{\"party_id\":\"{id}\",\"op_code\":\"{n}\",\"data\":\"eA==\"}}}}"
            );
            cluster.say(bob.socket, text);
        }
        cluster.settle();
        assert_eq!(cluster.texts(bob.socket), ["{}"; 20]);
        let heard = cluster.texts(alice.socket);
        assert_eq!(heard.len(), 20);
        for (n, text) in (1..).zip(&heard) {
            assert!(text.contains(&format!("\"op_code\":\"{n}\",\"data\":\"eA==\"")), "{text}");
        }
        check_refused(&act(&mut cluster, &carol, &id, "data_send", ""));
    });
}

/// Row 429.
#[test]
fn with_single_party_a_member_leaves_all_others() {
    let options = |_| Options { single_party: true, single_socket: true, ..Options::default() };
    in_any_order_with(options, |mut cluster, [alice, bob, carol]| {
        let first = create(&mut cluster, &alice, OPEN);
        let second = create(&mut cluster, &bob, "\"max_size\":4");
        join(&mut cluster, &first, &carol);
        assert_eq!(act(&mut cluster, &carol, &second, "join", ""), [DONE], "only asked for");
        cluster.texts(alice.socket);
        act_on(&mut cluster, &bob, &second, "accept", &carol);
        let heard = cluster.texts(alice.socket);
        assert!(heard.len() == 1 && heard[0].contains("\"leaves\":["), "{heard:?}");
        check_refused(&act(&mut cluster, &carol, &first, "data_send", ""));
        create(&mut cluster, &carol, OPEN);
        check_refused(&act(&mut cluster, &carol, &second, "data_send", ""));
    });
}

/// A party that is left by many ways at once is left by all of them.
#[test]
fn nobody_stays_behind_in_a_party_whose_leader_acts_meanwhile() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        let id = create(&mut cluster, &alice, OPEN);
        join(&mut cluster, &id, &bob);
        let say = |cluster: &mut Cluster, by: &Player, what: &str, more: &str| {
            let text = format!("{{\"party_{what}\":{{\"party_id\":\"{id}\"{more}}}}}");
            cluster.say(by.socket, text);
        };
        let out = format!(",\"presence\":{}", bob.presence());
        say(&mut cluster, &alice, "remove", &out);
        say(&mut cluster, &bob, "join", "");
        say(&mut cluster, &carol, "join", "");
        cluster.steps(12);
        cluster.disconnect(bob.socket);
        cluster.settle();
        cluster.texts(alice.socket);
        for player in [&alice, &carol] {
            act(&mut cluster, player, &id, "leave", "");
        }
        check_refused(&act(&mut cluster, &carol, &id, "join", ""));
    });
}

/// A party that many enter and are put out of fills no session's list.
#[test]
fn who_is_put_out_may_come_in_again_and_again() {
    let mut cluster = Cluster::new(Options::default());
    let players = [("alice", A), ("bob", B)].map(|(name, home)| enter(&mut cluster, name, home));
    let [alice, bob] = &players;
    for _ in 0..2 * base::limits::PARTIES_PER_SESSION_MAX {
        let id = create(&mut cluster, alice, OPEN);
        join(&mut cluster, &id, bob);
        act(&mut cluster, alice, &id, "close", "");
    }
    for n in 0..=base::limits::PARTIES_PER_SESSION_MAX {
        let heard = cluster.tell(alice.socket, "{\"party_create\":{\"max_size\":1}}");
        let is_refused = heard[0].contains("\"code\":3");
        assert_eq!(is_refused, n == base::limits::PARTIES_PER_SESSION_MAX, "{n}: {heard:?}");
    }
}

// Tickets.

const WISH: &str = ",\"min_count\":3,\"max_count\":3";
const ALONE: &str = "{\"cid\":\"t\",\"matchmaker_add\":{\"min_count\":3,\"max_count\":3}}";

/// Runs a scenario with a party of alice and bob, in both modes, wherever the pool lives.
fn with_a_party(scenario: impl Fn(Cluster, [Player; 3], String)) {
    let options = |seed| Options {
        mode: if seed % 2 == 0 { Mode::Immediate } else { Mode::Compatible },
        queue: [None, Some(A), Some(B), Some(C)][seed as usize / 2 % 4],
        ..Options::default()
    };
    in_any_order_with(options, |mut cluster, players| {
        let [alice, bob, _] = &players;
        let id = create(&mut cluster, alice, OPEN);
        join(&mut cluster, &id, bob);
        cluster.texts(alice.socket);
        cluster.texts(bob.socket);
        scenario(cluster, players, id);
    });
}

fn add_ticket(cluster: &mut Cluster, leader: &Player, id: &str) -> String {
    let heard = act(cluster, leader, id, "matchmaker_add", WISH);
    assert!(heard[0].starts_with("{\"cid\":\"x\""), "{heard:?}");
    text_of(&heard[0], "party_matchmaker_ticket/ticket").expect("a ticket")
}

/// Carol waits for two others and is found by nobody.
fn check_nobody_waits(cluster: &mut Cluster, [alice, bob, carol]: &[Player; 3]) {
    cluster.tell(carol.socket, ALONE);
    cluster.advance(2 * INTERVAL);
    for player in [alice, bob, carol] {
        let heard = cluster.texts(player.socket);
        let is_matched = heard.iter().any(|text| text.contains("matchmaker_matched"));
        assert!(!is_matched, "{heard:?}");
    }
}

/// Rows 423 and 425.
#[test]
fn a_party_and_a_single_player_are_matched() {
    with_a_party(|mut cluster, [alice, bob, carol], id| {
        let ticket = add_ticket(&mut cluster, &alice, &id);
        let heard = cluster.texts(bob.socket);
        let told = format!(
            "{{\"party_matchmaker_ticket\":{{\"party_id\":\"{id}\",\"ticket\":\"{ticket}\"}}}}"
        );
        assert_eq!(heard, [told]);
        let mut of_carol = cluster.tell(carol.socket, ALONE);
        cluster.advance(2 * INTERVAL);
        of_carol.extend(cluster.texts(carol.socket));
        let of_carol = of_carol.into_iter().find(|text| text.contains("matchmaker_matched"));
        let of_carol = of_carol.expect("a match");
        for player in [&alice, &bob] {
            let heard = cluster.texts(player.socket);
            let [matched] = &heard[..] else { panic!("a match is told once: {heard:?}") };
            assert_eq!(text_of(matched, "matchmaker_matched/ticket"), Some(ticket.clone()));
            let party = text_of(matched, "matchmaker_matched/self/party_id");
            assert_eq!(party, Some(id.clone()));
            let token = text_of(matched, "matchmaker_matched/token");
            assert_eq!(token, text_of(&of_carol, "matchmaker_matched/token"));
            assert_eq!(matched.matches("\"session_id\"").count(), 4, "three, and oneself");
        }
        assert_eq!(text_of(&of_carol, "matchmaker_matched/self/party_id"), None);
    });
}

/// Rows 417 and 424.
#[test]
fn only_the_leader_has_tickets_for_the_party() {
    with_a_party(|mut cluster, players, id| {
        let [alice, bob, carol] = &players;
        for player in [bob, carol] {
            check_refused(&act(&mut cluster, player, &id, "matchmaker_add", WISH));
        }
        for wrong in [
            "",
            ",\"min_count\":1,\"max_count\":3",
            ",\"min_count\":3,\"max_count\":2",
            ",\"min_count\":3,\"max_count\":3,\"count_multiple\":2",
            ",\"min_count\":3,\"max_count\":3,\"query\":\"+a:\\\"\"",
        ] {
            check_refused(&act(&mut cluster, alice, &id, "matchmaker_add", wrong));
        }
        let own = cluster.tell(alice.socket, ALONE);
        let own = text_of(&own[0], "matchmaker_ticket/ticket").expect("a ticket");
        let ticket = add_ticket(&mut cluster, alice, &id);
        cluster.texts(bob.socket);
        let remove = |ticket: &str| format!(",\"ticket\":\"{ticket}\"");
        for ticket in ["", "x", NOBODYS, &own] {
            let refused = act(&mut cluster, alice, &id, "matchmaker_remove", &remove(ticket));
            check_refused(&refused);
        }
        check_refused(&act(&mut cluster, bob, &id, "matchmaker_remove", &remove(&ticket)));
        let alone = format!("{{\"matchmaker_remove\":{{\"ticket\":\"{ticket}\"}}}}");
        check_refused(&cluster.tell(alice.socket, alone));
        assert_eq!(act(&mut cluster, alice, &id, "matchmaker_remove", &remove(&ticket)), [DONE]);
        check_refused(&act(&mut cluster, alice, &id, "matchmaker_remove", &remove(&ticket)));
        let alone = format!("{{\"matchmaker_remove\":{{\"ticket\":\"{own}\"}}}}");
        assert_eq!(cluster.tell(alice.socket, alone), ["{}"]);
        (0..3).for_each(|_| drop(add_ticket(&mut cluster, alice, &id)));
        check_refused(&act(&mut cluster, alice, &id, "matchmaker_add", WISH));
        act(&mut cluster, bob, &id, "leave", "");
        check_nobody_waits(&mut cluster, &players);
    });
}

/// Row 426.
#[test]
fn whoever_comes_or_goes_ends_the_partys_tickets() {
    type Change = fn(&mut Cluster, &[Player; 3], &str);
    let changes: [Change; 6] = [
        |cluster, [_, bob, _], id| drop(act(cluster, bob, id, "leave", "")),
        |cluster, [alice, _, _], id| drop(act(cluster, alice, id, "leave", "")),
        |cluster, [alice, bob, _], id| drop(act_on(cluster, alice, id, "remove", bob)),
        |cluster, [alice, _, _], id| drop(act(cluster, alice, id, "close", "")),
        |cluster, [_, bob, _], _| {
            cluster.disconnect(bob.socket);
            cluster.settle();
        },
        |cluster, [_, _, carol], id| {
            join(cluster, id, carol);
            act(cluster, carol, id, "leave", "");
        },
    ];
    for change in changes {
        with_a_party(|mut cluster, players, id| {
            add_ticket(&mut cluster, &players[0], &id);
            change(&mut cluster, &players, &id);
            check_nobody_waits(&mut cluster, &players);
        });
    }
}

#[test]
fn no_ticket_outlives_a_member_who_goes_while_it_is_added() {
    for steps in 0..12 {
        with_a_party(|mut cluster, players, id| {
            let add = format!("{{\"party_matchmaker_add\":{{\"party_id\":\"{id}\"{WISH}}}}}");
            cluster.say(players[0].socket, add);
            cluster.steps(steps);
            cluster.disconnect(players[1].socket);
            cluster.settle();
            check_nobody_waits(&mut cluster, &players);
        });
    }
}

/// Row 300.
#[test]
fn parties_of_all_shards_are_listed_page_by_page() {
    in_any_order(|mut cluster, [alice, bob, carol]| {
        let mut ids = Vec::new();
        for (player, fields) in [
            (&alice, "\"open\":true,\"max_size\":4,\"label\":\"{\\\"k\\\":1}\""),
            (&bob, "\"max_size\":4"),
            (&carol, OPEN),
            (&carol, "\"open\":true,\"max_size\":4,\"hidden\":true"),
        ] {
            ids.push(create(&mut cluster, player, fields));
            cluster.advance(Duration::from_millis(1));
        }
        let list = |cluster: &mut Cluster, query: &str| {
            let get = bearer("GET", &format!("/v2/party{query}"), &alice.login.token, "");
            cluster.call(B, get)
        };
        let listed = |body: &str| {
            let parts = body.split("\"party_id\":\"").skip(1);
            parts.map(|part| part.split('"').next().unwrap_or_default().to_owned()).collect()
        };
        let (_, body) = list(&mut cluster, "");
        let found: Vec<String> = listed(&body);
        assert_eq!(found, [&*ids[2], &ids[1], &ids[0]], "{body}");
        assert!(!body.contains("cursor"), "{body}");
        let first = format!(
            "{{\"party_id\":\"{}\",\"open\":true,\"max_size\":4,\"label\":\"{{\\\"k\\\":1}}\"}}",
            ids[0]
        );
        assert!(body.contains(&first), "{body}");
        let found: Vec<String> = listed(&list(&mut cluster, "?open=false").1);
        assert_eq!(found, [&*ids[1]]);

        for (query, expected) in [
            ("%2Blabel.k%3A1", vec![0]),
            ("label.k%3A2", vec![]),
            ("%2Bopen%3AT", vec![2, 0]),
            ("%2Bhidden%3AT", vec![]),
            ("label.k%3A1%20max_size%3A4", vec![0, 2, 1]), // the best hit is first
        ] {
            let found: Vec<String> = listed(&list(&mut cluster, &format!("?query={query}")).1);
            let expected: Vec<_> = expected.into_iter().map(|at: usize| &*ids[at]).collect();
            assert_eq!(found, expected, "{query}");
        }

        let (_, body) = list(&mut cluster, "?limit=2");
        let found: Vec<String> = listed(&body);
        assert_eq!(found, [&*ids[2], &ids[1]]);
        let cursor = text_of(&body, "cursor").expect("there is more");
        let (_, body) = list(&mut cluster, &format!("?limit=2&cursor={cursor}"));
        let found: Vec<String> = listed(&body);
        assert_eq!(found, [&*ids[0]]);
        assert!(!body.contains("cursor"), "{body}");
        for (query, expected) in [
            ("?limit=0", 400),
            ("?limit=101", 400),
            ("?limit=x", 400),
            ("?open=x", 400),
            ("?cursor=nonsense", 500),
            ("?query=%2Blabel.a%3A%22", 500),
            (&*format!("?limit=3&cursor={cursor}"), 500),
        ] {
            assert_eq!(list(&mut cluster, query).0, expected, "{query}");
        }
        let update = ",\"open\":true,\"label\":\"{\\\"k\\\":2}\"";
        act(&mut cluster, &bob, &ids[1], "update", update);
        let found: Vec<String> = listed(&list(&mut cluster, "?query=label.k%3A2").1);
        assert_eq!(found, [&*ids[1]]);
        let dead = bearer("GET", "/v2/party?cursor=nonsense", "x", "");
        assert_eq!(cluster.call(B, dead).0, 401);
    });
}
