//! One verification: which provider's rules apply, and what is asked for them.

use std::io;
use std::sync::{Mutex, PoisonError};

use base::UnixTime;
use domain::identity::provider::{GameCenter, Profile, Proof, Refusal};
use tokio::time::timeout;

use crate::certificate::Certificate;
use crate::clock::{Clock, Throttle};
use crate::fetch::Fetcher;
use crate::jwk::KeySet;
use crate::jwt::{Rules, Token};
use crate::keys::Cache;
use crate::limits::{ISSUERS_MAX, WARNING_PAUSE};
use crate::provider::{apple, facebook, game_center, google, instant_game, oidc, steam};
use crate::settings::{Issuer, Settings};
use crate::url::Url;

/// What all verifications share. Lives on the thread of the sidecar.
pub(crate) struct Verifier {
    settings: Settings,
    addresses: Addresses,
    graph: Fetcher,
    steam: Fetcher,
    keys: Cache<KeySet>,
    certificates: Cache<Certificate>,
    clock: Clock,
    warnings: Mutex<Throttle>,
}

/// The addresses of the settings, read.
pub(crate) struct Addresses {
    apple_keys: Url,
    facebook_graph: Url,
    facebook_keys: Url,
    google_keys: Url,
    steam_ticket: Url,
    /// As many as there are issuers, in their order.
    oidc_keys: Vec<Url>,
}

impl Verifier {
    /// Fails if the settings make no sense.
    pub(crate) fn new(settings: Settings, fetcher: &Fetcher) -> io::Result<Verifier> {
        settings.check().map_err(invalid)?;
        let addresses = Addresses::read(&settings).map_err(invalid)?;
        let clock = Clock::start();
        let patience = settings.deadline / 2;
        Ok(Verifier {
            graph: fetcher.beside(),
            steam: fetcher.beside(),
            keys: Cache::new(KeySet::parse, fetcher.beside(), patience, clock),
            certificates: Cache::new(Certificate::parse, fetcher.beside(), patience, clock),
            settings,
            addresses,
            clock,
            warnings: Mutex::default(),
        })
    }

    /// Says whose a proof is, before the deadline.
    pub(crate) async fn verify(&self, proof: Proof) -> Result<Profile, Refusal> {
        let verdict = timeout(self.settings.deadline, self.ask(&proof)).await;
        let verdict = verdict.unwrap_or(Err(Refusal::Unavailable));
        if verdict == Err(Refusal::Unavailable) {
            self.warn(&proof);
        }
        verdict
    }

    async fn ask(&self, proof: &Proof) -> Result<Profile, Refusal> {
        match proof {
            Proof::Apple { token } => self.ask_apple(token).await,
            Proof::Facebook { token } => self.ask_facebook(token).await,
            Proof::FacebookInstantGame { signed_player_info } => instant_game::verify(
                &self.settings.facebook_instant_game.app_secret,
                signed_player_info,
            ),
            Proof::GameCenter(proof) => self.ask_game_center(proof).await,
            Proof::Google { token } => self.ask_google(token).await,
            Proof::Steam { token } => self.ask_steam(token).await,
            Proof::Oidc { token } => self.ask_oidc(token).await,
        }
    }

    async fn ask_apple(&self, text: &str) -> Result<Profile, Refusal> {
        if !self.settings.is_apple_configured() {
            return Err(Refusal::Rejected);
        }
        let audiences = [&*self.settings.apple.bundle_id];
        let token = Token::parse(text)?;
        self.check(&token, &apple::rules(&audiences), &self.addresses.apple_keys).await?;
        apple::profile(&token.claims)
    }

    async fn ask_facebook(&self, text: &str) -> Result<Profile, Refusal> {
        let app_id = &*self.settings.facebook_limited_login.app_id;
        if facebook::is_limited(app_id, text) {
            let audiences = [app_id];
            let token = Token::parse(text)?;
            self.check(&token, &facebook::rules(&audiences), &self.addresses.facebook_keys).await?;
            return facebook::profile(&token.claims);
        }
        let url = facebook::request(&self.addresses.facebook_graph, text)?;
        let answer = self.graph.fetch(&url).await.map_err(|_| Refusal::Unavailable)?;
        facebook::judge(&answer)
    }

    async fn ask_game_center(&self, proof: &GameCenter) -> Result<Profile, Refusal> {
        let settings = &self.settings.game_center;
        game_center::check(settings, proof, self.now())?;
        let url = game_center::request(settings, proof)?;
        let certificate = self.certificates.find(&url, |_| true).await?;
        game_center::judge(&certificate, proof, self.now())
    }

