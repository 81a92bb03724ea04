//! Signed tokens of providers: a JSON Web Token in compact form (RFC 7515, RFC 7519).
//!
//! Only `RS256` and `ES256` exist here: a token that names another algorithm, `none` and the
//! symmetric ones among them, does not parse.

use base::UnixTime;
use base::json::Json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::identity::provider::Refusal;

use crate::json;
use crate::jwk::{Algorithm, Key};
use crate::limits::{LEEWAY, TOKEN_BYTES_MAX};

/// A token taken apart. Nothing it says is true before its signature is checked.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    /// The name of its key.
    pub(crate) key_id: String,
    pub(crate) claims: Json,
    signed: &'a str,
    signature: Vec<u8>,
}

/// What a token has to say.
pub(crate) struct Rules<'a> {
    pub(crate) algorithms: &'a [Algorithm],
    /// One of these.
    pub(crate) issuers: &'a [&'a str],
    /// One of these, or any if there are none.
    pub(crate) audiences: &'a [&'a str],
}

impl<'a> Token<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Token<'a>, Refusal> {
        Token::read(text).ok_or(Refusal::Rejected)
    }

    fn read(text: &'a str) -> Option<Token<'a>> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = object(header)?;
        // Extensions that a reader must understand. We understand none.
        if json::member(&header, "crit").is_some() {
            return None;
        }
        Some(Token {
            algorithm: Algorithm::parse(json::text(&header, "alg")?)?,
            key_id: json::text(&header, "kid")?.to_owned(),
            claims: object(claims)?,
            signed,
            signature: BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Checks everything but the signature, so that no key is asked for without need.
    pub(crate) fn check(&self, rules: &Rules<'_>, now: UnixTime) -> Result<(), Refusal> {
        let issuer = json::text(&self.claims, "iss").unwrap_or_default();
        let is_good = rules.algorithms.contains(&self.algorithm)
            && rules.issuers.contains(&issuer)
            && (rules.audiences.is_empty()
                || rules.audiences.iter().any(|audience| self.is_for(audience)))
            && self.is_in_time(now);
        if is_good { Ok(()) } else { Err(Refusal::Rejected) }
    }

    pub(crate) fn check_signature(&self, key: &Key) -> Result<(), Refusal> {
        if key.is_signed(self.signed.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(Refusal::Rejected)
        }
    }

    /// Whether an audience is the token's, or in its list.
    pub(crate) fn is_for(&self, audience: &str) -> bool {
        match json::member(&self.claims, "aud") {
            Some(Json::Text(one)) => one == audience,
            Some(Json::List(list)) => {
                list.iter().any(|one| matches!(one, Json::Text(one) if one == audience))
            }
            _ => false,
        }
    }

    /// An expiry is required; the other two times are not, but may not be in the future.
    fn is_in_time(&self, now: UnixTime) -> bool {
        let now = i128::from(now.secs());
        let leeway = i128::from(LEEWAY.as_secs());
        let begun = |name| match json::member(&self.claims, name) {
            None => true,
            Some(_) => json::number(&self.claims, name).is_some_and(|time| time <= now + leeway),
        };
        let expiry = json::number(&self.claims, "exp");
        expiry.is_some_and(|expiry| now < expiry.saturating_add(leeway))
            && begun("nbf")
            && begun("iat")
    }
}

fn object(part: &str) -> Option<Json> {
    let value = Json::parse(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    matches!(value, Json::Object(_)).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jwk::KeySet;
    use crate::tests::sign::{Signer, compact};

    const NOW: u64 = 1_700_000_000;
    const RULES: Rules<'_> = Rules {
        algorithms: &[Algorithm::Rs256, Algorithm::Es256],
        issuers: &["https://issuer.example"],
        audiences: &["us"],
    };

    fn claims(exp: &str, more: &str) -> String {
        format!(r#"{{"iss":"https://issuer.example","aud":"us","sub":"7","exp":{exp}{more}}}"#)
    }

    fn good() -> String {
        claims(&(NOW + 10).to_string(), "")
    }

    /// Whether a token passes everything, with `keys` as the set.
    fn verify(text: &str, keys: &[String]) -> bool {
        let set = KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap();
        let verdict = Token::parse(text).and_then(|token| {
            token.check(&RULES, UnixTime::from_secs(NOW))?;
            let key = set.find(&token.key_id, token.algorithm).ok_or(Refusal::Rejected)?;
            token.check_signature(key)
        });
        verdict.is_ok()
    }

    #[test]
    fn a_signed_token_passes_with_its_own_key_only() {
        let first = Signer::first();
        let keys = [first.jwk("a")];
        assert!(verify(&first.token("a", &good()), &keys));
        assert!(!verify(&Signer::second().token("a", &good()), &keys));
        assert!(!verify(&first.token("b", &good()), &keys));
        let ec = Signer::ec();
        assert!(verify(&ec.token("e", &good()), &[ec.jwk("e")]));
        assert!(!verify(&ec.token("e", &good()), &[Signer::ec().jwk("e")]));
        assert!(!verify(&ec.token("a", &good()), &keys));
    }

    #[test]
    fn a_changed_token_does_not_pass() {
        let first = Signer::first();
        let token = first.token("a", &good());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let header = signed.split_once('.').unwrap().0;
        let other = BASE64_URL_SAFE_NO_PAD.encode(good().replace("\"7\"", "\"8\""));
        let keys = [first.jwk("a")];
        assert!(!verify(&format!("{header}.{other}.{signature}"), &keys));
        assert!(!verify(&format!("{signed}."), &keys));
        assert!(!verify(&token[..token.len() - 1], &keys));
        assert!(!verify(&format!("{token}.{signature}"), &keys));
    }

    /// Neither without a signature, nor with the public key as a shared secret.
    #[test]
    fn other_algorithms_do_not_pass() {
        let first = Signer::first();
        let keys = [first.jwk("a")];
        for algorithm in ["none", "None", "HS256", "HS512", "RS512", "PS256", "rs256", ""] {
            let header = format!(r#"{{"alg":"{algorithm}","kid":"a"}}"#);
            for signature in [vec![], first.hmac_by_public_key(&header, &good())] {
                assert!(!verify(&compact(&header, &good(), &signature), &keys), "{algorithm}");
            }
            assert!(!verify(&first.token_with(&header, &good()), &keys), "{algorithm}");
        }
    }

    #[test]
    fn a_header_has_its_key_and_no_extension() {
        let first = Signer::first();
        let keys = [first.jwk("a")];
        let verify = |header: &str| verify(&first.token_with(header, &good()), &keys);
        assert!(verify(r#"{"alg":"RS256","kid":"a","typ":"JWT"}"#));
        assert!(!verify(r#"{"alg":"RS256"}"#));
        assert!(!verify(r#"{"alg":"RS256","kid":7}"#));
        assert!(!verify(r#"{"alg":"RS256","kid":"a","crit":["b64"],"b64":false}"#));
        assert!(!verify(r#"{"alg":"RS256","kid":"a","crit":[]}"#));
        assert!(!verify(r#"["RS256"]"#));
    }

    #[test]
    fn issuer_audience_and_times_are_checked() {
        let first = Signer::first();
        let keys = [first.jwk("a")];
        let verify = |claims: &str| verify(&first.token("a", claims), &keys);
        let at = |offset: i64| (NOW as i64 + offset).to_string();
        assert!(verify(&claims(&at(-59), "")));
        assert!(!verify(&claims(&at(-60), "")));
        assert!(verify(&claims(&format!("{}.5", at(10)), "")));
        assert!(verify(&claims("1e300", "")));
        assert!(!verify(&claims("\"9999999999\"", "")));
        assert!(!verify(r#"{"iss":"https://issuer.example","aud":"us","sub":"7"}"#));
        for name in ["nbf", "iat"] {
            let with = |time: &str| claims(&at(999), &format!(r#","{name}":{time}"#));
            assert!(verify(&with(&at(60))));
            assert!(!verify(&with(&at(61))));
            assert!(!verify(&with("\"soon\"")));
        }
        assert!(!verify(&good().replace("issuer.example", "issuer.example/")));
        assert!(verify(&good().replace("\"us\"", r#"["them","us"]"#)));
        assert!(!verify(&good().replace("\"us\"", r#"["them"]"#)));
        assert!(!verify(&good().replace("\"us\"", "\"usa\"")));
        assert!(!verify(&good().replace("\"us\"", "null")));
    }

    #[test]
    fn a_token_of_more_than_16_kib_is_not_read() {
        let first = Signer::first();
        let keys = [first.jwk("a")];
        let with =
            |length: usize| claims("9999999999", &format!(",\"a\":\"{}\"", "x".repeat(length)));
        assert!(verify(&first.token("a", &with(11_000)), &keys));
        assert!(!verify(&first.token("a", &with(13_000)), &keys));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, header: Vec<u8>, claims: Vec<u8>, signature: Vec<u8>) {
            let _ = Token::parse(&text);
            let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
            let header = encode(&header);
            let signature = encode(&signature);
            let _ = Token::parse(&format!("{header}.{}.{signature}", encode(&claims)));
        }

        #[test]
        fn no_claims_panic(name in "iss|aud|exp|nbf|iat", value: i128, fraction: f64) {
            for value in [Json::Integer(value), Json::Float(fraction)] {
                let token = Token {
                    algorithm: Algorithm::Rs256,
                    key_id: String::new(),
                    claims: Json::Object(vec![(name.clone(), value)]),
                    signed: "",
                    signature: Vec::new(),
                };
                let _ = token.check(&RULES, UnixTime::from_secs(NOW));
            }
        }
    }
}
