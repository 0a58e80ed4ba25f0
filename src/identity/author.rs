//! Authors: on whose behalf something is written.

use std::sync::Arc;

use fleetbeat_actors::roll::Cluster;

use super::{Caller, Scope};

/// On whose behalf something is written.
#[derive(Clone, Debug)]
pub struct Author {
    /// Their stable name; `None` for whoever reached an open API.
    pub who: Option<String>,
    scope: Arc<Scope>,
}

impl Author {
    /// Somebody who may touch every cluster.
    pub fn anybody() -> Self {
        Self { who: None, scope: Arc::new(Scope::Everything) }
    }

    /// May they see and touch this cluster?
    pub fn reaches(&self, cluster: &Cluster) -> bool {
        self.scope.admits(cluster)
    }
}

impl From<&Caller> for Author {
    fn from(caller: &Caller) -> Self {
        Self { who: caller.author(), scope: Arc::clone(&caller.scope) }
    }
}
