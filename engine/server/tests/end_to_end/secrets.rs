//! Canaries: whatever is secret is planted with a mark, and looked for wherever it should not be.

use crate::client::{Connection, bearer};
use crate::process::{Process, Server, ringmaster};

/// Stands in every secret.
const CANARY: &str = "canary";

/// A server with a canary in every secret that its configuration has, which logs all that it can.
fn config(more: &str) -> String {
    format!(
        "[logger]\nlevel = \"debug\"\nformat = \"json\"\n\
         [session]\nencryption_key = \"canary-1\"\nrefresh_encryption_key = \"canary-2\"\n\
         earlier_encryption_keys = [\"canary-3\"]\nearlier_refresh_encryption_keys = [\"canary-4\"]\n\
         [socket]\nserver_key = \"canary-5\"\n\
         [social.steam]\npublisher_key = \"canary-6\"\napp_id = 1\n\
         [social.facebook_instant_game]\napp_secret = \"canary-7\"\n\
         [traces]\nendpoint = \"http://127.0.0.1:1\"\nheaders = [\"x-key=canary-8\"]\n{more}"
    )
}

#[test]
fn no_secret_is_told() {
    let mut server = Server::start_with(2, &config(""));
    let mut clients = Connection::open(server.address);
    let mut operators = Connection::open(server.operators);
    let mut told = Vec::new();
    let mut tokens = Vec::new();

    // Players: right and wrong keys, passwords and tokens. The replies that are tokens are theirs.
    let key = "Basic Y2FuYXJ5LTU6"; // canary-5 and a colon
    let email = "/v2/account/authenticate/email";
    let right = "{\"email\":\"ann@example.com\",\"password\":\"canary-password\"}";
    let wrong = "{\"email\":\"ann@example.com\",\"password\":\"canary-wrong\"}";
    let player = clients.post(email, key, right);
    tokens.extend(["token", "refresh_token"].map(|name| player.text(&[name])));
    told.push(clients.post(email, key, wrong).body);
    told.push(clients.post(email, "Basic Y2FuYXJ5LXdyb25nOg==", right).body);
    told.push(clients.post(email, key, "{\"password\":\"canary-\\ud800\"}").body);
    told.push(clients.get("/v2/account", &bearer(&tokens[0])).body);
    told.push(clients.get("/v2/account", "Bearer canary").body);
    let logout = format!("{{\"token\":\"{}\"}}", tokens[0]);
    told.push(clients.post("/v2/session/logout", &bearer(&tokens[0]), &logout).body);

    // Operators.
    let folder = server.data_folder();
    let arguments = ["token", "--role", "admin", "--data-dir", folder.to_str().unwrap()];
    let machine = Process::start(&mut ringmaster(arguments)).end().stdout.trim_end().to_owned();
    let admin = bearer(&machine);
    tokens.push(machine);
    let create = "{\"username\":\"ann\",\"password\":\"canary-password\",\"role\":\"admin\"}";
    told.push(operators.post("/v2/console/user", &admin, create).body);
    told.push(operators.post("/v2/console/user", &admin, create).body);
    let login = |password: &str| format!("{{\"username\":\"ann\",\"password\":\"{password}\"}}");
    let signed_in =
        operators.post("/v2/console/authenticate", "", &login("canary-password")).text(&["token"]);
    tokens.push(signed_in);
    told.push(operators.post("/v2/console/authenticate", "", &login("canary-wrong")).body);
    let change = "{\"username\":\"ann\",\"password\":\"canary-password\",\
                  \"new_password\":\"canary-password-2\"}";
    told.push(operators.post("/v2/console/authenticate/password", "", change).body);
    let update = "PUT /v2/console/user/ann HTTP/1.1";
    let body = "{\"password\":\"canary-password-3\"}";
    operators.send(format!(
        "{update}\r\nHost: a\r\nAuthorization: {admin}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    told.push(operators.receive().body);

    // A configuration that changes, and one that is wrong in its secrets.
    server.reload(&config("[console]\ntoken_expiry_sec = 60\n"));
    told.push(server.wait_for_log("configuration reloaded"));
    server.reload(&config("").replace("\"canary-5\"", "[\"canary-9\"]"));
    told.push(server.wait_for_log("configuration not reloaded"));
    server.reload(&config("").replace("canary-2", "canary-1"));
    told.push(server.wait_for_log("configuration not reloaded"));

    for target in [
        "/metrics",
        "/v2/console/config",
        "/v2/console/status",
        "/v2/console/audit/log",
        "/v2/console/user",
    ] {
        let answer = operators.get(target, &admin);
        assert_eq!(answer.status, 200, "{answer:?}");
        told.push(answer.body);
    }
    server.signal(libc::SIGTERM);
    let ended = server.end();
    assert!(
        ended.stderr.contains("\"request\":\""),
        "every request is in the log: {}",
        ended.stderr
    );
    told.extend([ended.stderr, ended.stdout, server.banner.join("\n")]);

    let hidden: Vec<_> = tokens
        .iter()
        .map(|token| token.rsplit('.').next().unwrap()) // the signature: nobody signs without it
        .chain([CANARY, "$argon2id$"])
        .collect();
    for text in told {
        for secret in &hidden {
            assert!(!text.contains(secret), "{secret} is told: {text}");
        }
    }
}
