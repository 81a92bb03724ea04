//! Sign in with Apple.
//!
//! After "Verifying a user" and "Authenticating users with Sign in with Apple",
//! <https://developer.apple.com/documentation/signinwithapple/verifying-a-user>, and "Fetch
//! Apple's public key for verifying token signature",
//! <https://developer.apple.com/documentation/signinwithapplerestapi/fetch_apple_s_public_key_for_verifying_token_signature>.
//! The `nonce` belongs to the client that chose it and is not looked at.

use base::json::Json;
use domain::identity::provider::{Profile, Refusal};

use super::bounded;
use crate::json;
use crate::jwk::Algorithm;
use crate::jwt::Rules;

pub(crate) fn rules<'a>(audiences: &'a [&'a str]) -> Rules<'a> {
    Rules { algorithms: &[Algorithm::Rs256], issuers: &["https://appleid.apple.com"], audiences }
}

/// Whose a verified token is. Apple gives no name in it.
pub(crate) fn profile(claims: &Json) -> Result<Profile, Refusal> {
    let is_verified = json::is_true(claims, "email_verified");
    bounded(Profile {
        id: json::text_or_empty(claims, "sub"),
        email: if is_verified { json::text_or_empty(claims, "email") } else { String::new() },
        ..Profile::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(email_verified: &str, email: &str) {
        let claims = format!(
            r#"{{"iss":"https://appleid.apple.com","aud":"com.example.game","exp":1,"iat":0,
            "sub":"000341.ab","email":"a@privaterelay.appleid.com",
            "email_verified":{email_verified}}}"#
        );
        let profile = profile(&Json::parse(claims.as_bytes()).unwrap()).unwrap();
        assert_eq!((&*profile.id, &*profile.email), ("000341.ab", email));
    }

    #[test]
    fn an_email_counts_if_it_is_verified() {
        check("true", "a@privaterelay.appleid.com");
        check("\"true\"", "a@privaterelay.appleid.com");
        check("false", "");
        check("\"false\"", "");
        check("1", "");
    }

    #[test]
    fn nobody_is_rejected() {
        for claims in ["{}", r#"{"sub":""}"#, r#"{"sub":7}"#] {
            let claims = Json::parse(claims.as_bytes()).unwrap();
            assert_eq!(profile(&claims), Err(Refusal::Rejected));
        }
    }
}
