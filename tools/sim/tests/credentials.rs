//! What signs in: passwords, providers, links, and what owners and server code do to accounts.

use std::time::Duration;

use api::reply::Reply;
use api::request::Request;
use base::limits::PASSWORDS_FULL;
use base::{Code, ShardId, UserId};
use domain::identity::alias::{Alias, Kind};
use shard::Input;
use sim::cluster::client::{
    Heard, Login, account, authenticate, bearer, device, device_with, handshake, link, logout,
    refresh, text_of, unlink, users,
};
use sim::cluster::{BUSY, Cluster, Options, USERS};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

fn in_any_order(mut scenario: impl FnMut(Cluster)) {
    for seed in 0..30 {
        scenario(Cluster::new(Options { seed, ..Options::default() }));
    }
}

fn check_refused((status, body): (u16, String), code: Code) {
    let number = format!("\"code\":{},", code.number());
    assert!(status == code.http_status() && body.contains(&number), "{status}: {body}");
}

fn email(email: &str, password: &str) -> String {
    format!("{{\"email\":\"{email}\",\"password\":\"{password}\"}}")
}

fn id(id: &str) -> String {
    format!("{{\"id\":\"{id}\"}}")
}

fn proof(token: &str) -> String {
    format!("{{\"token\":\"{token}\"}}")
}

fn login((status, body): (u16, String)) -> Login {
    assert_eq!(status, 200, "{body}");
    Login::read(&body)
}

fn delete(token: &str) -> api::http::Request {
    bearer("DELETE", "/v2/account", token, "")
}

fn update(token: &str, body: &str) -> api::http::Request {
    bearer("PUT", "/v2/account", token, body)
}

/// Rows 62 to 66.
#[test]
fn an_address_and_a_username_sign_in_with_the_password() {
    in_any_order(|mut cluster| {
        let sign_in = |cluster: &mut Cluster, query: &str, body: &str| {
            cluster.call(B, authenticate("email", query, body))
        };
        let body = email("Alice@Example.com", "password1");
        let new = login(sign_in(&mut cluster, "?username=alice", &body));
        assert!(new.created);
        let body = email("alice@example.com", "password1");
        let again = login(sign_in(&mut cluster, "?username=other", &body));
        assert_eq!((again.user_id, again.created), (new.user_id.clone(), false));
        let by_name = login(sign_in(&mut cluster, "?username=alice", &email("", "password1")));
        assert_eq!(by_name.user_id, new.user_id);
        for (query, body, code) in [
            ("", email("alice@example.com", "password2"), Code::Unauthenticated),
            ("", email("alice@example.com", &"x".repeat(73)), Code::Unauthenticated),
            ("?username=alice", email("", "password2"), Code::Unauthenticated),
            ("?username=nobody", email("", "password1"), Code::NotFound),
            ("?create=false", email("new@example.com", "password1"), Code::NotFound),
            ("", email("new@example.com", &"x".repeat(73)), Code::Internal),
            ("", email("new@example.com", "short"), Code::InvalidArgument),
            ("", email("", "password1"), Code::InvalidArgument),
            ("?username=alice", email("new@example.com", "password1"), Code::AlreadyExists),
        ] {
            check_refused(sign_in(&mut cluster, query, &body), code);
        }
        let nameless = cluster.sign_in(A, "device-0001");
        let query = format!("?username={}", nameless.username);
        let refused = sign_in(&mut cluster, &query, &email("", "password1"));
        check_refused(refused, Code::Unauthenticated); // it has no password
        assert!(cluster.is_quiet());
    });
}

#[test]
fn an_old_hash_is_replaced_by_the_sign_in_that_shows_the_password() {
    in_any_order(|mut cluster| {
        let body = email("alice@example.com", "old-password");
        let new = login(cluster.call(A, authenticate("email", "", &body)));
        let hash = |cluster: &Cluster| {
            let user = UserId::parse(&new.user_id).expect("a user id");
            let row = cluster.store.get(USERS, user.as_bytes()).expect("the account is there");
            <domain::identity::account::User as domain::record::Record>::decode(&row)
                .expect("it decodes")
                .password
        };
        assert_eq!(hash(&cluster), "old:old-password");
        login(cluster.call(B, authenticate("email", "", &body)));
        assert_eq!(hash(&cluster), "new:old-password");
        login(cluster.call(C, authenticate("email", "", &body)));
    });
}

