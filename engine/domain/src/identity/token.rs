//! Signed tokens: JWT with HS256, as Nakama's clients read them.

use std::collections::BTreeMap;
use std::sync::Once;

use base::limits::TOKEN_LIFE_MAX;
use base::{TokenId, UnixTime, UserId};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::{digest, hmac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::operator;

/// Which of a session's two tokens. Each kind has a key of its own, so neither passes for the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Session,
    Refresh,
}

/// Variables that a client keeps in its tokens.
pub type Vars = BTreeMap<String, String>;

/// What a session or refresh token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub token_id: TokenId,
    pub user_id: UserId,
    pub username: String,
    pub vars: Vars,
    /// Seconds since 1970.
    pub expiry: u64,
    /// Of the sign-in: a refresh keeps it.
    pub issued_at: u64,
    /// Of this very token; 0: it does not say.
    pub signed_at: u64,
}

/// What a matchmaker token says: the match that its bearer may join, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchClaims {
    /// The match id in its wire form, `<uuid>.`.
    pub mid: String,
    /// Seconds since 1970.
    pub exp: u64,
}

/// What an operator's token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorClaims {
    pub bearer: operator::Bearer,
    /// Seconds since 1970.
    pub expiry: u64,
}

/// The token is malformed, of another key or algorithm, or no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The HS256 keys of one kind of token: the newest signs, all of them verify. A token names its
/// key, so that keys can be exchanged while tokens of the earlier one are about.
#[derive(Clone, Debug)]
pub struct Keys {
    newest: Key,
    earlier: Vec<Key>,
}

/// One HS256 key. Its `Debug` form does not show it.
#[derive(Clone)]
struct Key {
    /// `kid`: eight bytes of the secret's SHA-256, in hexadecimal digits.
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}…)", self.id)
    }
}

#[derive(Serialize, Deserialize)]
struct WireClaims {
    tid: String,
    uid: String,
    usn: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    vrs: Vars,
    exp: u64,
    #[serde(default)]
    iat: u64,
    /// Where it differs from `iat`: in the heirs of a sign-in's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
}

/// The claims of an operator's token on the wire. `knd` tells how its bearer came by it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "knd", rename_all = "lowercase")]
enum WireBearer {
    Session {
        usn: String,
        #[serde(rename = "gen")]
        generation: u64,
    },
    Machine {
        rol: String,
    },
    First,
}

#[derive(Serialize, Deserialize)]
struct WireOperator {
    #[serde(flatten)]
    bearer: WireBearer,
    exp: u64,
}

impl Keys {
    pub fn new(newest: &[u8], earlier: &[&[u8]]) -> Keys {
        install_crypto();
        let key = |secret: &[u8]| {
            let digest = digest::digest(&digest::SHA256, secret);
            Key {
                id: digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
                encoding: EncodingKey::from_secret(secret),
                decoding: DecodingKey::from_secret(secret),
            }
        };
        Keys { newest: key(newest), earlier: earlier.iter().map(|secret| key(secret)).collect() }
    }

    pub fn sign(&self, claims: &Claims) -> String {
        self.encode(&wire(claims))
    }

    /// The claims of a token that this key signed and that has not expired.
    pub fn verify(&self, token: &str, now: UnixTime) -> Result<Claims, Invalid> {
        let wire: WireClaims = self.decode(token)?;
        // No token of ours lives so long: whoever has signed this one does not mean well.
        let latest = now.secs().saturating_add(TOKEN_LIFE_MAX);
        if wire.exp <= now.secs() || wire.exp > latest {
            return Err(Invalid);
        }
        Ok(Claims {
            token_id: TokenId::parse(&wire.tid).ok_or(Invalid)?,
            user_id: UserId::parse(&wire.uid).ok_or(Invalid)?,
            username: wire.usn,
            vars: wire.vrs,
            expiry: wire.exp,
            issued_at: wire.iat,
            signed_at: wire.nbf.unwrap_or(wire.iat),
        })
    }

    pub fn sign_match(&self, claims: &MatchClaims) -> String {
        self.encode(claims)
    }

    pub fn verify_match(&self, token: &str, now: UnixTime) -> Result<MatchClaims, Invalid> {
        let claims: MatchClaims = self.decode(token)?;
        if claims.exp <= now.secs() { Err(Invalid) } else { Ok(claims) }
    }

