//! The issuer's key set: only public keys of known kinds and sound sizes, each for the algorithms that fit it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Most keys that are kept of a set.
const MAX_KEYS: usize = 64;
/// Longest name of a key, bytes.
pub const MAX_KID: usize = 256;
/// Sizes of an RSA modulus, bytes: 2,048 to 8,192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// The algorithms that may be allowed: asymmetric ones only, so that no public key can ever serve as a secret.
pub const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

/// A public key.
pub struct Key {
    name: Option<String>,
    algorithms: Vec<Algorithm>,
    /// As the library takes it.
    pub decoding: DecodingKey,
}

/// The public keys of an issuer.
#[derive(Default)]
pub struct KeySet(Vec<Key>);

/// A key as it stands in a set; what is not told here is not looked at.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys that are of no use here are left out. `None` when it is no key set.
    pub fn read(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).ok()?;
        let keys = set.keys.into_iter().filter_map(|key| Key::read(serde_json::from_value(key).ok()?));
        Some(Self(keys.take(MAX_KEYS).collect()))
    }

    /// The key of this name that an algorithm fits; without a name only where there is no choice.
    pub fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.algorithms.contains(&algorithm));
        match name {
            Some(name) => fitting.find(|key| key.name.as_deref() == Some(name)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Key {
    fn read(key: Written) -> Option<Self> {
        if key.purpose.is_some_and(|purpose| purpose != "sig")
            || key.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID)
        {
            return None;
        }
        let size = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len());
        let (fitting, decoding) = match (key.kty.as_str(), key.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (key.n?, key.e?);
                let sound = RSA_BYTES.contains(&size(&n)?) && (1..=8).contains(&size(&e)?);
                (&RSA[..], sound.then(|| DecodingKey::from_rsa_components(&n, &e)))
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (x, y) = (key.x?, key.y?);
                let (bytes, algorithm) =
                    if curve == "P-256" { (32, &[Algorithm::ES256]) } else { (48, &[Algorithm::ES384]) };
                let sound = size(&x)? == bytes && size(&y)? == bytes;
                (&algorithm[..], sound.then(|| DecodingKey::from_ec_components(&x, &y)))
            }
            _ => return None,
        };
        let algorithms: Vec<_> = match key.alg {
            None => fitting.to_vec(),
            Some(word) => word.parse().ok().filter(|algorithm| fitting.contains(algorithm)).into_iter().collect(),
        };
        Some(Self { name: key.kid, algorithms, decoding: decoding?.ok()? }).filter(|key| !key.algorithms.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(keys: Value) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).expect("a set")
    }

    fn bytes(length: usize) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(vec![0xa5; length])
    }

    #[test]
    fn keys_of_other_kinds_uses_and_sizes_are_left_out() {
        let bad = json!([
            { "kty": "oct", "kid": "secret", "k": bytes(32), "alg": "HS256" },
            { "kty": "RSA", "kid": "small", "n": bytes(128), "e": "AQAB" },
            { "kty": "RSA", "kid": "huge", "n": bytes(2_048), "e": "AQAB" },
            { "kty": "RSA", "kid": "encrypts", "use": "enc", "n": bytes(256), "e": "AQAB" },
            { "kty": "RSA", "kid": "confused", "alg": "HS256", "n": bytes(256), "e": "AQAB" },
            { "kty": "RSA", "kid": "none", "alg": "none", "n": bytes(256), "e": "AQAB" },
            { "kty": "EC", "kid": "short", "crv": "P-256", "x": bytes(31), "y": bytes(32) },
            { "kty": "EC", "kid": "strange", "crv": "P-521", "x": bytes(66), "y": bytes(66) },
            { "kty": "RSA", "kid": "k".repeat(300), "n": bytes(256), "e": "AQAB" },
            "nonsense", {}, null
        ]);
        assert_eq!(set(bad).len(), 0);
        assert!(KeySet::read(b"{}").is_none() && KeySet::read(b"[]").is_none());
    }

    #[test]
    fn a_key_is_found_by_its_name_and_only_for_what_fits_it() {
        let keys = set(json!([
            { "kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256", "n": bytes(256), "e": "AQAB" },
            { "kty": "EC", "kid": "b", "crv": "P-256", "x": bytes(32), "y": bytes(32) }
        ]));
        assert!(keys.find(Some("a"), Algorithm::RS256).is_some());
        assert!(keys.find(Some("a"), Algorithm::PS256).is_none());
        assert!(keys.find(Some("a"), Algorithm::ES256).is_none());
        assert!(keys.find(Some("a"), Algorithm::HS256).is_none());
        assert!(keys.find(Some("../a"), Algorithm::RS256).is_none());
        assert!(keys.find(None, Algorithm::ES256).is_some(), "there is no choice");
    }

    #[test]
    fn a_set_is_bounded() {
        let many: Vec<_> = (0..1_000)
            .map(|n| json!({ "kty": "EC", "kid": n.to_string(), "crv": "P-256", "x": bytes(32), "y": bytes(32) }))
            .collect();
        assert_eq!(set(json!(many)).len(), MAX_KEYS);
    }
}
