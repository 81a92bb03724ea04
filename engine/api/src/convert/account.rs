//! Accounts and what signs them in.

use base::json::{self, Object};
use base::{LedgerId, UnixTime};
use domain::compete::leaderboard::Written;
use domain::economy::object::Found;
use domain::economy::wallet;
use domain::identity::alias::Kind;
use domain::identity::provider::{GameCenter, Proof};

use super::{belongings, board, storage};
use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::reply::UserView;
use crate::request::{AccountUpdate, Authenticate, Credentials, Request};

/// Reads what one kind of credential consists of.
type Decode = fn(&mut Message) -> Result<Credentials, Malformed>;

pub(crate) fn authenticate(call: &Call<'_>, decode: Decode) -> Result<Request, Error> {
    let mut body = call.message()?;
    let credentials = decode(&mut body)?;
    let vars = body.text_map("vars")?;
    body.finish()?;
    call.query.flag("sync")?;
    let create = call.query.flag("create")?.unwrap_or(true);
    let username = call.query.text("username")?.unwrap_or_default().to_owned();
    Ok(Request::Authenticate(Authenticate { credentials, vars, create, username }))
}

pub(crate) fn link(call: &Call<'_>, decode: Decode) -> Result<Request, Error> {
    call.query.flag("sync")?;
    credentials(call, decode).map(Request::Link)
}

pub(crate) fn unlink(call: &Call<'_>, decode: Decode) -> Result<Request, Error> {
    credentials(call, decode).map(Request::Unlink)
}

fn credentials(call: &Call<'_>, decode: Decode) -> Result<Credentials, Error> {
    let mut body = call.message()?;
    let credentials = decode(&mut body)?;
    body.text_map("vars")?;
    body.finish()?;
    Ok(credentials)
}

pub(crate) fn device(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Device { id: body.text("id")? })
}

pub(crate) fn custom(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Custom { id: body.text("id")? })
}

pub(crate) fn email(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Email { email: body.text("email")?, password: body.text("password")? })
}

pub(crate) fn apple(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Proof(Proof::Apple { token: body.text("token")? }))
}

pub(crate) fn facebook(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Proof(Proof::Facebook { token: body.text("token")? }))
}

pub(crate) fn facebook_instant_game(body: &mut Message) -> Result<Credentials, Malformed> {
    let signed_player_info = body.text("signed_player_info")?;
    Ok(Credentials::Proof(Proof::FacebookInstantGame { signed_player_info }))
}

pub(crate) fn game_center(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Proof(Proof::GameCenter(GameCenter {
        player_id: body.text("player_id")?,
        bundle_id: body.text("bundle_id")?,
        timestamp: body.int64("timestamp_seconds")?,
        salt: body.text("salt")?,
        signature: body.text("signature")?,
        public_key_url: body.text("public_key_url")?,
    })))
}

pub(crate) fn google(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Proof(Proof::Google { token: body.text("token")? }))
}

pub(crate) fn steam(body: &mut Message) -> Result<Credentials, Malformed> {
    Ok(Credentials::Proof(Proof::Steam { token: body.text("token")? }))
}

/// Linking Steam has the account in a field of its own, and `sync` beside it.
pub(crate) fn steam_in_account(body: &mut Message) -> Result<Credentials, Malformed> {
    body.flag("sync")?;
    let Some(mut account) = body.message("account")? else {
        return Ok(Credentials::Proof(Proof::Steam { token: String::new() }));
    };
    account.text_map("vars")?;
    let credentials = steam(&mut account)?;
    account.finish()?;
    Ok(credentials)
}

pub(crate) fn account_update(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let update = AccountUpdate {
        username: body.text_wrapper("username")?,
        display_name: body.text_wrapper("display_name")?,
        avatar_url: body.text_wrapper("avatar_url")?,
        lang_tag: body.text_wrapper("lang_tag")?,
        location: body.text_wrapper("location")?,
        timezone: body.text_wrapper("timezone")?,
    };
    body.finish()?;
    Ok(Request::AccountUpdate(update))
}

pub(crate) fn server_token_get(call: &Call<'_>) -> Result<Request, Error> {
    let audience = call.query.text("audience")?.unwrap_or_default().to_owned();
    Ok(Request::ServerTokenGet { audience })
}

