//! OpenID Connect issuers of the configuration.
//!
//! After "OpenID Connect Core 1.0", section 3.1.3.7 (ID token validation),
//! <https://openid.net/specs/openid-connect-core-1_0.html>. A token has to name its key (`kid`); an
//! issuer's name in ids keeps two issuers' players apart.

use base::json::Json;
use domain::identity::provider::{Profile, Refusal};

use super::bounded;
use crate::json;
use crate::jwk::Algorithm;
use crate::jwt::{Rules, Token};
use crate::settings::Issuer;

/// The place of the issuer that a token claims to be of, and whose audience it names.
pub(crate) fn find(issuers: &[Issuer], token: &Token<'_>) -> Option<usize> {
    let named = json::text(&token.claims, "iss")?;
    issuers.iter().position(|issuer| issuer.issuer == named && token.is_for(&issuer.audience))
}

pub(crate) fn rules<'a>(issuers: &'a [&'a str], audiences: &'a [&'a str]) -> Rules<'a> {
    Rules { algorithms: &[Algorithm::Rs256, Algorithm::Es256], issuers, audiences }
}

/// Whose a verified token of an issuer is.
pub(crate) fn profile(issuer: &Issuer, claims: &Json) -> Result<Profile, Refusal> {
    let subject = json::text(claims, "sub").filter(|subject| !subject.is_empty());
    let subject = subject.ok_or(Refusal::Rejected)?;
    let is_verified = json::is_true(claims, "email_verified");
    bounded(Profile {
        id: format!("{}:{subject}", issuer.name),
        display_name: json::text_or_empty(claims, "name"),
        avatar_url: json::text_or_empty(claims, "picture"),
        email: if is_verified { json::text_or_empty(claims, "email") } else { String::new() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sign::compact;

    fn issuer(name: &str, issuer: &str, audience: &str) -> Issuer {
        Issuer {
            name: name.into(),
            issuer: issuer.into(),
            audience: audience.into(),
            jwks_url: "https://example.com/keys".into(),
        }
    }

    #[test]
    fn an_issuer_is_found_by_its_exact_name_and_audience() {
        let issuers = [
            issuer("a", "https://a.example", "game"),
            issuer("b", "https://b.example", "game"),
            issuer("c", "https://b.example", "web"),
        ];
        let check = |claims: &str, expected: Option<&str>| {
            let text = compact(r#"{"alg":"RS256","kid":"k"}"#, claims, b"");
            let found = find(&issuers, &Token::parse(&text).unwrap());
            assert_eq!(found.map(|index| &*issuers[index].name), expected);
        };
        check(r#"{"iss":"https://a.example","aud":"game"}"#, Some("a"));
        check(r#"{"iss":"https://b.example","aud":["x","game"]}"#, Some("b"));
        check(r#"{"iss":"https://b.example","aud":"web"}"#, Some("c"));
        check(r#"{"iss":"https://a.example","aud":"web"}"#, None);
        check(r#"{"iss":"https://a.example/","aud":"game"}"#, None);
        check(r#"{"iss":["https://a.example"],"aud":"game"}"#, None);
        check(r#"{"aud":"game"}"#, None);
    }

    #[test]
    fn a_subject_belongs_to_its_issuer() {
        let issuer = issuer("studio", "https://a.example", "game");
        let profile = |text: &str| profile(&issuer, &Json::parse(text.as_bytes()).unwrap());
        let claims = r#"{"sub":"7","email":"a@b.c","email_verified":true,"name":"Al"}"#;
        let expected = Profile {
            id: "studio:7".into(),
            display_name: "Al".into(),
            email: "a@b.c".into(),
            ..Profile::default()
        };
        assert_eq!(profile(claims), Ok(expected));
        assert_eq!(profile(r#"{"sub":"7","email":"a@b.c"}"#).unwrap().email, "");
        assert_eq!(profile(r#"{"sub":""}"#), Err(Refusal::Rejected));
        assert_eq!(profile(r#"{"sub":7}"#), Err(Refusal::Rejected));
    }
}
