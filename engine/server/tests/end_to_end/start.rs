//! Starting: what is said, and what is refused.

use std::ffi::OsStr;

use crate::client::{Connection, SERVER_KEY};
use crate::process::{Ended, Process, Server, ringmaster};

/// Row 51.
#[test]
fn the_banner_names_what_a_newcomer_needs_and_its_curl_line_works() {
    let server = Server::start(2);
    let banner = server.banner.concat();
    for part in [
        format!("http://{}\n", server.address),
        format!("{} (start 1)", server.data_folder().display()),
        "shards           2\n".to_owned(),
        "socket.server_key, session.encryption_key, session.refresh_encryption_key".to_owned(),
    ] {
        assert!(banner.contains(&part), "{part} is missing in {banner}");
    }

    let line = server.banner.last().unwrap().trim();
    let (options, url) = line.rsplit_once(' ').unwrap();
    let (options, data) = options.split_once(" -d ").unwrap();
    assert_eq!(options.split_once("curl ").unwrap().1, "-u defaultkey:");
    let target = url.strip_prefix(&format!("http://{}", server.address)).unwrap();
    let data = data.trim_matches('\'');
    let mut connection = Connection::open(server.address);
    connection.send(format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: {SERVER_KEY}\r\nAccept: */*\r\n\
         Content-Length: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n{data}",
        server.address,
        data.len()
    ));
    assert!(connection.receive().tokens().is_new);
}

#[test]
fn production_starts_with_keys_of_its_own() {
    let config = "production = true\n[socket]\nserver_key = \"a\"\n\
                  [session]\nencryption_key = \"b\"\nrefresh_encryption_key = \"c\"\n";
    let server = Server::start_with(1, config);
    let banner = server.banner.concat();
    assert!(banner.contains("default keys     none\n"), "{banner}");
    assert!(banner.contains("curl -u SERVER_KEY:"), "{banner}");
}

#[test]
fn a_data_folder_has_one_server_at_a_time() {
    let server = Server::start(1);
    let data = server.data_folder();
    let ended = start_beside(&server, data.as_os_str(), "127.0.0.1:0");
    let part = format!("the data folder {} is in use by another process", data.display());
    assert!(ended.stderr.contains(&part), "{}", ended.stderr);
}

#[test]
fn a_port_has_one_server_at_a_time() {
    let server = Server::start(1);
    let folder = tempfile::tempdir().unwrap();
    let address = server.address.to_string();
    let ended = start_beside(&server, folder.path().as_os_str(), &address);
    let part = format!("{address} is in use by another process");
    assert!(ended.stderr.contains(&part), "{}", ended.stderr);
}

/// A second server, which fails and leaves the first as it was.
fn start_beside(first: &Server, data: &OsStr, listen: &str) -> Ended {
    let second = ringmaster([OsStr::new("--data-dir"), data]);
    let ended = Process::start({ second }.args(["--shards", "1", "--listen", listen])).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "a server that does not serve says nothing");
    assert_eq!(Connection::open(first.address).get("/healthcheck", "").status, 200);
    ended
}
