//! What the database remembers of a Secret that was told of: its version, and a keyed hash of the credentials in it. A new version with
//! the same credentials, which a label that somebody sets makes, is no news.

use fleetbeat_actors::roll::ClusterId;

use super::KubeSecrets;
use crate::credentials::Credential;

impl KubeSecrets {
    /// What to remember of a Secret in this version (`None`: there is none) that holds this (`None`: what cannot be used).
    pub fn remembered(&self, id: ClusterId, version: Option<&str>, kept: Option<&Credential>) -> Option<String> {
        let version = version?;
        match self.hasher.hash(id, kept) {
            Some(hash) => Some(format!("{version} {hash}")),
            None => Some(version.to_owned()),
        }
    }

    /// Is `told`, as it was remembered, of this very version?
    pub fn is_version(told: Option<&str>, version: Option<&str>) -> bool {
        told.map(|told| parts(told).0) == version
    }

    /// Is `told`, as it was remembered, of a Secret that held what is kept now?
    pub fn is_content(&self, id: ClusterId, told: Option<&str>, kept: Option<&Credential>) -> bool {
        match told {
            None => kept.is_some_and(Credential::is_empty),
            Some(told) => parts(told).1.is_some_and(|hash| self.hasher.is_hash_of(hash, id, kept)),
        }
    }
}

fn parts(told: &str) -> (&str, Option<&str>) {
    told.split_once(' ').map_or((told, None), |(version, hash)| (version, Some(hash)))
}
