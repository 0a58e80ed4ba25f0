//! What a connection is doing, and until when it may go on like that.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Limits;

/// How long each thing may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    head: Duration,
    idle: Duration,
    write: Duration,
}

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    patience: Patience,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    doing: Doing,
    /// When the first byte of the request came that is not read whole yet.
    first_byte: Option<Instant>,
    requests: usize,
    /// Did what came last end like a head? Not, when half of the next one was with it.
    whole: bool,
    /// Had a request a body, which says nothing about a head?
    with_body: bool,
    stuck_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// The head of a request is awaited, or comes, since then.
    Head(Instant),
    /// Requests are answered.
    Answering,
    /// Everything is answered, since then.
    Idle(Instant),
}

/// A request in flight; it ends when dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Activity {
    /// A connection that began then: its first head has to be there in time from that moment on, a handshake included.
    pub(super) fn since(began: Instant, limits: &Limits) -> Arc<Self> {
        let patience = Patience { head: limits.head_timeout, idle: limits.idle_timeout, write: limits.write_timeout };
        let state = State {
            doing: Doing::Head(began),
            first_byte: None,
            requests: 0,
            whole: true,
            with_body: false,
            stuck_since: None,
        };
        Arc::new(Self { patience, state: Mutex::new(state) })
    }

    /// Bytes came that may belong to a request's head (HTTP/1.1 only: in HTTP/2 they may be anything).
    pub(super) fn heard(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        state.whole = bytes.ends_with(b"\r\n\r\n");
        match state.doing {
            Doing::Answering => return,
            Doing::Head(_) => {}
            Doing::Idle(_) => state.doing = Doing::Head(Instant::now()),
        }
        state.first_byte.get_or_insert_with(Instant::now);
    }

    /// A request's head was read, which began to come at the moment given back. What follows the head of one with a body says
    /// nothing about the next.
    pub(super) fn asked(self: &Arc<Self>, with_body: bool) -> (InFlight, Instant) {
        let mut state = self.state.lock();
        state.requests += 1;
        state.with_body |= with_body;
        state.doing = Doing::Answering;
        let began = state.first_byte.take().unwrap_or_else(Instant::now);
        (InFlight(Arc::clone(self)), began)
    }

    /// The client does not take in what it is sent.
    pub(super) fn stuck(&self) {
        let mut state = self.state.lock();
        state.stuck_since.get_or_insert_with(Instant::now);
    }

    /// It does again.
    pub(super) fn unstuck(&self) {
        self.state.lock().stuck_since = None;
    }

    /// Completes when the connection has been doing one thing for too long; says which. Nobody wakes it: whatever begins while
    /// it sleeps may go on for longer than that.
    pub(super) async fn overdue(&self) -> Overdue {
        let Patience { head, idle, write } = self.patience;
        let shortest = head.min(idle).min(write);
        loop {
            let now = Instant::now();
            let look = match self.next() {
                Some((at, why)) if at <= now => return why,
                Some((at, _)) => at.min(now + shortest),
                None => now + shortest,
            };
            tokio::time::sleep_until(look).await;
        }
    }

    fn next(&self) -> Option<(Instant, Overdue)> {
        let state = self.state.lock();
        let stuck = state.stuck_since.map(|since| (since + self.patience.write, Overdue::Reading));
        let doing = match state.doing {
            Doing::Head(since) => Some((since + self.patience.head, Overdue::Head)),
            Doing::Idle(since) => Some((since + self.patience.idle, Overdue::Idle)),
            Doing::Answering => None,
        };
        [stuck, doing].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request.
    Head,
    /// The next request.
    Idle,
    /// Taking in an answer.
    Reading,
}

impl Overdue {
    /// The word in the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Reading => "reading",
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        if state.requests == 0 {
            let now = Instant::now();
            let whole = std::mem::replace(&mut state.whole, true) | std::mem::take(&mut state.with_body);
            state.doing = if whole { Doing::Idle(now) } else { Doing::Head(now) };
            state.first_byte = (!whole).then_some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn overdue_after(activity: &Activity) -> (Overdue, u64) {
        let began = Instant::now();
        let why = activity.overdue().await;
        (why, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_overdue_like_one_that_says_half() {
        let activity = Activity::since(Instant::now(), &Limits::default());
        assert_eq!(overdue_after(&activity).await, (Overdue::Head, 9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_counts_and_a_body_counts_from_the_first_byte_of_its_head() {
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(4)).await;
        let activity = Activity::since(began, &Limits::default());
        activity.heard(b"POST ");
        let first_byte = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        activity.heard(b"/ HTTP/1.1\r\n");
        assert_eq!(overdue_after(&activity).await, (Overdue::Head, 3));
        let (request, since) = activity.asked(true);
        assert_eq!(since, first_byte);
        drop(request);
        assert_eq!(activity.asked(true).1, Instant::now(), "nothing of it was heard: it is of HTTP/2");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_may_wait_longer_than_half_a_head() {
        let activity = Activity::since(Instant::now(), &Limits::default());
        drop(activity.asked(false));
        assert_eq!(overdue_after(&activity).await, (Overdue::Idle, 75));
        drop(activity.asked(false));
        activity.heard(b"GET ");
        tokio::time::advance(Duration::from_secs(3)).await;
        activity.heard(b"GET ");
        assert_eq!(overdue_after(&activity).await, (Overdue::Head, 6), "a drip gains nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_that_came_with_a_whole_one_is_half_a_head() {
        let activity = Activity::since(Instant::now(), &Limits::default());
        activity.heard(b"GET / HTTP/1.1\r\n\r\nGET /");
        drop(activity.asked(false));
        assert_eq!(overdue_after(&activity).await, (Overdue::Head, 9));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_as_long_as_it_is_taken_in() {
        let activity = Activity::since(Instant::now(), &Limits::default());
        let _request = activity.asked(false);
        let patient = tokio::time::timeout(Duration::from_secs(9_999), activity.overdue()).await;
        assert!(patient.is_err());
        activity.stuck();
        tokio::time::advance(Duration::from_secs(5)).await;
        activity.stuck();
        assert_eq!(overdue_after(&activity).await, (Overdue::Reading, 25));
        activity.unstuck();
        assert!(tokio::time::timeout(Duration::from_secs(9_999), activity.overdue()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_request_of_several_makes_a_connection_idle() {
        let activity = Activity::since(Instant::now(), &Limits::default());
        let (one, other) = (activity.asked(false), activity.asked(false));
        drop(one);
        assert!(tokio::time::timeout(Duration::from_secs(9_999), activity.overdue()).await.is_err());
        drop(other);
        assert_eq!(overdue_after(&activity).await, (Overdue::Idle, 75));
    }
}
