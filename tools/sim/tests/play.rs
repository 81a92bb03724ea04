//! Matchmaker and relayed matches, as clients see them.

use std::time::Duration;

use api::http::Request;
use api::ops::Door;
use base::{ConnectionId, ShardId};
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};
use matchmaker::Mode;
use sim::cluster::client::{Login, bearer, claims, device_named, text_of};
use sim::cluster::{Cluster, INTERVAL, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

const ADD: &str = "{\"cid\":\"add\",\"matchmaker_add\":{\"min_count\":2,\"max_count\":2}}";

/// Runs a scenario under many orders of events, with the sockets of three players.
fn in_any_order(mode: Mode, scenario: impl Fn(Cluster, [ConnectionId; 3])) {
    for seed in 0..30 {
        let queue = [None, Some(A), Some(C)][seed as usize % 3];
        let mut cluster = Cluster::new(Options { seed, mode, queue, ..Options::default() });
        let sockets = [("alice", A), ("bob", B), ("carol", C)].map(|(name, home)| {
            let (_, body) = cluster.call(A, device_named(&format!("device-{name}"), name));
            cluster.open(B, home, &Login::read(&body).token)
        });
        scenario(cluster, sockets);
    }
}

fn add_ticket(cluster: &mut Cluster, socket: ConnectionId) -> (String, Vec<String>) {
    let mut texts = cluster.tell(socket, ADD);
    let at = texts.iter().position(|text| text.starts_with("{\"cid\":\"add\"")).expect("a reply");
    let ticket = text_of(&texts.remove(at), "matchmaker_ticket/ticket").expect("a ticket");
    (ticket, texts)
}

/// Creates a match and gives its id.
fn create_match(cluster: &mut Cluster, socket: ConnectionId) -> String {
    let texts = cluster.tell(socket, "{\"cid\":\"c\",\"match_create\":{}}");
    let [reply, event] = texts.as_slice() else { panic!("a reply and an event: {texts:?}") };
    let (reply, event) = if reply.contains("\"cid\"") { (reply, event) } else { (event, reply) };
    assert!(reply.contains("\"size\":1,\"self\":{"), "{reply}");
    assert!(event.contains("match_presence_event"), "{event}");
    text_of(reply, "match/match_id").expect("a match has an id")
}

fn join(id: &str) -> String {
    format!("{{\"cid\":\"j\",\"match_join\":{{\"match_id\":\"{id}\"}}}}")
}

fn data(id: &str) -> String {
    format!("{{\"match_data_send\":{{\"match_id\":\"{id}\",\"op_code\":7,\"data\":\"aGk=\"}}}}")
}

/// Rows 384, 388, 390, 396 and 397.
#[test]
fn two_tickets_are_matched_at_once_in_immediate_mode() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, _]| {
        let (first, none) = add_ticket(&mut cluster, alice);
        assert_eq!(none, [""; 0]);
        let (second, texts) = add_ticket(&mut cluster, bob);
        let [to_bob] = texts.as_slice() else { panic!("{texts:?}") };
        let [to_alice] = &cluster.texts(alice)[..] else { panic!("alice is told as well") };
        for (text, ticket, name) in [(to_alice, &first, "alice"), (to_bob, &second, "bob")] {
            assert_eq!(text_of(text, "matchmaker_matched/ticket").as_ref(), Some(ticket));
            let me = text_of(text, "matchmaker_matched/self/presence/username");
            assert_eq!(me.as_deref(), Some(name));
            assert!(!text.contains("cid"), "{text}");
        }
        let token = |text: &str| text_of(text, "matchmaker_matched/token").expect("a token");
        assert_eq!(token(to_alice), token(to_bob));
        let users = |text: &str| {
            let from = text.find("\"users\":").expect("users");
            text[from..text.find("\"self\":").expect("self")].to_owned()
        };
        assert_eq!(users(to_alice), users(to_bob));
        let said = claims(&token(to_alice)).expect("a JWT");
        let expiry = format!("\"exp\":{}", cluster.now.wall.secs() + 30);
        assert!(said.contains(&expiry) && said.contains(".\""), "{said}");
        // The tickets are used up.
        let gone = format!("{{\"matchmaker_remove\":{{\"ticket\":\"{first}\"}}}}");
        assert!(cluster.ask(alice, gone).contains("\"code\":3"));
    });
}

