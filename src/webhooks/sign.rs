//! Signatures as <https://www.standardwebhooks.com> has them: HMAC-SHA256 over id, time and body. Pure.

use aws_lc_rs::{hmac, rand};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

/// What begins a secret that is bytes in base64.
const PREFIX: &str = "whsec_";
/// Bytes of a secret made here.
const BYTES: usize = 32;

/// A secret that signs. Never displayed.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// A new one; `None` when the system has no random numbers.
    pub fn generate() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        rand::fill(&mut *bytes).ok()?;
        let text = Zeroizing::new(BASE64_STANDARD.encode(*bytes));
        Some(Self(SecretString::from(format!("{PREFIX}{}", *text))))
    }

    /// One that somebody gives: `whsec_` and 24 to 64 bytes in base64, or 24 to 256 printable characters.
    ///
    /// # Errors
    /// In words, what is wrong; nothing of the secret.
    pub fn given(text: String) -> Result<Self, String> {
        let text = Zeroizing::new(text);
        let fits = match text.strip_prefix(PREFIX) {
            Some(rest) => {
                BASE64_STANDARD.decode(rest).is_ok_and(|bytes| (24..=64).contains(&Zeroizing::new(bytes).len()))
            }
            None => (24..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()),
        };
        match fits {
            true => Ok(Self(SecretString::from(text.to_string()))),
            false => Err(format!("must be {PREFIX} and 24 to 64 bytes in base64, or 24 to 256 printable characters")),
        }
    }

    /// Its text, for those who keep it.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// What `webhook-signature` says of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let text = self.reveal();
        let decoded = text.strip_prefix(PREFIX).and_then(|rest| BASE64_STANDARD.decode(rest).ok()).map(Zeroizing::new);
        let key = hmac::Key::new(hmac::HMAC_SHA256, decoded.as_ref().map_or(text.as_bytes(), |bytes| bytes.as_slice()));
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(context.sign().as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own libraries.
    #[test]
    fn a_signature_is_what_the_standard_says() {
        let secret = Secret::given("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()).expect("a secret");
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn weak_and_odd_secrets_are_refused() {
        for bad in ["", "short", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", &"x".repeat(257), &"a b".repeat(20)] {
            assert!(Secret::given(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(Secret::given("x".repeat(24)).is_ok());
        let made = Secret::generate().expect("random numbers");
        assert!(Secret::given(made.reveal().to_owned()).is_ok());
        assert!(!format!("{made:?}").contains(made.reveal()));
    }
}
