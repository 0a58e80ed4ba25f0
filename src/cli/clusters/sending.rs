//! Clusters and credentials on their way to a server that may be busy: requests shrink and grow, and what it could not take
//! comes again when it says so.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Desk;
use super::outcome::Item;
use crate::cli::client::Answer;
use crate::cli::error::CliError;

/// Most clusters of one request. Small enough that the bar moves.
const LARGEST: usize = 100;
/// Fewest clusters of one request to a busy server.
const FEWEST: usize = 5;
/// Longest time without any progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shortest and longest single wait, whatever the server says.
const WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
/// Wait when single clusters were not taken, for which no time is told.
const WAIT_UNTOLD: Duration = Duration::from_secs(1);

/// Registers or changes clusters, with a bar on a terminal. What became of each, in their order.
///
/// # Errors
/// When nobody answers, or a busy server takes nothing for a minute.
pub async fn send(desk: &Desk, clusters: &[Value]) -> Result<Vec<Item>, CliError> {
    let bar = bar(clusters.len());
    let mut ends: Vec<Option<Item>> = clusters.iter().map(|_| None).collect();
    let mut queue: VecDeque<usize> = (0..clusters.len()).collect();
    let (mut size, mut spell) = (LARGEST, Spell::new());
    while !queue.is_empty() {
        let batch: Vec<usize> = queue.drain(..size.min(queue.len())).collect();
        let body = json!({ "clusters": batch.iter().map(|&at| &clusters[at]).collect::<Vec<_>>() });
        let next = match desk.client.post("/api/v1/clusters:import", Some(&body), desk.client.timeout()).await {
            Ok(report) => {
                let left = settle(&report, &batch, &mut ends);
                bar.inc((batch.len() - left.len()) as u64);
                if left.len() < batch.len() {
                    spell = Spell::new();
                }
                Next::after_report(left, size)
            }
            Err(error) => Next::after_error(error, batch, size)?,
        };
        if !next.again.is_empty() && !spell.bears(next.wait) {
            return Err(next.why());
        }
        size = next.size;
        next.again.into_iter().rev().for_each(|at| queue.push_front(at));
        sleep(next.wait).await;
    }
    bar.finish_and_clear();
    Ok(ends.into_iter().flatten().collect())
}

/// Asks for one thing until a busy server answers.
///
/// # Errors
/// The last one, when it is no use to come again, or when a minute is over.
pub async fn patiently(ask: impl AsyncFn() -> Result<Answer, CliError>) -> Result<Answer, CliError> {
    let spell = Spell::new();
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let wait = error.come_again().map(bounded);
        match wait.filter(|wait| spell.bears(*wait)) {
            Some(wait) => sleep(wait).await,
            None => return Err(error),
        }
    }
}

/// A bar for work on so many clusters; hidden for few, and where there is no terminal.
pub fn bar(length: usize) -> ProgressBar {
    if length <= LARGEST || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40.cyan} {pos} of {len} clusters, {eta} left");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Notes what became of a batch; answers with those that a busy store did not take.
fn settle(report: &Answer, batch: &[usize], ends: &mut [Option<Item>]) -> Vec<usize> {
    let items = report.json.get("items").and_then(Value::as_array).into_iter().flatten().map(Item::of);
    let mut left = Vec::new();
    for (&at, item) in batch.iter().zip(items) {
        if item.refusal.as_ref().is_some_and(|refusal| refusal.is_of_busy_server()) {
            left.push(at);
        } else {
            ends[at] = Some(item);
        }
    }
    left
}

fn bounded(wait: Duration) -> Duration {
    wait.clamp(WAIT.0, WAIT.1)
}

/// A time without progress.
struct Spell {
    until: Instant,
}

impl Spell {
    fn new() -> Self {
        Self { until: Instant::now() + PATIENCE }
    }

    /// Is there patience for another wait?
    fn bears(&self, wait: Duration) -> bool {
        Instant::now() + wait <= self.until
    }
}

/// What to do after an answer.
#[derive(Debug)]
struct Next {
    /// Those that have to be sent again.
    again: Vec<usize>,
    /// Clusters of the next request.
    size: usize,
    /// Time before it.
    wait: Duration,
    /// Why they have to.
    error: Option<CliError>,
}

impl Next {
    fn after_report(again: Vec<usize>, size: usize) -> Self {
        match again.is_empty() {
            true => Self { again, size: (size * 2).min(LARGEST), wait: Duration::ZERO, error: None },
            false => Self { again, size: (size / 2).max(FEWEST), wait: WAIT_UNTOLD, error: None },
        }
    }

    /// Smaller requests for a server that finds them too large or takes too long; the same after a while for one that has
    /// had enough of us.
    fn after_error(error: CliError, batch: Vec<usize>, size: usize) -> Result<Self, CliError> {
        let (size, wait) = match (&error, error.come_again()) {
            (CliError::Refused(refusal), None) if refusal.code == "PAYLOAD_TOO_LARGE" && batch.len() > 1 => {
                (batch.len() / 2, Duration::ZERO)
            }
            (_, None) => return Err(error),
            (CliError::Refused(refusal), Some(wait)) if refusal.code == "RATE_LIMITED" => (size, bounded(wait)),
            (_, Some(wait)) => ((size / 2).max(FEWEST), bounded(wait)),
        };
        Ok(Self { again: batch, size, wait, error: Some(error) })
    }

    fn why(self) -> CliError {
        self.error.unwrap_or_else(|| {
            CliError::Unreachable("the server's database is busy and took nothing for a minute".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::Refusal;

    fn refused(code: &str, seconds: Option<u64>) -> CliError {
        let refusal = Refusal::told(code, "no".to_owned());
        CliError::Refused(Refusal { retry_after: seconds.map(Duration::from_secs), ..refusal })
    }

    fn next(error: CliError) -> (usize, Duration, usize) {
        let next = Next::after_error(error, (0..40).collect(), 40).unwrap();
        (next.size, next.wait, next.again.len())
    }

    #[test]
    fn a_busy_server_gets_less_when_it_says_and_a_limit_gets_the_same() {
        assert_eq!(next(refused("DEPENDENCY_UNAVAILABLE", Some(2))), (20, Duration::from_secs(2), 40));
        assert_eq!(next(refused("RATE_LIMITED", Some(5))), (40, Duration::from_secs(5), 40));
        assert_eq!(next(refused("RATE_LIMITED", Some(1_000_000))).1, WAIT.1);
        assert_eq!(next(refused("PAYLOAD_TOO_LARGE", None)), (20, Duration::ZERO, 40));
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let after = |error, batch| Next::after_error(error, batch, 40);
        assert!(after(refused("INVALID_REQUEST", None), vec![1, 2]).is_err());
        assert!(after(refused("PAYLOAD_TOO_LARGE", None), vec![1]).is_err());
        assert!(after(CliError::Unreachable(String::new()), vec![1, 2]).is_err());
    }

    #[test]
    fn requests_grow_again_when_all_is_taken() {
        assert_eq!(Next::after_report(Vec::new(), 10).size, 20);
        assert_eq!(Next::after_report(Vec::new(), 80).size, LARGEST);
        assert_eq!(Next::after_report(vec![3], 6).size, FEWEST);
    }
}