/// Rows 364, 365 and 400.
#[test]
fn compatible_mode_matches_at_the_interval_and_the_token_opens_the_match() {
    in_any_order(Mode::Compatible, |mut cluster, [alice, bob, carol]| {
        add_ticket(&mut cluster, alice);
        let (_, texts) = add_ticket(&mut cluster, bob);
        assert_eq!(texts, [""; 0]);
        cluster.advance(INTERVAL);
        let texts = cluster.texts(alice);
        let token = text_of(&texts[0], "matchmaker_matched/token").expect("a token");
        assert_eq!(cluster.texts(bob).len(), 1);
        let join = format!("{{\"cid\":\"j\",\"match_join\":{{\"token\":\"{token}\"}}}}");
        let reply = |texts: Vec<String>| {
            let reply = texts.iter().find(|text| text.starts_with("{\"cid\":\"j\""));
            reply.expect("a reply").clone()
        };
        let to_alice = reply(cluster.tell(alice, &*join));
        let to_bob = reply(cluster.tell(bob, &*join));
        let id = text_of(&to_alice, "match/match_id").expect("a match");
        assert_eq!(text_of(&to_bob, "match/match_id"), Some(id));
        assert!(to_bob.contains("\"size\":1,"), "the others are counted: {to_bob}");
        cluster.advance(Duration::from_secs(31));
        assert!(cluster.ask(carol, join).contains("\"code\":3"), "expired");
    });
}

/// Rows 385, 386, 387 and 389.
#[test]
fn bad_tickets_are_refused() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, _]| {
        let add = |fields: &str| format!("{{\"matchmaker_add\":{{{fields}}}}}");
        for fields in [
            "\"min_count\":1,\"max_count\":2",
            "\"min_count\":3,\"max_count\":2",
            "\"min_count\":2,\"max_count\":3,\"count_multiple\":2",
            "\"min_count\":2,\"max_count\":2,\"count_multiple\":0",
        ] {
            assert!(cluster.ask(alice, add(fields)).contains("\"code\":3"), "{fields}");
        }
        let query = "\"min_count\":2,\"max_count\":2,\"query\":\"+a:\\\"b\"";
        let refused = cluster.ask(alice, add(query));
        assert!(refused.contains("error") && !refused.contains("code"), "code 0: {refused}");
        let (ticket, _) = add_ticket(&mut cluster, alice);
        (0..2).for_each(|_| drop(add_ticket(&mut cluster, alice)));
        let refused = cluster.ask(alice, ADD);
        assert!(refused.contains("error") && !refused.contains("code"), "code 0: {refused}");
        for ticket in ["", "x", "11111111-1111-4111-8111-111111111111", &ticket] {
            let remove = format!("{{\"matchmaker_remove\":{{\"ticket\":\"{ticket}\"}}}}");
            assert!(cluster.ask(bob, remove).contains("\"code\":3"), "{ticket}");
        }
        let remove = format!("{{\"cid\":\"r\",\"matchmaker_remove\":{{\"ticket\":\"{ticket}\"}}}}");
        assert_eq!(cluster.ask(alice, remove), "{\"cid\":\"r\"}");
        add_ticket(&mut cluster, alice);
    });
}

