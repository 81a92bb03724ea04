//! What was answered is there after a kill.

use std::sync::{Arc, Barrier};
use std::thread;

use crate::client::{Connection, LOGIN, SERVER_KEY, Tokens, bearer, request};
use crate::process::{Process, Server, ringmaster};

/// Rows 52, 81, 87 and 89 to 91.
#[test]
fn accounts_tokens_and_logouts_survive_a_kill() {
    let mut server = Server::start(2);
    let mut connection = Connection::open(server.address);
    let kept = connection.login("device-of-kept");
    let user = connection.user_id(&kept.session);
    let ended = connection.login("device-of-kept");
    let body = format!(r#"{{"token":"{}","refresh_token":"{}"}}"#, ended.session, ended.refresh);
    connection.logout(&kept.session, &body);
    let everywhere = connection.login("device-of-everywhere");
    let elsewhere = connection.login("device-of-everywhere");
    let everywhere_user = connection.user_id(&everywhere.session);
    wait_for_the_next_second(&mut connection, &elsewhere);
    connection.logout(&everywhere.session, "{}");

    for _ in 0..3 {
        server.kill_and_start_again();
        let mut connection = Connection::open(server.address);
        assert_eq!(connection.user_id(&kept.session), user);
        assert_eq!(connection.refresh(&kept.refresh).status, 200);
        check_dead(&mut connection, &ended);
        check_dead(&mut connection, &everywhere);
        check_dead(&mut connection, &elsewhere);
        for (device, user) in
            [("device-of-kept", &user), ("device-of-everywhere", &everywhere_user)]
        {
            let again = connection.login(device);
            assert!(!again.is_new, "{device}");
            assert_eq!(connection.user_id(&again.session), *user);
        }
    }
}

fn check_dead(connection: &mut Connection, tokens: &Tokens) {
    assert_eq!(connection.get("/v2/account", &bearer(&tokens.session)).refusal(), (401, 16));
    assert_eq!(connection.refresh(&tokens.refresh).refusal(), (401, 16));
}

/// A logout of everything spares tokens of its own second (row 92). Refreshed tokens are the same
/// within a second (row 87), which tells when one is over.
fn wait_for_the_next_second(connection: &mut Connection, tokens: &Tokens) {
    let now = connection.refresh(&tokens.refresh).tokens().session;
    while connection.refresh(&tokens.refresh).tokens().session == now {}
}

#[test]
fn a_write_that_fails_ends_the_process_and_loses_nothing_that_was_answered() {
    let mut server = Server::start(2);
    server.limit_files(64 * 1024);
    let mut connection = Connection::open(server.address);
    let mut answered = Vec::new();
    // An entry of the log has 512 bytes at least.
    for number in 0..128 {
        let device = format!("device-number-{number:03}");
        let body = format!(r#"{{"id":"{device}"}}"#);
        if connection.try_send(request("POST", LOGIN, SERVER_KEY, &body)).is_err() {
            break;
        }
        match connection.try_receive() {
            Some(response) if response.status == 200 => answered.push(device),
            _ => break,
        }
    }
    let ended = server.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let said = ["the store failed", "cannot write", "File too large"];
    assert!(said.iter().all(|part| ended.stderr.contains(part)), "{ended:?}");
    assert!(answered.len() < 128, "{}", answered.len());

    server.start_again();
    let mut connection = Connection::open(server.address);
    for device in answered {
        assert!(!connection.login(&device).is_new, "{device}");
    }
}

/// Connections of the killed server linger on the port; its clients are told by the kernel.
#[test]
fn a_killed_server_can_be_followed_at_once_with_its_clients_still_connected() {
    let mut server = Server::start(2);
    for _ in 0..5 {
        let address = server.address;
        let mut idle = Connection::open(address);
        let tokens = idle.login("device-of-a-stayer");
        let sockets: Vec<_> =
            (0..8).map(|_| Connection::open(address).upgrade(&tokens.session)).collect();
        server.kill_and_start_again();
        assert_eq!(server.address, address);
        assert!(idle.is_over());
        let mut connection = Connection::open(address);
        assert!(!connection.login("device-of-a-stayer").is_new);
        connection.user_id(&tokens.session);
        drop(sockets);
    }
}

/// Row 438.
#[test]
fn parallel_first_logins_of_one_device_make_one_account() {
    let server = Server::start(2);
    let address = server.address;
    let start = Arc::new(Barrier::new(16));
    let clients = (0..16).map(|_| {
        let start = start.clone();
        thread::spawn(move || {
            let mut connection = Connection::open(address);
            start.wait();
            let tokens = connection.login("device-of-everybody");
            (connection.user_id(&tokens.session), tokens.is_new)
        })
    });
    let clients: Vec<_> = clients.collect();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(answers.iter().all(|(user, _)| *user == answers[0].0), "{answers:?}");
    assert_eq!(answers.iter().filter(|(_, is_new)| *is_new).count(), 1, "{answers:?}");
}

/// With too little space on the disk, what is there can be read, and nothing is written.
#[test]
fn a_disk_that_is_almost_full_refuses_writes_and_reads_go_on() {
    let mut server = Server::start(2);
    let tokens = Connection::open(server.address).login("device-of-a-reader");
    // No disk has so much.
    let config = format!("[store]\nmin_free_bytes = {}\n", 1_u64 << 50);
    std::fs::write(server.config_file(), config).unwrap();
    server.kill_and_start_again();
    server.wait_for_log("the disk is almost full");
    let mut connection = Connection::open(server.address);
    // A shard hears of it with its next tick.
    let mut newcomers = (0..).map(|number| {
        let body = format!(r#"{{"id":"device-of-newcomer-{number}"}}"#);
        connection.post(LOGIN, SERVER_KEY, &body)
    });
    let refused = newcomers.find(|answer| answer.status != 200).unwrap();
    assert_eq!(refused.refusal(), (429, 8));
    let message = refused.text(&["message"]);
    assert_eq!(message, "The disk is almost full; only reads go on.");
    drop(newcomers);
    assert!(!connection.login("device-of-a-reader").is_new);
    connection.user_id(&tokens.session);
}

#[test]
fn a_check_says_what_is_there_and_wants_the_folder_for_itself() {
    let mut server = Server::start(2);
    Connection::open(server.address).login("device-of-somebody");
    let data = server.data_folder();
    let check = || {
        let arguments = ["check".as_ref(), "--data-dir".as_ref(), data.as_os_str()];
        Process::start(&mut ringmaster(arguments)).end()
    };
    let refused = check();
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("is in use by another process"), "{}", refused.stderr);
    server.signal(libc::SIGTERM);
    server.end();
    let whole = check();
    assert_eq!(whole.code, Some(0), "{}{}", whole.stdout, whole.stderr);
    let lines: Vec<_> = whole.stdout.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("table          1  1 rows, ")), "{lines:?}");
    assert_eq!(lines.last(), Some(&"whole"));
}
