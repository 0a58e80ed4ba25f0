//! Credentials that somebody else changed where they are kept: told of, and shown to the probes.

use std::{collections::HashMap, sync::Arc};

use fleetbeat_actors::{
    event::{EventDraft, EventType},
    roll::{Cluster, ClusterId},
};
use serde_json::json;

use super::{
    error::WriteError,
    write::{Registration, Turn},
};
use crate::{
    audit::{Action, Origin},
    credentials::{Credential, Lookup},
    secrets::{Kept, KubeSecrets, Noticed},
    store::SecretMark,
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
                let is_known = self.knows(id, Noticed::kept(&secret, &entry.cluster).as_ref());
                if is_known && secrets.has_told(id, secret.metadata.resource_version.as_deref()) {
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
        if self.detached(async move { this.read_again_now(&secrets, id).await }).await? {
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
        let Kept { credential: kept, version } = kept;
        let is_known = self.knows(id, kept.as_ref());
        let after = kept.unwrap_or(Some(Credential::default()));
        if is_known {
            self.note(&turn, secrets, id, after.as_ref(), version).await?;
            return Ok(false);
        }
        self.tell(&turn, secrets, &entry.cluster, after.as_ref(), version).await?;
        tracing::info!(%id, usable = after.is_some(), "somebody changed a cluster's credentials in its Secret");
        match after {
            Some(credential) => drop(self.vault.memory().put(id, credential)),
            None => self.vault.memory().put_unusable(id),
        }
        Ok(true)
    }

    /// Tells of what happened to Secrets while nobody watched them: writes of our own that were not told of before the end of the
    /// process, and changes by others. To be called when everything is read, before anything is written.
    ///
    /// # Errors
    /// [`WriteError::Unavailable`] when the store does not answer; `left` still has what was not told of.
    pub async fn tell_of_unseen(
        self: &Arc<Self>,
        secrets: &Arc<KubeSecrets>,
        left: &mut HashMap<ClusterId, Option<String>>,
    ) -> Result<(), WriteError> {
        for (id, version) in left.clone() {
            let (this, secrets) = (Arc::clone(self), Arc::clone(secrets));
            self.detached(async move { this.tell_of_unseen_now(&secrets, id, version).await }).await?;
            left.remove(&id);
        }
        Ok(())
    }

    async fn tell_of_unseen_now(
        &self,
        secrets: &KubeSecrets,
        id: ClusterId,
        version: Option<String>,
    ) -> Result<(), WriteError> {
        let turn = self.turn().await?;
        if secrets.has_told_any(id) {
            return Ok(());
        }
        let mark = self.mark(&turn, id).await?;
        let is_begun = mark.as_ref().is_some_and(|mark| mark.begun.is_some());
        let told = mark.and_then(|mark| mark.version);
        let is_version = KubeSecrets::is_version(told.as_deref(), version.as_deref());
        if is_version && !is_begun {
            secrets.note_told(id, version);
            return Ok(());
        }
        let kept = match self.vault.get(id) {
            _ if version.is_none() => Some(Credential::default()),
            Lookup::Some(known) => Some((*known).clone()),
            Lookup::Unavailable if self.vault.memory().has(id) => None,
            Lookup::None | Lookup::Unavailable => Some(Credential::default()),
        };
        // A write of ours that was begun is told of whenever something was written since.
        if is_version || (!is_begun && secrets.is_content(id, told.as_deref(), kept.as_ref())) {
            return self.note(&turn, secrets, id, kept.as_ref(), version).await;
        }
        let entry = self.board.get(id).ok_or(WriteError::BUSY)?;
        tracing::info!(%id, "a cluster's Secret was changed and nobody was told; telling now");
        self.tell(&turn, secrets, &entry.cluster, kept.as_ref(), version).await
    }

    /// Stores what tells of a Secret: what was to be told when a write of ours was begun, else that somebody changed it.
    async fn tell(
        &self,
        turn: &Turn<'_>,
        secrets: &KubeSecrets,
        cluster: &Cluster,
        after: Option<&Credential>,
        version: Option<String>,
    ) -> Result<(), WriteError> {
        let id = cluster.id;
        let begun = self.mark(turn, id).await?.and_then(|mark| mark.begun);
        let (draft, audit) = match begun {
            Some(begun) => {
                let draft = EventDraft::new(EventType::ClusterCredentialsUpdated, id, self.now(), begun.payload);
                (draft, begun.audit)
            }
            None => {
                let by = Origin::system("hub watch").did(Action::CredentialsNotice, self.now());
                let by = by.of_cluster(id).of_object(&cluster.name).with("usable", json!(after.is_some()));
                let none = Credential::default();
                (self.told(cluster, after.unwrap_or(&none), "noticed"), vec![by])
            }
        };
        let mut pen = self.outbox.pen(turn.left()).await?;
        let event = pen.write(draft)?;
        let remembered = secrets.remembered(id, version.as_deref(), after);
        let done = turn.store(self.store.settle_secret(id, remembered.as_deref(), &[event], &audit)).await;
        self.settle(pen, done, &[id])?;
        secrets.note_told(id, version);
        Ok(())
    }

    /// Remembers a version in which nothing is new.
    async fn note(
        &self,
        turn: &Turn<'_>,
        secrets: &KubeSecrets,
        id: ClusterId,
        kept: Option<&Credential>,
        version: Option<String>,
    ) -> Result<(), WriteError> {
        if !secrets.has_told(id, version.as_deref()) {
            let remembered = secrets.remembered(id, version.as_deref(), kept);
            let done = turn.store(self.store.settle_secret(id, remembered.as_deref(), &[], &[])).await;
            done.map_err(|error| WriteError::of_store(error, id))?;
            secrets.note_told(id, version);
        }
        Ok(())
    }

    async fn mark(&self, turn: &Turn<'_>, id: ClusterId) -> Result<Option<SecretMark>, WriteError> {
        let marks = tokio::time::timeout(turn.left(), self.store.secret_marks(Some(id))).await;
        let marks = marks.map_err(|_| WriteError::BUSY)?.map_err(|error| WriteError::of_store(error, id))?;
        Ok(marks.into_iter().next())
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