/// Everybody is told of everybody: what one player hears of a match is bounded.
#[test]
fn properties_that_are_too_long_for_so_many_players_are_refused() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, ..]| {
        let add = |count: usize, length: usize| {
            format!(
                "{{\"matchmaker_add\":{{\"min_count\":{count},\"max_count\":{count},\
                 \"string_properties\":{{\"p\":\"{}\"}}}}}}",
                "x".repeat(length)
            )
        };
        assert!(cluster.ask(alice, add(1024, 3900)).contains("\"code\":3"));
        assert!(cluster.ask(alice, add(1024, 0)).contains("\"ticket\":"));
        assert!(cluster.ask(alice, add(100, 3900)).contains("\"ticket\":"));
    });
}

/// Row 403.
#[test]
fn the_ticket_of_a_lost_socket_matches_nobody() {
    for mode in [Mode::Immediate, Mode::Compatible] {
        in_any_order(mode, |mut cluster, [alice, bob, carol]| {
            add_ticket(&mut cluster, alice);
            cluster.disconnect(alice);
            cluster.settle();
            add_ticket(&mut cluster, bob);
            cluster.advance(2 * INTERVAL);
            assert_eq!(cluster.texts(bob), [""; 0]);
            add_ticket(&mut cluster, carol);
            cluster.advance(INTERVAL);
            let is_matched = cluster.texts(bob).iter().any(|text| text.contains("matched"));
            // Bob searches no more in compatible mode, but carol finds him.
            assert!(is_matched, "{mode:?}");
        });
    }
}

#[test]
fn a_ticket_that_is_added_and_lost_at_once_is_never_matched_twice() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, carol]| {
        [alice, bob, carol].into_iter().for_each(|socket| cluster.say(socket, ADD));
        cluster.steps(3);
        cluster.disconnect(alice);
        cluster.settle();
        let matched = |texts: Vec<String>| {
            texts.iter().filter(|text| text.contains("matchmaker_matched")).count()
        };
        assert!(matched(cluster.texts(bob)) <= 1 && matched(cluster.texts(carol)) <= 1);
    });
}

/// Rows 358, 360, 361, 362, 366, 367, 368 and 376.
#[test]
fn a_match_lives_from_its_first_member_to_its_last() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, carol]| {
        let id = create_match(&mut cluster, alice);
        assert!(id.ends_with('.'), "{id}");
        let texts = cluster.tell(bob, join(&id));
        let reply = texts.iter().find(|text| text.starts_with("{\"cid\":\"j\"")).expect("a reply");
        assert!(reply.contains("\"size\":1,\"presences\":[{"), "{reply}");
        assert!(!reply.split("\"self\"").next().expect("a part").contains("bob"), "{reply}");
        assert!(texts.iter().any(|text| text.contains("match_presence_event")), "its own join");
        let heard = cluster.texts(alice);
        assert!(heard.len() == 1 && heard[0].contains("\"joins\":["), "{heard:?}");
        let again = cluster.ask(bob, join(&id));
        assert!(again.contains("\"size\":2") && again.contains("bob"), "{again}");

        let leave = format!("{{\"cid\":\"l\",\"match_leave\":{{\"match_id\":\"{id}\"}}}}");
        assert_eq!(cluster.ask(alice, &*leave), "{\"cid\":\"l\"}");
        let heard = cluster.texts(bob);
        assert!(heard.len() == 1 && heard[0].contains("\"leaves\":["), "{heard:?}");
        assert_eq!(cluster.ask(carol, &*leave), "{\"cid\":\"l\"}", "no member");
        cluster.disconnect(bob);
        cluster.settle();
        assert!(cluster.ask(carol, join(&id)).contains("\"code\":4"), "it ended with bob");
        for bad in ["", "x", "11111111-1111-4111-8111-111111111111"] {
            assert!(cluster.ask(carol, join(bad)).contains("\"code\":3"), "{bad}");
        }
        assert!(cluster.ask(carol, "{\"match_join\":{}}").contains("\"code\":3"));
    });
}

