//! Authors: on whose behalf something is written.

use std::sync::Arc;

use fleetbeat_actors::roll::Cluster;

use super::{Caller, Scope};
use crate::audit::Origin;

/// On whose behalf something is written.
#[derive(Clone, Debug)]
pub struct Author {
    /// Their stable name; `None` for whoever reached an open API.
    pub who: Option<String>,
    /// Who, from where: what the audit log tells of them.
    pub origin: Origin,
    scope: Arc<Scope>,
}

impl Author {
    /// fleetbeat itself, in this part of it; it may touch every cluster.
    pub fn system(part: &str) -> Self {
        Self { who: None, origin: Origin::system(part), scope: Arc::new(Scope::Everything) }
    }

    /// A caller, with where this request of theirs came from.
    pub fn new(caller: &Caller, origin: Origin) -> Self {
        Self { who: caller.author(), origin, scope: Arc::clone(&caller.scope) }
    }

    /// What they may see.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// May they see and touch this cluster?
    pub fn reaches(&self, cluster: &Cluster) -> bool {
        self.scope.admits(cluster)
    }
}
