//! The service account behind a token, as the token tells it. Read without verifying: only to know whom to ask for a new one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, zeroize::Zeroizing};
use serde::Deserialize;

use super::Part;

/// A service account, and how long its token lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When the token was made.
    pub issued: DateTime<Utc>,
    /// When it ends.
    pub expires: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    exp: i64,
}

impl Account {
    /// The account of a part's token, where it is a service account's that ends.
    pub fn of(part: &Part) -> Option<Self> {
        part.token.as_ref().and_then(|token| Self::of_token(token.expose_secret()))
    }

    /// The account of a token.
    pub fn of_token(token: &str) -> Option<Self> {
        let payload = token.split('.').nth(1).filter(|_| token.split('.').count() == 3)?;
        let payload = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
        let claims: Claims = serde_json::from_slice(&payload).ok()?;
        let (namespace, name) = claims.sub.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        let (issued, expires) = (DateTime::from_timestamp(claims.iat, 0)?, DateTime::from_timestamp(claims.exp, 0)?);
        let sound = is_name(namespace) && is_name(name) && issued < expires;
        sound.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned(), issued, expires })
    }
}

/// May it stand in a path? As Kubernetes names service accounts and namespaces.
fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_service_accounts_token_tells_whose_it_is() {
        let account =
            Account::of_token(&token(r#"{"sub":"system:serviceaccount:fleetbeat:spoke","iat":100,"exp":700}"#));
        let account = account.unwrap();
        assert_eq!((account.namespace.as_str(), account.name.as_str()), ("fleetbeat", "spoke"));
        assert_eq!((account.expires - account.issued).num_seconds(), 600);
    }

    #[test]
    fn other_tokens_tell_nothing() {
        for claims in [
            r#"{"sub":"system:serviceaccount:fleetbeat:spoke","exp":700}"#,
            r#"{"sub":"system:serviceaccount:a/b:spoke","iat":100,"exp":700}"#,
            r#"{"sub":"system:serviceaccount:..:spoke","iat":100,"exp":700}"#,
            r#"{"sub":"system:serviceaccount:a:b","iat":700,"exp":100}"#,
            r#"{"sub":"alice","iat":100,"exp":700}"#,
            "{}",
        ] {
            assert_eq!(Account::of_token(&token(claims)), None, "{claims}");
        }
        assert_eq!(Account::of_token("sha256~abc"), None);
    }
}
