//! Declared queues from outside: those of the configuration, those of operators, and restarts.

use std::time::Instant;

use crate::client::{Connection, bearer, request};
use crate::operators::machine_token;
use crate::process::{DEADLINE, Server};

fn config(mode: &str) -> String {
    let teams = "teams = [{ name = \"a\", max = 1 }, { name = \"b\", max = 1 }]\n";
    format!(
        "[[queues]]\nid = \"arena\"\nmode = \"{mode}\"\n{teams}\
         [[queues]]\nid = \"duel\"\nmode = \"{mode}\"\n{teams}"
    )
}

/// Mode, version and source of each queue that operators see.
fn queues(server: &Server) -> Vec<[String; 3]> {
    let viewer = bearer(&machine_token(server, "viewer"));
    let list = Connection::open(server.operators).get("/v2/console/queue", &viewer).body;
    let text = |part: &str, name: &str| {
        let (_, rest) = part.split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let parts = list.split("{\"definition\":").skip(1);
    parts.map(|part| ["mode", "version", "source"].map(|name| text(part, name))).collect()
}

fn check(server: &Server, expected: [[&str; 3]; 2]) {
    assert_eq!(queues(server), expected);
}

#[test]
fn a_queue_of_an_operator_outlives_a_restart_and_gives_way_when_it_is_deleted() {
    let mut server = Server::start_with(2, &config("file"));
    check(&server, [["file", "0", "configuration"]; 2]);
    let operator = bearer(&machine_token(&server, "operator"));
    let ask = |server: &Server, method: &str, target: &str, body: &str| {
        let mut connection = Connection::open(server.operators);
        connection.send(request(method, &format!("/v2/console/queue/{target}"), &operator, body));
        connection.receive()
    };
    let teams = "\"teams\":[{\"name\":\"a\",\"max\":2},{\"name\":\"b\",\"max\":2}]";
    let body = format!("{{\"mode\":\"ours\",{teams}}}");
    let written = ask(&server, "PUT", "duel?version=0", &body);
    assert_eq!(written.text(&["queue", "version"]), "1", "{written:?}");
    assert_eq!(ask(&server, "PUT", "duel?version=0", &body).refusal(), (409, 10));
    assert_eq!(ask(&server, "PUT", "duel", "{\"mode\":\"ours\"}").refusal(), (400, 3));
    assert_eq!(ask(&server, "DELETE", "arena", "").refusal(), (400, 9));

    server.kill_and_start_again();
    check(&server, [["file", "0", "configuration"], ["ours", "1", "operator"]]);
    server.reload(&config("file").replace("teams", "teems"));
    server.wait_for_log("config.toml:4: queues[0].teems: is not known");
    server.reload(&config("other"));
    let line = server.wait_for_log("configuration reloaded");
    assert!(line.contains("changed=\"queues\""), "{line}");
    let start = Instant::now();
    while queues(&server)[0] != ["other", "0", "configuration"] {
        assert!(start.elapsed() < DEADLINE, "the first core never hears of it");
    }

    assert_eq!(ask(&server, "GET", "duel", "").text(&["queue", "definition", "mode"]), "ours");
    assert_eq!(ask(&server, "DELETE", "duel?version=1", "").body, "{}");
    check(&server, [["other", "0", "configuration"]; 2]);
    server.kill_and_start_again();
    check(&server, [["other", "0", "configuration"]; 2]);
}