/// The account as its owner sees it.
pub(crate) fn account(view: &UserView, o: &mut Object<'_>) {
    o.object("user", |o| user(view, o));
    o.text("wallet", &view.user.wallet);
    o.text("email", view.user.credential(Kind::Email));
    o.list("devices", view.user.credentials_of(Kind::Device), |id, o| o.text("id", id));
    let custom_id = [Kind::Custom, Kind::Oidc].map(|kind| view.user.credential(kind));
    o.text("custom_id", custom_id.into_iter().find(|id| !id.is_empty()).unwrap_or_default());
}

/// The public part of an account.
pub(crate) fn user(view: &UserView, o: &mut Object<'_>) {
    let UserView { id, user, online } = view;
    o.shown("id", id);
    o.text("username", &user.username);
    o.text("display_name", &user.display_name);
    o.text("avatar_url", &user.avatar_url);
    o.text("lang_tag", &user.lang_tag);
    o.text("location", &user.location);
    o.text("timezone", &user.timezone);
    o.text("metadata", &user.metadata);
    for (name, kind) in [
        ("facebook_id", Kind::Facebook),
        ("google_id", Kind::Google),
        ("gamecenter_id", Kind::GameCenter),
        ("steam_id", Kind::Steam),
        ("facebook_instant_game_id", Kind::FacebookInstantGame),
        ("apple_id", Kind::Apple),
    ] {
        o.text(name, user.credential(kind));
    }
    o.flag("online", *online);
    o.shown("create_time", UnixTime::from_secs(user.create_time));
    o.shown("update_time", UnixTime::from_secs(user.update_time));
}

/// Everything that is kept of an account, for the account's owner or another server.
pub fn export(
    view: &UserView,
    objects: &[Found],
    ledger: &[(LedgerId, wallet::Entry)],
    records: &[Written],
) -> String {
    json::object(|o| {
        o.object("account", |o| {
            account(view, o);
            if view.user.is_disabled() {
                o.shown("disable_time", UnixTime::from_secs(view.user.disable_time));
            }
        });
        o.list("objects", objects, storage::found);
        o.list("leaderboard_records", records, board::written);
        o.list("wallet_ledgers", ledger, |(id, entry), o| {
            belongings::ledger_entry(view.id, *id, entry, o);
        });
    })
}

#[cfg(test)]
mod tests {
    use base::{Code, UserId};
    use domain::identity::account::{Credential, User};
    use expect_test::expect;

    use super::*;
    use crate::http;
    use crate::ops::Operations;
    use crate::reply::Reply;

    fn decode(method: &str, target: &str, body: &str) -> Result<Request, Error> {
        let request = http::Request {
            method: method.into(),
            target: target.into(),
            body: body.as_bytes().to_vec().into(),
            ..http::Request::default()
        };
        let operations = Operations::all();
        let found = operations.router.find(&request)?;
        found.decode(&request)
    }

    fn post(target: &str, body: &str) -> Result<Request, Error> {
        decode("POST", &format!("/v2/account/{target}"), body)
    }

    #[test]
    fn a_sign_in_says_whom_and_on_what_terms() {
        let email = post(
            "authenticate/email?create=0&username=ann",
            r#"{"email":"A@b.example","password":"secret","vars":{"k":"v"},"more":1}"#,
        );
        let Ok(Request::Authenticate(request)) = email else { panic!("{email:?}") };
        let credentials =
            Credentials::Email { email: "A@b.example".into(), password: "secret".into() };
        assert_eq!(request.credentials, credentials);
        assert_eq!((request.create, &*request.username), (false, "ann"));
        assert_eq!(request.vars.get("k").map(String::as_str), Some("v"));
        let shown = format!("{request:?}");
        assert!(!shown.contains("secret"), "{shown}");

        let steam = post("authenticate/steam?sync=true", r#"{"token":"t","sync":true}"#);
        let Ok(Request::Authenticate(request)) = steam else { panic!("{steam:?}") };
        assert_eq!(request.credentials, Credentials::Proof(Proof::Steam { token: "t".into() }));
        assert!(request.create, "the default");
    }

    #[test]
    fn a_game_center_signature_has_six_parts() {
        let body = r#"{"player_id":"p","bundleId":"b","timestamp_seconds":"1700000000000",
            "salt":"s","signature":"g","public_key_url":"u"}"#;
        let proof = GameCenter {
            player_id: "p".into(),
            bundle_id: "b".into(),
            timestamp: 1_700_000_000_000,
            salt: "s".into(),
            signature: "g".into(),
            public_key_url: "u".into(),
        };
        let credentials = Credentials::Proof(Proof::GameCenter(proof));
        assert_eq!(post("link/gamecenter", body), Ok(Request::Link(credentials.clone())));
        assert_eq!(post("unlink/gamecenter", body), Ok(Request::Unlink(credentials)));
    }

