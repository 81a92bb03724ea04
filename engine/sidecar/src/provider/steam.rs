//! Steam.
//!
//! After "ISteamUserAuth Interface", <https://partner.steamgames.com/doc/webapi/ISteamUserAuth>, and
//! "User Authentication and Ownership", <https://partner.steamgames.com/doc/features/auth>. They
//! give no verdict on a player who is banned (`vacbanned`, `publisherbanned`): the ticket is valid,
//! and whether such a player may play is for the game to say. `ownersteamid`, the lender of a
//! shared game, is not looked at.

use base::json::Json;
use domain::identity::provider::{Profile, Refusal};

use super::bounded;
use crate::fetch::Answer;
use crate::json;
use crate::limits::TOKEN_BYTES_MAX;
use crate::settings::Steam;
use crate::url::Url;

/// What is asked about a ticket, unless it cannot be one.
pub(crate) fn request(url: &Url, settings: &Steam, ticket: &str) -> Result<Url, Refusal> {
    let is_ticket = !ticket.is_empty()
        && ticket.len() <= TOKEN_BYTES_MAX
        && ticket.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_ticket {
        return Err(Refusal::Rejected);
    }
    let app_id = settings.app_id.to_string();
    let key = &settings.publisher_key.0;
    url.with_query(&[("key", key), ("appid", &app_id), ("ticket", ticket)])
        .ok_or(Refusal::Unavailable)
}

/// What Steam's answer means. It says of a bad ticket with status 200 that it is one; a bad key has
/// an answer that is not JSON.
pub(crate) fn judge(answer: &Answer) -> Result<Profile, Refusal> {
    if answer.status != 200 && !super::is_refusal(answer.status) {
        return Err(Refusal::Unavailable);
    }
    let body = Json::parse(&answer.body).map_err(|_| Refusal::Unavailable)?;
    let response = json::member(&body, "response").ok_or(Refusal::Unavailable)?;
    if json::member(response, "error").is_some() {
        return Err(Refusal::Rejected);
    }
    let params = json::member(response, "params").ok_or(Refusal::Unavailable)?;
    if answer.status != 200 || json::text(params, "result") != Some("OK") {
        return Err(Refusal::Rejected);
    }
    let id = json::text_or_empty(params, "steamid");
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Unavailable);
    }
    bounded(Profile { id, ..Profile::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use base::Secret;

    #[test]
    fn a_ticket_is_asked_about_with_key_and_app() {
        let mut settings = Settings::default().steam;
        settings.publisher_key = Secret("k&y".into());
        settings.app_id = 480;
        let url = Url::parse(&settings.ticket_url).unwrap();
        let request = |ticket: &str| request(&url, &settings, ticket).map(|url| url.to_key());
        assert_eq!(
            request("14ABff"),
            Ok("https://partner.steam-api.com/ISteamUserAuth/AuthenticateUserTicket/v1/\
                ?key=k%26y&appid=480&ticket=14ABff"
                .into())
        );
        for bad in ["", "xyz", "14&key=", "14 ", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(request(bad), Err(Refusal::Rejected));
        }
    }

    #[test]
    fn answers_are_judged() {
        let judge = |status, body: &str| {
            let body = body.to_owned().into();
            judge(&Answer { status, body, max_age: None, retry_after: None })
                .map(|profile| profile.id)
        };
        let good = r#"{"response":{"params":{"result":"OK","steamid":"76561197960287930",
            "ownersteamid":"76561197960287931","vacbanned":true,"publisherbanned":true}}}"#;
        assert_eq!(judge(200, good), Ok("76561197960287930".into()));
        let bad = r#"{"response":{"error":{"errorcode":101,"errordesc":"Invalid ticket"}}}"#;
        assert_eq!(judge(200, bad), Err(Refusal::Rejected));
        assert_eq!(judge(400, bad), Err(Refusal::Rejected));
        assert_eq!(judge(200, &good.replace("OK", "Fail")), Err(Refusal::Rejected));
        for (status, body) in [
            (403, "<html>Verify your key</html>"),
            (429, bad),
            (500, bad),
            (302, good),
            (200, ""),
            (200, "{}"),
            (200, r#"{"response":{}}"#),
            (200, r#"{"response":{"params":{"result":"OK"}}}"#),
            (200, r#"{"response":{"params":{"result":"OK","steamid":7}}}"#),
            (200, r#"{"response":{"params":{"result":"OK","steamid":"7 or 8"}}}"#),
        ] {
            assert_eq!(judge(status, body), Err(Refusal::Unavailable), "{status} {body}");
        }
    }
}
