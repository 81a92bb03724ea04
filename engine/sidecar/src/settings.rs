//! What an operator may turn, with the public addresses of the providers as defaults.

use std::fmt;
use std::time::Duration;

use base::Secret;

use crate::trace::target::Target;
use crate::verify::{Addresses, issuer_problems};

/// Everything the sidecar is told. An empty `Default` verifies what needs no secret of ours.
#[derive(Clone, Debug)]
pub struct Settings {
    pub apple: Apple,
    pub facebook: Facebook,
    pub facebook_instant_game: FacebookInstantGame,
    pub facebook_limited_login: FacebookLimitedLogin,
    pub game_center: GameCenter,
    pub google: Google,
    pub oidc: Vec<Issuer>,
    pub steam: Steam,
    /// `None`: spans go nowhere.
    pub traces: Option<Traces>,
    /// `None`: a game's own server asks what becomes of its tickets.
    pub webhook: Option<Webhook>,
    /// Time for one verification, all its requests included.
    pub deadline: Duration,
}

#[derive(Clone, Debug)]
pub struct Apple {
    /// The audience of identity tokens. Empty: not configured.
    pub bundle_id: String,
    pub jwks_url: String,
}

/// A Graph access token says nothing about the app that it was given to: as in Nakama, one that
/// another app obtained signs in here too.
#[derive(Clone, Debug)]
pub struct Facebook {
    /// The node `me` of the Graph API.
    pub graph_url: String,
}

#[derive(Clone, Debug, Default)]
pub struct FacebookInstantGame {
    /// Empty: every proof is rejected.
    pub app_secret: Secret,
}

#[derive(Clone, Debug)]
pub struct FacebookLimitedLogin {
    /// The audience of tokens. Empty: every Facebook token is taken to be one of the Graph API.
    pub app_id: String,
    pub jwks_url: String,
}

#[derive(Clone, Debug)]
pub struct GameCenter {
    /// Domains whose hosts may serve the certificate, since the client names its address.
    pub key_domains: Vec<String>,
    /// Games whose signatures are accepted. Empty: any game's, so that another game that its own
    /// players sign in to could pass their signatures on.
    pub bundle_ids: Vec<String>,
    /// A signature that is older is rejected. `None`: none is.
    pub age_max: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct Google {
    /// Audiences of which an ID token must have one. Empty: any, as in Nakama, so that another
    /// application that a player signs in to could pass the player's token on.
    pub client_ids: Vec<String>,
    pub jwks_url: String,
}

/// An OpenID Connect issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What its players' ids begin with. Not empty, no colon, different from the others'.
    pub name: String,
    /// Exactly as in its tokens.
    pub issuer: String,
    pub audience: String,
    pub jwks_url: String,
}

#[derive(Clone, Debug)]
pub struct Steam {
    /// Empty: not configured.
    pub publisher_key: Secret,
    /// Zero: not configured.
    pub app_id: u32,
    pub ticket_url: String,
}

/// What a game's own server is told of its matchmaker tickets.
#[derive(Clone)]
pub struct Webhook {
    /// Of whatever host, over https or plain http. It may hold a key.
    pub url: String,
    /// The base64 form of the key that signs, which may begin with `whsec_`.
    pub secret: Secret,
}

impl Webhook {
    /// All that makes no sense, a sentence each; the sidecar would not start with it.
    pub fn check(&self) -> Result<(), Vec<String>> {
        crate::webhook::Target::read(self).map(drop)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(…)")
    }
}

/// A collector of traces that speaks OTLP over HTTP with JSON.
#[derive(Clone, Default)]
pub struct Traces {
    /// What stands before `/v1/traces`, for instance `http://127.0.0.1:4318`. Unlike a provider's,
    /// its address may be one over plain http of any host, as collectors stand beside the server;
    /// spans and headers are then open to whoever listens on the way.
    pub endpoint: String,
    /// Sent with every request, for instance a key of the collector.
    pub headers: Vec<(String, Secret)>,
    /// Which of several servers this is (`service.instance.id`). Empty: not said.
    pub instance: String,
    /// The server's version. Empty: not said.
    pub version: String,
}

impl Traces {
    /// All that makes no sense, a sentence each; the sidecar would not start with it.
    pub fn check(&self) -> Result<(), Vec<String>> {
        Target::read(self).map(drop)
    }
}

impl Settings {
    /// All that makes no sense, a sentence each; the sidecar would not start with it.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut problems = Addresses::read(self).err().unwrap_or_default();
        problems.extend(issuer_problems(&self.oidc));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    pub fn is_apple_configured(&self) -> bool {
        !self.apple.bundle_id.is_empty()
    }

    pub fn is_steam_configured(&self) -> bool {
        !self.steam.publisher_key.0.is_empty() && self.steam.app_id != 0
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            apple: Apple {
                bundle_id: String::new(),
                jwks_url: "https://appleid.apple.com/auth/keys".into(),
            },
            facebook: Facebook { graph_url: "https://graph.facebook.com/v24.0/me".into() },
            facebook_instant_game: FacebookInstantGame::default(),
            facebook_limited_login: FacebookLimitedLogin {
                app_id: String::new(),
                jwks_url: "https://limited.facebook.com/.well-known/oauth/openid/jwks/".into(),
            },
            game_center: GameCenter {
                key_domains: vec!["apple.com".into()],
                bundle_ids: Vec::new(),
                age_max: Some(Duration::from_secs(24 * 60 * 60)),
            },
            google: Google {
                client_ids: Vec::new(),
                jwks_url: "https://www.googleapis.com/oauth2/v3/certs".into(),
            },
            oidc: Vec::new(),
            steam: Steam {
                publisher_key: Secret::default(),
                app_id: 0,
                ticket_url:
                    "https://partner.steam-api.com/ISteamUserAuth/AuthenticateUserTicket/v1/".into(),
            },
            traces: None,
            webhook: None,
            deadline: Duration::from_secs(5),
        }
    }
}

/// Shows neither the endpoint, whose path may hold a key, nor what headers say.
impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces")
            .field("headers", &self.headers.len())
            .field("instance", &self.instance)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = Settings::default();
        settings.steam.publisher_key = Secret("hush".into());
        settings.facebook_instant_game.app_secret = Secret("hush".into());
        settings.traces = Some(Traces {
            endpoint: "http://user:hush@collector/hush".into(),
            headers: vec![
                ("x-key".into(), Secret("hush".into())),
                ("hush".into(), Secret::default()),
            ],
            ..Traces::default()
        });
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn steam_needs_a_key_and_an_app_and_apple_a_bundle() {
        let mut settings = Settings::default();
        assert!(!settings.is_steam_configured());
        settings.steam.publisher_key = Secret("key".into());
        assert!(!settings.is_steam_configured());
        settings.steam.app_id = 480;
        assert!(settings.is_steam_configured());
        assert!(!settings.is_apple_configured());
        settings.apple.bundle_id = "com.example.game".into();
        assert!(settings.is_apple_configured());
    }
}
