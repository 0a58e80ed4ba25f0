//! What a correct monitor must conclude from how a spoke behaves: the judge's side of the rules.
//! Pure; knows nothing of the monitor's code, only of what it promises.

use serde::{Deserialize, Serialize};

use super::behaviour::{Behaviour, CertificateFault};
use super::role::Role;
use super::spoke::Spoke;

/// The state a monitor must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Everything configured passes.
    Online,
    /// The API server answers, something else does not (or it refuses the monitor).
    Degraded,
    /// The API server cannot be used.
    Offline,
}

/// State and score a monitor must reach, and whether it could reach another with good reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The state.
    pub state: State,
    /// The health score, 0 to 100.
    pub score: u8,
    /// False when the behaviour lies on the border (an answer near the deadline, an odd status code):
    /// such a moment proves nothing about a monitor.
    pub clear: bool,
}

/// What a probe of one endpoint finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Up,
    Refused,
    Down,
}

/// What `spoke` must be shown as while its roles behave like this.
pub fn expected(spoke: &Spoke, behaviours: impl IntoIterator<Item = (Role, Behaviour)>) -> Expected {
    let mut expected = Expected { state: State::Online, score: 100, clear: true };
    let mut penalty = 0;
    for (role, behaviour) in behaviours {
        let (finding, clear) = finding(spoke, role, behaviour);
        expected.clear &= clear;
        if finding != Finding::Up {
            penalty += role.penalty();
        }
        expected.state = worse(expected.state, state_for(role, finding));
    }
    expected.score = 100u8.saturating_sub(penalty);
    expected
}

fn state_for(role: Role, finding: Finding) -> State {
    match (role, finding) {
        (_, Finding::Up) => State::Online,
        (Role::Api, Finding::Down) => State::Offline,
        (Role::Api, Finding::Refused) => State::Degraded,
        (Role::Prometheus | Role::Tempo | Role::Loki, Finding::Refused | Finding::Down) => State::Degraded,
    }
}

fn worse(one: State, other: State) -> State {
    match (one, other) {
        (State::Offline, _) | (_, State::Offline) => State::Offline,
        (State::Degraded, _) | (_, State::Degraded) => State::Degraded,
        (State::Online, State::Online) => State::Online,
    }
}

/// The finding, and whether it is beyond doubt.
fn finding(spoke: &Spoke, role: Role, behaviour: Behaviour) -> (Finding, bool) {
    match behaviour {
        Behaviour::Healthy | Behaviour::CloseAfterResponse => (Finding::Up, true),
        Behaviour::Dead
        | Behaviour::Unreachable
        | Behaviour::Blackhole
        | Behaviour::TlsSilent
        | Behaviour::Hang
        | Behaviour::Reset(_)
        | Behaviour::Garbage
        | Behaviour::EndlessHeaders
        | Behaviour::EndlessInterim => (Finding::Down, true),
        Behaviour::GzipBomb | Behaviour::DeepJson => (Finding::Up, false),
        Behaviour::RetryAfter => status(role, 429, spoke.token.is_some()),
        Behaviour::Certificate(CertificateFault::GiantChain) => (Finding::Down, false),
        Behaviour::Certificate(_) | Behaviour::Plaintext => {
            let tls = spoke.endpoint(role).is_some_and(|endpoint| endpoint.tls);
            if tls { (Finding::Down, true) } else { (Finding::Up, false) }
        }
        Behaviour::EndlessBody => (Finding::Down, false),
        Behaviour::Slow { ms } => within_deadline(spoke, u64::from(ms), u64::from(ms)),
        Behaviour::Drip { ms } => within_deadline(spoke, u64::from(ms) * 100, u64::from(ms) * 1_200),
        Behaviour::Status { code } => status(role, code, spoke.token.is_some()),
    }
}

/// A fifth to either side of the deadline proves nothing.
fn within_deadline(spoke: &Spoke, fastest_ms: u64, slowest_ms: u64) -> (Finding, bool) {
    let deadline = spoke.cluster_type.deadline_ms();
    if slowest_ms * 10 <= deadline * 8 {
        (Finding::Up, true)
    } else if fastest_ms * 10 >= deadline * 12 {
        (Finding::Down, true)
    } else {
        (if fastest_ms < deadline { Finding::Up } else { Finding::Down }, false)
    }
}

fn status(role: Role, code: u16, with_credentials: bool) -> (Finding, bool) {
    match (role, code) {
        (_, 200..=299) => (Finding::Up, true),
        (_, 500..) => (Finding::Down, true),
        (Role::Api, 401 | 403) if with_credentials => (Finding::Refused, true),
        (Role::Api, 401 | 403 | 429) => (Finding::Up, true),
        (Role::Api, 400..=499) => (Finding::Up, false),
        (_, 429) => (Finding::Down, false),
        (Role::Api, _) => (Finding::Down, false),
        (_, _) => (Finding::Down, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spokes::options::{Endpoints, FleetOptions};

    fn spoke(require_token: bool) -> Spoke {
        let options = FleetOptions { count: 1, endpoints: Endpoints::all(), require_token, ..FleetOptions::default() };
        Spoke::plan(&options).unwrap().remove(0)
    }

    fn seen(behaviours: &[(Role, &str)]) -> (State, u8, bool) {
        seen_with(false, behaviours)
    }

    fn seen_with(token: bool, behaviours: &[(Role, &str)]) -> (State, u8, bool) {
        let parsed = behaviours.iter().map(|(role, text)| (*role, text.parse().unwrap()));
        let expected = expected(&spoke(token), parsed);
        (expected.state, expected.score, expected.clear)
    }

    #[test]
    fn a_dead_api_server_is_offline_and_other_endpoints_only_degrade() {
        assert_eq!(seen(&[(Role::Api, "dead")]), (State::Offline, 50, true));
        assert_eq!(seen(&[(Role::Prometheus, "hang")]), (State::Degraded, 80, true));
        assert_eq!(seen(&[(Role::Tempo, "dead"), (Role::Loki, "status:503")]), (State::Degraded, 70, true));
        let all: Vec<_> = Role::ALL.map(|role| (role, "dead")).to_vec();
        assert_eq!(seen(&all), (State::Offline, 0, true));
    }

    #[test]
    fn refusal_degrades_only_a_monitor_that_shows_credentials() {
        assert_eq!(seen_with(true, &[(Role::Api, "status:401")]), (State::Degraded, 50, true));
        assert_eq!(seen_with(false, &[(Role::Api, "status:401")]), (State::Online, 100, true));
        assert_eq!(seen_with(true, &[(Role::Api, "status:429")]), (State::Online, 100, true));
    }

    #[test]
    fn slowness_counts_when_it_passes_the_deadline_and_proves_nothing_near_it() {
        let deadline = spoke(false).cluster_type.deadline_ms();
        let at = |ms: u64| seen(&[(Role::Api, &format!("slow:{ms}"))]);
        assert_eq!(at(deadline / 2), (State::Online, 100, true));
        assert_eq!(at(deadline * 2), (State::Offline, 50, true));
        assert!(!at(deadline).2);
    }

    #[test]
    fn closing_after_each_response_is_healthy() {
        assert_eq!(seen(&[(Role::Api, "close_after_response")]), (State::Online, 100, true));
    }
}
