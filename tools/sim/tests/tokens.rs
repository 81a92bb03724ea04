//! Tokens: which are good, which were logged out, and that a logout is never forgotten.

use std::time::Duration;

use base::limits::TASK_DEADLINE;
use base::{Code, ShardId, UnixTime};
use sim::cluster::client::{
    Heard, Login, account, bearer, claims, device, handshake, logout, refresh, request, users,
};
use sim::cluster::{Cluster, Options, REFRESH_LIFE, REVOCATIONS, TOKEN_LIFE};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

const SECOND: Duration = Duration::from_secs(1);

/// Runs a scenario under many orders of events, with one account.
fn in_any_order(mut scenario: impl FnMut(Cluster, Login)) {
    for seed in 0..40 {
        let mut cluster = Cluster::new(Options { seed, ..Options::default() });
        let login = cluster.sign_in(A, "device-0001");
        scenario(cluster, login);
    }
}

fn check_refused((status, body): (u16, String), code: Code) {
    let number = format!("\"code\":{},", code.number());
    assert!(status == code.http_status() && body.contains(&number), "{status}: {body}");
}

/// Rows 44, 45, 46, 47, 49 and 50.
#[test]
fn each_route_wants_its_own_kind_of_credential() {
    let mut cluster = Cluster::new(Options::default());
    let login = cluster.sign_in(A, "device-0001");
    let sign_in = device("device-0001");
    let with = |authorization: &[&str]| {
        let authorization = authorization.iter().map(|text| (*text).to_owned()).collect();
        let mut request = sign_in.clone();
        request.authorization = authorization;
        request
    };
    let key = sign_in.authorization[0].clone();
    let token = format!("Bearer {}", login.token);
    for wrong in [
        &[][..],
        &[key.as_str(), key.as_str()],
        &["Basic YmFkOg=="],     // bad:
        &["Basic ZGVmYXVsdA=="], // default, without a colon
        &["Basic !"],
        &["basic ZGVmYXVsdGtleTo="],
        &[token.as_str()],
    ] {
        check_refused(cluster.call(A, with(wrong)), Code::Unauthenticated);
    }
    assert_eq!(cluster.call(A, with(&["Basic ZGVmYXVsdGtleTphbnk="])).0, 200, "defaultkey:any");

    let get = account(&login.token);
    for wrong in [
        vec![],
        vec![token.clone(), token],
        vec![login.token.clone()],
        vec![format!("Bearer {}", login.refresh_token)],
        vec![format!("Bearer {}x", login.token)],
        vec![key],
    ] {
        let request = api::http::Request { authorization: wrong, ..get.clone() };
        check_refused(cluster.call(B, request), Code::Unauthenticated);
    }
    assert_eq!(cluster.call(B, get).0, 200);
}

/// Row 48.
#[test]
fn a_token_is_good_until_it_expires() {
    let mut cluster = Cluster::new(Options::default());
    let login = cluster.sign_in(A, "device-0001");
    cluster.advance(Duration::from_secs(TOKEN_LIFE) - SECOND);
    assert_eq!(cluster.call(B, account(&login.token)).0, 200);
    cluster.advance(2 * SECOND);
    check_refused(cluster.call(B, account(&login.token)), Code::Unauthenticated);
    assert_eq!(cluster.call(B, refresh(&login.refresh_token)).0, 200);
    cluster.advance(Duration::from_secs(REFRESH_LIFE));
    check_refused(cluster.call(B, refresh(&login.refresh_token)), Code::Unauthenticated);
}

/// Rows 81, 82, 84, 85 and 87.
#[test]
fn a_refresh_gives_a_new_pair_of_the_same_id() {
    in_any_order(|mut cluster, login| {
        cluster.advance(2 * SECOND);
        let (status, body) = cluster.call(B, refresh(&login.refresh_token));
        assert_eq!(status, 200);
        let fresh = Login::read(&body);
        assert_ne!(fresh.token, login.token);
        let said = |token: &str, claim: &str| {
            let text = claims(token).expect("a token");
            let (_, rest) = text.split_once(&format!("\"{claim}\":")).expect("the claim");
            rest.split([',', '}']).next().map(str::to_owned)
        };
        for claim in ["tid", "iat", "uid", "usn"] {
            assert_eq!(said(&fresh.token, claim), said(&login.token, claim), "{claim}");
        }
        assert_ne!(said(&fresh.token, "exp"), said(&login.token, "exp"));
        assert_eq!(cluster.call(C, account(&fresh.token)).0, 200);
        check_refused(cluster.call(B, refresh("")), Code::InvalidArgument);
        check_refused(cluster.call(B, refresh(&login.token)), Code::Unauthenticated);
    });
}

