//! Operators: the first one, sign-in and lock-out, roles, and what they do to accounts, with its
//! trace in the audit trail.

use std::time::Duration;

use api::http::Request;
use api::ops::{Auth, Door, OPERATIONS};
use base::{ClientAddress, Code, ShardId};
use domain::identity::token::{Keys, OperatorClaims};
use domain::operator::{Bearer, Role};
use sim::cluster::client::{account, authenticate, bearer, device};
use sim::cluster::{BUSY, Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);
const PASSWORD: &str = "a long password";

fn in_any_order(mut scenario: impl FnMut(Cluster)) {
    for seed in 0..30 {
        scenario(Cluster::new(Options { seed, ..Options::default() }));
    }
}

fn operators(request: Request) -> Request {
    Request { door: Door::Operators, ..request }
}

fn ask(cluster: &mut Cluster, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let target = format!("/v2/console/{path}");
    cluster.call(A, operators(bearer(method, &target, token, body)))
}

fn check_done((status, body): (u16, String)) -> String {
    assert_eq!(status, 200, "{body}");
    body
}

fn check_refused((status, body): (u16, String), code: Code) {
    let number = format!("\"code\":{},", code.number());
    assert!(status == code.http_status() && body.contains(&number), "{status}: {body}");
}

/// A token of somebody at the machine itself.
fn signed(cluster: &Cluster, bearer: Bearer, life: u64) -> String {
    let expiry = cluster.now.wall.secs() + life;
    cluster.config.operator_keys.sign_operator(&OperatorClaims { bearer, expiry })
}

fn machine(cluster: &Cluster, role: Role) -> String {
    signed(cluster, Bearer::Machine { role }, 60)
}

fn create(cluster: &mut Cluster, token: &str, name: &str, role: &str) -> (u16, String) {
    let body =
        format!("{{\"username\":\"{name}\",\"password\":\"{PASSWORD}\",\"role\":\"{role}\"}}");
    ask(cluster, "POST", "user", token, &body)
}

fn sign_in(cluster: &mut Cluster, name: &str, password: &str) -> (u16, String) {
    let body = format!("{{\"username\":\"{name}\",\"password\":\"{password}\"}}");
    ask(cluster, "POST", "authenticate", "", &body)
}

fn token((status, body): (u16, String)) -> String {
    assert_eq!(status, 200, "{body}");
    let token = body.strip_prefix("{\"token\":\"").and_then(|body| body.strip_suffix("\"}"));
    token.expect("a token and nothing else").to_owned()
}

fn audit(cluster: &mut Cluster, query: &str) -> String {
    let token = machine(cluster, Role::Viewer);
    check_done(ask(cluster, "GET", &format!("audit/log{query}"), &token, ""))
}

#[test]
fn the_first_operator_is_made_once_by_the_token_of_the_first_start() {
    in_any_order(|mut cluster| {
        let first = signed(&cluster, Bearer::First, 60);
        check_refused(ask(&mut cluster, "GET", "user", &first, ""), Code::PermissionDenied);
        let weak = create(&mut cluster, &first, "ann", "viewer");
        check_refused(weak, Code::PermissionDenied);
        check_done(create(&mut cluster, &first, "Ann", "admin"));
        check_refused(create(&mut cluster, &first, "ben", "admin"), Code::Unauthenticated);
        let ann = token(sign_in(&mut cluster, "ANN", PASSWORD));
        let list = check_done(ask(&mut cluster, "GET", "user", &ann, ""));
        assert!(list.contains("\"username\":\"ann\",\"role\":\"admin\""), "{list}");
        assert!(!list.contains("new:"), "no hash is shown: {list}");
        assert!(cluster.is_quiet());
    });
}

