//! What can be set about probing, with its defaults.

use std::time::Duration;

/// Limits and habits of the prober.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Probes over new connections at the same time. Those over kept ones wait for nobody: however many endpoints hang, the
    /// others are probed when they are due.
    pub max_in_flight: usize,
    /// TLS handshakes computing at the same time.
    pub max_handshakes: usize,
    /// Descriptors for connections: at most so many at the same time. Most of them are kept between checks; where there
    /// are more endpoints, a connection is closed after its check and the next one resumes the TLS session.
    pub descriptors: usize,
    /// Name look-ups running at the same time, hung ones included.
    pub max_lookups: usize,
    /// Longest wait for a permit (a shorter period shortens it); then the probe is not run.
    pub permit_wait: Duration,
    /// Deadline of one name look-up, inside the probe's own.
    pub dns_timeout: Duration,
    /// Cap on the bytes of an answer's status line and headers (at least 8 KiB).
    pub header_bytes: usize,
    /// Cap on the bytes of an answer's body.
    pub body_bytes: usize,
    /// Idle time before TCP keepalive probes a connection …
    pub keepalive_idle: Duration,
    /// … the time between two of them …
    pub keepalive_interval: Duration,
    /// … and how many unanswered ones close it.
    pub keepalive_probes: u32,
    /// A TLS session is resumed for at most this long after its full handshake, so that a changed or expired
    /// certificate is seen.
    pub resume_for: Duration,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 4_096,
            max_handshakes: 64,
            descriptors: 16_384,
            max_lookups: 16,
            permit_wait: Duration::from_secs(30),
            dns_timeout: Duration::from_secs(5),
            header_bytes: 16 * 1024,
            body_bytes: 64 * 1024,
            keepalive_idle: Duration::from_secs(15),
            keepalive_interval: Duration::from_secs(5),
            keepalive_probes: 3,
            resume_for: Duration::from_secs(600),
        }
    }
}
