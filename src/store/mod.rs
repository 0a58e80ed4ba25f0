//! What fleetbeat keeps: one contract, two backends.

pub mod audit;
mod audit_log;
mod backend;
mod bulk;
mod callers;
mod contract;
mod failure;
mod look;
mod migrations;
mod newest;
mod options;
mod postgres;
mod rows;
mod secrets;
mod silences;
mod sqlite;
mod statement;
mod tables;
mod webhooks;

use std::sync::Arc;

pub use audit::{AuditEntry, AuditLink, AuditOutcome, AuditRow};
pub use audit_log::{AuditEnds, AuditFilter, AuditLog, AuditOrder};
pub use callers::{Keys, SessionRows, StoredSession, StoredToken};
pub use contract::{Among, EventFilter, Gap, Retention, SealedRow, Store, StoredDiscovery, StoredTransition};
pub use failure::until;
pub use look::{Seen, look};
pub use options::{OpenError, Place, StoreOptions};
pub use secrets::{BegunWrite, SecretMark, SecretRows};
pub use silences::{SilenceRows, StoredSilence};
use tables::Tables;
pub use webhooks::{DeadLetter, StoredWebhook, WebhookCursor, WebhookRows, WebhookSeal};

/// Opens the store that the options name, migrated to this binary's version.
///
/// # Errors
/// [`OpenError::Unavailable`] is worth another try, the others want a person.
pub async fn open(options: &StoreOptions) -> Result<Arc<dyn Store>, OpenError> {
    match &options.place {
        Place::File(path) => Ok(Arc::new(Tables::new(sqlite::Database::open(path, options).await?))),
        Place::Server(url) => Ok(Arc::new(Tables::new(postgres::open(url, options).await?))),
    }
}
