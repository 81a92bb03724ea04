//! The sidecar against providers on this machine.

pub(crate) mod server;
pub(crate) mod sign;
mod traces;

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::Secret;
use domain::identity::provider::{GameCenter, Profile, Proof, Refusal};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use self::server::{Reply, Server};
use self::sign::{CERTIFICATE, Signer, game_center, player_info};
use crate::{Handle, Issuer, PROOFS_MAX, Settings, Sidecar};

const KEYS: &str = "/keys";
const GRAPH: &str = "/me";
const TICKET: &str = "/ticket";
const BUNDLE: &str = "com.example.game";

/// Shorter than any patience, where a test waits for it.
const SHORT: Duration = Duration::from_millis(500);

/// Settings that know every provider, all of them at one server.
pub(crate) fn settings(server: &Server) -> Settings {
    let mut settings = Settings::default();
    settings.apple.bundle_id = BUNDLE.into();
    settings.apple.jwks_url = server.url(KEYS);
    settings.google.jwks_url = server.url(KEYS);
    settings.facebook.graph_url = server.url(GRAPH);
    settings.facebook_limited_login.app_id = "7".into();
    settings.facebook_limited_login.jwks_url = server.url(KEYS);
    settings.facebook_instant_game.app_secret = Secret("secret".into());
    settings.steam.publisher_key = Secret("key".into());
    settings.steam.app_id = 480;
    settings.steam.ticket_url = server.url(TICKET);
    settings.game_center.key_domains = vec!["127.0.0.1".into()];
    settings.oidc = vec![issuer(server, "studio", "https://issuer.example")];
    settings
}

fn issuer(server: &Server, name: &str, issuer: &str) -> Issuer {
    Issuer {
        name: name.into(),
        issuer: issuer.into(),
        audience: "game".into(),
        jwks_url: server.url(KEYS),
    }
}

fn start(server: &Server) -> Sidecar {
    Sidecar::start(settings(server)).unwrap()
}

fn begin(handle: &Handle, proof: Proof) -> Receiver<Result<Profile, Refusal>> {
    let (sender, receiver) = channel();
    handle.verify(proof, move |verdict| sender.send(verdict).unwrap());
    receiver
}

fn verify(sidecar: &Sidecar, proof: Proof) -> Result<Profile, Refusal> {
    begin(&sidecar.handle(), proof).recv().unwrap()
}

/// The id alone.
fn id(sidecar: &Sidecar, proof: Proof) -> Result<String, Refusal> {
    verify(sidecar, proof).map(|profile| profile.id)
}

