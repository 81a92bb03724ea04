//! Apple's Game Center.
//!
//! After "fetchItems(forIdentityVerificationSignature:)",
//! <https://developer.apple.com/documentation/gamekit/gklocalplayer/fetchitems(foridentityverificationsignature:)>.
//! The document asks for the certificate's chain to be followed and for a recent timestamp. The
//! chain is not followed (see `certificate.rs`): the certificate comes over TLS from a host of the
//! configured domains, which are Apple's. The timestamp, which Game Kit gives in milliseconds, may
//! be as old as the configuration says; Nakama looks at neither.

use std::time::Duration;

use base::UnixTime;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use domain::identity::provider::{GameCenter, Profile, Refusal};

use super::bounded;
use crate::certificate::Certificate;
use crate::limits::{LEEWAY, TOKEN_BYTES_MAX};
use crate::settings;
use crate::url::Url;

/// Where the certificate is. The client named the address, so only one of few may be asked, and
/// only for what looks like a certificate.
pub(crate) fn request(settings: &settings::GameCenter, proof: &GameCenter) -> Result<Url, Refusal> {
    let url = Url::parse(&proof.public_key_url).ok_or(Refusal::Rejected)?;
    let is_good = settings.key_domains.iter().any(|domain| url.is_within(domain))
        && url.is_usual_port()
        && url.path().ends_with(".cer")
        && !url.has_query();
    if is_good { Ok(url) } else { Err(Refusal::Rejected) }
}

/// Checks what needs no certificate, so that none is asked for without need.
pub(crate) fn check(
    settings: &settings::GameCenter,
    proof: &GameCenter,
    now: UnixTime,
) -> Result<(), Refusal> {
    let texts = [&proof.player_id, &proof.bundle_id, &proof.salt, &proof.signature];
    let is_small = texts.iter().all(|text| text.len() <= TOKEN_BYTES_MAX);
    let is_ours = settings.bundle_ids.is_empty() || settings.bundle_ids.contains(&proof.bundle_id);
    let signed = u64::try_from(proof.timestamp).map_err(|_| Refusal::Rejected)?;
    let signed = Duration::from_millis(signed);
    let now = Duration::from_nanos(now.0);
    let is_recent = settings
        .age_max
        .is_none_or(|age_max| signed <= now + LEEWAY && now.saturating_sub(signed) <= age_max);
    if is_small && is_ours && is_recent { Ok(()) } else { Err(Refusal::Rejected) }
}

/// Whose the signature is, by the certificate at its address.
pub(crate) fn judge(
    certificate: &Certificate,
    proof: &GameCenter,
    now: UnixTime,
) -> Result<Profile, Refusal> {
    let signature = decode(&proof.signature)?;
    if !certificate.is_valid(now) || !certificate.is_signed(&message(proof)?, &signature) {
        return Err(Refusal::Rejected);
    }
    bounded(Profile { id: proof.player_id.clone(), ..Profile::default() })
}

/// What Game Kit signed.
fn message(proof: &GameCenter) -> Result<Vec<u8>, Refusal> {
    let mut message = Vec::new();
    message.extend(proof.player_id.bytes());
    message.extend(proof.bundle_id.bytes());
    message.extend(proof.timestamp.to_be_bytes());
    message.extend(decode(&proof.salt)?);
    Ok(message)
}