/// Row 359.
#[test]
fn a_name_is_one_match_for_everybody() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, _]| {
        let create = "{\"cid\":\"c\",\"match_create\":{\"name\":\"lobby\"}}";
        let mut replies = [alice, bob].map(|socket| {
            let texts = cluster.tell(socket, create);
            texts.into_iter().find(|text| text.starts_with("{\"cid\":\"c\"")).expect("a reply")
        });
        let ids = replies.each_ref().map(|reply| text_of(reply, "match/match_id"));
        assert_eq!(ids[0], ids[1]);
        replies.sort();
        assert!(replies.iter().any(|reply| reply.contains("\"size\":1")));
        assert!(replies.iter().any(|reply| reply.contains("\"size\":2")), "itself included");
    });
}

/// Rows 369, 370, 371, 373 and 374.
#[test]
fn data_reaches_the_others_in_the_order_in_which_it_was_sent() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, carol]| {
        let id = create_match(&mut cluster, alice);
        cluster.tell(bob, join(&id));
        cluster.texts(alice);
        for n in 1..=20 {
            let text =
                format!("{{\"match_data_send\":{{\"match_id\":\"{id}\",\"op_code\":\"{n}\"}}}}");
            cluster.say(alice, text);
        }
        cluster.say(carol, data(&id)); // no member
        cluster.settle();
        let heard = cluster.texts(bob);
        assert_eq!(heard.len(), 20);
        for (n, text) in (1..).zip(&heard) {
            assert!(text.contains(&format!("\"op_code\":\"{n}\"")), "{n}: {text}");
        }
        assert_eq!(cluster.texts(alice), [""; 0], "no echo, no answer");
        let refused = cluster.ask(alice, data("x"));
        assert!(refused.contains("\"code\":3") && !refused.contains("cid"), "{refused}");
    });
}

#[test]
fn match_data_does_not_wait_for_a_disk_that_a_reply_waits_for() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, carol]| {
        let id = create_match(&mut cluster, alice);
        cluster.tell(bob, join(&id));
        cluster.texts(alice);
        // Names of every home: carol's own shard holds the reply back, or another its answer.
        for home in [A, B, C] {
            let placement = cluster.config.placement;
            let mut names = (0..).map(|n| format!("dave-{n}"));
            let name = names.find(|name| placement.of_key(name.as_bytes()) == home);
            let name = name.expect("some name lives there");
            cluster.halted.disk = true;
            let creator = cluster.connect(A);
            cluster.send(creator, device_named(&format!("device-{name}"), &name));
            cluster.settle();
            let follow = format!("{{\"status_follow\":{{\"usernames\":[\"{name}\"]}}}}");
            cluster.say(carol, follow);
            cluster.say(alice, data(&id));
            cluster.settle();
            assert_eq!(cluster.texts(bob).len(), 1);
            assert_eq!(cluster.texts(carol), [""; 0]);
            assert_eq!(cluster.heard(creator), []);
            cluster.halted.disk = false;
            cluster.settle();
            assert_eq!(cluster.texts(carol).len(), 1);
            assert_eq!(cluster.answer(creator).0, 200);
        }
    });
}

/// Row 382.
#[test]
fn a_lost_socket_leaves_its_matches() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, carol]| {
        let first = create_match(&mut cluster, alice);
        let second = create_match(&mut cluster, alice);
        cluster.tell(bob, join(&first));
        cluster.tell(carol, join(&second));
        cluster.disconnect(alice);
        cluster.settle();
        for socket in [bob, carol] {
            let heard = cluster.texts(socket);
            assert!(heard.iter().any(|text| text.contains("\"leaves\":[")), "{heard:?}");
        }
    });
}

