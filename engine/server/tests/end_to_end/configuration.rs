//! Configuration: what is refused, what is shown, and what changes while the server runs.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::client::{Connection, LOGIN, SERVER_KEY, bearer, request};
use crate::process::{DEADLINE, Ended, Process, Server, ringmaster};

/// A folder with a configuration file, and the command that reads it.
struct Try {
    folder: tempfile::TempDir,
    command: Command,
}

impl Try {
    fn new(arguments: &[&str], config: &str) -> Try {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = ringmaster(arguments);
        command.current_dir(folder.path()).args(["--config", "a.toml"]);
        Try { folder, command }
    }

    fn run(mut self) -> Ended {
        let ended = Process::start(&mut self.command).end();
        assert!(!self.folder.path().join("data").exists(), "{:?}: it was started", self.command);
        ended
    }

    /// Refused by a start and by a check alike, with one message.
    fn check_refused(config: &str, arguments: &[&str], environment: &[(&str, &str)], part: &str) {
        for subcommand in [&[][..], &["config", "check"]] {
            let arguments = [subcommand, arguments].concat();
            let mut attempt = Try::new(&arguments, config);
            attempt.command.envs(environment.iter().copied());
            let ended = attempt.run();
            assert_eq!(ended.code, Some(2), "{config} {arguments:?}: {}", ended.stderr);
            assert_eq!(ended.stdout, "", "{config} {arguments:?}");
            let lines: Vec<_> = ended.stderr.lines().collect();
            assert_eq!(lines.len(), 1, "{config} {arguments:?}: {lines:?}");
            assert!(lines[0].starts_with("ringmaster: "), "{lines:?}");
            assert!(lines[0].contains(part), "{part} is missing in {lines:?}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_with_one_message_before_anything_is_started() {
    for (config, part) in [
        ("[socket]\nprot = 7350\n", "a.toml:2: socket.prot: unknown key"),
        ("[sockets]\n", "a.toml:1: sockets: unknown section; did you mean socket?"),
        (
            "[session]\ntoken_expiry_sec = \"soon\"\n",
            "a.toml:2: session.token_expiry_sec: \"soon\"",
        ),
        ("[session]\ntoken_expiry_sec = 0\n", "a.toml:2: session.token_expiry_sec: 0 is out of"),
        ("[matchmaker]\nmode = \"fast\"\n", "has to be \"immediate\" or \"compatible\""),
        ("shards = 2\n[placement]\nqueue = 2\n", "a.toml:3: placement.queue"),
        ("listen = 7350\n", "a.toml:1: listen"),
        ("name = \n", "a.toml:1: no TOML"),
        ("name = \"a\"\nname = \"b\"\n", "a.toml:2: no TOML: duplicate key"),
        ("production = true\n", "a.toml:1: production: a default key is refused"),
        (
            "[session]\nserver_token_key_files = [\"b.pem\"]\n",
            "a.toml:2: session.server_token_key_files: b.pem cannot be read",
        ),
        (
            "[social.endpoints]\nsteam_ticket_url = \"http://a.example\"\n",
            "a.toml:2: social.endpoints.steam_ticket_url: is not an https address",
        ),
        (
            "[[social.oidc]]\nname = \"a\"\nissuer = \"b\"\naudience = \"c\"\n\
             jwks_url = \"http://a.example\"\n",
            "a.toml:1: social.oidc: jwks_url of a is not an https address",
        ),
    ] {
        Try::check_refused(config, &[], &[], part);
    }
    Try::check_refused("", &["--production"], &[], "--production: a default key is refused");
    Try::check_refused("", &["--listen", "nowhere"], &[], "--listen: \"nowhere\" is no address");
    Try::check_refused("", &["--shards", "-1"], &[], "--shards: -1 is out of range");
    Try::check_refused("", &["--shards", "1", "--shards", "2"], &[], "--shards");
    Try::check_refused("", &["--port", "7350"], &[], "--port");
    Try::check_refused(
        "",
        &["--config", "/nowhere/b.toml"],
        &[],
        "/nowhere/b.toml: cannot be read",
    );
    let same = ["--listen", "0.0.0.0:1", "--admin-listen", "127.0.0.1:1"];
    let part = "--listen: 0.0.0.0:1 has to differ from admin_listen, 127.0.0.1:1";
    Try::check_refused("", &same, &[], part);
    Try::check_refused("", &["--data-dir", ""], &[], "--data_dir: \"\" is empty");
    let split = ["--config", "/nowhere/a\n\x1bb"];
    Try::check_refused("", &split, &[], "/nowhere/a\\n\\u{1b}b: cannot be read");
    Try::check_refused("", &["--a\x1bb"], &[], "--a\\u{1b}b");
    let variable = |name, value, part| Try::check_refused("", &[], &[(name, value)], part);
    variable("RINGMASTER_SHARD", "1", "did you mean RINGMASTER_SHARDS?");
    variable("RINGMASTER_SOCKET_SERVICE_KEY", "x", "did you mean RINGMASTER_SOCKET_SERVER_KEY?");
    variable("RINGMASTER_SHARDS", "x", "environment RINGMASTER_SHARDS: \"x\" is text");
    variable("RINGMASTER_SOCKET_SERVER_KEY_FILE", "/nowhere/key", "the file cannot be read");
    let both = [("RINGMASTER_SOCKET_SERVER_KEY", "a"), ("RINGMASTER_SOCKET_SERVER_KEY_FILE", "b")];
    Try::check_refused("", &[], &both, "RINGMASTER_SOCKET_SERVER_KEY is set too");
}

#[test]
fn everything_is_told_at_once() {
    let config = "name = \n[socket]\npong_wait_ms = 1\nping_period_ms = 2\n\
                  ssl_certificate = \"a.pem\"\nssl_private_key = \"b.pem\"\n\
                  response_headers = [\"A\", \"B\"]\n\
                  [session]\nserver_token_key_files = [\"c.pem\", \"a.toml\"]\n\
                  [social.endpoints]\napple_jwks_url = \"http://a.example\"\n\
                  steam_ticket_url = \"http://a.example\"\n";
    for arguments in [&["config", "check"][..], &[]] {
        let ended = Try::new(arguments, config).run();
        assert_eq!(ended.code, Some(2));
        let parts = [
            "a.toml:1: no TOML: ",
            "a.toml:7: socket.response_headers: \"A\" lacks the equals sign",
            "a.toml:7: socket.response_headers: \"B\" lacks the equals sign",
            "a.toml:4: socket.ping_period_ms: 2 has to be less",
            "a.toml:5: socket.ssl_certificate: a.pem cannot be read",
            "a.toml:6: socket.ssl_private_key: b.pem cannot be read",
            "a.toml:9: session.server_token_key_files: c.pem cannot be read",
            "a.toml:9: session.server_token_key_files: a.toml is no PEM file",
            "a.toml:11: social.endpoints.apple_jwks_url: is not",
            "a.toml:12: social.endpoints.steam_ticket_url: is not",
        ];
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), parts.len(), "{lines:#?}");
        for (line, part) in lines.iter().zip(parts) {
            assert!(line.starts_with(&format!("ringmaster: {part}")), "{line}");
        }
    }
}

fn make_fifo(path: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a plain system call; the name ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

#[test]
fn a_file_that_never_ends_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    make_fifo(&fifo);
    let fifo = fifo.to_str().unwrap();
    let part = "fifo: is no regular file";
    Try::check_refused("", &["--config", fifo], &[], part);
    let variable = [("RINGMASTER_SOCKET_SERVER_KEY_FILE", fifo)];
    Try::check_refused("", &[], &variable, "the file is no regular file");
    let keys = format!("session.server_token_key_files = [\"{fifo}\"]");
    Try::check_refused(&keys, &[], &[], "fifo is no regular file");

    let mut server = Server::start(1);
    std::fs::remove_file(server.config_file()).unwrap();
    make_fifo(&server.config_file());
    server.signal(libc::SIGHUP);
    server.wait_for_log("config.toml: is no regular file");
    server.signal(libc::SIGTERM);
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn keys_of_the_data_folder_are_read_at_a_start_only() {
    let server = Server::start(1);
    for name in ["operator.key", "server-token.pem"] {
        std::fs::remove_file(server.data_folder().join(name)).unwrap();
    }
    server.signal(libc::SIGHUP);
    server.wait_for_log("configuration reloaded");
    assert!(!server.data_folder().join("server-token.pem").exists(), "nobody exchanged it");
    server.reload("session.server_token_key_files = [\"/nowhere/a.pem\"]");
    let line = server.wait_for_log("configuration not reloaded: ");
    let part = "config.toml:1: session.server_token_key_files: /nowhere/a.pem cannot be read";
    assert!(line.contains(part), "{line}");
}

#[test]
fn what_is_shown_can_be_loaded_and_names_its_sources() {
    let mut first =
        Try::new(&["config", "show", "--session.token_expiry_sec", "7200"], "shards = 3\n");
    let key = first.folder.path().join("key");
    std::fs::write(&key, "of a file\n").unwrap();
    first.command.envs([
        ("RINGMASTER_NAME", "variable"),
        ("RINGMASTER_SESSION_TOKEN_EXPIRY_SEC", "1"),
        ("RINGMASTER_SHARDS", "2"),
    ]);
    first.command.env("RINGMASTER_SOCKET_SERVER_KEY_FILE", key);
    let shown = first.run();
    assert_eq!((shown.code, &*shown.stderr), (Some(0), ""));
    for line in [
        "name = \"variable\" # environment RINGMASTER_NAME\n",
        "shards = 2 # environment RINGMASTER_SHARDS\n",
        "token_expiry_sec = 7200 # --session.token_expiry_sec\n",
        "# server_key = \"REDACTED\" # environment RINGMASTER_SOCKET_SERVER_KEY_FILE\n",
    ] {
        assert!(shown.stdout.contains(line), "{line} is missing in {}", shown.stdout);
    }
    let again = Try::new(&["config", "show"], &shown.stdout).run();
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(" # ").next().unwrap_or(line).to_owned()).collect()
    };
    assert_eq!(values(&again.stdout), values(&shown.stdout));

