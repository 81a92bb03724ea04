//! Declared queues from outside: those of the configuration, those of operators, and restarts.

use std::io::{Read, Write};
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

const USERS: [&str; 3] = [
    "10000000-0000-4000-8000-000000000001",
    "20000000-0000-4000-8000-000000000002",
    "30000000-0000-4000-8000-000000000003",
];

#[test]
fn servers_hold_tickets_and_fill_running_matches() {
    let team = |max: u8| {
        format!("teams = [{{ name = \"a\", max = {max} }}, {{ name = \"b\", max = {max} }}]\n")
    };
    let (duel, pairs) = (team(1), team(2));
    let server = Server::start_with(
        2,
        &format!(
            "[[queues]]\nid = \"duel\"\nready_sec = 60\n{duel}[[queues]]\nid = \"pairs\"\n{pairs}\
             roles = [{{ name = \"tank\" }}, {{ name = \"healer\" }}]\n"
        ),
    );
    let operator = bearer(&machine_token(&server, "operator"));
    let ask = |method: &str, target: &str, body: &str| {
        let mut connection = Connection::open(server.operators);
        connection.send(request(method, &format!("/v2/console/{target}"), &operator, body));
        connection.receive()
    };
    let add = |queue: &str, user: &str, more: &str| {
        let body = format!("{{\"players\":[{{\"user_id\":\"{user}\",\"username\":\"p\"}}]{more}}}");
        ask("POST", &format!("queue/{queue}/ticket"), &body)
    };
    let until = |target: &str, fits: &dyn Fn(&str) -> bool| {
        let start = Instant::now();
        loop {
            let body = ask("GET", target, "").body;
            if fits(&body) {
                return body;
            }
            assert!(start.elapsed() < DEADLINE, "{target}: {body}");
        }
    };

    // A match that servers accept for their players.
    let tickets: Vec<_> =
        USERS[..2].iter().map(|user| add("duel", user, "").text(&["ticket"])).collect();
    assert_eq!(add("duel", USERS[0], "").refusal(), (429, 8), "he waits already");
    for ticket in &tickets {
        until(&format!("queue_ticket/{ticket}"), &|body| body == "{\"state\":\"match_found\"}");
        let ready = ask("POST", &format!("queue_ticket/{ticket}/ready"), "{\"accept\":true}");
        assert_eq!(ready.body, "{}");
    }
    for ticket in &tickets {
        let told = until(&format!("queue_ticket/{ticket}"), &|body| body.contains("matched"));
        assert!(told.contains("\"token\":\"") && USERS[..2].iter().all(|u| told.contains(u)));
    }
    let wait = ask("GET", "queue/duel/wait?rating=1500", "").body;
    assert!(wait.contains("\"samples\":2"), "{wait}");

    // A running match that lacks a healer.
    let opening = "{\"name\":\"b\",\"open\":1,\"roles\":{\"healer\":1}}";
    let lacks = format!("{{\"match_id\":\"arena-7\",\"teams\":[{opening}]}}");
    let backfill = ask("POST", "queue/pairs/backfill", &lacks).text(&["backfill"]);
    let tank = ",\"string_properties\":{\"roles\":\"tank\"}";
    let tank = add("pairs", USERS[1], tank).text(&["ticket"]);
    let healer = ",\"string_properties\":{\"roles\":\"healer\"}";
    let healer = add("pairs", USERS[2], healer).text(&["ticket"]);
    let told = until(&format!("backfill/{backfill}"), &|body| body.contains(&healer));
    assert!(told.contains("\"role\":\"healer\"") && !told.contains(&tank), "{told}");
    let both = format!("{{\"tickets\":[\"{healer}\",\"{tank}\"]}}");
    for _ in 0..2 {
        let told = ask("POST", &format!("backfill/{backfill}/acknowledge"), &both).body;
        assert_eq!(told, format!("{{\"accepted\":[\"{healer}\"],\"expired\":[\"{tank}\"]}}"));
    }
    let told = ask("GET", &format!("queue_ticket/{healer}"), "").body;
    assert!(told.starts_with("{\"state\":\"matched\",\"match_id\":\"arena-7\""), "{told}");
    assert_eq!(ask("DELETE", &format!("backfill/{backfill}"), "").body, "{}");
    assert_eq!(ask("DELETE", &format!("queue_ticket/{tank}"), "").body, "{}");

    let alone = add("pairs", USERS[0], "").text(&["ticket"]);
    let listed = ask("GET", "matchmaker/ticket?queue=pairs", "").body;
    assert!(listed.contains(&alone) && !listed.contains(&tank), "{listed}");
    assert_eq!(ask("GET", "matchmaker/ticket?queue=nowhere", "").refusal(), (404, 5));
    let why = ask("GET", &format!("matchmaker/ticket/{alone}"), "").body;
    assert!(why.contains("\"rating_window\":100"), "{why}");

    // What is wrong is told.
    assert_eq!(ask("GET", &format!("queue_ticket/{tank}"), "").refusal(), (404, 5));
    assert_eq!(ask("GET", &format!("backfill/{backfill}"), "").refusal(), (404, 5));
    assert_eq!(add("nowhere", USERS[0], "").refusal(), (404, 5));
    assert_eq!(add("duel", "x", "").refusal(), (400, 3));
    assert_eq!(ask("POST", "queue/duel/ticket", "{}").refusal(), (400, 3));
    assert_eq!(ask("POST", "queue/pairs/backfill", "{\"match_id\":\"x\"}").refusal(), (400, 3));
    let viewer = bearer(&machine_token(&server, "viewer"));
    let mut connection = Connection::open(server.operators);
    connection.send(request("POST", "/v2/console/queue/duel/ticket", &viewer, "{}"));
    assert_eq!(connection.receive().refusal(), (403, 7));
}

