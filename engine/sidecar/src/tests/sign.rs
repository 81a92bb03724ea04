//! Signatures as the providers make them, with keys of our own.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use domain::identity::provider::GameCenter;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, rsa};

/// Of the first key, valid for a hundred years from 2020 on. Made by `openssl ca -selfsign`.
pub(crate) const CERTIFICATE: &[u8] = include_bytes!("keys/certificate.der");

/// Of the second key and the address 127.0.0.1, for servers, as long. Made in the same way.
pub(crate) const SERVER_CERTIFICATE: &[u8] = include_bytes!("keys/server.der");
pub(crate) const SERVER_KEY: &[u8] = include_bytes!("keys/second.der");

pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    /// Two RSA keys of 2048 bits, which take seconds to draw.
    pub(crate) fn first() -> Signer {
        Signer::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("keys/first.der")).unwrap())
    }

    pub(crate) fn second() -> Signer {
        Signer::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("keys/second.der")).unwrap())
    }

    /// A new key on P-256.
    pub(crate) fn ec() -> Signer {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Signer::Ec(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Signer::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// The public key as a member of a key set.
    pub(crate) fn jwk(&self, id: &str) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Signer::Rsa(key) => {
                let public: rsa::PublicKeyComponents<Vec<u8>> = key.public().into();
                let (n, e) = (encode(&public.n), encode(&public.e));
                format!(
                    r#"{{"kty":"RSA","kid":"{id}","use":"sig","alg":"RS256","n":"{n}","e":"{e}"}}"#
                )
            }
            Signer::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                format!(
                    r#"{{"kty":"EC","kid":"{id}","use":"sig","crv":"P-256","x":"{x}","y":"{y}"}}"#
                )
            }
        }
    }

    pub(crate) fn token(&self, key_id: &str, claims: &str) -> String {
        let algorithm = match self {
            Signer::Rsa(_) => "RS256",
            Signer::Ec(_) => "ES256",
        };
        self.token_with(&format!(r#"{{"alg":"{algorithm}","kid":"{key_id}"}}"#), claims)
    }

    pub(crate) fn token_with(&self, header: &str, claims: &str) -> String {
        let unsigned = compact(header, claims, b"");
        compact(header, claims, &self.sign(unsigned.trim_end_matches('.').as_bytes()))
    }

    /// The signature that a verifier would accept which takes the public key for a secret.
    pub(crate) fn hmac_by_public_key(&self, header: &str, claims: &str) -> Vec<u8> {
        let Signer::Rsa(key) = self else { return Vec::new() };
        let unsigned = compact(header, claims, b"");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.public().as_ref());
        hmac::sign(&key, unsigned.trim_end_matches('.').as_bytes()).as_ref().to_vec()
    }
}

/// A token in compact form.
pub(crate) fn compact(header: &str, claims: &str, signature: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (encode(header.as_bytes()), encode(claims.as_bytes()));
    format!("{header}.{claims}.{}", encode(signature))
}

/// Signed player information of an Instant Game.
pub(crate) fn player_info(secret: &str, payload: &str) -> String {
    let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, payload.as_bytes());
    format!("{}.{payload}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// A proof of Game Center by the key of [`CERTIFICATE`], still without that one's address.
pub(crate) fn game_center(player_id: &str, bundle_id: &str, timestamp: i64) -> GameCenter {
    let salt = b"salt";
    let mut message = [player_id.as_bytes(), bundle_id.as_bytes()].concat();
    message.extend(timestamp.to_be_bytes());
    message.extend(salt);
    GameCenter {
        player_id: player_id.into(),
        bundle_id: bundle_id.into(),
        timestamp,
        salt: BASE64_STANDARD.encode(salt),
        signature: BASE64_STANDARD.encode(Signer::first().sign(&message)),
        public_key_url: String::new(),
    }
}
