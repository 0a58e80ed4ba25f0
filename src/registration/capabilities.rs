//! What was found out about a cluster: stored, shown, and told of when it changed.

use std::sync::Arc;

use fleetbeat_actors::{
    event::{EventDraft, EventType},
    roll::Cluster,
};
use serde_json::json;

use super::{error::WriteError, write::Registration};
use crate::{
    discovery::{Capabilities, Evidence, conclude},
    store::StoredDiscovery,
};

impl Registration {
    /// Notes that `asked` was asked what it can do, with what that brought. Returns what the cluster can do now, and
    /// whether that changed.
    ///
    /// # Errors
    /// [`WriteError::NotFound`], [`WriteError::Changed`] when the cluster is reached another way by now,
    /// [`WriteError::Unavailable`].
    pub async fn note_discovery(
        self: &Arc<Self>,
        asked: Arc<Cluster>,
        found: Option<Evidence>,
        outcome: &'static str,
    ) -> Result<(Option<Capabilities>, bool), WriteError> {
        let this = Arc::clone(self);
        self.detached(async move { this.note_discovery_now(&asked, found, outcome).await }).await
    }

    async fn note_discovery_now(
        &self,
        asked: &Cluster,
        found: Option<Evidence>,
        outcome: &'static str,
    ) -> Result<(Option<Capabilities>, bool), WriteError> {
        let turn = self.turn().await?;
        let id = asked.id;
        let entry = self.board.get(id).ok_or(WriteError::NotFound(id))?;
        if !asked.probes_alike(&entry.cluster) {
            return Err(WriteError::Changed);
        }
        let now = self.now();
        let row = StoredDiscovery { cluster_id: id, attempted_at: now, outcome: outcome.to_owned() };
        let before = entry.cluster.capabilities.as_ref().map(Capabilities::read);
        let Some(evidence) = found else {
            let done = turn.store(self.store.write_discovery(&row, None, &[])).await;
            done.map_err(|error| WriteError::of_store(error, id))?;
            return Ok((before, false));
        };
        let after = Capabilities { discovered_at: Some(now), ..conclude(&evidence, before.as_ref()) };
        let changed = before.as_ref().is_none_or(|before| !after.says_the_same(before));
        let value = serde_json::to_value(&after).map_err(|_| WriteError::Internal)?;
        if changed {
            let mut pen = self.pen(&turn).await?;
            let payload = json!({
                "cluster_id": id,
                "cluster_name": entry.cluster.name,
                "changed_fields": after.changed_fields(before.as_ref()),
                "capabilities": value,
            });
            let event = pen.write(EventDraft::new(EventType::ClusterCapabilitiesChanged, id, now, payload))?;
            let done = turn.store(self.store.write_discovery(&row, Some(&value), &[event])).await;
            self.settle(pen, done, &[id])?;
        } else {
            let done = turn.store(self.store.write_discovery(&row, Some(&value), &[])).await;
            done.map_err(|error| WriteError::of_store(error, id))?;
        }
        self.board.equip(id, value);
        Ok((Some(after), changed))
    }
}