/// Every row of the operators' listener that asks for a token: without one, with one of another
/// key, an expired one, a dead one, one of a player, and one of each role that is too low.
#[test]
fn each_operation_refuses_who_may_not_call_it() {
    let mut cluster = Cluster::new(Options::default());
    let player = cluster.sign_in(A, "device-0001").token;
    let admin = machine(&cluster, Role::Admin);
    check_done(create(&mut cluster, &admin, "ann", "admin"));
    let dead = token(sign_in(&mut cluster, "ann", PASSWORD));
    check_done(ask(&mut cluster, "POST", "authenticate/logout", &dead, ""));
    let claims = |role| {
        let expiry = cluster.now.wall.secs() + 60;
        OperatorClaims { bearer: Bearer::Machine { role }, expiry }
    };
    let foreign = Keys::new(b"other", &[]).sign_operator(&claims(Role::Admin));
    let expired = signed(&cluster, Bearer::Machine { role: Role::Admin }, 0);
    let roles = Role::ALL.map(|role| (role, machine(&cluster, role)));
    let (mut rows, mut changes) = (0, 2);
    for row in OPERATIONS {
        let (Auth::Operator(needed), Some(route)) = (row.auth, &row.http) else { continue };
        rows += 1;
        let path = route.path.replace("{id}", "x").replace("{username}", "x");
        let mut call = |authorization: Option<String>, query: &str, body: &str| {
            let request = Request {
                method: route.method.into(),
                target: format!("{path}{query}"),
                authorization: authorization.into_iter().collect(),
                body: body.to_owned().into(),
                door: Door::Operators,
                ..Request::default()
            };
            cluster.call(B, request)
        };
        // Whatever is wrong besides is told to those only whom it is for.
        for (query, body) in [("", ""), ("?limit=0", "{")] {
            for wrong in [&player, &dead, &foreign, &expired, "", "x"] {
                let refused = call(Some(format!("Bearer {wrong}")), query, body);
                check_refused(refused, Code::Unauthenticated);
            }
            check_refused(call(None, query, body), Code::Unauthenticated);
            check_refused(call(Some(format!("Basic {admin}")), query, body), Code::Unauthenticated);
            for (role, token) in &roles {
                let (status, body) = call(Some(format!("Bearer {token}")), query, body);
                let is_refused = status == 403 && body.contains("role does not allow");
                assert_eq!(is_refused, *role < needed, "{} as {role:?}: {body}", row.name);
                assert!(status != 401 && status < 500, "{} as {role:?}: {body}", row.name);
                changes += usize::from(status == 200 && route.method != "GET");
            }
        }
    }
    assert!(rows >= 13, "{rows}");
    let log = audit(&mut cluster, "");
    assert_eq!(
        log.matches("\"operation\"").count(),
        changes,
        "refused calls leave no entry: {log}"
    );
}

/// A route is there on its own listener only.
#[test]
fn a_listener_serves_its_own_operations() {
    let mut cluster = Cluster::new(Options::default());
    let admin = machine(&cluster, Role::Admin);
    let get = |target: &str| bearer("GET", target, &admin, "");
    check_refused(cluster.call(A, get("/v2/console/user")), Code::NotFound);
    check_refused(cluster.call(A, get("/metrics")), Code::NotFound);
    let at_operators = operators(authenticate("device", "", "{\"id\":\"device-0001\"}"));
    check_refused(cluster.call(A, at_operators), Code::NotFound);
    for (path, text) in
        [("/healthcheck", "{}"), ("/readycheck", "reported"), ("/metrics", "reported")]
    {
        assert_eq!(cluster.call(C, operators(get(path))), (200, text.to_owned()), "{path}");
    }
}

#[test]
fn wrong_passwords_lock_an_operator_out_for_a_minute() {
    in_any_order(|mut cluster| {
        let admin = machine(&cluster, Role::Admin);
        check_done(create(&mut cluster, &admin, "ann", "admin"));
        check_done(create(&mut cluster, &admin, "ben", "viewer"));
        for _ in 0..10 {
            check_refused(sign_in(&mut cluster, "ann", BUSY), Code::ResourceExhausted);
        }
        for wrong in ["wrong password", "", "short", "wrong password", "wrong password"] {
            check_refused(sign_in(&mut cluster, "ann", wrong), Code::Unauthenticated);
        }
        let (status, body) = sign_in(&mut cluster, "ann", PASSWORD);
        assert!(status == 429 && body.contains("try again in"), "{status}: {body}");
        token(sign_in(&mut cluster, "ben", PASSWORD));
        cluster.pass(Duration::from_secs(61));
        token(sign_in(&mut cluster, "ann", PASSWORD));
    });
}

#[test]
fn an_address_that_guesses_names_is_locked_out_for_ten_minutes() {
    let mut cluster = Cluster::new(Options::default());
    let admin = machine(&cluster, Role::Admin);
    check_done(create(&mut cluster, &admin, "ann", "admin"));
    let guess = |cluster: &mut Cluster, name: &str, password: &str, last: u8| {
        let body = format!("{{\"username\":\"{name}\",\"password\":\"{password}\"}}");
        let request = bearer("POST", "/v2/console/authenticate", "", &body);
        let client = Some(ClientAddress([last; 16]));
        cluster.call(B, Request { client, ..operators(request) }).0
    };
    for (name, password) in [("nobody", PASSWORD), ("ann", "wrong password")] {
        let statuses = [0; 6].map(|_| guess(&mut cluster, name, password, 3));
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429], "{name}: nothing tells who exists");
    }
    for number in 0..10 {
        assert_eq!(guess(&mut cluster, &format!("nobody-{number}"), PASSWORD, 1), 401);
    }
    assert_eq!(guess(&mut cluster, "ann", PASSWORD, 1), 429);
    assert_eq!(guess(&mut cluster, "ann", PASSWORD, 2), 200, "she herself is elsewhere");
    cluster.pass(Duration::from_secs(601));
    assert_eq!(guess(&mut cluster, "ann", PASSWORD, 1), 200);
}