/// Rows 69 to 76: whom a provider vouches for signs in; the address comes along if it is free.
#[test]
fn a_provider_signs_in_and_fills_what_is_empty() {
    in_any_order(|mut cluster| {
        let google = |cluster: &mut Cluster, token: &str| {
            cluster.call(B, authenticate("google", "", &proof(token)))
        };
        let new = login(google(&mut cluster, "player-1"));
        let (_, body) = cluster.call(A, account(&new.token));
        for (path, value) in [
            ("user/google_id", "player-1"),
            ("user/display_name", "Name of player-1"),
            ("user/avatar_url", "https://player-1.example/picture"),
            ("email", "player-1@mail.example"),
        ] {
            assert_eq!(text_of(&body, path).as_deref(), Some(value), "{body}");
        }
        // What the player cleared is filled again, what they chose stays.
        let body = "{\"display_name\":\"\",\"avatar_url\":\"mine\"}";
        assert_eq!(cluster.call(C, update(&new.token, body)).0, 200);
        assert_eq!(login(google(&mut cluster, "player-1")).user_id, new.user_id);
        let (_, body) = cluster.call(A, account(&new.token));
        assert_eq!(text_of(&body, "user/display_name").as_deref(), Some("Name of player-1"));
        assert_eq!(text_of(&body, "user/avatar_url").as_deref(), Some("mine"));

        let taken = email("player-2@mail.example", "password1");
        login(cluster.call(A, authenticate("email", "", &taken)));
        let second = login(google(&mut cluster, "player-2"));
        let (_, body) = cluster.call(A, account(&second.token));
        assert_eq!(text_of(&body, "email"), None, "another account's: {body}");
        check_refused(google(&mut cluster, "rejected"), Code::Unauthenticated);
        check_refused(google(&mut cluster, "unavailable"), Code::Unavailable);
        check_refused(google(&mut cluster, "busy"), Code::ResourceExhausted);
        check_refused(google(&mut cluster, ""), Code::InvalidArgument);
        let steam = cluster.call(A, authenticate("steam", "", &proof("player-1")));
        check_refused(steam, Code::FailedPrecondition);
        let instant = "{\"signed_player_info\":\"rejected\"}";
        let instant = cluster.call(A, authenticate("facebookinstantgame", "", instant));
        check_refused(instant, Code::DataLoss);
    });
}

/// An ID token of a configured issuer stands for a custom id; nobody can write that id themselves.
#[test]
fn an_issuers_token_is_a_custom_id_that_cannot_be_forged() {
    in_any_order(|mut cluster| {
        let token = format!("alice{}..", "x".repeat(130));
        let new = login(cluster.call(A, authenticate("custom", "", &id(&token))));
        let (_, body) = cluster.call(A, account(&new.token));
        assert_eq!(text_of(&body, "custom_id").as_deref(), Some("issuer:alice"), "{body}");
        let again = login(cluster.call(B, authenticate("custom", "", &id(&token))));
        assert_eq!(again.user_id, new.user_id);
        let forged = login(cluster.call(B, authenticate("custom", "", &id("issuer:alice"))));
        assert!(forged.created && forged.user_id != new.user_id, "another kind of id");
        let other = cluster.sign_in(C, "device-0001");
        check_refused(
            cluster.call(B, link(&other.token, "custom", &id(&token))),
            Code::AlreadyExists,
        );
        assert_eq!(cluster.call(B, link(&new.token, "device", &id("device-0002"))).0, 200);
        assert_eq!(cluster.call(A, unlink(&new.token, "custom", &id(&token))).0, 200);
        assert!(login(cluster.call(B, authenticate("custom", "", &id(&token)))).created);
    });
}

