//! What a database must offer for the store to be written once: how connections are had and how calls end.

use std::{ops::DerefMut, time::Duration};

use fleetbeat_actors::ports::StoreError;

use super::{
    bulk::Bulk,
    failure::{Commit, Failure},
};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It reads.
    Read,
    /// It writes, and may leave half of it undone.
    Pieces,
    /// It writes in a transaction.
    Write,
    /// It writes in a transaction that begins once every earlier one has ended, also those nobody waits for any more.
    WriteAfterAll,
}

/// One of the two databases.
pub(super) trait Backend: Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;

    type Connection: Bulk;
    /// A connection in use.
    type Lease<'a>: DerefMut<Target = Self::Connection> + Send;

    /// The longest time that a call takes.
    fn call_timeout(&self) -> Duration;

    /// Runs a call, which begins with [`Backend::lease`] and ends with [`Backend::finish`], at most for the call's time.
    fn call<T: Send>(
        &self,
        access: Access,
        commit: &Commit,
        call: impl Future<Output = Result<T, Failure>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;

    /// A connection, in a transaction where the access says so.
    fn lease(&self, access: Access) -> impl Future<Output = Result<Self::Lease<'_>, Failure>> + Send;

    /// Commits what went well, takes back what did not, and gives the connection back.
    fn finish<T: Send>(
        lease: Self::Lease<'_>,
        commit: &Commit,
        done: Result<T, Failure>,
    ) -> impl Future<Output = Result<T, Failure>> + Send;

    /// Did a row vanish that another one refers to, between a statement's look and its end?
    fn reference_vanished(failure: &Failure) -> bool;

    /// Does it answer?
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Closes every connection.
    fn close(&self) -> impl Future<Output = ()> + Send;
}