#[test]
fn a_password_is_changed_by_who_knows_it() {
    in_any_order(|mut cluster| {
        let admin = machine(&cluster, Role::Admin);
        check_done(create(&mut cluster, &admin, "ann", "admin"));
        let old = token(sign_in(&mut cluster, "ann", PASSWORD));
        let change = |cluster: &mut Cluster, password: &str, new: &str| {
            let body = format!(
                "{{\"username\":\"ann\",\"password\":\"{password}\",\"new_password\":\"{new}\"}}"
            );
            ask(cluster, "POST", "authenticate/password", "", &body)
        };
        check_refused(
            change(&mut cluster, "wrong password", "new password"),
            Code::Unauthenticated,
        );
        check_refused(change(&mut cluster, PASSWORD, "short"), Code::InvalidArgument);
        check_done(change(&mut cluster, PASSWORD, "new password"));
        check_refused(sign_in(&mut cluster, "ann", PASSWORD), Code::Unauthenticated);
        check_refused(ask(&mut cluster, "GET", "user", &old, ""), Code::Unauthenticated);
        token(sign_in(&mut cluster, "ann", "new password"));
        let log = audit(&mut cluster, "?username=ann");
        assert!(log.contains("console_password_change") && !log.contains("new password"), "{log}");
    });
}

#[test]
fn operators_are_changed_and_ended() {
    in_any_order(|mut cluster| {
        let admin = machine(&cluster, Role::Admin);
        check_done(create(&mut cluster, &admin, "ann", "admin"));
        check_done(create(&mut cluster, &admin, "ben", "viewer"));
        check_refused(create(&mut cluster, &admin, "ben", "viewer"), Code::AlreadyExists);
        check_refused(create(&mut cluster, &admin, "b", "viewer"), Code::InvalidArgument);
        check_refused(create(&mut cluster, &admin, "carl", "king"), Code::InvalidArgument);
        let ben = token(sign_in(&mut cluster, "ben", PASSWORD));
        check_refused(ask(&mut cluster, "GET", "user", &ben, ""), Code::PermissionDenied);
        let put = |cluster: &mut Cluster, name: &str, body: &str| {
            ask(cluster, "PUT", &format!("user/{name}"), &admin, body)
        };
        check_done(put(&mut cluster, "ben", "{\"role\":\"admin\"}"));
        check_refused(ask(&mut cluster, "GET", "user", &ben, ""), Code::Unauthenticated);
        let ben = token(sign_in(&mut cluster, "ben", PASSWORD));
        check_done(ask(&mut cluster, "GET", "user", &ben, ""));
        check_refused(put(&mut cluster, "ben", "{}"), Code::InvalidArgument);
        check_refused(put(&mut cluster, "zed", "{\"role\":\"admin\"}"), Code::NotFound);
        check_done(put(&mut cluster, "ben", "{\"disabled\":true}"));
        check_refused(sign_in(&mut cluster, "ben", PASSWORD), Code::Unauthenticated);
        check_refused(
            ask(&mut cluster, "DELETE", "user/ann", &admin, ""),
            Code::FailedPrecondition,
        );
        check_done(put(
            &mut cluster,
            "ben",
            "{\"disabled\":false,\"password\":\"another password\"}",
        ));
        check_done(ask(&mut cluster, "DELETE", "user/ann", &admin, ""));
        check_refused(sign_in(&mut cluster, "ann", PASSWORD), Code::Unauthenticated);
        token(sign_in(&mut cluster, "ben", "another password"));
        let log = audit(&mut cluster, "?limit=3");
        let newest = "\"username\":\"(machine admin)\",\"operation\":\"console_user_delete\",\
                      \"target\":\"ann\",\"metadata\":{}}";
        assert!(log.contains(newest), "{log}");
        assert!(log.contains("{\"disabled\":false,\"password_changed\":true}"), "{log}");
        assert!(log.contains("\"cursor\":\"4\""), "{log}");
        assert!(audit(&mut cluster, "?cursor=4").contains("\"id\":\"1\""));
    });
}

