//! The first token: made when tokens are accepted and there is none yet, and left in a file that only its owner reads.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use secrecy::ExposeSecret;

use super::{Keyring, Presented, Role, Scope, TokenDraft};
use crate::audit::Origin;

/// Name of the file in the data directory.
pub const FIRST_TOKEN_FILE: &str = "admin-token";

/// Makes the first token when there is none, and says in which file it lies.
///
/// # Errors
/// When the file cannot be written or the store does not take the token.
pub async fn first_token(keyring: &Keyring, data_dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !keyring.list().is_empty() {
        return Ok(None);
    }
    let path = data_dir.join(FIRST_TOKEN_FILE);
    let presented = Presented::generate().context("the system has no random numbers")?;
    write_private(&path, presented.reveal().expose_secret())
        .with_context(|| format!("the first token cannot be written to {}", path.display()))?;
    let draft = TokenDraft {
        name: "first-admin".to_owned(),
        role: Role::Admin,
        scope: Scope::Everything,
        expires_at: None,
        created_by: None,
    };
    if let Err(error) = keyring.keep(&presented, draft, &Origin::system("first start")).await {
        // The file would name a token that nobody accepts.
        let _ = std::fs::remove_file(&path);
        return Err(error).context("the first token cannot be stored");
    }
    Ok(Some(path))
}

/// Writes a file of mode 0600 in place of what may be there.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
