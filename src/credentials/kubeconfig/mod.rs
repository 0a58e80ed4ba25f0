//! Kubeconfigs, read strictly: only what stands in the text itself counts. Nothing here opens a file, starts a process or
//! makes a connection, and no error carries a value of the text, only the path of a key.

mod entries;
mod fields;
mod node;
#[cfg(test)]
mod tests;

use std::fmt;

use secrecy::SecretString;

use super::ClientCertificate;
use entries::Document;

/// Largest kubeconfig, in bytes.
pub const MAX_KUBECONFIG: usize = 64 * 1024;

/// What a kubeconfig may contain beyond what is always accepted.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Largest text, in bytes.
    pub max_bytes: usize,
    /// May TLS verification be switched off?
    pub allow_insecure: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_bytes: MAX_KUBECONFIG, allow_insecure: false }
    }
}

/// Why a kubeconfig is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Path of the key, such as `users[0].user.exec`; empty for the text as a whole.
    pub path: String,
    /// What is wrong with it, in words that contain nothing of the text.
    pub reason: String,
}

impl Refused {
    pub(super) fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.path, self.reason) }
    }
}

impl std::error::Error for Refused {}

/// What one context of a kubeconfig says.
#[derive(Clone)]
pub struct Kubeconfig {
    /// Name of the context.
    pub context: String,
    /// Path of the server in the text, for errors about it.
    pub server_path: String,
    /// URL of the API server, `https`.
    pub server: String,
    /// Authorities of the API server, PEM.
    pub ca_pem: Option<String>,
    /// Name to verify in place of the URL's host.
    pub tls_server_name: Option<String>,
    /// Is TLS verification switched off?
    pub insecure: bool,
    /// Bearer token.
    pub token: Option<SecretString>,
    /// Client certificate.
    pub certificate: Option<ClientCertificate>,
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kubeconfig([redacted])")
    }
}

/// Reads a kubeconfig and takes its current context, or its only one. Everything in the text must be acceptable, the
/// contexts that are not used included: `kubectl config view --minify --flatten` leaves only what is needed.
///
/// # Errors
/// The first thing that is not acceptable.
pub fn read(text: &str, rules: Rules) -> Result<Kubeconfig, Refused> {
    let document = Document::read(text, rules)?;
    document.all_acceptable()?;
    document.current()
}

/// Reads one context of a kubeconfig, the current one unless it is named. The others need not be acceptable.
///
/// # Errors
/// The first thing of it that is not acceptable, or that there is no such context.
pub fn context(text: &str, rules: Rules, name: Option<&str>) -> Result<Kubeconfig, Refused> {
    let document = Document::read(text, rules)?;
    let Some(name) = name else { return document.current() };
    let found = document.contexts().into_iter().find(|(known, _)| known == name);
    found.map_or_else(|| Err(Refused::at("contexts", "there is no context of that name")), |(_, read)| read)
}

/// A context's name, and what it says or why it is refused.
pub type NamedContext = (String, Result<Kubeconfig, Refused>);

/// Every context of a kubeconfig by name, each acceptable or not by itself.
///
/// # Errors
/// When the text as a whole cannot be read.
pub fn contexts(text: &str, rules: Rules) -> Result<Vec<NamedContext>, Refused> {
    Ok(Document::read(text, rules)?.contexts())
}
