//! Backups of a server that runs, and servers made of them.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::client::{Connection, Response, bearer};
use crate::process::{DEADLINE, Ended, Process, Server, ringmaster};

/// Runs a command to its end.
fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    Process::start(&mut ringmaster(arguments)).end()
}

/// Runs a command that has to succeed; gives what it printed.
fn succeed<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let ended = run(arguments);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// Runs a command that has to fail; gives its reason.
fn fail<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let ended = run(arguments);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    ended.stderr
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Folder {
        Folder { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with a key of this digit.
    fn key(&self, digit: &str) -> PathBuf {
        let path = self.path(&format!("key-{digit}"));
        fs::write(&path, digit.repeat(64) + "\n").unwrap();
        path
    }
}

/// Ends other threads, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The account of each device, and whether it is there already.
fn accounts(server: &Server, devices: impl Iterator<Item = String>) -> Vec<(String, bool)> {
    let mut connection = Connection::open(server.address);
    let account = |device: String| {
        let tokens = connection.login(&device);
        (connection.user_id(&tokens.session), !tokens.is_new)
    };
    devices.map(account).collect()
}

fn devices(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("device-{name}-{number:04}"))
}

/// A token of an operator with a name and a password.
fn operator(server: &Server) -> String {
    let line = server.banner.iter().find(|line| line.contains("first operator")).unwrap();
    let first = line.split_once("Bearer ").unwrap().1.split_once('\'').unwrap().0;
    let mut operators = Connection::open(server.operators);
    let body = r#"{"username":"ann","password":"a long password","role":"admin"}"#;
    assert_eq!(operators.post("/v2/console/user", &bearer(first), body).status, 200);
    let body = r#"{"username":"ann","password":"a long password"}"#;
    operators.post("/v2/console/authenticate", "", body).text(&["token"])
}

