//! Operators from outside: the first one, tokens of the machine, and what a listener of their own
//! tells.

use crate::client::{Connection, Response, bearer};
use crate::process::{Ended, Process, Server, ringmaster};

const PASSWORD: &str = "a long password";

/// The token in the banner's line about the first operator, if there is one.
fn first_token(server: &Server) -> Option<String> {
    let line = server.banner.iter().find(|line| line.contains("first operator"))?;
    let (_, rest) = line.split_once("Bearer ")?;
    Some(rest.split_once('\'')?.0.to_owned())
}

pub(crate) fn machine_token(server: &Server, role: &str) -> String {
    let folder = server.data_folder();
    let arguments = ["token", "--data-dir", folder.to_str().unwrap(), "--role", role];
    let Ended { code, stdout, stderr } = Process::start(&mut ringmaster(arguments)).end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    stdout.trim_end().to_owned()
}

fn create(operators: &mut Connection, token: &str, name: &str, role: &str) -> Response {
    let body =
        format!("{{\"username\":\"{name}\",\"password\":\"{PASSWORD}\",\"role\":\"{role}\"}}");
    operators.post("/v2/console/user", &bearer(token), &body)
}

#[test]
fn the_first_operator_signs_in_steers_and_stays() {
    let mut server = Server::start(2);
    let mut operators = Connection::open(server.operators);
    let first = first_token(&server).expect("nobody is there yet");
    assert_eq!(create(&mut operators, &first, "ann", "admin").status, 200);
    assert_eq!(create(&mut operators, &first, "ben", "admin").status, 401);

    server.kill_and_start_again();
    assert_eq!(first_token(&server), None, "somebody is there");
    let mut operators = Connection::open(server.operators);
    assert_eq!(create(&mut operators, &first, "ben", "admin").status, 401);
    let body = format!("{{\"username\":\"ann\",\"password\":\"{PASSWORD}\"}}");
    let ann = operators.post("/v2/console/authenticate", "", &body).text(&["token"]);

    let mut clients = Connection::open(server.address);
    let player = clients.login("device-0001");
    let id = clients.user_id(&player.session);
    let ban = format!("/v2/console/account/{id}/ban");
    assert_eq!(clients.post(&ban, &bearer(&ann), "").status, 404, "not by this door");
    assert_eq!(operators.post(&ban, &bearer(&player.session), "").status, 401);
    assert_eq!(operators.post(&ban, &bearer(&ann), "").status, 200);
    let refused =
        clients.post(crate::client::LOGIN, crate::client::SERVER_KEY, "{\"id\":\"device-0001\"}");
    assert_eq!(refused.refusal(), (403, 7));

    let log = operators.get("/v2/console/audit/log", &bearer(&ann)).body;
    assert!(log.contains("console_account_ban") && log.contains(&id), "{log}");
    server.kill_and_start_again();
    let mut operators = Connection::open(server.operators);
    assert_eq!(operators.get("/v2/console/audit/log", &bearer(&ann)).body, log);
}

#[test]
fn whoever_has_the_data_folder_has_a_token() {
    let server = Server::start(1);
    let mut operators = Connection::open(server.operators);
    for (role, status) in [("viewer", 403), ("operator", 403), ("admin", 200)] {
        let token = machine_token(&server, role);
        assert_eq!(operators.get("/v2/console/user", &bearer(&token)).status, status, "{role}");
    }
    for wrong in [
        &["token"][..],
        &["token", "--role", "king"],
        &["token", "--role", "admin", "--expiry-sec", "86401"],
    ] {
        assert_eq!(Process::start(&mut ringmaster(wrong)).end().code, Some(2), "{wrong:?}");
    }
    let nowhere = ["token", "--role", "admin", "--data-dir", "/nonexistent"];
    let ended = Process::start(&mut ringmaster(nowhere)).end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("/nonexistent/operator.key"), "{}", ended.stderr);
}

#[test]
fn a_token_is_made_with_the_key_of_the_configured_folder() {
    let server = Server::start(1);
    let data = server.data_folder();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    // Whatever else is wrong.
    std::fs::write(&file, format!("data_dir = \"{}\"\nport = 1\n", data.display())).unwrap();
    let file = file.to_str().unwrap();
    let token = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = ringmaster(["token", "--role", "admin"]);
        command.current_dir(folder.path()).args(arguments).envs(environment.iter().copied());
        Process::start(&mut command).end()
    };
    let mut operators = Connection::open(server.operators);
    for ended in [
        token(&["--config", file], &[]),
        token(&[], &[("RINGMASTER_CONFIG", file)]),
        token(&[], &[("RINGMASTER_DATA_DIR", data.to_str().unwrap())]),
        token(&["--data-dir", data.to_str().unwrap()], &[("RINGMASTER_DATA_DIR", "/nowhere")]),
    ] {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let token = bearer(ended.stdout.trim_end());
        assert_eq!(operators.get("/v2/console/user", &token).status, 200);
    }
    let ended = token(&["--config", "/nowhere/a.toml"], &[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("/nowhere/a.toml: cannot be read"), "{}", ended.stderr);
}

#[test]
fn a_listener_tells_what_the_process_does() {
    let server = Server::start(2);
    Connection::open(server.address).login("device-0001");
    let mut operators = Connection::open(server.operators);
    assert_eq!(operators.get("/healthcheck", "").body, "{}");
    assert_eq!(operators.get("/readycheck", "").body, "{}");

    let metrics = operators.get("/metrics", "");
    assert_eq!(metrics.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let device = "ringmaster_requests_total{operation=\"authenticate_device\",code=\"OK\"} 1\n";
    assert!(metrics.body.contains(device), "{}", metrics.body);
    assert!(metrics.body.contains("ringmaster_sessions{core=\"1\"} 0\n"), "{}", metrics.body);

    let viewer = bearer(&machine_token(&server, "viewer"));
    let config = operators.get("/v2/console/config", &viewer).text(&["config"]);
    assert!(config.contains("token_expiry_sec = 60\n"), "{config}");
    assert!(!config.contains("defaultencryptionkey"), "{config}");
    let status = operators.get("/v2/console/status", &viewer).body;
    assert!(
        status.contains("\"name\":\"nakama\"") && status.contains("\"shard_count\":2"),
        "{status}"
    );
}

#[test]
fn without_an_address_no_operator_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let mut command = ringmaster(arguments);
    let process = Process::start(command.args(["--admin-listen", ""]));
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.trim_start().starts_with("try ")) {
        lines.push(process.line());
    }
    assert!(!lines.iter().any(|line| line.contains("operator")), "{lines:?}");
}

/// Whoever watches the process sees that it drains, and to its end.
#[test]
fn a_draining_server_tells_that_it_is() {
    let mut server = Server::start(2);
    let mut clients = Connection::open(server.address);
    let session = clients.login("device-0001").session;
    let mut socket = clients.upgrade(&session); // it does not answer the close frame at first
    let mut operators = Connection::open(server.operators);
    assert_eq!(operators.get("/readycheck", "").status, 200);
    server.signal(libc::SIGTERM);
    assert_eq!(socket.close_code(), 1001);
    assert_eq!(operators.get("/readycheck", "").refusal(), (503, 14));
    let mut second = Connection::open(server.operators);
    assert!(second.get("/metrics", "").body.contains("ringmaster_ready 0\n"));
    assert_eq!(second.get("/v2/console/user", &bearer("x")).status, 503, "no new work");
    socket.confirm_close(1001);
    assert_eq!(server.end().code, Some(0));
}