#[test]
fn a_logout_is_durable_before_it_is_answered_and_survives_a_crash() {
    in_any_order(|mut cluster, login| {
        cluster.halted.disk = true;
        let connection = cluster.connect(B);
        let body = format!("{{\"token\":\"{}\"}}", login.token);
        cluster.send(connection, logout(&login.token, &body));
        cluster.settle();
        assert_eq!(cluster.store.undurable(REVOCATIONS).count(), 1);
        assert_eq!(cluster.heard(connection), []);
        // Who is told that the token is dead could not be told otherwise after a crash.
        let other = cluster.connect(C);
        cluster.send(other, account(&login.token));
        cluster.settle();
        assert_eq!(cluster.heard(other), []);

        cluster.halted.disk = false;
        cluster.settle();
        assert_eq!(cluster.answer(connection), (200, "{}".into()));
        check_refused(cluster.answer(other), Code::Unauthenticated);
        cluster.crash();
        check_refused(cluster.call(A, account(&login.token)), Code::Unauthenticated);
        assert_eq!(cluster.call(A, refresh(&login.refresh_token)).0, 200, "the other of the pair");
    });
}

#[test]
fn a_logout_that_is_durable_does_not_vouch_for_a_later_one() {
    let mut met = 0;
    in_any_order(|mut cluster, first| {
        let second = cluster.sign_in(A, "device-0001");
        cluster.halted.disk = true;
        for login in [&first, &second] {
            let connection = cluster.connect(B);
            let body = format!("{{\"token\":\"{}\"}}", login.token);
            cluster.send(connection, logout(&login.token, &body));
            cluster.settle();
        }
        cluster.halted.disk = false;
        while cluster.store.undurable(REVOCATIONS).count() > 1 {
            cluster.step();
        }
        cluster.halted.disk = true;
        cluster.settle();
        if cluster.store.undurable(REVOCATIONS).count() == 0 {
            return; // both at once
        }
        met += 1;
        let connection = cluster.connect(C);
        cluster.send(connection, account(&second.token));
        cluster.settle();
        assert_eq!(cluster.heard(connection), []);
        cluster.halted.disk = false;
        cluster.settle();
        check_refused(cluster.answer(connection), Code::Unauthenticated);
    });
    assert!(met > 0, "some disks take one after the other");
}

/// Rows 89 and 91.
#[test]
fn a_token_that_was_logged_out_is_refused_on_each_session_route() {
    in_any_order(|mut cluster, login| {
        let body = format!("{{\"token\":\"{}\"}}", login.token);
        assert_eq!(cluster.call(B, logout(&login.token, &body)).0, 200);
        let token = &login.token;
        for request in [account(token), users(token, ""), logout(token, "{}"), logout(token, &body)]
        {
            check_refused(cluster.call(C, request), Code::Unauthenticated);
        }
    });
}

/// Row 90.
#[test]
fn a_refresh_token_that_was_logged_out_refreshes_nothing() {
    in_any_order(|mut cluster, login| {
        let body = format!("{{\"refreshToken\":\"{}\"}}", login.refresh_token);
        assert_eq!(cluster.call(B, logout(&login.token, &body)).0, 200);
        check_refused(cluster.call(C, refresh(&login.refresh_token)), Code::Unauthenticated);
        assert_eq!(cluster.call(C, account(&login.token)).0, 200);
    });
}

/// Rows 91 and 92.
#[test]
fn a_logout_without_tokens_ends_every_older_token_of_the_user() {
    in_any_order(|mut cluster, login| {
        cluster.advance(SECOND);
        let newer = cluster.sign_in(B, "device-0001");
        let other = cluster.sign_in(B, "device-0002");
        assert_eq!(cluster.call(C, logout(&newer.token, "")).0, 200);
        check_refused(cluster.call(A, account(&login.token)), Code::Unauthenticated);
        check_refused(cluster.call(A, refresh(&login.refresh_token)), Code::Unauthenticated);
        assert_eq!(cluster.call(A, account(&newer.token)).0, 200, "of the same second");
        assert_eq!(cluster.call(A, account(&other.token)).0, 200, "of another user");
        assert_eq!(cluster.call(A, device("device-0001")).0, 200, "a new sign-in");
    });
}

/// Row 91.
#[test]
fn a_logout_with_anothers_token_is_refused() {
    in_any_order(|mut cluster, login| {
        let other = cluster.sign_in(B, "device-0002");
        for body in [
            format!("{{\"token\":\"{}\"}}", other.token),
            format!("{{\"refresh_token\":\"{}\"}}", other.refresh_token),
            format!("{{\"token\":\"{}\"}}", login.refresh_token),
            "{\"token\":\"x\"}".to_owned(),
        ] {
            check_refused(cluster.call(C, logout(&login.token, &body)), Code::InvalidArgument);
        }
        assert_eq!(cluster.call(C, account(&other.token)).0, 200);
    });
}

