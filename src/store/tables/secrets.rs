//! Calls about Secrets on the hub.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};

use super::{Change, Tables, call, told};
use crate::store::{
    audit::AuditEntry,
    backend::{Access, Backend},
    failure::Commit,
    rows::{audit, secrets},
    secrets::{BegunWrite, SecretMark, SecretRows},
};

#[async_trait]
impl<B: Backend> SecretRows for Tables<B> {
    async fn secret_marks(&self, of: Option<ClusterId>) -> Result<Vec<SecretMark>, StoreError> {
        call!(self, Read, |connection| secrets::marks(connection, of))
    }

    async fn begin_secret(&self, id: ClusterId, begun: Option<&BegunWrite>) -> Result<(), StoreError> {
        call!(self, Write, |connection| secrets::begin(connection, id, begun))
    }

    async fn settle_secret(
        &self,
        id: ClusterId,
        version: Option<&str>,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        told!(self, audit, |connection| secrets::settle(connection, id, version, events))
    }
}