    async fn ask_google(&self, text: &str) -> Result<Profile, Refusal> {
        let client_ids = self.settings.google.client_ids.iter();
        let audiences: Vec<&str> = client_ids.map(String::as_str).collect();
        let token = Token::parse(text)?;
        self.check(&token, &google::rules(&audiences), &self.addresses.google_keys).await?;
        google::profile(&token.claims)
    }

    async fn ask_steam(&self, ticket: &str) -> Result<Profile, Refusal> {
        if !self.settings.is_steam_configured() {
            return Err(Refusal::Rejected);
        }
        let url = steam::request(&self.addresses.steam_ticket, &self.settings.steam, ticket)?;
        let answer = self.steam.fetch(&url).await.map_err(|_| Refusal::Unavailable)?;
        steam::judge(&answer)
    }

    async fn ask_oidc(&self, text: &str) -> Result<Profile, Refusal> {
        let token = Token::parse(text)?;
        let index = oidc::find(&self.settings.oidc, &token).ok_or(Refusal::Rejected)?;
        let issuer = &self.settings.oidc[index];
        let (issuers, audiences) = ([&*issuer.issuer], [&*issuer.audience]);
        let rules = oidc::rules(&issuers, &audiences);
        self.check(&token, &rules, &self.addresses.oidc_keys[index]).await?;
        oidc::profile(issuer, &token.claims)
    }

    /// Checks all of a token, its signature by a key of a set.
    async fn check(&self, token: &Token<'_>, rules: &Rules<'_>, url: &Url) -> Result<(), Refusal> {
        token.check(rules, self.now())?;
        let find = |set: &KeySet| set.find(&token.key_id, token.algorithm).is_some();
        let set = self.keys.find(url, find).await?;
        let key = set.find(&token.key_id, token.algorithm).ok_or(Refusal::Rejected)?;
        token.check_signature(key)
    }

    /// Warns that a provider cannot be asked, but not for every proof of an outage.
    fn warn(&self, proof: &Proof) {
        let now = self.clock.now().monotonic;
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.admit(now, WARNING_PAUSE) {
            tracing::warn!(?proof, "a sign-in provider cannot be asked; its players stay out");
        }
    }

    fn now(&self) -> UnixTime {
        self.clock.now().wall
    }
}

impl Addresses {
    /// The addresses, or what is wrong with them, a sentence each.
    pub(crate) fn read(settings: &Settings) -> Result<Addresses, Vec<String>> {
        let mut problems = Vec::new();
        let mut read = |name: &str, text: &str| {
            let url = Url::parse(text);
            if url.is_none() {
                // The text is not shown: somebody may have put a password into it.
                problems.push(format!("{name} is not an https address"));
            }
            url
        };
        let urls = [
            ("apple.jwks_url", &settings.apple.jwks_url),
            ("facebook.graph_url", &settings.facebook.graph_url),
            ("facebook_limited_login.jwks_url", &settings.facebook_limited_login.jwks_url),
            ("google.jwks_url", &settings.google.jwks_url),
            ("steam.ticket_url", &settings.steam.ticket_url),
        ]
        .map(|(name, text)| read(name, text));
        let oidc = settings.oidc.iter();
        let oidc = oidc
            .filter_map(|issuer| read(&format!("jwks_url of {}", issuer.name), &issuer.jwks_url));
        let oidc_keys = oidc.collect();
        match urls {
            [
                Some(apple_keys),
                Some(facebook_graph),
                Some(facebook_keys),
                Some(google_keys),
                Some(steam_ticket),
            ] if problems.is_empty() => Ok(Addresses {
                apple_keys,
                facebook_graph,
                facebook_keys,
                google_keys,
                steam_ticket,
                oidc_keys,
            }),
            _ => Err(problems),
        }
    }
}

/// What is wrong with issuers, a sentence each. Two issuers' players must never have one id.
pub(crate) fn issuer_problems(issuers: &[Issuer]) -> Vec<String> {
    let mut problems = Vec::new();
    if issuers.len() > ISSUERS_MAX {
        problems.push(format!("there are at most {ISSUERS_MAX} OpenID Connect issuers"));
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let Issuer { name, issuer, audience, .. } = issuer;
        if name.is_empty() || name.contains(':') {
            problems.push(format!("an issuer's name is not empty and has no colon: {name}"));
        }
        if issuer.is_empty() || audience.is_empty() {
            problems.push(format!("{name} lacks its issuer or its audience"));
        }
        if issuers[..index].iter().any(|other| other.name == *name) {
            problems.push(format!("two issuers are called {name}"));
        }
    }
    problems
}

/// One error of all that is wrong with settings.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn invalid(problems: Vec<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problems.join("; "))
}
