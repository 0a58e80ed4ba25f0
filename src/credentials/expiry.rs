//! When a credential ends: the `exp` of a token, the end of certificates. Read without verifying; only foresight.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, zeroize::Zeroizing};

use super::Part;

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExpiryKind {
    /// The bearer token.
    Token,
    /// The client certificate.
    ClientCertificate,
    /// The authorities of the endpoint.
    CaBundle,
    /// The certificate that the server shows.
    ServingCertificate,
}

impl ExpiryKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::ClientCertificate => "client_certificate",
            Self::CaBundle => "ca_bundle",
            Self::ServingCertificate => "serving_certificate",
        }
    }
}

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Of what.
    pub kind: ExpiryKind,
    /// When.
    pub at: DateTime<Utc>,
}

/// When the pieces of one part end, as far as they tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiries(Vec<Expiry>);

impl Expiries {
    pub(super) fn of(part: &Part) -> Self {
        let token = part.token.as_ref().and_then(|token| token_end(token.expose_secret()));
        let certificate = part.certificate.as_ref().and_then(|certificate| leaf_end(&certificate.chain_pem));
        let ca = part.ca_pem.as_deref().and_then(bundle_end);
        let ends =
            [(ExpiryKind::Token, token), (ExpiryKind::ClientCertificate, certificate), (ExpiryKind::CaBundle, ca)];
        Self(ends.into_iter().filter_map(|(kind, at)| Some(Expiry { kind, at: at? })).collect())
    }

    /// Every end.
    pub fn iter(&self) -> impl Iterator<Item = Expiry> {
        self.0.iter().copied()
    }

    /// The first end of what identifies us: token or client certificate.
    pub fn identity(&self) -> Option<DateTime<Utc>> {
        let own = |expiry: &&Expiry| matches!(expiry.kind, ExpiryKind::Token | ExpiryKind::ClientCertificate);
        self.0.iter().filter(own).map(|expiry| expiry.at).min()
    }
}

/// `exp` of a token that is a JWT.
fn token_end(token: &str) -> Option<DateTime<Utc>> {
    let mut sections = token.split('.');
    let (_, payload, _) = (sections.next()?, sections.next()?, sections.next()?);
    let payload = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: serde_json::Number,
    }
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let seconds = claims.exp.as_i64().or_else(|| claims.exp.as_f64().map(|seconds| seconds as i64))?;
    DateTime::from_timestamp(seconds, 0)
}

/// End of the first certificate of a chain.
fn leaf_end(pem: &str) -> Option<DateTime<Utc>> {
    let leaf = CertificateDer::pem_slice_iter(pem.as_bytes()).next()?.ok()?;
    certificate_end(&leaf)
}

/// When the last authority of a bundle ends: until then something may be trusted. (A bundle often keeps old ones.)
pub(crate) fn bundle_end(pem: &str) -> Option<DateTime<Utc>> {
    let ends = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(|der| certificate_end(&der.ok()?));
    ends.max()
}

fn certificate_end(der: &[u8]) -> Option<DateTime<Utc>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jwt(payload: &str) -> String {
        format!("eyJhbGciOiJub25lIn0.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_token_tells_its_end() {
        assert_eq!(token_end(&jwt(r#"{"exp": 1790000000}"#)), DateTime::from_timestamp(1_790_000_000, 0));
        assert_eq!(token_end(&jwt(r#"{"exp": 1790000000.7}"#)), DateTime::from_timestamp(1_790_000_000, 0));
        for silent in ["sha256~abc", &jwt(r#"{"iss":"x"}"#), &jwt("{}"), &jwt(r#"{"exp":"never"}"#), "a.b.c", ""] {
            assert_eq!(token_end(silent), None, "{silent}");
        }
    }

    proptest! {
        #[test]
        fn no_token_makes_reading_its_end_panic(text in "[A-Za-z0-9._=-]{0,80}") {
            let _ = token_end(&text);
            let _ = token_end(&jwt(&text));
            let _ = bundle_end(&text);
        }
    }
}
