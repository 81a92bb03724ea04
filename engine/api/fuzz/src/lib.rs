//! What the fuzzer calls, and what the replay of its corpus calls.

use api::http;
use api::ops::Operations;
use base::json::Json;
use base::{TokenId, UnixTime, UserId};
use domain::identity::token::{Claims, Keys, Vars};

/// The first line is method and target, the rest the body: routing and decoding give a request or a
/// refusal whose body is JSON.
pub fn request(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let line = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let (method, target) = line.split_once(' ').unwrap_or(("GET", &line));
    let body = parts.next().unwrap_or_default().to_vec();
    for content_type in [None, Some("application/x-www-form-urlencoded".to_owned())] {
        let request = http::Request {
            method: method.to_owned(),
            target: target.to_owned(),
            content_type,
            body: body.clone().into(),
            ..http::Request::default()
        };
        let operations = Operations::all();
        let found = operations.router.find(&request);
        if let Err(error) = found.and_then(|found| found.decode(&request)) {
            let response = http::Response::error(&error);
            assert!(response.status >= 400);
            assert!(Json::parse(response.body.as_bytes()).is_ok(), "{}", response.body);
        }
    }
}

/// An envelope decodes or ends its socket; what echoes its `cid` is JSON that holds it.
pub fn envelope(data: &[u8]) {
    let Ok(envelope) = api::realtime::decode(data, &Operations::all()) else { return };
    let reply = api::realtime::error(&envelope.cid, 3, "no");
    let Ok(Json::Object(members)) = Json::parse(reply.as_bytes()) else { panic!("{reply}") };
    let cid = members.iter().find(|(name, _)| name == "cid").map(|(_, cid)| cid.clone());
    let expected = Some(Json::Text(envelope.cid)).filter(|cid| *cid != Json::Text(String::new()));
    assert_eq!(cid, expected);
}

/// No text is a token unless the key signed it, and what the key signs comes back.
pub fn token(data: &[u8]) {
    let (key, now) = (Keys::new(b"secret", &[]), UnixTime::from_secs(1_700_000_000));
    let text = String::from_utf8_lossy(data);
    assert!(key.verify(&text, now).is_err());
    assert!(key.verify_match(&text, now).is_err());
    let claims = Claims {
        token_id: TokenId::from_bytes([1; 16]),
        user_id: UserId::from_bytes([2; 16]),
        username: text.clone().into_owned(),
        vars: Vars::from([(text.clone().into_owned(), text.into_owned())]),
        expiry: now.secs() + 1,
        issued_at: 0,
        signed_at: 0,
    };
    assert_eq!(key.verify(&key.sign(&claims), now), Ok(claims));
}