    /// Row 121.
    #[test]
    fn linking_steam_has_the_account_in_a_field() {
        let steam = |token: &str| Credentials::Proof(Proof::Steam { token: token.into() });
        for (body, token) in [
            (r#"{"account":{"token":"t"},"sync":false}"#, "t"),
            (r#"{"token":"t"}"#, ""),
            ("{}", ""),
            ("", ""),
        ] {
            assert_eq!(post("link/steam", body), Ok(Request::Link(steam(token))), "{body}");
        }
        assert_eq!(post("unlink/steam", r#"{"token":"t"}"#), Ok(Request::Unlink(steam("t"))));
    }

    /// Rows 31 to 36 and 97.
    #[test]
    fn an_update_tells_absent_from_empty() {
        let update = |body: &str| match decode("PUT", "/v2/account", body) {
            Ok(Request::AccountUpdate(update)) => Ok(update),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.code),
        };
        let found = update(r#"{"displayName":"","location":null,"lang_tag":"fr","more":[]}"#);
        let expected = AccountUpdate {
            display_name: Some(String::new()),
            lang_tag: Some("fr".into()),
            ..AccountUpdate::default()
        };
        assert_eq!(found, Ok(expected));
        assert_eq!(update(""), Ok(AccountUpdate::default()));
        for wrong in [
            "{",
            "[]",
            "null",
            "5",
            r#"{"username":1}"#,
            r#"{"username":{"value":"x"}}"#,
            r#"{"display_name":"a","displayName":"b"}"#,
            r#"{"location":"\ud800"}"#,
        ] {
            assert_eq!(update(wrong), Err(Code::InvalidArgument), "{wrong}");
        }
    }

    #[test]
    fn malformed_sign_ins_are_refused() {
        for (target, body) in [
            ("authenticate/email", r#"{"email":1}"#),
            ("authenticate/device?create=yes", r#"{"id":"device-0001"}"#),
            ("authenticate/facebook?sync=maybe", r#"{"token":"t"}"#),
            ("authenticate/gamecenter", r#"{"timestamp_seconds":1.5}"#),
            ("authenticate/gamecenter", r#"{"timestamp_seconds":9223372036854775808}"#),
            ("link/steam", r#"{"account":[]}"#),
            ("link/custom", r#"{"id":"a","id":"b"}"#),
        ] {
            let code = post(target, body).err().map(|error| error.code);
            assert_eq!(code, Some(Code::InvalidArgument), "{target} {body}");
        }
    }

    fn view() -> UserView {
        let credential =
            |kind: Kind, text: &str| Credential { kind: kind.number(), text: text.into() };
        let user = User {
            username: "ann".into(),
            display_name: "Ann".into(),
            lang_tag: "en".into(),
            metadata: "{}".into(),
            wallet: "{}".into(),
            credentials: vec![
                credential(Kind::Device, "device-0001"),
                credential(Kind::Device, "device-0002"),
                credential(Kind::Custom, "custom-1"),
                credential(Kind::Email, "ann@example.com"),
                credential(Kind::Steam, "7656"),
            ],
            password: "hash".into(),
            create_time: 1,
            update_time: 2,
            disable_time: 3,
            ..User::default()
        };
        UserView { id: UserId::from_bytes([7; 16]), user, online: true }
    }

    /// Rows 21 to 23, 28, 94 to 96 and 115.
    #[test]
    fn the_owner_sees_what_others_do_not() {
        let body = |reply: &Reply| http::Response::reply(reply).body;
        expect![[r#"{"user":{"id":"07070707-0707-0707-0707-070707070707","username":"ann","display_name":"Ann","lang_tag":"en","metadata":"{}","steam_id":"7656","online":true,"create_time":"1970-01-01T00:00:01Z","update_time":"1970-01-01T00:00:02Z"},"wallet":"{}","email":"ann@example.com","devices":[{"id":"device-0001"},{"id":"device-0002"}],"custom_id":"custom-1"}"#]]
        .assert_eq(&body(&Reply::Account { user: view() }));
        let others = body(&Reply::Users { users: vec![view()] });
        for secret in ["ann@example.com", "device-0001", "custom-1", "wallet", "hash"] {
            assert!(!others.contains(secret), "{others}");
        }
        let export = export(&view(), &[], &[], &[]);
        assert!(export.contains("\"disable_time\":\"1970-01-01T00:00:03Z\""), "{export}");
        assert!(!export.contains("hash"), "{export}");
    }
}
