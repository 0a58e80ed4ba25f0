//! A URL that may carry a password: shown masked, read in full only through [`ConnectionUrl::expose`].

use std::fmt;
use std::io::Read;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// Longest URL read from a file, in bytes.
const MAX_FILE_BYTES: u64 = 8192;

/// Query parameters whose values are no secret; the values of all others are masked.
const PLAIN_PARAMETERS: [&str; 7] =
    ["sslmode", "sslrootcert", "application_name", "mode", "cache", "node", "sentinelServiceName"];

/// A connection URL, empty when not set.
#[derive(Clone, Default)]
pub struct ConnectionUrl(SecretString);

impl ConnectionUrl {
    /// Wraps a URL as written, without the white space around it.
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.trim().to_owned()))
    }

    /// Reads the URL from a file.
    pub(super) fn read(path: &Path) -> Result<Self, std::io::Error> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
        if text.trim().is_empty() {
            return Err(std::io::Error::other("the file is empty"));
        }
        Ok(Self::new(&text))
    }

    /// The URL in full: for the driver that connects, never for display.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether no URL is set.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// The URL with everything masked that may be a secret.
    pub fn masked(&self) -> String {
        let text = self.expose();
        if text.is_empty() || text.starts_with("sqlite:") {
            return text.to_owned();
        }
        Url::parse(text).ok().filter(|url| !has_stray_at_sign(url)).map_or_else(|| "***".to_owned(), mask)
    }
}

/// An `@` behind the host: a sign that a password with special characters was cut in two.
pub(super) fn has_stray_at_sign(url: &Url) -> bool {
    let rest = [Some(url.path()), url.query(), url.fragment()];
    url.fragment().is_some() || rest.into_iter().flatten().any(|part| part.contains('@'))
}

fn mask(mut url: Url) -> String {
    if url.password().is_some() {
        let _ = url.set_password(Some("***"));
    }
    let parameters: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| {
            let plain = PLAIN_PARAMETERS.contains(&name.as_ref());
            let value = if plain { value.into_owned() } else { "***".to_owned() };
            (name.into_owned(), value)
        })
        .collect();
    url.set_query(None);
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    url.into()
}

impl PartialEq for ConnectionUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.masked())
    }
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl<'de> Deserialize<'de> for ConnectionUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl Serialize for ConnectionUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}
