//! The TLS session of one line: at most one ticket, only where connections are not kept, and only for a while.

use std::time::Duration;

use parking_lot::Mutex;
use rustls::{
    NamedGroup,
    client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
};
use rustls_pki_types::ServerName;
use tokio::time::Instant;

/// The session store of one line. A resumed handshake does not verify the certificate again, so a ticket is forgotten
/// some time after the last full handshake.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    group: Option<NamedGroup>,
    until: Option<Instant>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Option<Tls13ClientSessionValue>,
}

impl Tickets {
    /// Forgets the session: the next handshake is a full one.
    pub(super) fn forget(&self) {
        let mut inner = self.inner.lock();
        *inner = Inner { group: inner.group, ..Inner::default() };
    }

    /// Keeps tickets that arrive from now on, for `span`.
    pub(super) fn collect_for(&self, span: Duration) {
        self.inner.lock().until = Some(Instant::now() + span);
    }
}

impl Inner {
    fn is_open(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner([redacted])")
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.inner.lock().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.inner.lock().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        let mut inner = self.inner.lock();
        if inner.is_open() {
            inner.tls12 = Some(value);
        }
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let inner = self.inner.lock();
        if inner.is_open() { inner.tls12.clone() } else { None }
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.inner.lock().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut inner = self.inner.lock();
        if inner.is_open() {
            inner.tls13 = Some(value);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut inner = self.inner.lock();
        let ticket = inner.tls13.take();
        if inner.is_open() { ticket } else { None }
    }
}