/// Adds a ticket of two players, and gives its id and what the client was told besides.
fn add(
    cluster: &mut Cluster,
    socket: ConnectionId,
    query: &str,
    properties: &str,
) -> (String, bool) {
    let text = format!(
        "{{\"cid\":\"add\",\"matchmaker_add\":{{\"min_count\":2,\"max_count\":2,\
         \"query\":\"{query}\",\"string_properties\":{{{properties}}}}}}}"
    );
    let texts = cluster.tell(socket, text);
    let reply = texts.iter().find(|text| text.starts_with("{\"cid\":\"add\"")).expect("a reply");
    let ticket = text_of(reply, "matchmaker_ticket/ticket").expect("a ticket");
    (ticket, texts.iter().any(|text| text.contains("matchmaker_matched")))
}

/// Row 399, in both directions: the query of one is enough, whoever came first.
#[test]
fn a_ticket_is_found_by_those_that_wait() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, carol]| {
        let (_, is_matched) = add(&mut cluster, alice, "+properties.mode:duel", "");
        assert!(!is_matched);
        let nobody = "+properties.mode:nothing";
        assert!(!add(&mut cluster, carol, nobody, "\"mode\":\"race\"").1);
        assert!(add(&mut cluster, bob, nobody, "\"mode\":\"duel\"").1, "alice accepts bob");
    });
}

#[test]
fn operators_see_why_a_ticket_waits() {
    in_any_order(Mode::Immediate, |mut cluster, [alice, bob, _]| {
        let ask = |cluster: &mut Cluster, role, method: &str, path: &str| {
            let expiry = cluster.now.wall.secs() + 60;
            let claims = OperatorClaims { bearer: Bearer::Machine { role }, expiry };
            let token = cluster.config.operator_keys.sign_operator(&claims);
            let target = format!("/v2/console/matchmaker/{path}");
            let request = bearer(method, &target, &token, "");
            cluster.call(A, Request { door: Door::Operators, ..request })
        };
        let (ticket, _) = add(&mut cluster, alice, "+properties.a:x -properties.b:y", "");
        let (other, _) = add(&mut cluster, bob, "properties.c:>=1", "\"b\":\"y\"");
        let (status, list) = ask(&mut cluster, Role::Viewer, "GET", "ticket?limit=1");
        assert!(status == 200 && list.contains("\"cursor\":"), "{list}");
        let (_, list) = ask(&mut cluster, Role::Viewer, "GET", "ticket");
        assert!(list.contains(&ticket) && list.contains(&other), "{list}");
        assert!(!list.contains("cursor"), "{list}");

        let path = format!("ticket/{ticket}");
        let (status, told) = ask(&mut cluster, Role::Viewer, "GET", &path);
        assert_eq!(status, 200, "{told}");
        for part in [
            "\"others\":1",
            "\"acceptable\":0",
            "{\"clause\":\"+properties.a:\\\"x\\\"\",\"tickets\":1}",
            "{\"clause\":\"-properties.b:\\\"y\\\"\",\"tickets\":1}",
            &format!("\"nearest\":{{\"ticket\":\"{other}\",\"lacks\":[{{\"reason\":\"+prop"),
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }

        assert_eq!(ask(&mut cluster, Role::Viewer, "DELETE", &path).0, 403);
        assert_eq!(ask(&mut cluster, Role::Operator, "DELETE", &path).0, 200);
        assert_eq!(ask(&mut cluster, Role::Operator, "DELETE", &path).0, 400, "it is gone");
        assert_eq!(ask(&mut cluster, Role::Viewer, "GET", &path).0, 400);
        assert_eq!(ask(&mut cluster, Role::Viewer, "GET", "ticket/x").0, 400);

        assert_eq!(ask(&mut cluster, Role::Operator, "POST", "pause").0, 200);
        assert!(!add(&mut cluster, alice, "*", "").1, "it is paused");
        let (_, list) = ask(&mut cluster, Role::Viewer, "GET", "ticket");
        assert!(list.contains("\"paused\":true"), "{list}");
        assert_eq!(ask(&mut cluster, Role::Operator, "POST", "resume").0, 200);
        cluster.settle();
        assert!(cluster.texts(alice).iter().any(|text| text.contains("matchmaker_matched")));
    });
}