fn key_set(keys: &[String]) -> Reply {
    Reply::ok(format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(issuer: &str, audience: &str) -> String {
    let exp = now() + 600;
    format!(r#"{{"iss":"{issuer}","aud":"{audience}","sub":"10","exp":{exp},"name":"Al"}}"#)
}

fn apple(signer: &Signer, key_id: &str) -> Proof {
    Proof::Apple { token: signer.token(key_id, &claims("https://appleid.apple.com", BUNDLE)) }
}

fn oidc(signer: &Signer, key_id: &str) -> Proof {
    Proof::Oidc { token: signer.token(key_id, &claims("https://issuer.example", "game")) }
}

fn steam() -> Proof {
    Proof::Steam { token: "14ab".into() }
}

fn graph() -> Proof {
    Proof::Facebook { token: "EAAB".into() }
}

fn game_center_at(server: &Server, path: &str) -> Proof {
    let mut proof = game_center("T:_1", BUNDLE, now() as i64 * 1000);
    proof.public_key_url = server.url(path);
    Proof::GameCenter(proof)
}

const STEAM_OK: &str = r#"{"response":{"params":{"result":"OK","steamid":"76561197960287930"}}}"#;
const STEAM_BAD: &str = r#"{"response":{"error":{"errorcode":101,"errordesc":"Invalid"}}}"#;
const GRAPH_BAD: &str = r#"{"error":{"message":"m","type":"OAuthException","code":190}}"#;

#[test]
fn every_provider_knows_its_players() {
    let server = Server::start();
    let (rsa, ec) = (Signer::first(), Signer::ec());
    server.set(KEYS, key_set(&[rsa.jwk("a"), ec.jwk("e")]));
    server.set(GRAPH, Reply::ok(r#"{"id":"11","name":"Al"}"#));
    server.set(TICKET, Reply::ok(STEAM_OK));
    server.set("/gc.cer", Reply::ok(CERTIFICATE));
    let sidecar = start(&server);
    let token = |issuer: &str, audience: &str| rsa.token("a", &claims(issuer, audience));
    let payload = r#"{"algorithm":"HMAC-SHA256","player_id":"12","issued_at":1}"#;
    for (proof, expected) in [
        (apple(&rsa, "a"), "10"),
        (Proof::Google { token: token("https://accounts.google.com", "any") }, "10"),
        (Proof::Google { token: token("accounts.google.com", "any") }, "10"),
        (Proof::Facebook { token: token("https://www.facebook.com", "7") }, "10"),
        (graph(), "11"),
        (Proof::FacebookInstantGame { signed_player_info: player_info("secret", payload) }, "12"),
        (steam(), "76561197960287930"),
        (game_center_at(&server, "/gc.cer"), "T:_1"),
        (oidc(&rsa, "a"), "studio:10"),
        (oidc(&ec, "e"), "studio:10"),
    ] {
        let name = format!("{proof:?}");
        assert_eq!(id(&sidecar, proof), Ok(expected.into()), "{name}");
    }
    assert_eq!(server.asked(KEYS).len(), 1);
    assert_eq!(server.asked(GRAPH), ["/me?access_token=EAAB&fields=id%2Cname%2Cemail%2Cpicture"]);
    assert_eq!(server.asked(TICKET), ["/ticket?key=key&appid=480&ticket=14ab"]);
}

#[test]
fn what_a_provider_or_a_signature_denies_is_rejected() {
    let server = Server::start();
    let (first, second) = (Signer::first(), Signer::second());
    server.set(KEYS, key_set(&[first.jwk("a")]));
    server.set(GRAPH, Reply::status(400, GRAPH_BAD));
    server.set(TICKET, Reply::ok(STEAM_BAD));
    server.set("/gc.cer", Reply::ok(CERTIFICATE));
    let sidecar = start(&server);
    let mut proof = game_center("T:_1", BUNDLE, now() as i64 * 1000);
    proof.public_key_url = server.url("/gc.cer");
    proof.player_id = "T:_2".into();
    let other = |audience: &str| second.token("a", &claims("https://www.facebook.com", audience));
    for proof in [
        apple(&second, "a"),
        oidc(&second, "a"),
        Proof::Apple { token: first.token("a", &claims("https://appleid.apple.com", "other")) },
        Proof::Google { token: first.token("a", &claims("https://appleid.apple.com", BUNDLE)) },
        Proof::Google { token: "garbage".into() },
        Proof::Oidc { token: first.token("a", &claims("https://other.example", "game")) },
        Proof::Facebook { token: other("7") },
        Proof::FacebookInstantGame { signed_player_info: player_info("other", "{}") },
        graph(),
        steam(),
        Proof::Steam { token: "not hexadecimal".into() },
        Proof::GameCenter(proof),
    ] {
        let name = format!("{proof:?}");
        assert_eq!(verify(&sidecar, proof), Err(Refusal::Rejected), "{name}");
    }
}

#[test]
fn a_provider_that_is_not_configured_knows_nobody() {
    let server = Server::start();
    let mut settings = settings(&server);
    settings.apple.bundle_id.clear();
    settings.steam.app_id = 0;
    settings.facebook_instant_game.app_secret = Secret::default();
    settings.oidc.clear();
    let sidecar = Sidecar::start(settings).unwrap();
    let first = Signer::first();
    let info = player_info("", r#"{"algorithm":"HMAC-SHA256","player_id":"12"}"#);
    for proof in [
        apple(&first, "a"),
        steam(),
        oidc(&first, "a"),
        Proof::FacebookInstantGame { signed_player_info: info },
    ] {
        assert_eq!(verify(&sidecar, proof), Err(Refusal::Rejected));
    }
    assert!(server.asked(KEYS).is_empty() && server.asked(TICKET).is_empty());
}

#[test]
fn googles_audience_counts_if_there_are_client_ids() {
    let server = Server::start();
    let first = Signer::first();
    server.set(KEYS, key_set(&[first.jwk("a")]));
    let mut settings = settings(&server);
    settings.google.client_ids = vec!["ios".into(), "web".into()];
    let sidecar = Sidecar::start(settings).unwrap();
    let check = |audience: &str| {
        let token = first.token("a", &claims("accounts.google.com", audience));
        id(&sidecar, Proof::Google { token })
    };
    assert_eq!(check("web"), Ok("10".into()));
    assert_eq!(check("other"), Err(Refusal::Rejected));
}

/// Asks for all that needs a provider while it answers in a way that makes no sense.
fn check_unavailable(reply: &Reply, deadline: Duration) {
    let server = Server::start();
    for path in [KEYS, GRAPH, TICKET, "/gc.cer"] {
        server.set(path, reply.clone());
    }
    let mut settings = settings(&server);
    settings.deadline = deadline;
    let sidecar = Sidecar::start(settings).unwrap();
    let first = Signer::first();
    let handle = sidecar.handle();
    let verdicts = [apple(&first, "a"), graph(), steam(), game_center_at(&server, "/gc.cer")]
        .map(|proof| begin(&handle, proof));
    for verdict in verdicts {
        assert_eq!(verdict.recv().unwrap(), Err(Refusal::Unavailable));
    }
    // It goes on.
    server.set(TICKET, Reply::ok(STEAM_OK));
    assert_eq!(id(&sidecar, steam()), Ok("76561197960287930".into()));
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_server_error_is_unavailable() {
    check_unavailable(&Reply::status(500, r#"{"error":{"code":190}}"#), LONG);
    check_unavailable(&Reply::status(503, STEAM_BAD), LONG);
    check_unavailable(&Reply::status(429, GRAPH_BAD), LONG);
}

#[test]
fn garbage_is_unavailable() {
    check_unavailable(&Reply::ok("<html>"), LONG);
    check_unavailable(&Reply::ok([0xff, 0, 0x80]), LONG);
    check_unavailable(&Reply::ok(r#"{"keys":[]}"#), LONG);
    check_unavailable(&Reply::status(400, "<html>"), LONG);
}

#[test]
fn a_body_without_end_is_unavailable() {
    check_unavailable(&Reply::Flood, LONG);
    let padded = format!("{}{}", " ".repeat(1 << 20), STEAM_OK);
    check_unavailable(&Reply::ok(padded), LONG);
}

#[test]
fn a_provider_that_never_answers_is_unavailable() {
    check_unavailable(&Reply::Silence, SHORT);
}

#[test]
fn a_provider_that_is_not_there_is_unavailable() {
    let server = Server::start();
    let mut settings = settings(&server);
    // A port that was free a moment ago and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    settings.steam.ticket_url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let sidecar = Sidecar::start(settings).unwrap();
    assert_eq!(verify(&sidecar, steam()), Err(Refusal::Unavailable));
}

#[test]
fn a_redirection_is_not_followed() {
    let server = Server::start();
    server.set("/other", Reply::ok(STEAM_OK));
    let first = Signer::first();
    server.set("/keys2", key_set(&[first.jwk("a")]));
    server.set(TICKET, Reply::redirect(&server.url("/other")));
    server.set(KEYS, Reply::redirect(&server.url("/keys2")));
    let sidecar = start(&server);
    assert_eq!(verify(&sidecar, steam()), Err(Refusal::Unavailable));
    assert_eq!(verify(&sidecar, apple(&first, "a")), Err(Refusal::Unavailable));
    assert!(server.asked("/other").is_empty() && server.asked("/keys2").is_empty());
}

#[test]
fn a_full_queue_is_busy_at_once_and_has_room_again() {
    let server = Server::start();
    server.set(TICKET, Reply::Silence);
    let mut settings = settings(&server);
    settings.deadline = Duration::from_secs(2);
    let sidecar = Sidecar::start(settings).unwrap();
    let handle = sidecar.handle();
    let verdicts: Vec<_> = (0..PROOFS_MAX).map(|_| begin(&handle, steam())).collect();
    let busy = begin(&handle, steam());
    assert_eq!(busy.try_recv(), Ok(Err(Refusal::Busy)));
    for verdict in verdicts {
        assert_eq!(verdict.recv().unwrap(), Err(Refusal::Unavailable));
    }
    server.set(TICKET, Reply::ok(STEAM_OK));
    assert_eq!(id(&sidecar, steam()), Ok("76561197960287930".into()));
}

#[test]
fn a_provider_that_hangs_hinders_no_other() {
    let server = Server::start();
    server.set(TICKET, Reply::Silence);
    server.set(GRAPH, Reply::ok(r#"{"id":"11"}"#));
    let mut settings = settings(&server);
    settings.deadline = LONG;
    let sidecar = Sidecar::start(settings).unwrap();
    let handle = sidecar.handle();
    let hanging: Vec<_> = (0..200).map(|_| begin(&handle, steam())).collect();
    server.wait();
    assert_eq!(id(&sidecar, graph()), Ok("11".into()));
    assert!(hanging.iter().all(|verdict| verdict.try_recv().is_err()));
    assert!(server.asked(TICKET).len() <= crate::limits::LANE_REQUESTS_MAX);
    // What is under way when the sidecar ends is answered.
    drop(sidecar);
    for verdict in hanging {
        assert_eq!(verdict.recv().unwrap(), Err(Refusal::Unavailable));
    }
    assert_eq!(begin(&handle, steam()).recv().unwrap(), Err(Refusal::Unavailable));
}

#[test]
fn a_new_key_is_fetched_once_and_an_unknown_one_too() {
    let server = Server::start();
    let (first, second) = (Signer::first(), Signer::second());
    server.set(KEYS, key_set(&[first.jwk("a")]));
    let sidecar = start(&server);
    assert_eq!(id(&sidecar, apple(&first, "a")), Ok("10".into()));
    server.set(KEYS, key_set(&[first.jwk("a"), second.jwk("b")]));
    assert_eq!(id(&sidecar, apple(&second, "b")), Ok("10".into()));
    assert_eq!(server.asked(KEYS).len(), 2);
    for unknown in ["c", "d", "c"] {
        assert_eq!(id(&sidecar, apple(&second, unknown)), Err(Refusal::Rejected));
    }
    assert_eq!(id(&sidecar, apple(&first, "a")), Ok("10".into()));
    assert_eq!(server.asked(KEYS).len(), 2);
}

#[test]
fn a_hundred_verifications_share_one_fetch() {
    let server = Server::start();
    let first = Signer::first();
    server.set(KEYS, key_set(&[first.jwk("a")]));
    let sidecar = start(&server);
    let handle = sidecar.handle();
    let verdicts: Vec<_> = (0..100)
        .map(|number| {
            begin(&handle, if number % 2 == 0 { apple(&first, "a") } else { oidc(&first, "b") })
        })
        .collect();
    for (number, verdict) in verdicts.into_iter().enumerate() {
        let verdict = verdict.recv().unwrap().map(|profile| profile.id);
        let expected = if number % 2 == 0 { Ok("10".into()) } else { Err(Refusal::Rejected) };
        assert_eq!(verdict, expected);
    }
    // One for all, and perhaps one for those who came after it and missed their key.
    assert!(server.asked(KEYS).len() <= 2);
    let server = Server::start();
    server.set(KEYS, key_set(&[first.jwk("a")]));
    let sidecar = start(&server);
    let proof = apple(&first, "a");
    let verdicts: Vec<_> = (0..100).map(|_| begin(&sidecar.handle(), proof.clone())).collect();
    for verdict in verdicts {
        assert!(verdict.recv().unwrap().is_ok());
    }
    assert_eq!(server.asked(KEYS).len(), 1);
}

#[test]
fn a_failing_provider_of_keys_is_asked_once_for_all_who_wait() {
    let server = Server::start();
    server.set(KEYS, Reply::status(500, ""));
    let sidecar = start(&server);
    let proof = apple(&Signer::first(), "a");
    let verdicts: Vec<_> = (0..100).map(|_| begin(&sidecar.handle(), proof.clone())).collect();
    for verdict in verdicts {
        assert_eq!(verdict.recv().unwrap(), Err(Refusal::Unavailable));
    }
    assert_eq!(server.asked(KEYS).len(), 1);
}

#[test]
fn keys_that_come_as_an_error_are_not_taken() {
    let server = Server::start();
    let first = Signer::first();
    let keys = format!(r#"{{"keys":[{}]}}"#, first.jwk("a"));
    server.set(KEYS, Reply::status(500, &keys));
    assert_eq!(verify(&start(&server), apple(&first, "a")), Err(Refusal::Unavailable));
    server.set(KEYS, Reply::ok(&keys));
    assert!(verify(&start(&server), apple(&first, "a")).is_ok());
}

#[test]
fn an_expired_or_foreign_token_makes_no_request() {
    let server = Server::start();
    let sidecar = start(&server);
    let first = Signer::first();
    let good = claims("https://appleid.apple.com", BUNDLE);
    let expired = good.replace("\"exp\":", "\"exp\":1,\"was\":");
    for token in [
        first.token("a", &expired),
        first.token("a", &claims("https://appleid.apple.com", "other")),
        first.token("a", &claims("https://accounts.google.com", BUNDLE)),
    ] {
        assert_eq!(verify(&sidecar, Proof::Apple { token }), Err(Refusal::Rejected));
    }
    assert!(server.asked(KEYS).is_empty());
}

#[test]
fn a_certificate_is_fetched_once_and_only_from_a_host_of_the_settings() {
    let server = Server::start();
    server.set("/gc.cer", Reply::ok(CERTIFICATE));
    let sidecar = start(&server);
    for _ in 0..3 {
        assert_eq!(id(&sidecar, game_center_at(&server, "/gc.cer")), Ok("T:_1".into()));
    }
    assert_eq!(server.asked("/gc.cer").len(), 1);
    let mut settings = settings(&server);
    settings.game_center.key_domains = Settings::default().game_center.key_domains;
    let sidecar = Sidecar::start(settings).unwrap();
    let proof = game_center_at(&server, "/gc.cer");
    assert_eq!(verify(&sidecar, proof), Err(Refusal::Rejected));
    assert_eq!(server.asked("/gc.cer").len(), 1);
}

#[test]
fn no_text_is_anybodys_proof_or_ends_the_thread() {
    let server = Server::start();
    let first = Signer::first();
    server.set(KEYS, key_set(&[first.jwk("a")]));
    server.set(GRAPH, Reply::status(400, GRAPH_BAD));
    server.set(TICKET, Reply::ok(STEAM_BAD));
    let sidecar = start(&server);
    let config = ProptestConfig::with_cases(64);
    let mut runner = TestRunner::new(config);
    let check = runner.run(&any::<(String, String)>(), |(text, claims)| {
        // Half of them signed, so that what is behind the signature is reached.
        for token in [text, first.token("a", &claims)] {
            let game_center = GameCenter { player_id: token.clone(), ..GameCenter::default() };
            for proof in [
                Proof::Apple { token: token.clone() },
                Proof::Facebook { token: token.clone() },
                Proof::FacebookInstantGame { signed_player_info: token.clone() },
                Proof::GameCenter(game_center),
                Proof::Google { token: token.clone() },
                Proof::Steam { token: token.clone() },
                Proof::Oidc { token },
            ] {
                prop_assert_eq!(verify(&sidecar, proof), Err(Refusal::Rejected));
            }
        }
        Ok(())
    });
    check.unwrap();
}

#[test]
fn a_caller_that_panics_in_its_answer_ends_nothing() {
    let server = Server::start();
    server.set(TICKET, Reply::ok(STEAM_OK));
    let sidecar = start(&server);
    let (sender, receiver) = channel::<()>();
    sidecar.handle().verify(steam(), move |_| {
        let _sender = sender;
        std::panic::resume_unwind(Box::new("the caller's own trouble"));
    });
    assert!(receiver.recv().is_err());
    assert_eq!(id(&sidecar, steam()), Ok("76561197960287930".into()));
}

#[test]
fn settings_that_make_no_sense_do_not_start() {
    let server = Server::start();
    let check = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(&server);
        change(&mut settings);
        Sidecar::start(settings).unwrap_err().to_string()
    };
    assert!(check(&|settings| settings.apple.jwks_url.clear()).contains("apple.jwks_url"));
    let plain = "http://example.com/";
    assert!(check(&|settings| settings.steam.ticket_url = plain.into()).contains("steam"));
    assert!(check(&|settings| settings.oidc[0].jwks_url = plain.into()).contains("studio"));
    assert!(check(&|settings| settings.oidc[0].name = "a:b".into()).contains("colon"));
    assert!(check(&|settings| settings.oidc[0].audience.clear()).contains("audience"));
    let twin = issuer(&server, "studio", "https://twin.example");
    assert!(check(&|settings| settings.oidc.push(twin.clone())).contains("two issuers"));
    let all = check(&|settings| {
        settings.apple.jwks_url.clear();
        settings.steam.ticket_url = plain.into();
        settings.oidc[0].audience.clear();
    });
    assert_eq!(all.split("; ").count(), 3, "{all}");
}