#[test]
fn a_backup_of_a_busy_server_is_a_server_with_its_accounts_and_operators() {
    let server = Server::start(2);
    let (folder, data) = (Folder::new(), server.data_folder());
    let token = operator(&server);
    let before = accounts(&server, devices("before", 50));
    let (backup, key) = (folder.path("deep/backup"), folder.key("a"));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (address, is_over) = (server.address, &is_over);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for device in devices(&format!("meanwhile-{writer}"), usize::MAX) {
                    connection.login(&device);
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        let arguments =
            ["backup", text(&backup), "--key-file", text(&key), "--data-dir", text(&data)];
        let over = Over(&is_over);
        let told = succeed(arguments);
        drop(over);
        assert!(told.contains("backed up") && told.contains(", encrypted"), "{told}");
    });
    let told = succeed(["backup", "verify", text(&backup), "--key-file", text(&key)]);
    assert!(told.starts_with("whole: everything up to offset "), "{told}");
    let other = folder.key("b");
    let told = fail(["backup", "verify", text(&backup), "--key-file", text(&other)]);
    assert!(told.contains("does not open with this key"), "{told}");
    let told = fail(["backup", "verify", text(&backup)]);
    assert!(told.contains("is encrypted"), "{told}");
    drop(server);

    let restored = Server::start_after(1, "", |data| {
        let arguments =
            ["restore", text(&backup), "--key-file", text(&key), "--data-dir", text(data)];
        let told = succeed(arguments);
        assert!(told.contains("everything up to offset"), "{told}");
        for name in ["operator.key", "server-token.pem"] {
            let mode = fs::metadata(data.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    });
    let there = accounts(&restored, devices("before", 50));
    let expected: Vec<_> = before.into_iter().map(|(id, _)| (id, true)).collect();
    assert_eq!(there, expected);
    let mut operators = Connection::open(restored.operators);
    assert_eq!(operators.get("/v2/console/user", &bearer(&token)).status, 200);
    let [(_, is_there)] = accounts(&restored, devices("after", 1))[..] else { unreachable!() };
    assert!(!is_there, "a restored server takes new accounts");
}

#[test]
fn a_server_goes_back_to_a_moment_between_two_accounts() {
    let folder = Folder::new();
    let archive = folder.path("archive");
    let config = format!("[store]\narchive_dir = \"{}\"\n", archive.display());
    let server = Server::start_with(2, &config);
    let (data, backup) = (server.data_folder(), folder.path("backup"));
    accounts(&server, devices("before", 3));
    succeed(["backup", text(&backup), "--data-dir", text(&data)]);
    accounts(&server, devices("between", 3));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let moment = now();
    while now() == moment {}

    // Until the first file of the log is full and archived.
    let begun = Instant::now();
    let is_archived = |name: &fs::DirEntry| text(&name.path()).ends_with(".log");
    let mut connection = Connection::open(server.address);
    for device in devices("after", usize::MAX) {
        connection.login(&device);
        if fs::read_dir(&archive).unwrap().map(Result::unwrap).any(|name| is_archived(&name)) {
            break;
        }
        assert!(begun.elapsed() < DEADLINE * 3, "nothing is ever archived");
    }

    let moment = moment.to_string();
    let restored = Server::start_after(1, "", |data| {
        let arguments = ["restore", text(&backup), "--archive", text(&archive)];
        let told =
            succeed(arguments.iter().chain(&["--to-time", &moment, "--data-dir", text(data)]));
        assert!(told.contains("epoch 2"), "{told}");
    });
    let is_there = |name| accounts(&restored, devices(name, 1))[0].1;
    assert!(is_there("before") && is_there("between") && !is_there("after"));

    let nowhere = folder.path("nowhere");
    let refused = |moment: [&str; 2]| {
        let arguments = ["restore", text(&backup), "--archive", text(&archive), "--data-dir"];
        let refused = fail(arguments.into_iter().chain([text(&nowhere)]).chain(moment));
        assert!(!nowhere.exists() || fs::read_dir(&nowhere).unwrap().next().is_none());
        refused
    };
    let told = refused(["--to-time", "2020-01-01T00:00:00Z"]);
    assert!(told.contains("use an earlier backup"), "{told}");
    let told = refused(["--to-offset", "99999999"]);
    assert!(told.contains("backup and archive end at offset"), "{told}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut server = Server::start(1);
    let (folder, data) = (Folder::new(), server.data_folder());
    accounts(&server, devices("a", 1));
    let backup = folder.path("backup");
    let inside = data.join("backup");
    let told = fail(["backup", text(&inside), "--data-dir", text(&data)]);
    assert!(told.contains("is in the data folder"), "{told}");
    let told = succeed(["backup", text(&backup), "--data-dir", text(&data)]);
    assert!(told.contains("not encrypted"), "{told}");
    let told = fail(["backup", text(&backup), "--data-dir", text(&data)]);
    assert!(told.contains("is not empty"), "{told}");
    succeed(["backup", "verify", text(&backup)]);
    let told = fail(["restore", text(&backup), "--data-dir", text(&data)]);
    assert!(told.contains("is in use by another process"), "{told}");
    let told = fail(["backup", "verify", text(&folder.path("nowhere"))]);
    assert!(told.contains("cannot use"), "{told}");

    let socket = data.join("control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    server.kill_and_start_again();
    assert!(socket.exists(), "a socket of a killed server is made anew");
    server.signal(libc::SIGTERM);
    assert_eq!(server.end().code, Some(0));
    assert!(!socket.exists());
    let told = fail(["backup", text(&folder.path("other")), "--data-dir", text(&data)]);
    assert!(told.contains("no server runs on "), "{told}");
    let told = fail(["restore", text(&backup), "--data-dir", text(&data)]);
    assert!(told.contains("is not empty"), "{told}");

    for wrong in [
        &["backup"][..],
        &["backup", "verify"],
        &["restore"],
        &["restore", "a", "--archive", "b"],
        &["restore", "a", "--to-offset", "1", "--to-time", "2"],
        &["restore", "a", "--to-time", "yesterday"],
    ] {
        assert_eq!(run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn whoever_asks_the_socket_is_answered_or_gives_up() {
    let server = Server::start(1);
    let (folder, data) = (Folder::new(), server.data_folder());
    accounts(&server, devices("a", 3));
    let ask = |request: &str| {
        let mut stream = UnixStream::connect(data.join("control.sock")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    for wrong in
        ["\n", "backup\n", "backup a\n", "backup /a b\n", "backup %\n", "x y\n", "\u{e9}\n"]
    {
        let mut answer = String::new();
        BufReader::new(ask(wrong)).read_line(&mut answer).unwrap();
        assert!(answer.starts_with("failed "), "{wrong:?}: {answer}");
    }
    let mut endless = ask(&"a".repeat(20_000));
    let mut answer = String::new();
    let _ = endless.read_to_string(&mut answer); // it was closed before all of it was read
    assert!(answer.is_empty() || answer.starts_with("failed "), "{answer}");

    let backup = folder.path("backup");
    drop(ask(&format!("backup {}\n", text(&backup))));
    server.wait_for_log("a backup was not made");
    assert!(fs::read_dir(&backup).unwrap().next().is_none(), "nothing is left of it");
    succeed(["backup", text(&backup), "--data-dir", text(&data)]);
}

/// What became of the operators' backup, once it is over.
fn ended(operators: &mut Connection, token: &str) -> Response {
    let begun = Instant::now();
    loop {
        let told = operators.get("/v2/console/backup", &bearer(token));
        if told.text(&["backup", "state"]) != "running" {
            return told;
        }
        assert!(begun.elapsed() < DEADLINE);
    }
}

#[test]
fn an_admin_has_a_backup_made_by_its_name_and_it_is_audited() {
    let folder = Folder::new();
    let backups = folder.path("backups");
    fs::create_dir(&backups).unwrap();
    let key = folder.key("b");
    let config =
        format!("[store]\nbackup_dir = {:?}\nbackup_key_file = {:?}\n", text(&backups), text(&key));
    let server = Server::start_with(2, &config);
    Connection::open(server.address).login("device-of-a-copied-one");
    let token = operator(&server);
    let mut operators = Connection::open(server.operators);
    let path = "/v2/console/backup";
    assert_eq!(operators.get(path, &bearer(&token)).body, "{}");
    for name in ["", ".", "../up", "a/b", ".hidden", &"x".repeat(65)] {
        let body = format!(r#"{{"name":"{name}"}}"#);
        assert_eq!(operators.post(path, &bearer(&token), &body).refusal(), (400, 3), "{name}");
    }
    let body = r#"{"name":"first"}"#;
    assert_eq!(operators.post(path, &bearer(&token), body).status, 200);
    let told = ended(&mut operators, &token);
    assert_eq!(told.text(&["backup", "state"]), "whole", "{}", told.body);
    let dir = backups.join("first");
    let verified = succeed(["backup", "verify", text(&dir), "--key-file", text(&key)]);
    assert!(verified.contains(", encrypted"), "{verified}");
    // It is there: not once more.
    assert_eq!(operators.post(path, &bearer(&token), body).status, 200);
    let again = ended(&mut operators, &token);
    assert_eq!(again.text(&["backup", "state"]), "failed", "{}", again.body);
    let audit = operators.get("/v2/console/audit/log", &bearer(&token)).body;
    assert_eq!(audit.matches("console_backup_start").count(), 2, "{audit}");
}

#[test]
fn without_a_folder_for_them_operators_have_no_backups_made() {
    let server = Server::start(1);
    let token = operator(&server);
    let mut operators = Connection::open(server.operators);
    let refused = operators.post("/v2/console/backup", &bearer(&token), r#"{"name":"first"}"#);
    assert_eq!(refused.refusal(), (400, 9));
}