/// A token may die while a password or a provider is waited for: the edit that it began is refused.
#[test]
fn an_edit_whose_token_dies_meanwhile_is_refused() {
    in_any_order(|mut cluster| {
        let alice = cluster.sign_in(A, "device-0001");
        cluster.advance(Duration::from_secs(1)); // the second's own tokens are spared
        for (provider, body) in
            [("email", email("thief@example.com", "password1")), ("google", proof("player-1"))]
        {
            let old = login(cluster.call(C, device("device-0001")));
            cluster.advance(Duration::from_secs(1));
            cluster.halted.helpers = true;
            let late = cluster.connect(B);
            cluster.send(late, link(&old.token, provider, &body));
            cluster.settle();
            assert_eq!(cluster.call(C, logout(&old.token, "")).0, 200);
            cluster.halted.helpers = false;
            cluster.settle();
            check_refused(cluster.answer(late), Code::Unauthenticated);
            let stranger = cluster.call(A, authenticate(provider, "?create=false", &body));
            check_refused(stranger, Code::NotFound);
        }
        assert_eq!(login(cluster.call(A, device("device-0001"))).user_id, alice.user_id);
        assert!(cluster.is_quiet());
    });
}

/// An account may end, be banned or get another password while one is compared.
#[test]
fn a_sign_in_is_granted_to_the_account_as_it_is_then() {
    in_any_order(|mut cluster| {
        let body = email("alice@example.com", "password1");
        let alice = login(cluster.call(A, authenticate("email", "", &body)));
        let users = vec![UserId::parse(&alice.user_id).expect("a user id")];
        let waiting = |cluster: &mut Cluster| {
            cluster.halted.helpers = true;
            let late = cluster.connect(B);
            cluster.send(late, authenticate("email", "", &body));
            cluster.settle();
            late
        };
        let finish = |cluster: &mut Cluster, late| {
            cluster.halted.helpers = false;
            cluster.settle();
            cluster.answer(late)
        };
        let late = waiting(&mut cluster);
        let ban = Request::UsersBan { users: users.clone() };
        assert_eq!(call(&mut cluster, "users_ban", ban), Reply::Empty);
        check_refused(finish(&mut cluster, late), Code::PermissionDenied);
        let unban = Request::UsersUnban { users };
        assert_eq!(call(&mut cluster, "users_unban", unban), Reply::Empty);
        check_refused(cluster.call(C, account(&alice.token)), Code::Unauthenticated);
        cluster.pass(Duration::from_secs(1)); // the second of the ban
        let alice = login(cluster.call(A, authenticate("email", "", &body)));

        let late = waiting(&mut cluster);
        let renamed = cluster.call(C, update(&alice.token, "{\"username\":\"alice\"}"));
        assert_eq!(renamed.0, 200);
        assert_eq!(login(finish(&mut cluster, late)).username, "alice");

        let late = waiting(&mut cluster);
        assert_eq!(cluster.call(C, delete(&alice.token)).0, 200);
        check_refused(finish(&mut cluster, late), Code::NotFound);
        assert!(cluster.is_quiet());
    });
}

