//! Facebook: Limited Login's tokens, and access tokens of the Graph API.
//!
//! After "OIDC Token for Limited Login" and "Validating the OIDC Token",
//! <https://developers.facebook.com/docs/facebook-login/limited-login/token>; for the Graph API "User"
//! and its field `picture`, <https://developers.facebook.com/docs/graph-api/reference/user>, and
//! "Handle Errors", <https://developers.facebook.com/docs/graph-api/guides/error-handling>.

use base::json::Json;
use domain::identity::provider::{Profile, Refusal};

use super::{bounded, is_refusal};
use crate::fetch::Answer;
use crate::json;
use crate::jwk::Algorithm;
use crate::jwt::Rules;
use crate::limits::TOKEN_BYTES_MAX;
use crate::url::Url;

/// Codes of errors that pass: unknown, service, too many calls (app, user, page, custom), limit
/// reached, blocked for a while.
const TEMPORARY: [i128; 8] = [1, 2, 4, 17, 32, 341, 368, 613];

/// Whether a token is one of Limited Login, if an app is configured for it: three parts.
pub(crate) fn is_limited(app_id: &str, token: &str) -> bool {
    !app_id.is_empty() && token.split('.').count() == 3
}

pub(crate) fn rules<'a>(audiences: &'a [&'a str]) -> Rules<'a> {
    Rules { algorithms: &[Algorithm::Rs256], issuers: &["https://www.facebook.com"], audiences }
}

/// Whose a verified token of Limited Login is.
pub(crate) fn profile(claims: &Json) -> Result<Profile, Refusal> {
    bounded(Profile {
        id: json::text_or_empty(claims, "sub"),
        display_name: json::text_or_empty(claims, "name"),
        avatar_url: json::text_or_empty(claims, "picture"),
        email: json::text_or_empty(claims, "email"),
    })
}

/// What is asked of the Graph API about an access token.
pub(crate) fn request(url: &Url, token: &str) -> Result<Url, Refusal> {
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Rejected);
    }
    url.with_query(&[("access_token", token), ("fields", "id,name,email,picture")])
        .ok_or(Refusal::Unavailable)
}

/// What the Graph API's answer means.
pub(crate) fn judge(answer: &Answer) -> Result<Profile, Refusal> {
    let body = Json::parse(&answer.body).map_err(|_| Refusal::Unavailable)?;
    if answer.status != 200 {
        let error = json::member(&body, "error").filter(|_| is_refusal(answer.status));
        let code = error.and_then(|error| json::number(error, "code"));
        let passes = error.is_some_and(|error| json::is_true(error, "is_transient"))
            || code.is_none_or(|code| TEMPORARY.contains(&code));
        return Err(if passes { Refusal::Unavailable } else { Refusal::Rejected });
    }
    let id = json::text(&body, "id").ok_or(Refusal::Unavailable)?.to_owned();
    let picture = json::member(&body, "picture").and_then(|picture| json::member(picture, "data"));
    bounded(Profile {
        id,
        display_name: json::text_or_empty(&body, "name"),
        avatar_url: picture.map_or_else(String::new, |data| json::text_or_empty(data, "url")),
        email: json::text_or_empty(&body, "email"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, body: &str) -> Result<Profile, Refusal> {
        super::judge(&Answer {
            status,
            body: body.to_owned().into(),
            max_age: None,
            retry_after: None,
        })
    }

    #[test]
    fn a_token_of_three_parts_is_limited_logins_if_an_app_is_configured() {
        assert!(is_limited("7", "a.b.c"));
        assert!(!is_limited("", "a.b.c"));
        assert!(!is_limited("7", "a.b"));
        assert!(!is_limited("7", "EAAB"));
    }

    #[test]
    fn a_token_is_asked_about_escaped() {
        let url = Url::parse("https://graph.facebook.com/v24.0/me").unwrap();
        assert_eq!(
            request(&url, "a&b|ö").map(|url| url.to_key()),
            Ok("https://graph.facebook.com/v24.0/me?access_token=a%26b%7C%C3%B6\
                &fields=id%2Cname%2Cemail%2Cpicture"
                .into())
        );
        let long = "ö".repeat(TOKEN_BYTES_MAX / 2);
        assert!(request(&url, &long).is_ok());
        assert!(matches!(request(&url, &format!("{long}a")), Err(Refusal::Rejected)));
        assert!(matches!(request(&url, ""), Err(Refusal::Rejected)));
    }

    #[test]
    fn a_user_is_taken_with_its_picture() {
        let body = r#"{"id":"10","name":"Al","email":"a@b.c","picture":{"data":{"height":50,
            "is_silhouette":false,"url":"https://scontent.example/p.jpg","width":50}}}"#;
        let expected = Profile {
            id: "10".into(),
            display_name: "Al".into(),
            avatar_url: "https://scontent.example/p.jpg".into(),
            email: "a@b.c".into(),
        };
        assert_eq!(judge(200, body), Ok(expected));
        let expected = Profile { id: "10".into(), ..Profile::default() };
        assert_eq!(judge(200, r#"{"id":"10"}"#), Ok(expected));
    }

    #[test]
    fn an_error_rejects_unless_it_passes() {
        let error = |code: i32, more: &str| {
            format!(r#"{{"error":{{"message":"m","type":"OAuthException","code":{code}{more}}}}}"#)
        };
        assert_eq!(judge(400, &error(190, "")), Err(Refusal::Rejected));
        assert_eq!(judge(401, &error(102, "")), Err(Refusal::Rejected));
        for code in [1, 2, 4, 17] {
            assert_eq!(judge(400, &error(code, "")), Err(Refusal::Unavailable));
        }
        let transient = error(190, r#","is_transient":true"#);
        assert_eq!(judge(400, &transient), Err(Refusal::Unavailable));
        for (status, body) in [
            (400, "<html>".to_owned()),
            (400, "{}".to_owned()),
            (429, error(190, "")),
            (500, error(190, "")),
            (302, "{}".to_owned()),
            (200, "{}".to_owned()),
            (200, "garbage".to_owned()),
        ] {
            assert_eq!(judge(status, &body), Err(Refusal::Unavailable), "{status} {body}");
        }
    }

    #[test]
    fn limited_logins_claims_are_taken() {
        let claims = r#"{"iss":"https://www.facebook.com","aud":"7","sub":"10","exp":2,"iat":1,
            "nonce":"n","name":"Al","email":"a@b.c","picture":"https://p.example/p.jpg"}"#;
        let profile = profile(&Json::parse(claims.as_bytes()).unwrap()).unwrap();
        assert_eq!((&*profile.id, &*profile.display_name), ("10", "Al"));
        assert_eq!((&*profile.email, &*profile.avatar_url), ("a@b.c", "https://p.example/p.jpg"));
    }
}
