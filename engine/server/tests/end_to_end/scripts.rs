//! Programs for Node.js with the stock SDK, and one with a plain WebSocket.

use std::path::Path;
use std::process::Command;

use base::json::Json;
use base::{MatchId, SessionId, TicketId};

use crate::client::{Connection, member};
use crate::operators::machine_token;
use crate::process::{Process, Server};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Runs a script against the server, to its good end, and gives what it printed.
pub(crate) fn run(script: &str, server: &Server) -> String {
    run_with(script, server, &[])
}

fn run_with(script: &str, server: &Server, arguments: &[&str]) -> String {
    let root = Path::new(ROOT);
    assert!(
        root.join("tools/examples/node_modules/ws").exists(),
        "the npm packages are missing: run `npm ci --ignore-scripts` in tools/examples, or \
         `cargo xtask ci`"
    );
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let mut command = Command::new("node");
    command.arg(root.join(script)).args([host, port]).args(arguments);
    let ended = Process::start(&mut command).end();
    assert_eq!(ended.code, Some(0), "{script}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// Rows 51, 302, 360, 364, 366, 367, 369 to 371, 384 and 390.
#[test]
fn the_example_is_played_to_its_end() {
    let server = Server::start(2);
    let output = run("tools/examples/play.mjs", &server);
    let lines: Vec<_> = output.lines().collect();
    let name = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    let (ann, ben) = (name(lines[0]), name(lines[1]));
    let id = name(lines[3]);
    assert!(id.strip_suffix('.').and_then(MatchId::parse).is_some(), "{output}");
    let expected = [
        format!("ann is signed in as {ann}"),
        format!("ben is signed in as {ben}"),
        "both wait for an opponent".to_owned(),
        format!("ann is in match {id}"),
        format!("ben joins and finds {ann}"),
        format!("ann sees {ben} come"),
        "ben gets 1 \"your move\"".to_owned(),
        "ann gets 2 \"knight to f3\"".to_owned(),
        format!("ben sees {ann} go"),
    ];
    assert_eq!(lines, expected);
}

/// Rows 360, 364, 366, 369 to 373, 382, 384, 388, 390 and 396.
#[test]
fn players_match_and_play_across_four_cores_as_soon_as_they_can() {
    check_across_cores("mode = \"immediate\"");
}

/// Rows 360, 364, 366, 369 to 373, 382, 384, 388, 390 and 396.
#[test]
fn players_match_and_play_across_four_cores_at_the_interval() {
    check_across_cores("mode = \"compatible\"\ninterval_sec = 1");
}

fn check_across_cores(matchmaker: &str) {
    let placement = "sessions = \"spread\"\nmatches = 2\nqueue = 3";
    let config = format!("[placement]\n{placement}\n[matchmaker]\n{matchmaker}\n");
    let server = Server::start_with(4, &config);
    let output = run("engine/server/tests/cross_core.mjs", &server);
    let ids = Json::parse(output.as_bytes()).unwrap();
    let text = |name: &str| match member(&ids, &[name]) {
        Some(Json::Text(text)) => text.clone(),
        other => panic!("{name} is {other:?} in {output}"),
    };
    let session = |name| SessionId::parse(&text(name)).unwrap().birth().unwrap().shard.0;
    let game = MatchId::parse(text("match").trim_end_matches('.')).unwrap();
    let ticket = TicketId::parse(&text("ticket")).unwrap();
    let homes = [
        session("ann"),
        session("ben"),
        game.birth().unwrap().shard.0,
        ticket.as_bytes()[4], // carries its shard where a match does
    ];
    assert_eq!(homes, [0, 1, 2, 3], "{output}");
}

/// Rows 300, 404, 406, 408 to 428.
#[test]
fn parties_live_across_cores_with_the_stock_sdk() {
    let config = "[placement]\nsessions = \"spread\"\nqueue = 2\n";
    run("engine/server/tests/parties.mjs", &Server::start_with(3, config));
}

#[test]
fn objects_are_kept_across_cores_with_the_stock_sdk() {
    run("engine/server/tests/objects.mjs", &Server::start(3));
}

#[test]
fn queues_match_by_their_definitions_with_the_stock_sdk() {
    let config = "[placement]\nsessions = \"spread\"\nqueue = 1\n\
        [[queues]]\nid = \"duel\"\nmode = \"1v1\"\nregions = [\"eu\", \"us\"]\n\
        teams = [{ name = \"red\", max = 1 }, { name = \"blue\", max = 1 }]\n\
        [[queues]]\nid = \"pairs\"\n\
        teams = [{ name = \"red\", max = 2 }, { name = \"blue\", max = 2 }]\n\
        roles = [{ name = \"tank\" }, { name = \"healer\" }]\n\
        [[queues]]\nid = \"checked\"\nready_sec = 60\n\
        teams = [{ name = \"red\", max = 1 }, { name = \"blue\", max = 1 }]\n\
        [[queues]]\nid = \"wide\"\nrating = { window = [[0, 100], [1, 500]] }\n\
        teams = [{ name = \"red\", max = 1 }, { name = \"blue\", max = 1 }]\n";
    run("engine/server/tests/queues.mjs", &Server::start_with(2, config));
}

#[test]
fn players_read_what_results_made_of_them_with_the_stock_sdk() {
    let config = "[placement]\nsessions = \"spread\"\nqueue = 1\n\
        [[queues]]\nid = \"duel\"\n\
        rating = { system = \"elo\", k = 20, placement_games = 0 }\n\
        teams = [{ name = \"red\", max = 1 }, { name = \"blue\", max = 1 }]\n";
    let server = Server::start_with(2, config);
    let (port, token) = (server.operators.port().to_string(), machine_token(&server, "operator"));
    run_with("engine/server/tests/ratings.mjs", &server, &[&port, &token]);
}

/// Rows 208 to 210, 212, 216, 217, 220, 222, 224, 227 to 237 and 240.
#[test]
fn players_climb_leaderboards_and_tournaments_with_the_stock_sdk() {
    let server = Server::start_with(3, "[placement]\nsessions = \"spread\"\n");
    let (port, token) = (server.operators.port().to_string(), machine_token(&server, "operator"));
    run_with("engine/server/tests/boards.mjs", &server, &[&port, &token]);
}

/// Rows 244, 245, 247 to 253, 256, 257, 259 to 261.
#[test]
fn players_and_servers_keep_objects_and_wallets_with_the_stock_sdk() {
    let server = Server::start_with(3, "[placement]\nsessions = \"spread\"\n");
    let (port, token) = (server.operators.port().to_string(), machine_token(&server, "operator"));
    run_with("engine/server/tests/storage.mjs", &server, &[&port, &token]);
}

/// Rows 301, 364, 384 to 394, 396, 397, 399, 401 and 403.
#[test]
fn tickets_are_matched_as_their_queries_say_with_the_stock_sdk() {
    let config = "[matchmaker]\ninterval_sec = 1\n[placement]\nsessions = \"spread\"\n\
                  [rate_limit]\nenabled = false\n";
    run("engine/server/tests/matchmaking.mjs", &Server::start_with(2, config));
}

/// Row 429.
#[test]
fn with_single_party_the_stock_sdk_is_in_one_at_a_time() {
    let config = "[session]\nsingle_socket = true\nsingle_party = true\n\
                  [placement]\nsessions = \"spread\"\n";
    run("engine/server/tests/single_party.mjs", &Server::start_with(2, config));
}

/// Rows 306, 308, 314, 317 to 319, 322 and 326.
#[test]
fn messages_that_are_none_close_their_socket_and_no_other() {
    let server = Server::start(2);
    run("engine/server/tests/bad_messages.mjs", &server);
    assert_eq!(Connection::open(server.address).get("/healthcheck", "").status, 200);
}

/// Rows 81 to 83, 89 to 91, 94, 95, 109 to 115, 311, 312, 329, 330, 332 to 334, 336 to 338, 358 to
/// 363, 366 to 368, 376 and 382.
#[test]
fn the_stock_sdk_gets_what_it_asks_for() {
    run("engine/server/tests/sdk.mjs", &Server::start(2));
}

/// Rows 51 to 57, 60 to 75, 94 to 104, 111, 116 to 119, 122 to 129.
#[test]
fn every_way_to_sign_in_works_with_the_stock_sdk() {
    let script = Path::new(ROOT).join("engine/server/tests/providers.mjs");
    let providers = Process::start(Command::new("node").arg(script));
    let port = providers.line().trim().to_owned();
    let url = format!("http://127.0.0.1:{port}");
    let config = format!(
        "[session]
         token_expiry_sec = 7200
         refresh_token_expiry_sec = 7200
         [social.apple]
         bundle_id = \"com.example.game\"
         [social.facebook_limited_login]
         app_id = \"an-app\"
         [social.facebook_instant_game]
         app_secret = \"an-app-secret\"
         [social.steam]
         publisher_key = \"a-publisher-key\"
         app_id = 480
         [[social.oidc]]
         name = \"studio\"
         issuer = \"https://id.example\"
         audience = \"our-game\"
         jwks_url = \"{url}/keys\"
         [social.endpoints]
         apple_jwks_url = \"{url}/keys\"
         facebook_graph_url = \"{url}/graph\"
         facebook_limited_login_jwks_url = \"{url}/keys\"
         game_center_key_domains = [\"127.0.0.1\"]
         google_jwks_url = \"{url}/keys\"
         steam_ticket_url = \"{url}/steam\"
        "
    );
    let server = Server::start_with(2, &config);
    run_with("engine/server/tests/accounts.mjs", &server, &[&port]);
}
