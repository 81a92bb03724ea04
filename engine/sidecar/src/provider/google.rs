//! Google Sign-In.
//!
//! After "Verify the Google ID token on your server side",
//! <https://developers.google.com/identity/gsi/web/guides/verify-google-id-token>, and "OpenID
//! Connect", <https://developers.google.com/identity/openid-connect/openid-connect>. Only ID tokens:
//! the exchange of an authorization code needs a client secret and does not exist here.

use base::json::Json;
use domain::identity::provider::{Profile, Refusal};

use super::bounded;
use crate::json;
use crate::jwk::Algorithm;
use crate::jwt::Rules;

pub(crate) fn rules<'a>(audiences: &'a [&'a str]) -> Rules<'a> {
    Rules {
        algorithms: &[Algorithm::Rs256],
        issuers: &["https://accounts.google.com", "accounts.google.com"],
        audiences,
    }
}

/// Whose a verified token is.
pub(crate) fn profile(claims: &Json) -> Result<Profile, Refusal> {
    let is_verified = json::is_true(claims, "email_verified");
    bounded(Profile {
        id: json::text_or_empty(claims, "sub"),
        display_name: json::text_or_empty(claims, "name"),
        avatar_url: json::text_or_empty(claims, "picture"),
        email: if is_verified { json::text_or_empty(claims, "email") } else { String::new() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_picture_and_verified_email_are_taken() {
        let text = r#"{"iss":"https://accounts.google.com","azp":"x.apps.googleusercontent.com",
            "aud":"x.apps.googleusercontent.com","sub":"110169484474386276334","name":"Test User",
            "picture":"https://lh4.googleusercontent.com/photo.jpg","email":"user@gmail.com",
            "email_verified":true,"iat":1,"exp":2}"#;
        let expected = Profile {
            id: "110169484474386276334".into(),
            display_name: "Test User".into(),
            avatar_url: "https://lh4.googleusercontent.com/photo.jpg".into(),
            email: "user@gmail.com".into(),
        };
        assert_eq!(profile(&Json::parse(text.as_bytes()).unwrap()), Ok(expected.clone()));
        let text = text.replace("true", "false");
        let expected = Profile { email: String::new(), ..expected };
        assert_eq!(profile(&Json::parse(text.as_bytes()).unwrap()), Ok(expected));
        assert_eq!(profile(&Json::Object(Vec::new())), Err(Refusal::Rejected));
    }
}