/// Base64, padded or not.
fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    BASE64_STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| Refusal::Rejected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::Settings;
    use crate::tests::sign::{CERTIFICATE, game_center};

    /// Within the certificate's time.
    const NOW: u64 = 1_800_000_000;
    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn judge(proof: &GameCenter) -> Result<String, Refusal> {
        let certificate = Certificate::parse(CERTIFICATE).unwrap();
        let profile = super::judge(&certificate, proof, UnixTime::from_secs(NOW));
        profile.map(|profile| profile.id)
    }

    #[test]
    fn a_signature_covers_player_game_time_and_salt() {
        let proof = game_center("T:_1", "com.example.game", NOW as i64 * 1000);
        assert_eq!(judge(&proof), Ok("T:_1".into()));
        let rejected = Err(Refusal::Rejected);
        let change = |change: fn(&mut GameCenter)| {
            let mut proof = proof.clone();
            change(&mut proof);
            judge(&proof)
        };
        assert_eq!(change(|proof| proof.player_id = "T:_2".into()), rejected);
        assert_eq!(change(|proof| proof.bundle_id.push('x')), rejected);
        assert_eq!(change(|proof| proof.timestamp += 1), rejected);
        assert_eq!(change(|proof| proof.salt = "AAAA".into()), rejected);
        assert_eq!(change(|proof| proof.signature = "AAAA".into()), rejected);
        assert_eq!(change(|proof| proof.signature = "not base64".into()), rejected);
        assert_eq!(change(|proof| proof.salt.truncate(proof.salt.len() - 1)), Ok("T:_1".into()));
    }

    #[test]
    fn a_certificate_out_of_its_time_signs_nothing() {
        let proof = game_center("T:_1", "com.example.game", 0);
        let certificate = Certificate::parse(CERTIFICATE).unwrap();
        let judge = |secs| super::judge(&certificate, &proof, UnixTime::from_secs(secs));
        assert!(judge(NOW).is_ok());
        assert_eq!(judge(1_000_000_000), Err(Refusal::Rejected));
        assert_eq!(judge(9_000_000_000), Err(Refusal::Rejected));
    }

    #[test]
    fn only_apples_hosts_are_asked_for_a_certificate() {
        let settings = Settings::default().game_center;
        let check = |url: &str| {
            let mut proof = game_center("T:_1", "com.example.game", 0);
            proof.public_key_url = url.into();
            request(&settings, &proof).is_ok()
        };
        assert!(check("https://static.gc.apple.com/public-key/gc-prod-9.cer"));
        assert!(check("https://apple.com/a.cer"));
        assert!(check("https://STATIC.GC.APPLE.COM:443/a.cer"));
        for bad in [
            "",
            "http://static.gc.apple.com/a.cer",
            "https://pineapple.com/a.cer",
            "https://apple.com.example.com/a.cer",
            "https://example.com/apple.com/a.cer",
            "https://example.com/?apple.com/a.cer",
            "https://example.com/#.apple.com/a.cer",
            "https://static.gc.apple.com@example.com/a.cer",
            "https://user:static.gc.apple.com@example.com/a.cer",
            "https://example.com\\.apple.com/a.cer",
            "https://static.gc.apple.com:8443/a.cer",
            "https://static.gc.apple.com/a.cer?b",
            "https://static.gc.apple.com/",
            "https://127.0.0.1/a.cer",
            "http://127.0.0.1/a.cer",
            "http://[::1]/a.cer",
            "https://169.254.169.254/a.cer",
            "https://localhost/a.cer",
            "https://.apple.com@127.0.0.1/a.cer",
            "file:///apple.com/a.cer",
            "//static.gc.apple.com/a.cer",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn an_old_signature_of_another_game_or_of_the_future_is_rejected() {
        let mut settings = Settings::default().game_center;
        let now = UnixTime::from_secs(NOW);
        let is_good = |settings: &settings::GameCenter, offset: i64| {
            let proof = game_center("T:_1", "com.example.game", NOW as i64 * 1000 + offset);
            check(settings, &proof, now).is_ok()
        };
        assert!(is_good(&settings, 60_000));
        assert!(!is_good(&settings, 60_001));
        assert!(is_good(&settings, -DAY));
        assert!(!is_good(&settings, -DAY - 1));
        settings.age_max = None;
        assert!(is_good(&settings, -DAY - 1));
        assert!(!is_good(&settings, i64::MIN / 2));
        settings.bundle_ids = vec!["com.example.other".into()];
        assert!(!is_good(&settings, 0));
        settings.bundle_ids.push("com.example.game".into());
        assert!(is_good(&settings, 0));
    }

    proptest! {
        #[test]
        fn no_text_panics(texts in any::<[String; 5]>(), timestamp: i64, now: u64) {
            let [player_id, bundle_id, salt, signature, public_key_url] = texts;
            let proof =
                GameCenter { player_id, bundle_id, timestamp, salt, signature, public_key_url };
            let settings = Settings::default().game_center;
            prop_assert!(request(&settings, &proof).is_err());
            let _ = check(&settings, &proof, UnixTime(now));
            prop_assert_eq!(judge(&proof), Err(Refusal::Rejected));
        }
    }
}
