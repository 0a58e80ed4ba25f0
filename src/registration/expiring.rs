//! Tells of what ends soon: one event for each end and warning, never a second one, whatever restarts.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    board::Entry,
    event::{EventDraft, EventType},
    health::Endpoint,
    roll::{Cluster, ClusterId},
};
use serde_json::{Value, json};

use super::{error::WriteError, write::Registration};
use crate::{
    credentials::{End, ExpiryKind, Foresight, Stage},
    store::EventFilter,
};

/// How soon another certificate that a server shows is worth another word: it could show a new one every minute.
const SERVED: TimeDelta = TimeDelta::days(1);
/// Events of one cluster that are looked through for an earlier warning.
const LOOK_BACK: u32 = 1_000;

/// What was told already.
#[derive(Debug, Default)]
pub struct Told {
    known: HashSet<(ClusterId, String)>,
    read: HashSet<ClusterId>,
    /// When an end of a certificate that a server showed was told, whichever end it was.
    served: HashMap<(ClusterId, Endpoint, &'static str), DateTime<Utc>>,
}

impl Told {
    fn has(&self, id: ClusterId, end: &End, stage: Stage, now: DateTime<Utc>) -> bool {
        let served = || self.served.get(&(id, end.endpoint, word(stage))).is_some_and(|at| now - *at < SERVED);
        self.known.contains(&(id, mark(end, stage))) || (end.kind == ExpiryKind::ServingCertificate && served())
    }

    fn remember(&mut self, id: ClusterId, end: &End, stage: Stage, now: DateTime<Utc>) {
        self.known.extend(stages(stage).map(|stage| (id, mark(end, stage))));
        if end.kind == ExpiryKind::ServingCertificate {
            self.served.extend(stages(stage).map(|stage| ((id, end.endpoint, word(stage)), now)));
        }
    }
}

impl Registration {
    /// Looks through the fleet once and tells of every end that came close since. Returns how many events were written.
    ///
    /// # Errors
    /// [`WriteError::Unavailable`] when the store takes nothing now; the rest is told the next time.
    pub async fn tell_of_ends(self: &Arc<Self>, foresight: &Foresight, told: &mut Told) -> Result<usize, WriteError> {
        let now = self.now();
        let mut close: Vec<(Entry, End, Stage)> = Vec::new();
        self.board.each(|entry| {
            for end in foresight.ends(&entry.cluster) {
                match foresight.stage(&end, now) {
                    Stage::Far => {}
                    stage => close.push((entry.clone(), end, stage)),
                }
            }
        });
        let mut written = 0;
        for (entry, end, stage) in close {
            let id = entry.cluster.id;
            if told.read.insert(id) {
                self.read_told(id, told).await?;
            }
            if told.has(id, &end, stage, now) {
                continue;
            }
            let this = Arc::clone(self);
            let draft = draft(&entry.cluster, &end, stage, now);
            self.detached(async move { this.append_now(draft).await }).await?;
            told.remember(id, &end, stage, now);
            written += 1;
        }
        Ok(written)
    }

    async fn append_now(&self, draft: EventDraft) -> Result<(), WriteError> {
        let turn = self.turn().await?;
        let id = draft.cluster_id;
        self.board.get(id).ok_or(WriteError::NotFound(id))?;
        let mut pen = self.outbox.pen(turn.left()).await?;
        let event = pen.write(draft)?;
        let done = turn.store(self.store.append(&[event], &[])).await;
        self.settle(pen, done, &[id])
    }

    /// What earlier runs told of a cluster.
    async fn read_told(&self, id: ClusterId, told: &mut Told) -> Result<(), WriteError> {
        let filter = EventFilter {
            cluster_id: Some(id),
            event_types: vec![EventType::ClusterCredentialsExpiring],
            limit: LOOK_BACK,
            ..EventFilter::default()
        };
        let stored = self.store.events(&filter).await.map_err(|error| {
            told.read.remove(&id);
            WriteError::of_store(error, id)
        })?;
        for event in stored {
            let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
            for mark in payload["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                told.known.insert((id, mark.to_owned()));
            }
        }
        Ok(())
    }
}

/// A later warning counts for the earlier ones as well.
fn stages(stage: Stage) -> impl Iterator<Item = Stage> {
    [Stage::Near, Stage::Imminent, Stage::Over].into_iter().filter(move |known| *known <= stage)
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Far => "far",
        Stage::Near => "near",
        // An end that was told a day before needs no second word when it comes.
        Stage::Imminent | Stage::Over => "imminent",
    }
}

fn mark(end: &End, stage: Stage) -> String {
    format!("{}/{}/{}/{}", end.endpoint.as_str(), end.kind.as_str(), end.at.timestamp(), word(stage))
}

fn draft(cluster: &Cluster, end: &End, stage: Stage, now: DateTime<Utc>) -> EventDraft {
    let mut warnings: Vec<String> = stages(stage).map(|stage| mark(end, stage)).collect();
    warnings.dedup();
    let payload = json!({
        "cluster_id": cluster.id,
        "cluster_name": cluster.name,
        "endpoint": end.endpoint.as_str(),
        "kind": end.kind.as_str(),
        "expires_at": end.at,
        "days_left": (end.at - now).num_days().max(0),
        "expired": stage == Stage::Over,
        "warnings": warnings,
    });
    EventDraft::new(EventType::ClusterCredentialsExpiring, cluster.id, now, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + hours * 3_600, 0).unwrap()
    }

    fn end(kind: ExpiryKind, hours: i64) -> End {
        End { endpoint: Endpoint::ApiServer, kind, at: at(hours) }
    }

    #[test]
    fn a_server_that_shows_another_certificate_each_time_is_told_of_once_a_day() {
        let (mut told, id) = (Told::default(), ClusterId::generate());
        let serving = |hours| end(ExpiryKind::ServingCertificate, hours);
        assert!(!told.has(id, &serving(10), Stage::Imminent, at(0)));
        told.remember(id, &serving(10), Stage::Imminent, at(0));
        for hours in 11..23 {
            assert!(told.has(id, &serving(hours), Stage::Imminent, at(hours - 10)), "{hours}");
        }
        assert!(told.has(id, &serving(100), Stage::Near, at(1)), "the later warning counted for the earlier one");
        assert!(!told.has(id, &serving(30), Stage::Imminent, at(24)));
        assert!(!told.has(ClusterId::generate(), &serving(10), Stage::Imminent, at(1)));
    }

    #[test]
    fn every_other_token_is_told_of() {
        let (mut told, id) = (Told::default(), ClusterId::generate());
        told.remember(id, &end(ExpiryKind::Token, 10), Stage::Imminent, at(0));
        assert!(told.has(id, &end(ExpiryKind::Token, 10), Stage::Imminent, at(1)));
        assert!(!told.has(id, &end(ExpiryKind::Token, 11), Stage::Imminent, at(1)));
    }
}