/// Rows 116 to 119, 123, 124, 126 to 128.
#[test]
fn what_is_linked_signs_in_and_what_is_unlinked_does_not() {
    in_any_order(|mut cluster| {
        let alice = cluster.sign_in(A, "device-0001");
        let bob = cluster.sign_in(B, "device-0002");
        for (provider, body) in [
            ("device", id("device-0003")),
            ("custom", id("custom-1")),
            ("email", email("alice@example.com", "password1")),
            ("google", proof("player-1")),
        ] {
            assert_eq!(cluster.call(C, link(&alice.token, provider, &body)).0, 200);
            let again = cluster.call(A, link(&alice.token, provider, &body));
            assert_eq!(again.0, 200, "one's own again");
            check_refused(cluster.call(A, link(&bob.token, provider, &body)), Code::AlreadyExists);
            let linked = login(cluster.call(B, authenticate(provider, "", &body)));
            assert_eq!(linked.user_id, alice.user_id);
        }
        // A new custom id frees the earlier one.
        assert_eq!(cluster.call(C, link(&alice.token, "custom", &id("custom-2"))).0, 200);
        assert_eq!(cluster.call(A, link(&bob.token, "custom", &id("custom-1"))).0, 200);

        let wrong = cluster.call(A, unlink(&alice.token, "custom", &id("custom-1")));
        check_refused(wrong, Code::PermissionDenied);
        for (provider, body) in [
            ("device", id("device-0001")),
            ("device", id("device-0003")),
            ("custom", "{}".to_owned()),
            ("email", "{}".to_owned()),
        ] {
            assert_eq!(cluster.call(B, unlink(&alice.token, provider, &body)).0, 200, "{provider}");
        }
        let last = cluster.call(A, unlink(&alice.token, "google", &proof("player-1")));
        check_refused(last, Code::PermissionDenied);
        assert!(login(cluster.call(A, device("device-0001"))).created, "it is free");
        assert!(cluster.is_quiet());
    });
}

/// Rows 97 to 101, and 84: a refresh tells the new name.
#[test]
fn a_name_that_is_given_up_is_free_and_one_that_is_taken_is_refused() {
    in_any_order(|mut cluster| {
        let alice = login(cluster.call(A, device_with("?username=alice", "device-0001")));
        let bob = login(cluster.call(B, device_with("?username=bob", "device-0002")));
        let taken = cluster.call(C, update(&bob.token, "{\"username\":\"alice\"}"));
        check_refused(taken, Code::InvalidArgument);
        assert_eq!(cluster.call(C, update(&alice.token, "{\"username\":\"carol\"}")).0, 200);
        let refreshed = login(cluster.call(A, refresh(&alice.refresh_token)));
        assert_eq!(refreshed.username, "carol");
        assert_eq!(cluster.call(C, update(&bob.token, "{\"username\":\"alice\"}")).0, 200);
        let (_, body) = cluster.call(B, users(&alice.token, "usernames=alice&usernames=bob"));
        assert!(body.contains(&bob.user_id) && !body.contains(&alice.user_id), "{body}");
        for (body, code) in [
            ("{}", Code::InvalidArgument),
            ("{\"username\":\"\"}", Code::InvalidArgument),
            ("{\"lang_tag\":\"\"}", Code::Internal),
        ] {
            check_refused(cluster.call(A, update(&bob.token, body)), code);
        }
    });
}

/// Two players who want each other's name, and a third who wants one of them, at once.
#[test]
fn crossed_edits_never_wait_for_each_other() {
    for seed in 0..200 {
        let mut cluster = Cluster::new(Options { seed, ..Options::default() });
        let names = ["alice", "bob", "carol"];
        let logins: Vec<_> = names
            .iter()
            .map(|name| {
                let query = format!("?username={name}");
                login(cluster.call(A, device_with(&query, &format!("device-{name}"))))
            })
            .collect();
        let mut connections = Vec::new();
        for (login, name) in logins.iter().zip(["bob", "alice", "alice"]) {
            let connection = cluster.connect(B);
            let body = format!("{{\"username\":\"{name}\"}}");
            cluster.send(connection, update(&login.token, &body));
            connections.push(connection);
        }
        let connection = cluster.connect(C);
        cluster.send(connection, delete(&logins[1].token));
        connections.push(connection);
        cluster.settle(); // without a deadline's help
        for connection in connections {
            let (status, body) = cluster.answer(connection);
            assert!([200, 400, 404, 409].contains(&status), "{status}: {body}");
        }
        sim::check::invariant_rows_belong_together(&cluster.store);
        assert!(cluster.is_quiet());
    }
}