    pub fn sign_operator(&self, claims: &OperatorClaims) -> String {
        let bearer = match &claims.bearer {
            operator::Bearer::SignedIn { name, generation } => {
                WireBearer::Session { usn: name.clone(), generation: *generation }
            }
            operator::Bearer::Machine { role } => WireBearer::Machine { rol: role.name().into() },
            operator::Bearer::First => WireBearer::First,
        };
        self.encode(&WireOperator { bearer, exp: claims.expiry })
    }

    pub fn verify_operator(&self, token: &str, now: UnixTime) -> Result<operator::Bearer, Invalid> {
        let claims: WireOperator = self.decode(token)?;
        if claims.exp <= now.secs() {
            return Err(Invalid);
        }
        Ok(match claims.bearer {
            WireBearer::Session { usn, generation } => {
                operator::Bearer::SignedIn { name: usn, generation }
            }
            WireBearer::Machine { rol } => {
                operator::Bearer::Machine { role: operator::Role::parse(&rol).ok_or(Invalid)? }
            }
            WireBearer::First => operator::Bearer::First,
        })
    }

    fn encode(&self, claims: &impl Serialize) -> String {
        let header = Header { kid: Some(self.newest.id.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &self.newest.encoding)
            .expect("claims of text and numbers encode, and HS256 is the key's algorithm")
    }

    fn decode<T: DeserializeOwned>(&self, token: &str) -> Result<T, Invalid> {
        let mut validation = Validation::new(Algorithm::HS256);
        // The crate would compare with the system's clock; the caller compares with the time of its
        // input.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        // A token without a key's name may be of any key; most servers have one only.
        let by = |key: &Key| {
            let token = jsonwebtoken::decode(token, &key.decoding, &validation);
            token.map(|data| data.claims).map_err(|_| Invalid)
        };
        if self.earlier.is_empty() {
            return by(&self.newest);
        }
        let named = jsonwebtoken::decode_header(token).map_err(|_| Invalid)?.kid;
        let is_meant = |key: &&Key| named.as_ref().is_none_or(|id| *id == key.id);
        let mut keys = std::iter::once(&self.newest).chain(&self.earlier).filter(is_meant);
        keys.find_map(|key| by(key).ok()).ok_or(Invalid)
    }
}

fn wire(claims: &Claims) -> WireClaims {
    WireClaims {
        tid: claims.token_id.to_string(),
        uid: claims.user_id.to_string(),
        usn: claims.username.clone(),
        vrs: claims.vars.clone(),
        exp: claims.expiry,
        iat: claims.issued_at,
        nbf: (claims.signed_at != claims.issued_at).then_some(claims.signed_at),
    }
}

/// HMAC-SHA256 by ring: jsonwebtoken brings no cryptography of its own here.
static CRYPTO: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(hmac_of(*algorithm, key.as_bytes())?)),
    verifier_factory: |algorithm, key| Ok(Box::new(hmac_of(*algorithm, key.try_get_as_bytes()?)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hmac(hmac::Key);

fn hmac_of(algorithm: Algorithm, secret: &[u8]) -> jsonwebtoken::errors::Result<Hmac> {
    match algorithm {
        Algorithm::HS256 => Ok(Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

impl signature::Signer<Vec<u8>> for Hmac {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl signature::Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hmac {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        CRYPTO.install_default().expect("this is the only place that installs a provider");
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn claims() -> Claims {
        Claims {
            token_id: TokenId::from_bytes([1; 16]),
            user_id: UserId::from_bytes([2; 16]),
            username: "alice".into(),
            vars: Vars::from([("k".into(), "v".into())]),
            expiry: NOW + 60,
            issued_at: NOW,
            signed_at: NOW,
        }
    }

    /// Rows 78 and 87: the same claims give the same token.
    #[test]
    fn a_token_comes_back_and_is_the_same_every_time() {
        let key = Keys::new(b"secret", &[]);
        let token = key.sign(&claims());
        assert_eq!(token, key.sign(&claims()));
        assert_eq!(key.verify(&token, UnixTime::from_secs(NOW)), Ok(claims()));
    }

    #[test]
    fn a_token_says_when_it_was_signed_itself() {
        let key = Keys::new(b"secret", &[]);
        let now = UnixTime::from_secs(NOW);
        let heir = Claims { signed_at: NOW + 7, ..claims() };
        assert_eq!(key.verify(&key.sign(&heir), now), Ok(heir));
        assert_eq!(wire(&claims()).nbf, None, "a sign-in's token has Nakama's claims alone");
    }

    /// Rows 48, 49 and 50.
    #[test]
    fn expired_foreign_and_unsigned_tokens_are_refused() {
        let key = Keys::new(b"secret", &[]);
        let now = UnixTime::from_secs(NOW);
        let verify = |token: &str| key.verify(token, now);
        assert_eq!(key.verify(&key.sign(&claims()), UnixTime::from_secs(NOW + 60)), Err(Invalid));
        assert_eq!(verify(&Keys::new(b"other", &[]).sign(&claims())), Err(Invalid));
        let endless = Claims { expiry: u64::MAX, ..claims() };
        assert_eq!(verify(&key.sign(&endless)), Err(Invalid));
        let no_expiry = key.encode(&BTreeMap::from([
            ("tid", "01010101-0101-0101-0101-010101010101"),
            ("uid", "02020202-0202-0202-0202-020202020202"),
            ("usn", "alice"),
        ]));
        assert_eq!(verify(&no_expiry), Err(Invalid));
        let signed = key.sign(&claims());
        let body = signed.split('.').nth(1).expect("a token has three parts");
        // {"alg":"none"}, {"alg":"HS512"}
        assert_eq!(verify(&format!("eyJhbGciOiJub25lIn0.{body}.")), Err(Invalid));
        assert_eq!(verify(&format!("eyJhbGciOiJIUzUxMiJ9.{body}.AAAA")), Err(Invalid));
        assert_eq!(verify(&signed[..signed.len() - 2]), Err(Invalid));
        assert_eq!(verify(""), Err(Invalid));
    }

    #[test]
    fn a_key_that_is_exchanged_still_verifies_and_signs_no_more() {
        let now = UnixTime::from_secs(NOW);
        let (old, new) = (Keys::new(b"old", &[]), Keys::new(b"new", &[b"old"]));
        assert_eq!(new.verify(&old.sign(&claims()), now), Ok(claims()));
        assert_eq!(new.verify(&new.sign(&claims()), now), Ok(claims()));
        assert_eq!(old.verify(&new.sign(&claims()), now), Err(Invalid));
        assert_eq!(Keys::new(b"new", &[b"other"]).verify(&old.sign(&claims()), now), Err(Invalid));
        let nameless = Header::new(Algorithm::HS256);
        let claims_of_old = wire(&claims());
        let nameless = jsonwebtoken::encode(&nameless, &claims_of_old, &old.newest.encoding);
        assert_eq!(new.verify(&nameless.expect("it encodes"), now), Ok(claims()));
    }

    #[test]
    fn a_match_token_lasts_until_its_expiry() {
        let key = Keys::new(b"secret", &[]);
        let token = key.sign_match(&MatchClaims { mid: "m.".into(), exp: NOW + 30 });
        assert!(key.verify_match(&token, UnixTime::from_secs(NOW + 29)).is_ok());
        assert_eq!(key.verify_match(&token, UnixTime::from_secs(NOW + 30)), Err(Invalid));
    }

    #[test]
    fn an_operators_token_comes_back_and_passes_for_no_other() {
        use operator::{Bearer, Role};
        let key = Keys::new(b"secret", &[]);
        let now = UnixTime::from_secs(NOW);
        for bearer in [
            Bearer::SignedIn { name: "ann".into(), generation: u64::MAX },
            Bearer::Machine { role: Role::Viewer },
            Bearer::First,
        ] {
            let claims = OperatorClaims { bearer: bearer.clone(), expiry: NOW + 60 };
            let token = key.sign_operator(&claims);
            assert_eq!(key.verify_operator(&token, now), Ok(bearer));
            assert_eq!(key.verify_operator(&token, UnixTime::from_secs(NOW + 60)), Err(Invalid));
            let other = Keys::new(b"other", &[]);
            assert_eq!(other.verify_operator(&token, now), Err(Invalid));
            assert_eq!(key.verify(&token, now), Err(Invalid));
        }
        assert_eq!(key.verify_operator(&key.sign(&claims()), now), Err(Invalid));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let key = Keys::new(b"secret", &[]);
            prop_assert_eq!(key.verify(&text, UnixTime::from_secs(NOW)), Err(Invalid));
            prop_assert!(key.verify_match(&text, UnixTime::from_secs(NOW)).is_err());
            prop_assert!(key.verify_operator(&text, UnixTime::from_secs(NOW)).is_err());
        }
    }
}
