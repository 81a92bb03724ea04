//! The keys of providers: Nakama's `social` and `google_auth`, and OpenID Connect issuers.

use std::time::Duration;

use base::Secret;
use toml::de::DeValue;

use super::problem::shorten;
use super::setting::without_parameters;
use super::{Kind, Setting, Value, Wrong, quote};

#[derive(Clone, Debug, Default)]
pub(crate) struct Social {
    pub apple: Apple,
    pub facebook_instant_game: FacebookInstantGame,
    pub facebook_limited_login: FacebookLimitedLogin,
    pub game_center: GameCenter,
    pub google: Google,
    pub steam: Steam,
    pub oidc: Vec<Issuer>,
    pub endpoints: Endpoints,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Apple {
    /// The audience of identity tokens. Empty: Apple's are refused.
    pub bundle_id: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FacebookInstantGame {
    /// What player information is signed with. Empty: it is refused.
    pub app_secret: Secret,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FacebookLimitedLogin {
    /// The audience of Limited Login's tokens. Empty: they are taken for tokens of the Graph API.
    pub app_id: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct GameCenter {
    /// Games whose signatures are accepted. Empty: any game's, as in Nakama.
    pub bundle_ids: Vec<String>,
    /// A signature that is older is refused; 0 refuses none.
    pub max_age_sec: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Google {
    /// Audiences of which an ID token must have one. Empty: any, as in Nakama.
    pub client_ids: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Steam {
    /// The publisher's Web API key. Empty: Steam's tickets are refused.
    pub publisher_key: Secret,
    /// 0: Steam's tickets are refused.
    pub app_id: u32,
}

/// An OpenID Connect issuer whose ID tokens stand for custom ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issuer {
    /// What its players' custom ids begin with, in front of a colon.
    pub name: String,
    /// Exactly as in its tokens.
    pub issuer: String,
    pub audience: String,
    /// Where it publishes its keys.
    pub jwks_url: String,
}

/// Other addresses of the providers, for tests and proxies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    pub apple_jwks_url: String,
    pub facebook_graph_url: String,
    pub facebook_limited_login_jwks_url: String,
    pub game_center_key_domains: Vec<String>,
    pub google_jwks_url: String,
    pub steam_ticket_url: String,
}

/// Written as a table.
impl Setting for Issuer {
    fn set(&mut self, value: &Value<'_>, _: &Kind) -> Result<(), Vec<Wrong>> {
        const TEXT: Kind = Kind::Text { least: 1, most: 1024 };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(Wrong::of_type(value).into());
        };
        let mut read = Issuer::default();
        for (name, text) in table {
            match &**name.get_ref() {
                "name" => read.name.set(text, &TEXT)?,
                "issuer" => read.issuer.set(text, &TEXT)?,
                "audience" => read.audience.set(text, &TEXT)?,
                "jwks_url" => read.jwks_url.set(text, &Kind::Url)?,
                other => {
                    let what = format!("has the unknown key {}", quote(&shorten(other)));
                    return Err(Wrong::new(value, what).into());
                }
            }
        }
        let Issuer { name, issuer, audience, jwks_url } = &read;
        if [name, issuer, audience, jwks_url].into_iter().any(String::is_empty) {
            return Err(Wrong::new(value, "lacks one of them").into());
        }
        let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_word || name.len() > 32 {
            let what = "has a name that is not 1 to 32 letters, digits and hyphens";
            return Err(Wrong::new(value, what).into());
        }
        *self = read;
        Ok(())
    }

    fn toml(&self) -> String {
        let Issuer { name, issuer, audience, jwks_url } = self;
        let [name, issuer, audience, jwks_url] =
            [name, issuer, audience, jwks_url].map(|text| quote(text));
        format!(
            "{{ name = {name}, issuer = {issuer}, audience = {audience}, jwks_url = {jwks_url} }}"
        )
    }

    fn shown(&self, _: &Kind) -> String {
        let jwks_url = without_parameters(&self.jwks_url).to_owned();
        Issuer { jwks_url, ..self.clone() }.toml()
    }
}

impl Social {
    pub(crate) fn settings(&self) -> sidecar::Settings {
        let mut settings = sidecar::Settings::default();
        settings.apple.bundle_id.clone_from(&self.apple.bundle_id);
        settings.facebook_instant_game.app_secret = self.facebook_instant_game.app_secret.clone();
        settings.facebook_limited_login.app_id.clone_from(&self.facebook_limited_login.app_id);
        settings.game_center.bundle_ids.clone_from(&self.game_center.bundle_ids);
        settings.game_center.age_max = match self.game_center.max_age_sec {
            0 => None,
            secs => Some(Duration::from_secs(secs)),
        };
        settings.google.client_ids.clone_from(&self.google.client_ids);
        settings.steam.publisher_key = self.steam.publisher_key.clone();
        settings.steam.app_id = self.steam.app_id;
        settings.oidc = self.oidc.iter().map(issuer).collect();
        let endpoints = &self.endpoints;
        for (setting, url) in [
            (&mut settings.apple.jwks_url, &endpoints.apple_jwks_url),
            (&mut settings.facebook.graph_url, &endpoints.facebook_graph_url),
            (
                &mut settings.facebook_limited_login.jwks_url,
                &endpoints.facebook_limited_login_jwks_url,
            ),
            (&mut settings.google.jwks_url, &endpoints.google_jwks_url),
            (&mut settings.steam.ticket_url, &endpoints.steam_ticket_url),
        ] {
            if !url.is_empty() {
                setting.clone_from(url);
            }
        }
        if !endpoints.game_center_key_domains.is_empty() {
            settings.game_center.key_domains.clone_from(&endpoints.game_center_key_domains);
        }
        settings
    }
}

fn issuer(issuer: &Issuer) -> sidecar::Issuer {
    let Issuer { name, issuer, audience, jwks_url } = issuer.clone();
    sidecar::Issuer { name, issuer, audience, jwks_url }
}
