//! The judge: from the outcomes of one check to what they mean.

use super::{Cause, CheckReport, Endpoint, Failure, Finding, Findings, NotRun, Outcome, State, score};

/// What one check says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The state this check alone would justify.
    pub state: State,
    /// Did the API server answer at all?
    pub connected: bool,
    /// What was found, endpoint by endpoint.
    pub findings: Findings,
    /// The score of these findings.
    pub health_score: u8,
}

impl Sight {
    /// Could the monitor's own network explain this sight?
    pub fn blames_network(&self) -> bool {
        let failure = self.findings.api_server.and_then(|finding| finding.failure);
        self.state == State::Offline && failure.is_some_and(|failure| failure.cause.is_network())
    }
}

/// Judges a report. `known` are the findings adopted before: they stand for endpoints whose probe did not run.
///
/// # Errors
/// The reason when the API server's probe did not run: such a report says nothing.
pub fn judge(report: &CheckReport, known: &Findings) -> Result<Sight, NotRun> {
    let (api_server, standing) = match report.api_server {
        Outcome::NotRun(reason) => return Err(reason),
        Outcome::Healthy { latency } => (passed(latency, None), Standing::Well),
        Outcome::Failed { failure, latency } => match standing_of(failure, report.authenticated) {
            Standing::Well => (passed(latency, Some(failure)), Standing::Well),
            other => (failed(latency, failure), other),
        },
    };
    let findings = Findings {
        api_server: Some(api_server),
        prometheus: finding_of(report, known, Endpoint::Prometheus),
        tempo: finding_of(report, known, Endpoint::Tempo),
        loki: finding_of(report, known, Endpoint::Loki),
    };
    let state = match standing {
        Standing::Gone => State::Offline,
        Standing::Refusing => State::Degraded,
        Standing::Well if findings.worst().is_some() => State::Degraded,
        Standing::Well => State::Online,
    };
    let connected = standing != Standing::Gone;
    Ok(Sight { state, connected, findings, health_score: score::of(&findings) })
}

/// How the API server stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It answers as it should, or is alive at least.
    Well,
    /// It answers, but not as it should.
    Refusing,
    /// It cannot be reached.
    Gone,
}

fn standing_of(failure: Failure, authenticated: bool) -> Standing {
    match failure.cause {
        Cause::Throttled => Standing::Well,
        Cause::Unauthorized | Cause::Forbidden if !authenticated => Standing::Well,
        Cause::Unauthorized | Cause::Forbidden | Cause::Credentials => Standing::Refusing,
        // A status came before too long a body: it answers. Headers without end are no answer.
        Cause::TooLarge if failure.http_status.is_some() => Standing::Refusing,
        Cause::HttpStatus => match failure.http_status {
            Some(300..=399) => Standing::Refusing,
            Some(status) if status < 500 && authenticated => Standing::Refusing,
            Some(status) if status < 500 => Standing::Well,
            _ => Standing::Gone,
        },
        Cause::Dns
        | Cause::Refused
        | Cause::ConnectTimeout
        | Cause::Tls
        | Cause::CertificateExpired
        | Cause::Timeout
        | Cause::Protocol
        | Cause::TooLarge
        | Cause::Blocked => Standing::Gone,
    }
}

fn finding_of(report: &CheckReport, known: &Findings, endpoint: Endpoint) -> Option<Finding> {
    match report.outcome(endpoint)? {
        Outcome::Healthy { latency } => Some(passed(latency, None)),
        Outcome::Failed { failure, latency } => Some(failed(latency, failure)),
        Outcome::NotRun(_) => known.of(endpoint),
    }
}

fn passed(latency: std::time::Duration, failure: Option<Failure>) -> Finding {
    Finding { healthy: true, failure, latency_ms: millis(latency) }
}

fn failed(latency: std::time::Duration, failure: Failure) -> Finding {
    Finding { healthy: false, failure: Some(failure), latency_ms: millis(latency) }
}