/// Nakama's quirk: a single logout does not stop a token from opening a socket, that of the whole
/// user does.
#[test]
fn a_handshake_looks_at_the_logout_of_the_whole_user_only() {
    in_any_order(|mut cluster, login| {
        let body = format!("{{\"token\":\"{}\"}}", login.token);
        assert_eq!(cluster.call(B, logout(&login.token, &body)).0, 200);
        cluster.open(C, C, &login.token);
        cluster.advance(SECOND);
        let newer = cluster.sign_in(A, "device-0001");
        assert_eq!(cluster.call(B, logout(&newer.token, "{}")).0, 200);
        let connection = cluster.connect(C);
        cluster.send(connection, handshake(&format!("token={}", login.token)));
        cluster.settle();
        let heard = cluster.heard(connection);
        assert!(matches!(&heard[..], [Heard::Response { status: 401, .. }]), "{heard:?}");
    });
}

/// Rows 94 and 95.
#[test]
fn an_account_shows_its_devices_to_its_owner() {
    in_any_order(|mut cluster, login| {
        let (_, body) = cluster.call(C, account(&login.token));
        for part in [
            format!("\"id\":\"{}\"", login.user_id),
            "\"wallet\":\"{}\"".to_owned(),
            "\"metadata\":\"{}\"".to_owned(),
            "\"lang_tag\":\"en\"".to_owned(),
            "\"devices\":[{\"id\":\"device-0001\"}]".to_owned(),
        ] {
            assert!(body.contains(&part), "{part} in {body}");
        }
    });
}

#[test]
fn a_request_whose_record_does_not_come_is_answered_at_the_deadline() {
    in_any_order(|mut cluster, login| {
        cluster.crash(); // so that nothing is in memory
        cluster.halted.loads = true;
        let token = &login.token;
        let requests = [account(token), users(token, "usernames=x"), refresh(&login.refresh_token)];
        let connections = requests.map(|request| {
            let connection = cluster.connect(B);
            cluster.send(connection, request);
            connection
        });
        cluster.advance(TASK_DEADLINE - SECOND);
        for connection in connections {
            assert_eq!(cluster.heard(connection), []);
        }
        cluster.advance(2 * SECOND);
        for connection in connections {
            check_refused(cluster.answer(connection), Code::DeadlineExceeded);
        }
        cluster.halted.loads = false;
        cluster.settle();
        for connection in connections {
            assert_eq!(cluster.heard(connection), [], "no second answer");
        }
        assert!(cluster.is_quiet());
        assert_eq!(cluster.call(B, account(token)).0, 200);
    });
}

/// Rows 1, 2 and 3.
#[test]
fn what_needs_no_state_is_answered_while_nothing_else_is() {
    let mut cluster = Cluster::new(Options::default());
    cluster.halted.disk = true;
    cluster.halted.loads = true;
    let open = |method, target| request(method, target, "", "");
    assert_eq!(cluster.call(A, open("GET", "/")), (200, String::new()));
    assert_eq!(cluster.call(A, open("GET", "/healthcheck")), (200, "{}".into()));
    check_refused(cluster.call(A, open("GET", "/healthcheck/")), Code::NotFound);
    check_refused(cluster.call(A, open("PUT", "/v2/user")), Code::Unimplemented);
    check_refused(cluster.call(A, bearer("GET", "/v2/nope", "", "")), Code::NotFound);
}

#[test]
fn a_dead_token_is_told_so_whatever_else_is_wrong() {
    let mut cluster = Cluster::new(Options::default());
    let alice = cluster.sign_in(A, "device-0001");
    let body = format!("{{\"token\":\"{}\"}}", alice.token);
    assert_eq!(cluster.call(B, logout(&alice.token, &body)).0, 200);
    assert_eq!(cluster.call(B, users(&alice.token, "ids=x")).0, 401);
    let wrong = bearer("POST", "/v2/session/logout", &alice.token, "{\"token\":\"x\"}");
    assert_eq!(cluster.call(B, wrong).0, 401);
}

#[test]
fn a_clock_that_goes_back_revives_no_token() {
    let mut cluster = Cluster::new(Options::default());
    let alice = cluster.sign_in(A, "device-0001");
    cluster.advance(10 * SECOND);
    let newer = cluster.sign_in(A, "device-0001");
    assert_eq!(cluster.call(B, logout(&newer.token, "")).0, 200);
    assert_eq!(cluster.call(B, account(&alice.token)).0, 401);
    cluster.now.wall = UnixTime(cluster.now.wall.0 - 20_000_000_000);
    let newest = cluster.sign_in(A, "device-0001");
    assert!(newest.token != newer.token);
    assert_eq!(cluster.call(B, logout(&newer.token, "")).0, 200);
    assert_eq!(cluster.call(B, account(&alice.token)).0, 401, "logged out before");
}

/// A refresh keeps the token id.
#[test]
fn a_refreshed_token_is_good_when_the_one_that_was_logged_out_has_expired() {
    let mut cluster = Cluster::new(Options::default());
    let alice = cluster.sign_in(A, "device-0001");
    let body = format!("{{\"token\":\"{}\"}}", alice.token);
    assert_eq!(cluster.call(B, logout(&alice.token, &body)).0, 200);
    cluster.advance(Duration::from_secs(120));
    let fresh = Login::read(&cluster.call(B, refresh(&alice.refresh_token)).1);
    assert_eq!(cluster.call(B, account(&fresh.token)).0, 200);
}
