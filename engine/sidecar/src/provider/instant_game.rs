//! Facebook Instant Games.
//!
//! After "FBInstant.player.getSignedPlayerInfoAsync" and `SignedPlayerInfo`,
//! <https://developers.facebook.com/docs/games/instant-games/sdk/fbinstant7.1>: two parts in
//! base64url, the first an HMAC of the second as it came. How old it is (`issued_at`) is not
//! looked at, as in Nakama: the document leaves it to the game.

use base::Secret;
use base::json::Json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::identity::provider::{Profile, Refusal};
use ring::hmac;

use super::bounded;
use crate::json;
use crate::limits::TOKEN_BYTES_MAX;

/// Whose signed player information is. An empty secret knows nobody.
pub(crate) fn verify(secret: &Secret, signed_player_info: &str) -> Result<Profile, Refusal> {
    let payload = payload(secret, signed_player_info).ok_or(Refusal::Rejected)?;
    bounded(Profile { id: json::text_or_empty(&payload, "player_id"), ..Profile::default() })
}

fn payload(secret: &Secret, signed_player_info: &str) -> Option<Json> {
    if secret.0.is_empty() || signed_player_info.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signature, payload) = signed_player_info.split_once('.')?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
    hmac::verify(&key, payload.as_bytes(), &decode(signature)?).ok()?;
    let payload = Json::parse(&decode(payload)?).ok()?;
    let algorithm = json::text(&payload, "algorithm")?;
    algorithm.eq_ignore_ascii_case("HMAC-SHA256").then_some(payload)
}

/// Base64url, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::sign::player_info;

    const PAYLOAD: &str = r#"{"algorithm":"HMAC-SHA256","issued_at":1552255768,
        "player_id":"2059189060823983","request_payload":"data"}"#;

    fn verify(secret: &str, info: &str) -> Result<String, Refusal> {
        super::verify(&Secret(secret.into()), info).map(|profile| profile.id)
    }

    #[test]
    fn signed_player_information_is_its_players() {
        let info = player_info("secret", PAYLOAD);
        assert_eq!(verify("secret", &info), Ok("2059189060823983".into()));
        assert_eq!(verify("other", &info), Err(Refusal::Rejected));
        assert_eq!(verify("", &info), Err(Refusal::Rejected));
        assert_eq!(verify("", &player_info("", PAYLOAD)), Err(Refusal::Rejected));
        let (signature, _) = info.split_once('.').unwrap();
        let other = BASE64_URL_SAFE_NO_PAD.encode(PAYLOAD.replace("2059", "2060"));
        assert_eq!(verify("secret", &format!("{signature}.{other}")), Err(Refusal::Rejected));
        assert_eq!(verify("secret", signature), Err(Refusal::Rejected));
    }

    #[test]
    fn a_signed_payload_names_algorithm_and_player() {
        for (from, to) in [("HMAC-SHA256", "none"), ("player_id", "id"), ("2059189060823983", "")] {
            let info = player_info("secret", &PAYLOAD.replace(from, to));
            assert_eq!(verify("secret", &info), Err(Refusal::Rejected));
        }
        assert_eq!(verify("secret", &player_info("secret", "7")), Err(Refusal::Rejected));
        let long = player_info("secret", &PAYLOAD.replace("data", &"x".repeat(13_000)));
        assert_eq!(verify("secret", &long), Err(Refusal::Rejected));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, payload: String) {
            prop_assert_eq!(verify("secret", &text), Err(Refusal::Rejected));
            let _ = verify("secret", &player_info("secret", &payload));
        }
    }
}