fn millis(latency: std::time::Duration) -> u32 {
    u32::try_from(latency.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(api_server: Outcome) -> CheckReport {
        CheckReport { api_server, prometheus: None, tempo: None, loki: None, authenticated: true, fresh: false }
    }

    fn healthy() -> Outcome {
        Outcome::Healthy { latency: Duration::from_millis(3) }
    }

    fn failing(cause: Cause, status: Option<u16>) -> Outcome {
        Outcome::failed(Failure { cause, http_status: status }, Duration::from_millis(3))
    }

    fn state(report: &CheckReport) -> State {
        judge(report, &Findings::default()).unwrap().state
    }

    #[test]
    fn all_probes_passing_is_online_with_a_full_score() {
        let sight = judge(&report(healthy()), &Findings::default()).unwrap();
        assert_eq!((sight.state, sight.health_score, sight.connected), (State::Online, 100, true));
    }

    #[test]
    fn an_unreachable_api_server_is_offline_whatever_else_passes() {
        for cause in Cause::ALL.iter().copied().filter(|cause| cause.is_network()) {
            let mut seen = report(failing(cause, None));
            seen.prometheus = Some(healthy());
            assert_eq!(state(&seen), State::Offline, "{cause}");
        }
        assert_eq!(state(&report(failing(Cause::HttpStatus, Some(503)))), State::Offline);
    }

    #[test]
    fn a_server_that_refuses_our_credentials_is_connected_but_degraded() {
        let sight = judge(&report(failing(Cause::Unauthorized, Some(401))), &Findings::default()).unwrap();
        assert_eq!((sight.state, sight.connected, sight.health_score), (State::Degraded, true, 50));
    }

    #[test]
    fn without_credentials_any_answer_below_500_is_alive_but_a_redirect() {
        for status in [401, 403, 404, 418] {
            let cause = match status {
                401 => Cause::Unauthorized,
                403 => Cause::Forbidden,
                _ => Cause::HttpStatus,
            };
            let mut seen = report(failing(cause, Some(status)));
            seen.authenticated = false;
            assert_eq!(state(&seen), State::Online, "{status}");
        }
        let mut seen = report(failing(Cause::HttpStatus, Some(302)));
        seen.authenticated = false;
        assert_eq!(state(&seen), State::Degraded);
    }

    #[test]
    fn too_long_a_body_is_an_answer_and_headers_without_end_are_none() {
        assert_eq!(state(&report(failing(Cause::TooLarge, Some(200)))), State::Degraded);
        assert_eq!(state(&report(failing(Cause::TooLarge, None))), State::Offline);
    }

    #[test]
    fn a_throttling_api_server_is_alive() {
        let sight = judge(&report(failing(Cause::Throttled, Some(429))), &Findings::default()).unwrap();
        assert_eq!((sight.state, sight.health_score), (State::Online, 100));
    }

    #[test]
    fn another_endpoint_down_is_degraded_and_costs_its_points() {
        let mut seen = report(healthy());
        seen.prometheus = Some(failing(Cause::Refused, None));
        seen.tempo = Some(healthy());
        let sight = judge(&seen, &Findings::default()).unwrap();
        assert_eq!((sight.state, sight.health_score), (State::Degraded, 80));
        assert_eq!(sight.findings.worst().unwrap().0, Endpoint::Prometheus);
    }

    #[test]
    fn a_probe_that_did_not_run_changes_nothing() {
        assert_eq!(judge(&CheckReport::not_run(NotRun::Stalled), &Findings::default()), Err(NotRun::Stalled));
        let mut seen = report(healthy());
        seen.loki = Some(Outcome::NotRun(NotRun::NoPermit));
        let known = Findings { loki: Some(failed(Duration::ZERO, Failure::of(Cause::Timeout))), ..Findings::default() };
        assert_eq!(judge(&seen, &known).unwrap().findings.loki, known.loki);
    }
}
