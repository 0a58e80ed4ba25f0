//! Foresight: what of a cluster's access ends next. Tokens, client certificates, authorities, and the certificates that its
//! servers show.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use dashmap::DashMap;
use fleetbeat_actors::{
    health::Endpoint,
    roll::{Cluster, ClusterId},
};

use super::{ExpiryKind, Lookup, Vault, expiry::bundle_end};

/// The last warning comes so long before an end.
const LAST_WARNING: TimeDelta = TimeDelta::days(1);

/// Something that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// When.
    pub at: DateTime<Utc>,
    /// For which endpoint.
    pub endpoint: Endpoint,
    /// What.
    pub kind: ExpiryKind,
}

/// How close an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Far.
    Far,
    /// Within the days of the first warning.
    Near,
    /// Within a day.
    Imminent,
    /// Past.
    Over,
}

/// Knows what ends when.
pub struct Foresight {
    vault: Arc<Vault>,
    warning: TimeDelta,
    /// Ends of the clusters' own bundles, by the generation that they were read from.
    bundles: DashMap<ClusterId, (i64, Option<DateTime<Utc>>)>,
    /// Why the token of a cluster could not be renewed, with the version of the credentials that it belongs to.
    stuck: DashMap<ClusterId, (u64, String)>,
}

impl Foresight {
    /// Warns `warning_days` before an end, and a day before it.
    pub fn new(vault: Arc<Vault>, warning_days: u32) -> Self {
        Self {
            vault,
            warning: TimeDelta::days(i64::from(warning_days)),
            bundles: DashMap::new(),
            stuck: DashMap::new(),
        }
    }

    /// Everything of a cluster that is known to end, the first one first.
    pub fn ends(&self, cluster: &Cluster) -> Vec<End> {
        let mut ends = Vec::new();
        let end = |endpoint, kind| move |at| End { at, endpoint, kind };
        if let Lookup::Some(credential) = self.vault.get(cluster.id) {
            for (endpoint, part) in credential.parts() {
                ends.extend(part.expiries().iter().map(|expiry| end(endpoint, expiry.kind)(expiry.at)));
            }
        }
        ends.extend(self.bundle_end(cluster).map(end(Endpoint::ApiServer, ExpiryKind::CaBundle)));
        let serving = self.vault.serving_ends(cluster.id).into_iter();
        ends.extend(serving.map(|(endpoint, at)| end(endpoint, ExpiryKind::ServingCertificate)(at)));
        ends.sort_by_key(|end| (end.at, end.endpoint, end.kind));
        ends.dedup();
        ends
    }

    /// A number that is another one whenever what [`Foresight::ends`] tells of a cluster may have changed, for the same
    /// metadata of it.
    pub fn changes(&self) -> u64 {
        self.vault.changes()
    }

    /// How close an end is.
    pub fn stage(&self, end: &End, now: DateTime<Utc>) -> Stage {
        match end.at - now {
            left if left <= TimeDelta::zero() => Stage::Over,
            left if left <= LAST_WARNING => Stage::Imminent,
            left if left <= self.warning => Stage::Near,
            _ => Stage::Far,
        }
    }

    /// The vault.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    fn bundle_end(&self, cluster: &Cluster) -> Option<DateTime<Utc>> {
        let pem = cluster.ca_bundle.as_deref()?;
        if let Some(known) = self.bundles.get(&cluster.id)
            && known.0 == cluster.generation
        {
            return known.1;
        }
        let end = bundle_end(pem);
        self.bundles.insert(cluster.id, (cluster.generation, end));
        end
    }

    /// The token of a cluster could not be renewed.
    pub fn not_renewed(&self, id: ClusterId, version: u64, reason: String) {
        self.stuck.insert(id, (version, reason));
    }

    /// The token of a cluster was renewed.
    pub fn renewed(&self, id: ClusterId) {
        self.stuck.remove(&id);
    }

    /// Why the token that a cluster still has could not be renewed the last time, if it could not.
    pub fn stuck(&self, id: ClusterId) -> Option<String> {
        let (version, reason) = self.stuck.get(&id).map(|stuck| stuck.clone())?;
        matches!(self.vault.get(id), Lookup::Some(now) if now.version == version).then_some(reason)
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, id: ClusterId) {
        self.bundles.remove(&id);
        self.stuck.remove(&id);
    }
}