/// Rows 86, 102 to 104 and 108.
#[test]
fn a_deleted_account_is_gone_with_its_sockets_and_tokens() {
    in_any_order(|mut cluster| {
        let alice = cluster.sign_in(A, "device-0001");
        assert_eq!(cluster.call(B, link(&alice.token, "custom", &id("custom-1"))).0, 200);
        cluster.advance(Duration::from_secs(1)); // the second's own tokens are spared
        let socket = cluster.open(B, C, &alice.token);
        let bystander = cluster.sign_in(A, "device-0002");
        let other = cluster.open(A, B, &bystander.token);
        assert_eq!(cluster.call(C, delete(&alice.token)).0, 200);
        let closed = Heard::Closed { code: 1000, reason: "server-side session disconnect" };
        assert_eq!(cluster.heard(socket), [closed]);
        assert_eq!(cluster.heard(other), []);
        for request in [account(&alice.token), refresh(&alice.refresh_token)] {
            check_refused(cluster.call(A, request), Code::Unauthenticated);
        }
        let again = login(cluster.call(B, device("device-0001")));
        assert!(again.created && again.user_id != alice.user_id);
        let custom = cluster.call(B, authenticate("custom", "?create=false", &id("custom-1")));
        check_refused(custom, Code::NotFound);
        // A token of the same second lives on, and finds no account.
        assert_eq!(cluster.call(C, delete(&again.token)).0, 200);
        check_refused(cluster.call(A, account(&again.token)), Code::NotFound);
        check_refused(cluster.call(A, refresh(&again.refresh_token)), Code::NotFound);
        assert_eq!(cluster.store.aliases(Kind::Username), 1);
    });
}

fn call(cluster: &mut Cluster, operation: &'static str, request: Request) -> Reply {
    cluster.handle(B, Input::Call { call: 7, operation, request });
    cluster.settle();
    match cluster.called.pop() {
        Some((7, Ok(reply))) => reply,
        other => panic!("{operation} was answered by {other:?}"),
    }
}

/// Rows 76 and 86: a ban is told, closes sockets, ends tokens, and can be lifted.
#[test]
fn a_ban_keeps_a_player_out_until_it_is_lifted() {
    in_any_order(|mut cluster| {
        let alice = cluster.sign_in(A, "device-0001");
        let socket = cluster.open(B, C, &alice.token);
        cluster.advance(Duration::from_secs(1));
        let users = vec![UserId::parse(&alice.user_id).expect("a user id")];
        let ban = Request::UsersBan { users: users.clone() };
        assert_eq!(call(&mut cluster, "users_ban", ban), Reply::Empty);
        match &cluster.heard(socket)[..] {
            [Heard::Text(text), Heard::Closed { code: 1000, .. }] => {
                assert!(text.contains("\"code\":-8") && text.contains("\"banned\""), "{text}");
            }
            other => panic!("{other:?}"),
        }
        check_refused(cluster.call(A, device("device-0001")), Code::PermissionDenied);
        check_refused(cluster.call(A, account(&alice.token)), Code::Unauthenticated);
        let export =
            call(&mut cluster, "account_export", Request::AccountExport { user: users[0] });
        let Reply::Document { json } = export else { panic!("{export:?}") };
        assert!(json.contains("\"disable_time\"") && json.contains("device-0001"), "{json}");
        let unban = Request::UsersUnban { users };
        assert_eq!(call(&mut cluster, "users_unban", unban), Reply::Empty);
        assert_eq!(cluster.call(A, device("device-0001")).0, 200);
    });
}

/// No client reaches what is for server code.
#[test]
fn what_is_for_server_code_has_no_route() {
    let mut cluster = Cluster::new(Options::default());
    let alice = cluster.sign_in(A, "device-0001");
    let request = bearer("POST", "/v2/users_ban", &alice.token, "{}");
    check_refused(cluster.call(A, request), Code::NotFound);
    let socket = cluster.open(A, A, &alice.token);
    cluster.tell(socket, "{\"users_ban\":{}}");
    assert!(cluster.is_gone(socket));
}

