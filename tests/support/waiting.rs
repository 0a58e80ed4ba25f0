//! Waiting for something to become true, with a deadline.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_millis(20);

/// The answer of one look: settled with a value, or not yet and why.
pub trait Settled {
    /// What comes out once settled.
    type Value;

    /// The value, or what was seen instead.
    fn settled(self) -> Result<Self::Value, String>;
}

impl Settled for bool {
    type Value = ();

    fn settled(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "not yet true".to_owned())
    }
}

impl<T> Settled for Option<T> {
    type Value = T;

    fn settled(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Debug> Settled for Result<T, E> {
    type Value = T;

    fn settled(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Looks again and again until the look settles, and panics with the last thing seen when the deadline passes.
#[track_caller]
pub fn eventually<S: Settled>(within: Duration, look: impl AsyncFnMut() -> S) -> impl Future<Output = S::Value> {
    waiting(within, look, Location::caller())
}

async fn waiting<S: Settled>(within: Duration, mut look: impl AsyncFnMut() -> S, caller: &Location<'_>) -> S::Value {
    let end = Instant::now() + within;
    let mut seen = "no look came back".to_owned();
    loop {
        match tokio::time::timeout_at(end, look()).await.map(Settled::settled) {
            Ok(Ok(value)) => return value,
            Ok(Err(instead)) => seen = instead,
            Err(_) => {}
        }
        assert!(Instant::now() < end, "{caller}: not within {within:?}: {seen}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tries up to three times to be done within a time, which a busy machine exceeds now and then and a product that is too slow
/// always; panics with how long all of them took.
#[track_caller]
pub fn in_time(limit: Duration, mut attempt: impl AsyncFnMut()) -> impl Future<Output = ()> {
    let caller = Location::caller();
    let timed = async move || {
        let began = Instant::now();
        attempt().await;
        began.elapsed()
    };
    best_of_three(limit, timed, caller)
}

/// The same of attempts of which only a part is to be done within that time: each tells how long the part took.
#[track_caller]
pub fn part_in_time(limit: Duration, attempt: impl AsyncFnMut() -> Duration) -> impl Future<Output = ()> {
    best_of_three(limit, attempt, Location::caller())
}

async fn best_of_three(limit: Duration, mut attempt: impl AsyncFnMut() -> Duration, caller: &Location<'_>) {
    let mut took = Vec::new();
    for _ in 0..3 {
        let part = attempt().await;
        if part <= limit {
            return;
        }
        took.push(part);
    }
    panic!("{caller}: not once within {limit:?}: {took:?}");
}
