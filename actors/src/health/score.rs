//! The score: 100 less what each failing endpoint costs. Only configured endpoints count.

use super::{Endpoint, Findings};

/// What a failing endpoint costs.
pub const fn cost(endpoint: Endpoint) -> u8 {
    match endpoint {
        Endpoint::ApiServer => 50,
        Endpoint::Prometheus => 20,
        Endpoint::Tempo | Endpoint::Loki => 15,
    }
}

/// The score of some findings, 0 to 100.
pub fn of(findings: &Findings) -> u8 {
    let failing = Endpoint::ALL.into_iter().filter(|&endpoint| findings.is_failing(endpoint));
    failing.fold(100, |score, endpoint| score - cost(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Finding;

    #[test]
    fn everything_down_is_zero_and_nothing_configured_costs_nothing() {
        let down = Some(Finding { healthy: false, failure: None, latency_ms: 0 });
        assert_eq!(of(&Findings { api_server: down, prometheus: down, tempo: down, loki: down }), 0);
        assert_eq!(of(&Findings { api_server: down, ..Findings::default() }), 50);
        assert_eq!(of(&Findings::default()), 100);
    }
}