/// Row 93.
#[test]
fn with_single_session_a_sign_in_ends_the_tokens_before_it() {
    for seed in 0..30 {
        let options = Options { seed, single_session: true, ..Options::default() };
        let mut cluster = Cluster::new(options);
        let first = cluster.sign_in(A, "device-0001");
        cluster.advance(Duration::from_secs(1));
        let second = cluster.sign_in(B, "device-0001");
        check_refused(cluster.call(C, account(&first.token)), Code::Unauthenticated);
        check_refused(cluster.call(C, refresh(&first.refresh_token)), Code::Unauthenticated);
        assert_eq!(cluster.call(C, account(&second.token)).0, 200);
    }
}

/// Row 435.
#[test]
fn with_single_socket_a_new_socket_closes_the_older_one() {
    for seed in 0..30 {
        let options = Options { seed, single_socket: true, ..Options::default() };
        let mut cluster = Cluster::new(options);
        let alice = cluster.sign_in(A, "device-0001");
        let sockets = [(A, B), (B, C), (C, A)].map(|(core, home)| {
            let socket = cluster.open(core, home, &alice.token);
            cluster.advance(Duration::from_secs(1));
            socket
        });
        let kicked = |heard: Vec<Heard>| {
            matches!(&heard[..], [Heard::Text(text), Heard::Closed { code: 1000, .. }]
                if text.contains("\"code\":-7") && text.contains("\"single_socket\""))
        };
        assert!(kicked(cluster.heard(sockets[0])) && kicked(cluster.heard(sockets[1])));
        assert_eq!(cluster.heard(sockets[2]), []);
        assert!(cluster.ask(sockets[2], "{\"cid\":\"1\",\"ping\":{}}").contains("pong"));
    }
}

#[test]
fn a_socket_whose_token_dies_before_it_opens_is_closed() {
    for seed in 0..30 {
        let mut cluster = Cluster::new(Options { seed, shards: 6, ..Options::default() });
        let alice = cluster.sign_in(A, "device-0001");
        cluster.advance(Duration::from_secs(1));
        let user = UserId::parse(&alice.user_id).expect("a user id");
        let placement = cluster.config.placement;
        let home = placement.of_user(user);
        let aliases = [Alias::device("device-0001"), Alias::username(&alice.username)];
        let homes = aliases.map(|alias| placement.of_key(&alias.expect("well-formed").key()));
        let is_free = |core: &ShardId| *core != home && !homes.contains(core);
        let core = ShardId::all(6).find(is_free).expect("three are taken at most");
        // The question that opens the session does not get there.
        cluster.halted.bus.insert((core, home));
        let socket = cluster.connect(home);
        cluster.send_homed(socket, core, handshake(&format!("token={}", alice.token)));
        cluster.settle();
        assert_eq!(cluster.heard(socket), [Heard::Upgraded]);
        assert_eq!(cluster.call(home, delete(&alice.token)).0, 200);
        cluster.halted.bus.clear();
        cluster.settle();
        let closed = Heard::Closed { code: 1000, reason: "server-side session disconnect" };
        assert_eq!(cluster.heard(socket), [closed]);
    }
}

/// Whoever finds the queue of passwords full is refused, and for a moment all who come after, who
/// would only look up accounts for nothing.
#[test]
fn a_full_queue_of_passwords_refuses_before_it_looks_up() {
    in_any_order(|mut cluster| {
        let sign_in = |cluster: &mut Cluster, who: &str, password: &str| {
            let body = email(&format!("{who}@example.com"), password);
            cluster.call(A, authenticate("email", "", &body))
        };
        assert!(login(sign_in(&mut cluster, "busybody", BUSY)).created);
        assert!(login(sign_in(&mut cluster, "alice", "password1")).created);
        check_refused(sign_in(&mut cluster, "busybody", BUSY), Code::ResourceExhausted);
        check_refused(sign_in(&mut cluster, "alice", "password1"), Code::ResourceExhausted);
        let device = cluster.sign_in(A, "device-0001");
        assert!(device.created, "whoever shows no password is let in");
        cluster.pass(PASSWORDS_FULL);
        assert!(!login(sign_in(&mut cluster, "alice", "password1")).created);
        assert!(cluster.is_quiet());
    });
}