    let checked = Try::new(&["config", "check"], &shown.stdout).run();
    assert_eq!(checked.code, Some(0));
    assert!(checked.stdout.starts_with("configuration is good\nwarning: socket.server_key: "));
}

#[test]
fn a_file_is_named_by_a_variable_and_keys_by_flags() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    std::fs::write(&file, "name = \"named\"\n").unwrap();
    let mut command = ringmaster(["config", "show"]);
    let ended = Process::start(command.env("RINGMASTER_CONFIG", &file)).end();
    assert!(ended.stdout.contains("name = \"named\" # /"), "{}", ended.stdout);
    let empty = folder.path().join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    let ended = Process::start(command.arg("--config").arg(empty)).end();
    assert!(ended.stdout.contains("name = \"nakama\"\n"), "{}", ended.stdout);

    let mut command = ringmaster(["config", "check"]);
    let ended = Process::start(command.env("RINGMASTER_CONFIG", "")).end();
    let problem = "environment RINGMASTER_CONFIG: the value is empty, and has to be a path";
    assert_eq!((ended.code, ended.stderr), (Some(2), format!("ringmaster: {problem}\n")));
}

/// The secret keys, as the reference has them, and whether each is a list.
fn secrets() -> Vec<(&'static str, bool)> {
    let rows = include_str!("../../../../docs/configuration.md").lines();
    let secrets: Vec<_> = rows
        .filter(|row| row.contains("**Secret.**"))
        .filter_map(|row| Some((row.split('`').nth(1)?, row.contains("| `[]` |"))))
        .collect();
    assert!(secrets.len() >= 8, "{secrets:?}");
    secrets
}

