//! Credentials that somebody else changed where they are kept: told of, and shown to the probes.

use std::sync::Arc;

use fleetbeat_actors::roll::ClusterId;
use serde_json::json;

use super::{
    error::WriteError,
    write::{Registration, detached},
};
use crate::{
    audit::{Action, Origin},
    credentials::{Credential, Lookup},
    secrets::{KubeSecrets, Noticed},
};

impl Registration {
    /// Takes in what the watch of the Secrets saw. What this process wrote itself is known already and changes nothing.
    ///
    /// # Errors
    /// [`WriteError::Unavailable`] when the hub or the store does not answer; the next look mends it.
    pub async fn notice(self: &Arc<Self>, secrets: &Arc<KubeSecrets>, noticed: Noticed) -> Result<(), WriteError> {
        match noticed {
            Noticed::Is(id, secret) => {
                let Some(entry) = self.board.get(id) else { return Ok(()) };
                if self.knows(id, Noticed::kept(&secret, &entry.cluster).as_ref()) {
                    return Ok(());
                }
                self.read_again(secrets, id).await
            }
            Noticed::Gone(id) => self.read_again(secrets, id).await,
            Noticed::Only(ids) => {
                let known = self.vault.memory().known();
                for id in known.into_iter().filter(|id| !ids.contains(id)) {
                    self.read_again(secrets, id).await?;
                }
                Ok(())
            }
        }
    }

    /// Reads what is kept for a cluster and, where it is not what the probes use, takes it over.
    async fn read_again(self: &Arc<Self>, secrets: &Arc<KubeSecrets>, id: ClusterId) -> Result<(), WriteError> {
        let (this, secrets) = (Arc::clone(self), Arc::clone(secrets));
        if detached(async move { this.read_again_now(&secrets, id).await }).await? {
            self.check_soon(id);
        }
        Ok(())
    }

    /// Did anything change? Reading happens in a writer's turn: what is read cannot be older than what is known.
    async fn read_again_now(&self, secrets: &KubeSecrets, id: ClusterId) -> Result<bool, WriteError> {
        let turn = self.turn().await?;
        let Some(entry) = self.board.get(id) else { return Ok(false) };
        let kept = tokio::time::timeout(turn.left(), secrets.fetch(&entry.cluster)).await;
        let kept = kept.map_err(|_| WriteError::BUSY)?.map_err(|error| {
            tracing::warn!(%id, %error, "a changed Secret could not be read");
            WriteError::BUSY
        })?;
        if self.knows(id, kept.as_ref()) {
            return Ok(false);
        }
        let after = kept.clone().unwrap_or(Some(Credential::default()));
        let mut pen = self.outbox.pen(turn.left()).await?;
        let event = pen.write(self.told(&entry.cluster, &after.clone().unwrap_or_default(), "noticed"))?;
        let by = Origin::system("hub watch").did(Action::CredentialsNotice, self.now());
        let by = by.of_cluster(id).of_object(&entry.cluster.name).with("usable", json!(after.is_some()));
        let told = async {
            self.store.append(&[event], &[]).await?;
            self.store.append_audit(&[by]).await
        };
        let done = turn.store(told).await;
        self.settle(pen, done, id)?;
        tracing::info!(%id, usable = after.is_some(), "somebody changed a cluster's credentials in its Secret");
        match after {
            Some(credential) => drop(self.vault.memory().put(id, credential)),
            None => self.vault.memory().put_unusable(id),
        }
        Ok(true)
    }

    /// Is this what the probes use already?
    fn knows(&self, id: ClusterId, kept: Option<&Option<Credential>>) -> bool {
        match (self.vault.get(id), kept) {
            (Lookup::Some(known), Some(Some(kept))) => known.same_as(kept),
            (Lookup::None, None) => true,
            (Lookup::Unavailable, Some(None)) => !self.vault.memory().is_loading(),
            (Lookup::Some(_) | Lookup::None | Lookup::Unavailable, _) => false,
        }
    }
}
