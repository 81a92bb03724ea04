//! Providers: other companies that say who a player is.
//!
//! A client shows a proof; somebody with a way out to the network asks the provider, or checks the
//! proof's signature, and says whose it is.

use super::alias::Kind;

/// What a client shows, as it came.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// An identity token of Sign in with Apple.
    Apple {
        token: String,
    },
    /// A token of Facebook's Limited Login (a JWT), or an access token of its Graph API.
    Facebook {
        token: String,
    },
    /// The signed player information of a Facebook Instant Game.
    FacebookInstantGame {
        signed_player_info: String,
    },
    GameCenter(GameCenter),
    /// An ID token of Google Sign-In.
    Google {
        token: String,
    },
    /// A session ticket of the Steam Web API, in hexadecimal digits.
    Steam {
        token: String,
    },
    /// An ID token of an OpenID Connect issuer of the configuration.
    Oidc {
        token: String,
    },
}

/// What Game Kit's identity verification signature consists of.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GameCenter {
    pub player_id: String,
    pub bundle_id: String,
    /// Milliseconds, or whatever Game Kit signed: the name on the wire says seconds.
    pub timestamp: i64,
    /// Base64.
    pub salt: String,
    /// Base64.
    pub signature: String,
    pub public_key_url: String,
}

/// Whom the provider says the proof is of. Texts may be empty, except `id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Unique among the provider's players. For OpenID Connect, `name:subject`.
    pub id: String,
    pub display_name: String,
    pub avatar_url: String,
    /// Verified by the provider, as it gives it.
    pub email: String,
}

/// Why nobody can be said to be the proof's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The provider, or a signature, says no.
    Rejected,
    /// The provider could not be asked, or gave no answer that makes sense.
    Unavailable,
    /// Too many proofs wait to be looked at.
    Busy,
}

impl Proof {
    /// The kind of alias that the provider's players have.
    pub fn kind(&self) -> Kind {
        match self {
            Proof::Apple { .. } => Kind::Apple,
            Proof::Facebook { .. } => Kind::Facebook,
            Proof::FacebookInstantGame { .. } => Kind::FacebookInstantGame,
            Proof::GameCenter(_) => Kind::GameCenter,
            Proof::Google { .. } => Kind::Google,
            Proof::Steam { .. } => Kind::Steam,
            Proof::Oidc { .. } => Kind::Oidc,
        }
    }

    /// Whether nothing at all is shown.
    pub fn is_empty(&self) -> bool {
        match self {
            Proof::Apple { token }
            | Proof::Facebook { token }
            | Proof::FacebookInstantGame { signed_player_info: token }
            | Proof::Google { token }
            | Proof::Steam { token }
            | Proof::Oidc { token } => token.is_empty(),
            Proof::GameCenter(proof) => *proof == GameCenter::default(),
        }
    }

    /// Whether a part that the proof cannot do without is missing.
    pub fn is_incomplete(&self) -> bool {
        match self {
            Proof::GameCenter(proof) => {
                let GameCenter { player_id, bundle_id, salt, signature, .. } = proof;
                let texts = [player_id, bundle_id, salt, signature, &proof.public_key_url];
                proof.timestamp == 0 || texts.into_iter().any(String::is_empty)
            }
            other => other.is_empty(),
        }
    }
}

impl std::fmt::Debug for Proof {
    /// Names the provider; the proof itself is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Proof::Apple { .. } => "Apple(…)",
            Proof::Facebook { .. } => "Facebook(…)",
            Proof::FacebookInstantGame { .. } => "FacebookInstantGame(…)",
            Proof::GameCenter(_) => "GameCenter(…)",
            Proof::Google { .. } => "Google(…)",
            Proof::Steam { .. } => "Steam(…)",
            Proof::Oidc { .. } => "Oidc(…)",
        })
    }
}