#[test]
fn no_secret_is_shown_by_any_command_or_log() {
    let mut planted = String::new();
    for (number, (name, is_list)) in secrets().into_iter().enumerate() {
        let value = match name {
            "traces.endpoint" | "matchmaker.webhook_url" => {
                format!("\"http://127.0.0.1:1/CANARY-{number}\"")
            }
            "matchmaker.webhook_secret" => format!("\"CANARY{}\"", "A".repeat(26)),
            _ => format!("\"Name=CANARY-{number}\""),
        };
        let value = if is_list { format!("[{value}]") } else { value };
        planted.push_str(&format!("{name} = {value}\n"));
    }
    let mut said = String::new();
    let mut hear = |ended: Ended, code| {
        let Ended { stdout, stderr, .. } = &ended;
        assert_eq!(ended.code, Some(code), "{stderr}");
        said.push_str(&format!("{stdout}{stderr}"));
    };
    hear(Try::new(&["config", "show"], &planted).run(), 0);
    hear(Try::new(&["config", "check"], &planted).run(), 0);
    hear(Try::new(&["--shards", "x"], &planted).run(), 2);
    hear(Try::new(&[], &planted.replace('"', "")).run(), 2);
    hear(Try::new(&[], &planted.replace(" = ", " = 1 ")).run(), 2);
    for (name, _) in secrets() {
        let flag = format!("--{name}");
        let long = "CANARY".repeat(1000);
        hear(Try::new(&["config", "check", &flag, &long], "").run(), 2);
    }

    let config = |turn, planted: &str| {
        format!(
            "logger.level = \"debug\"\nsocket.response_headers = [\"X-Turn={turn}\"]\n{planted}"
        )
    };
    let mut server = Server::start_with(1, &config("one", &planted));
    let banner = server.banner.concat();
    Connection::open(server.address).get("/v2/account", SERVER_KEY);
    server.reload(&config("two", &planted.replace("CANARY", "CANARY-TOO")));
    wait_for_turn(&server, "two");
    server.reload(&planted.replace(" = ", " = 1 "));
    let log = server.log_until("configuration not reloaded");
    server.signal(libc::SIGTERM);
    hear(server.end(), 0);
    said.push_str(&(log.concat() + &banner));
    for part in ["configuration reloaded", "configuration not reloaded", "a restart"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(said.contains("REDACTED") && !said.contains("CANARY"), "{said}");
}

/// The value of a header field of a new connection's response.
fn turn(server: &Server) -> Option<String> {
    let response = Connection::open(server.address).get("/healthcheck", "");
    response.header("X-Turn").map(str::to_owned)
}

fn wait_for_turn(server: &Server, wanted: &str) {
    let start = Instant::now();
    while turn(server).as_deref() != Some(wanted) {
        assert!(start.elapsed() < DEADLINE, "{wanted} never comes");
    }
}

#[test]
fn a_reload_changes_what_can_change_and_names_what_cannot() {
    let server = Server::start_with(1, "socket.response_headers = [\"X-Turn=one\"]\n");
    assert_eq!(turn(&server).as_deref(), Some("one"));
    let mut open = Connection::open(server.address);
    let old = open.login("device-0001").session;

    let config = "name = \"other\"\n[socket]\nresponse_headers = [\"X-Turn=two\"]\n\
                  [session]\nencryption_key = \"another\"\n\
                  [rate_limit.address]\nsign = { per_sec = 1, burst = 2 }\n";
    server.reload(config);
    let line = server.wait_for_log("configuration reloaded");
    let changed = "socket.response_headers, session.encryption_key, rate_limit.address.sign";
    assert!(line.contains(&format!("changed=\"{changed}\"")), "{line}");
    let line = server.wait_for_log("changed keys that need a restart");
    assert!(line.contains("keys=\"name\""), "{line}");
    wait_for_turn(&server, "two");
    assert_eq!(open.get("/healthcheck", "").header("X-Turn"), Some("one"), "it is an old one");
    assert_eq!(open.get("/v2/account", &bearer(&old)).refusal(), (401, 16));

    let mut sign_in = |device: &str| {
        let body = format!("{{\"id\":\"{device}\"}}");
        let plain = request("POST", LOGIN, SERVER_KEY, &body);
        open.send(plain.replacen("\r\n", "\r\nX-Forwarded-For: 203.0.113.1\r\n", 1));
        open.receive().status
    };
    assert_eq!([(); 3].map(|()| sign_in("device-0002")), [200, 200, 429]);

    // A file that is wrong changes nothing.
    server.reload(&format!("{config}read = 5\n[socket]\n"));
    server.wait_for_log("config.toml:8: rate_limit.address.read: 5 is a whole number");
    server.wait_for_log("config.toml:9: no TOML: duplicate key");
    server.reload(&config.replace("two", "three").replace("burst = 2", "burst = \"2\""));
    let line = server.wait_for_log("configuration not reloaded: ");
    assert!(line.contains("config.toml:7: rate_limit.address.sign: \"2\" is text"), "{line}");
    assert_eq!(turn(&server).as_deref(), Some("two"));

    server.reload(&config.replace("two", "three"));
    let line = server.wait_for_log("configuration reloaded");
    assert!(line.contains("changed=\"socket.response_headers\""), "{line}");
    wait_for_turn(&server, "three");
}

#[test]
fn the_log_is_written_as_json_and_its_level_changes() {
    let mut server = Server::start_with(1, "[logger]\nformat = \"json\"\nlevel = \"error\"\n");
    server.reload("[logger]\nformat = \"json\"\nlevel = \"info\"\n");
    let line = server.wait_for_log("configuration reloaded");
    assert!(line.starts_with('{') && line.contains("\"changed\":\"logger.level\""), "{line}");
    server.signal(libc::SIGTERM);
    let ended = server.end();
    assert!(ended.stderr.contains("\"message\":\"draining\""), "{}", ended.stderr);
}
