//! File descriptors: how many this process may open, and what that leaves for connections.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::ProbeOptions;

/// Descriptors left to everything but probes: API connections, database, bus, files.
const RESERVED: usize = 1_024;
/// What is assumed where there is no limit.
const PLENTY: usize = 1 << 20;

/// Raises this process's limit on open descriptors as far as it may, and returns it.
pub fn raise_descriptor_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { limit.maximum } else { before };
    now.map_or(PLENTY, |now| usize::try_from(now).unwrap_or(PLENTY))
}

impl ProbeOptions {
    /// The same options, with probes in flight and kept connections cut to what `descriptors` allow. A quarter of them
    /// stays free for probes that need a new connection.
    #[must_use]
    pub fn within(mut self, descriptors: usize) -> Self {
        let usable = descriptors.saturating_sub(RESERVED.min(descriptors / 2));
        self.max_in_flight = self.max_in_flight.min(usable / 4).max(1);
        self.max_kept = self.max_kept.min(usable - usable / 4);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_never_plan_with_more_descriptors_than_there_are() {
        for descriptors in [0, 16, 256, 1_024, 20_000, 1 << 20] {
            let options = ProbeOptions::default().within(descriptors);
            assert!(options.max_kept + options.max_in_flight <= descriptors.max(1), "{descriptors}: {options:?}");
        }
        assert_eq!(ProbeOptions::default().within(1 << 20), ProbeOptions::default());
        assert_eq!(ProbeOptions::default().within(20_000).max_kept, 14_232);
    }
}