#[test]
fn a_webhook_is_told_how_the_ticket_of_a_server_ended() {
    let hook = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hook.local_addr().unwrap();
    let server = Server::start_with(
        1,
        &format!(
            "[matchmaker]\nwebhook_url = \"http://{address}/hook\"\n\
             webhook_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n\
             [[queues]]\nid = \"duel\"\n\
             teams = [{{ name = \"a\", max = 1 }}, {{ name = \"b\", max = 1 }}]\n"
        ),
    );
    let operator = bearer(&machine_token(&server, "operator"));
    let mut tickets = Vec::new();
    for user in &USERS[..2] {
        let body = format!("{{\"players\":[{{\"user_id\":\"{user}\"}}]}}");
        let mut connection = Connection::open(server.operators);
        let target = "/v2/console/queue/duel/ticket";
        connection.send(request("POST", target, &operator, &body));
        tickets.push(connection.receive().text(&["ticket"]));
    }
    hook.set_nonblocking(true).unwrap();
    let (mut told, start) = (Vec::new(), Instant::now());
    while told.len() < 2 {
        let Ok((mut stream, _)) = hook.accept() else {
            assert!(start.elapsed() < DEADLINE, "{told:?}");
            std::thread::yield_now();
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        if let Some(request) = read_request(&mut stream) {
            told.push(request);
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
        }
    }
    for ticket in &tickets {
        let of =
            told.iter().filter(|request| request.contains(&format!("\"ticket\":\"{ticket}\"")));
        let [request] = of.collect::<Vec<_>>()[..] else { panic!("{told:?}") };
        assert!(request.contains("webhook-signature: v1,"), "{request}");
        assert!(
            request.contains("\"queue\":\"duel\",\"data\":{\"state\":\"matched\""),
            "{request}"
        );
    }
}

/// One request whose body is whole; `None` at the end of the connection.
fn read_request(stream: &mut std::net::TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                return Some(text);
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&more[..count]),
        }
    }
}
