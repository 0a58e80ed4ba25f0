//! File descriptors: how many this process may open, and what that leaves for connections.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors left to everything that has no setting: the bus, webhooks, discovery, files.
const RESERVED: usize = 256;
/// What is assumed where there is no limit.
const PLENTY: usize = 1 << 20;
/// More connections than this are not planned with: each that is kept costs about 20 KiB.
const MOST: usize = 1 << 16;

/// Raises this process's limit on open descriptors as far as it may, and returns it.
pub fn raise_descriptor_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { limit.maximum } else { before };
    now.map_or(PLENTY, |now| usize::try_from(now).unwrap_or(PLENTY))
}

/// What `limit` open descriptors leave to probes when `promised` belong to callers and to the store.
pub fn descriptors_for_probes(limit: usize, promised: usize) -> usize {
    limit.saturating_sub(promised.saturating_add(RESERVED).min(limit / 2)).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_have_what_others_leave_and_half_of_it_at_least() {
        let left = [(20_000, 1_034), (20_000, 50_000), (256, 1_034), (0, 0), (PLENTY, 0)];
        let left = left.map(|(limit, promised)| descriptors_for_probes(limit, promised));
        assert_eq!(left, [18_710, 10_000, 128, 1, MOST]);
    }
}