#[test]
fn an_account_is_banned_read_and_deleted_with_a_trace() {
    in_any_order(|mut cluster| {
        let player = cluster.sign_in(A, "device-0001");
        let socket = cluster.open(C, C, &player.token);
        let (viewer, operator, admin) = (
            machine(&cluster, Role::Viewer),
            machine(&cluster, Role::Operator),
            machine(&cluster, Role::Admin),
        );
        let path = |rest: &str| format!("account/{}{rest}", player.user_id);
        let seen = check_done(ask(&mut cluster, "GET", &path(""), &viewer, ""));
        assert!(seen.contains(&player.username) && !seen.contains("disable_time"), "{seen}");
        assert!(!seen.contains("device-0001"), "nothing that signs the player in: {seen}");
        let exported = check_done(ask(&mut cluster, "GET", &path("/export"), &operator, ""));
        assert!(exported.contains("device-0001"), "{exported}");

        check_done(ask(&mut cluster, "POST", &path("/ban"), &operator, ""));
        cluster.settle();
        assert!(cluster.is_gone(socket));
        check_refused(cluster.call(B, account(&player.token)), Code::Unauthenticated);
        check_refused(cluster.call(B, device("device-0001")), Code::PermissionDenied);
        let seen = check_done(ask(&mut cluster, "GET", &path(""), &viewer, ""));
        assert!(seen.contains("disable_time"), "{seen}");
        check_done(ask(&mut cluster, "POST", &path("/unban"), &operator, ""));
        let again = cluster.sign_in(B, "device-0001");
        assert_eq!(again.user_id, player.user_id);

        check_done(ask(&mut cluster, "DELETE", &path(""), &admin, ""));
        check_refused(ask(&mut cluster, "GET", &path(""), &viewer, ""), Code::NotFound);
        check_refused(ask(&mut cluster, "DELETE", &path(""), &admin, ""), Code::NotFound);
        check_refused(ask(&mut cluster, "POST", &path("/ban"), &admin, ""), Code::NotFound);
        check_refused(
            ask(&mut cluster, "POST", "account/x/ban", &admin, ""),
            Code::InvalidArgument,
        );
        let new = cluster.sign_in(B, "device-0001");
        assert_ne!(new.user_id, player.user_id, "the device is free");

        let log = audit(&mut cluster, "");
        let operations: Vec<_> = log
            .split("\"operation\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let expected =
            ["delete", "unban", "ban", "export"].map(|what| format!("console_account_{what}"));
        assert_eq!(operations, expected, "what was refused, and what only looked, left no entry");
        assert_eq!(log.matches(&player.user_id).count(), 4);
        assert!(cluster.is_quiet());
    });
}

/// Whenever the process dies: a change is there with its entry, or neither is, and what was
/// answered is there.
#[test]
fn a_change_and_its_entry_are_there_together_or_not_at_all() {
    let mut outcomes = [0, 0];
    for seed in 0..20 {
        for outputs in 0..16 {
            let mut cluster = Cluster::new(Options { seed, ..Options::default() });
            let player = cluster.sign_in(A, "device-0001");
            let admin = machine(&cluster, Role::Admin);
            let path = format!("/v2/console/account/{}", player.user_id);
            let connection = cluster.connect(B);
            cluster.send(connection, operators(bearer("DELETE", &path, &admin, "")));
            cluster.crash_after(outputs);
            cluster.settle();
            cluster.live_on();
            let is_answered = !cluster.is_gone(connection);

            let log = audit(&mut cluster, "");
            let again = cluster.sign_in(C, "device-0001");
            let is_deleted = again.user_id != player.user_id;
            assert_eq!(log.contains("console_account_delete"), is_deleted, "{seed} {outputs}");
            assert!(is_deleted || !is_answered, "{seed} {outputs}");
            outcomes[usize::from(is_deleted)] += 1;
            cluster.settle();
            assert!(cluster.is_quiet(), "{seed} {outputs}");
        }
    }
    assert!(outcomes.iter().all(|count| *count > 20), "both happen: {outcomes:?}");
}

/// Many changes at once wait for each other, and none for ever.
#[test]
fn many_changes_at_once_are_all_made() {
    in_any_order(|mut cluster| {
        let admin = machine(&cluster, Role::Admin);
        let players: Vec<_> =
            (0..20).map(|n| cluster.sign_in(A, &format!("device-{n:04}")).user_id).collect();
        let connections: Vec<_> = players
            .iter()
            .flat_map(|id| ["ban", "unban"].map(|what| format!("/v2/console/account/{id}/{what}")))
            .enumerate()
            .map(|(number, path)| {
                let connection = cluster.connect(ShardId(number as u8 % 3));
                cluster.send(connection, operators(bearer("POST", &path, &admin, "")));
                connection
            })
            .collect();
        cluster.settle();
        for connection in connections {
            check_done(cluster.answer(connection));
        }
        let log = audit(&mut cluster, "?limit=100");
        assert_eq!(log.matches("\"operation\"").count(), 40);
        assert!(cluster.is_quiet());
    });
}
