//! Tokens for dedicated servers: JWT with Ed25519 (RFC 8037), which a server verifies by itself
//! with the public keys that this process publishes (RFC 7517).

use std::sync::Arc;

use base::{TokenId, UserId, json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// What a token for a dedicated server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerClaims {
    pub token_id: TokenId,
    pub user_id: UserId,
    pub username: String,
    /// The server that it is for, as the client named it; may be empty.
    pub audience: String,
    /// Seconds since 1970.
    pub issued_at: u64,
    pub expiry: u64,
}

/// Bytes that are no Ed25519 key in PKCS #8 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

/// The key pairs: the first signs, all of them are published, so that tokens of an earlier one stay
/// good while it is exchanged. Its `Debug` form shows the public parts only.
pub struct ServerKeys {
    /// Name of the node, the tokens' issuer.
    issuer: String,
    signing: Ed25519KeyPair,
    header: String,
    jwks: Arc<str>,
}

impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerKeys({})", self.jwks)
    }
}

impl ServerKeys {
    /// Takes private keys in PKCS #8 form (DER).
    pub fn new(issuer: &str, newest: &[u8], earlier: &[Vec<u8>]) -> Result<ServerKeys, NoKey> {
        let pair = |der: &[u8]| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NoKey);
        let signing = pair(newest)?;
        let mut published = vec![published_key(&signing)];
        for der in earlier {
            published.push(published_key(&pair(der)?));
        }
        let header = json::object(|o| {
            o.text("alg", "EdDSA");
            o.text("typ", "JWT");
            o.text("kid", &published[0].id);
        });
        let jwks = json::object(|o| {
            o.list("keys", &published, |key, o| {
                o.text("kty", "OKP");
                o.text("crv", "Ed25519");
                o.text("alg", "EdDSA");
                o.text("use", "sig");
                o.text("kid", &key.id);
                o.text("x", &key.x);
            });
        });
        let header = URL_SAFE_NO_PAD.encode(header);
        Ok(ServerKeys { issuer: issuer.to_owned(), signing, header, jwks: jwks.into() })
    }

    /// The public keys, as a JSON Web Key Set.
    pub fn jwks(&self) -> Arc<str> {
        self.jwks.clone()
    }

    pub fn sign(&self, claims: &ServerClaims) -> String {
        let body = json::object(|o| {
            o.text("iss", &self.issuer);
            o.shown("sub", claims.user_id);
            o.text("usn", &claims.username);
            o.text("aud", &claims.audience);
            o.shown("jti", claims.token_id);
            o.raw("iat", &claims.issued_at.to_string());
            o.raw("exp", &claims.expiry.to_string());
        });
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(body));
        let signature = self.signing.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

struct Published {
    id: String,
    x: String,
}

fn published_key(pair: &Ed25519KeyPair) -> Published {
    let public = pair.public_key().as_ref();
    let digest = digest::digest(&digest::SHA256, public);
    let id = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Published { id, x: URL_SAFE_NO_PAD.encode(public) }
}

#[cfg(test)]
mod tests {
    use base::json::Json;
    use ring::rand::SystemRandom;
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn new_key() -> Vec<u8> {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        key.expect("the system has randomness").as_ref().to_vec()
    }

    fn text<'a>(object: &'a Json, name: &str) -> &'a str {
        let Json::Object(members) = object else { panic!("an object: {object:?}") };
        match members.iter().find(|(member, _)| member == name) {
            Some((_, Json::Text(text))) => text,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn parse(base64: &str) -> Json {
        let text = URL_SAFE_NO_PAD.decode(base64).expect("base64");
        Json::parse(&text).expect("JSON")
    }

    #[test]
    fn a_token_is_verified_by_what_is_published_and_keys_can_be_exchanged() {
        let (old, new) = (new_key(), new_key());
        let claims = ServerClaims {
            token_id: TokenId::from_bytes([1; 16]),
            user_id: UserId::from_bytes([2; 16]),
            username: "alice".into(),
            audience: "eu-1".into(),
            issued_at: 1000,
            expiry: 1060,
        };
        let before = ServerKeys::new("node", &old, &[]).expect("a key");
        let after = ServerKeys::new("node", &new, &[old]).expect("keys");
        let jwks = Json::parse(after.jwks().as_bytes()).expect("JSON");
        let Json::Object(members) = &jwks else { panic!("{jwks:?}") };
        let Json::List(keys) = &members[0].1 else { panic!("{jwks:?}") };
        assert_eq!(keys.len(), 2);
        for token in [before.sign(&claims), after.sign(&claims)] {
            let (signed, signature) = token.rsplit_once('.').expect("three parts");
            let (header, body) = signed.split_once('.').expect("three parts");
            let header = parse(header);
            assert_eq!(text(&header, "alg"), "EdDSA");
            let is_named = |key: &&Json| text(key, "kid") == text(&header, "kid");
            let key = keys.iter().find(is_named).expect("its key is published");
            let x = URL_SAFE_NO_PAD.decode(text(key, "x")).expect("base64");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
            let verified =
                UnparsedPublicKey::new(&ED25519, x).verify(signed.as_bytes(), &signature);
            assert!(verified.is_ok());
            let body = parse(body);
            assert_eq!((text(&body, "aud"), text(&body, "usn")), ("eu-1", "alice"));
            assert_eq!(text(&body, "sub"), claims.user_id.to_string());
        }
        assert_eq!(ServerKeys::new("node", b"no key", &[]).err(), Some(NoKey));
    }
}
