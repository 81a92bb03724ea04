//! Public keys as providers publish them: a JSON Web Key Set (RFC 7517, RFC 7518).

use base::json::Json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature;

use crate::json;
use crate::limits::KEYS_MAX;

/// Bits of an RSA modulus.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;
const P256_BYTES: usize = 32;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSA, PKCS#1 v1.5, SHA-256.
    Rs256,
    /// ECDSA, P-256, SHA-256.
    Es256,
}

impl Algorithm {
    pub(crate) fn parse(name: &str) -> Option<Algorithm> {
        match name {
            "RS256" => Some(Algorithm::Rs256),
            "ES256" => Some(Algorithm::Es256),
            _ => None,
        }
    }
}

/// The keys of a set that are good for a signature we check; never empty.
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

pub(crate) struct Key {
    id: String,
    material: Material,
}

enum Material {
    Rsa(signature::RsaPublicKeyComponents<Vec<u8>>),
    P256(signature::UnparsedPublicKey<Vec<u8>>),
}

impl KeySet {
    /// Reads a set. Keys that are weak, for another use, or of a kind we do not know, are left out.
    pub(crate) fn parse(text: &[u8]) -> Option<KeySet> {
        let set = Json::parse(text).ok()?;
        let Json::List(keys) = json::member(&set, "keys")? else {
            return None;
        };
        let keys: Vec<Key> = keys.iter().take(KEYS_MAX).filter_map(Key::read).collect();
        if keys.is_empty() { None } else { Some(KeySet { keys }) }
    }

    pub(crate) fn find(&self, id: &str, algorithm: Algorithm) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id && key.algorithm() == algorithm)
    }
}

impl Key {
    fn read(value: &Json) -> Option<Key> {
        let id = json::text(value, "kid")?.to_owned();
        if json::text(value, "use").is_some_and(|used| used != "sig") {
            return None;
        }
        let material = match json::text(value, "kty")? {
            "RSA" => {
                let n = integer(value, "n")?;
                let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
                if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
                    return None;
                }
                let e = integer(value, "e")?;
                Material::Rsa(signature::RsaPublicKeyComponents { n, e })
            }
            "EC" if json::text(value, "crv") == Some("P-256") => {
                let mut point = vec![4]; // uncompressed
                for name in ["x", "y"] {
                    let coordinate = bytes(value, name)?;
                    if coordinate.len() != P256_BYTES {
                        return None;
                    }
                    point.extend(coordinate);
                }
                let algorithm = &signature::ECDSA_P256_SHA256_FIXED;
                Material::P256(signature::UnparsedPublicKey::new(algorithm, point))
            }
            _ => return None,
        };
        let key = Key { id, material };
        let named = json::text(value, "alg").map(Algorithm::parse);
        if named.is_some_and(|named| named != Some(key.algorithm())) {
            return None;
        }
        Some(key)
    }

    /// Whether the signature of a message is by this key.
    pub(crate) fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa(key) => {
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Material::P256(key) => key.verify(message, signature).is_ok(),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match &self.material {
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
        }
    }
}

fn bytes(value: &Json, name: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(json::text(value, name)?).ok()
}

/// A big-endian number without leading zeros, which ring refuses.
fn integer(value: &Json, name: &str) -> Option<Vec<u8>> {
    let mut bytes = bytes(value, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    if bytes.is_empty() { None } else { Some(bytes) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::sign::Signer;

    fn count(keys: &[String]) -> usize {
        let set = KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
        set.map_or(0, |set| set.keys.len())
    }

    #[test]
    fn keys_that_are_weak_or_of_another_use_are_left_out() {
        let rsa = Signer::first().jwk("a");
        let ec = Signer::ec().jwk("b");
        assert_eq!(count(&[rsa.clone(), ec.clone()]), 2);
        assert_eq!(count(&[rsa.replace(r#""use":"sig""#, r#""use":"enc""#)]), 0);
        assert_eq!(count(&[rsa.replace("RS256", "RS512")]), 0);
        assert_eq!(count(&[rsa.replace("RS256", "ES256")]), 0);
        assert_eq!(count(&[rsa.replace(r#""alg":"RS256","#, "")]), 1);
        assert_eq!(count(&[ec.replace("P-256", "P-384")]), 0);
        assert_eq!(count(&[ec.replace(r#""x":""#, r#""x":"AA"#)]), 0);
        assert_eq!(count(&[r#"{"kty":"oct","kid":"a","k":"AAAA"}"#.into(), "7".into()]), 0);
    }

    #[test]
    fn an_rsa_key_has_at_least_2048_bits() {
        let key = |bytes: usize, first: u8| {
            let mut n = vec![0xff; bytes];
            n[0] = first;
            let n = BASE64_URL_SAFE_NO_PAD.encode(n);
            format!(r#"{{"kty":"RSA","kid":"a","n":"{n}","e":"AQAB"}}"#)
        };
        assert_eq!(count(&[key(256, 0x80)]), 1);
        assert_eq!(count(&[key(256, 0x7f)]), 0);
        assert_eq!(count(&[key(128, 0x80)]), 0);
        assert_eq!(count(&[key(257, 0)]), 1);
        assert_eq!(count(&[key(1025, 1)]), 0);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: Vec<u8>, n: String, e: String) {
            KeySet::parse(&text);
            let n = n.replace(['"', '\\'], "");
            let e = e.replace(['"', '\\'], "");
            let set = format!(r#"{{"keys":[{{"kty":"RSA","kid":"a","n":"{n}","e":"{e}"}}]}}"#);
            KeySet::parse(set.as_bytes());
        }
    }
}
