//! What an HTTP status says about an endpoint.

use std::time::Duration;

use fleetbeat_actors::health::{Cause, Endpoint, Failure, Outcome};

use super::wire::Answer;

/// Judges a complete answer. Without credentials the API server is alive when it answers below 500, but a redirect
/// (a login page) is never health, and neither is a body over the cap.
pub(super) fn judge(endpoint: Endpoint, authenticated: bool, answer: &Answer, latency: Duration) -> Outcome {
    match by_status(endpoint, authenticated, answer.status, latency) {
        Outcome::Healthy { latency } if answer.overflows => {
            Outcome::failed(Failure::status(Cause::TooLarge, answer.status), latency)
        }
        outcome => outcome,
    }
}

fn by_status(endpoint: Endpoint, authenticated: bool, status: u16, latency: Duration) -> Outcome {
    let anonymous_api = endpoint == Endpoint::ApiServer && !authenticated;
    let cause = match status {
        200..=299 => return Outcome::Healthy { latency },
        400..=499 if anonymous_api => return Outcome::Healthy { latency },
        401 => Cause::Unauthorized,
        403 => Cause::Forbidden,
        429 => Cause::Throttled,
        _ => Cause::HttpStatus,
    };
    Outcome::failed(Failure::status(cause, status), latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(endpoint: Endpoint, authenticated: bool, status: u16) -> Option<Cause> {
        match by_status(endpoint, authenticated, status, Duration::ZERO) {
            Outcome::Healthy { .. } => None,
            Outcome::Failed { failure, .. } => {
                assert_eq!(failure.http_status, Some(status));
                Some(failure.cause)
            }
            Outcome::NotRun(_) => panic!("an answer is always a verdict"),
        }
    }

    #[test]
    fn an_api_server_that_knows_us_must_let_us_in() {
        let asked = |status| cause(Endpoint::ApiServer, true, status);
        assert_eq!(asked(200), None);
        assert_eq!(asked(401), Some(Cause::Unauthorized));
        assert_eq!(asked(403), Some(Cause::Forbidden));
        assert_eq!(asked(429), Some(Cause::Throttled));
        for status in [302, 404, 500, 503] {
            assert_eq!(asked(status), Some(Cause::HttpStatus));
        }
    }

    #[test]
    fn an_api_server_that_does_not_know_us_is_alive_when_it_answers() {
        let asked = |status| cause(Endpoint::ApiServer, false, status);
        for status in [200, 401, 403, 404, 429] {
            assert_eq!(asked(status), None);
        }
        for status in [301, 307, 500, 503] {
            assert_eq!(asked(status), Some(Cause::HttpStatus));
        }
    }

    #[test]
    fn every_other_endpoint_must_say_that_it_is_ready() {
        for endpoint in [Endpoint::Prometheus, Endpoint::Tempo, Endpoint::Loki] {
            assert_eq!(cause(endpoint, false, 204), None);
            assert_eq!(cause(endpoint, false, 401), Some(Cause::Unauthorized));
            assert_eq!(cause(endpoint, false, 404), Some(Cause::HttpStatus));
            assert_eq!(cause(endpoint, false, 503), Some(Cause::HttpStatus));
        }
    }
}
