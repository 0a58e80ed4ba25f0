//! An answer's body within its limits: so many bytes and so much time as a whole, or for a watch, which has no end, per line.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::Trouble;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allowance {
    /// So many bytes until then.
    Whole { bytes: usize, until: Instant },
    /// So many bytes a line, and something to read at least this often.
    Lines { bytes: usize, idle: Duration },
}

/// A body that ends with an error when it takes more than it may.
pub(super) struct Limited {
    inner: Incoming,
    allowance: Allowance,
    seen: usize,
    timer: Pin<Box<Sleep>>,
}

impl Limited {
    pub(super) fn new(inner: Incoming, allowance: Allowance) -> Self {
        let end = match allowance {
            Allowance::Whole { until, .. } => until,
            Allowance::Lines { idle, .. } => Instant::now() + idle,
        };
        Self { inner, allowance, seen: 0, timer: Box::pin(sleep_until(end)) }
    }

    /// Counts what came. Is it still within the limits?
    fn count(&mut self, data: &[u8]) -> bool {
        match self.allowance {
            Allowance::Whole { bytes, .. } => {
                self.seen = self.seen.saturating_add(data.len());
                self.seen <= bytes
            }
            Allowance::Lines { bytes, idle } => {
                self.timer.as_mut().reset(Instant::now() + idle);
                within_lines(&mut self.seen, data, bytes)
            }
        }
    }
}

/// Counts on from `open`, the length of the line that is not complete yet. Is every line at most `most` long?
fn within_lines(open: &mut usize, data: &[u8], most: usize) -> bool {
    let mut pieces = data.split(|byte| *byte == b'\n');
    let mut longest = 0;
    if let Some(first) = pieces.next() {
        *open = open.saturating_add(first.len());
        longest = *open;
    }
    for piece in pieces {
        *open = piece.len();
        longest = longest.max(*open);
    }
    longest <= most
}

impl Body for Limited {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Trouble::Silent)));
        };
        let frame = match next {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Trouble::broke_off(&error)))),
            Some(Ok(frame)) => frame,
        };
        let fits = frame.data_ref().is_none_or(|data| self.count(data));
        Poll::Ready(Some(if fits { Ok(frame) } else { Err(Trouble::TooLarge) }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_frames() {
        let mut open = 0;
        assert!(within_lines(&mut open, b"abc\nabcd", 4));
        assert!(!within_lines(&mut open, b"e", 4), "abcde");
        let mut open = 0;
        for _ in 0..100 {
            assert!(within_lines(&mut open, b"abc\n", 4));
        }
        assert!(!within_lines(&mut open, b"a\nabcde\n", 4));
        assert!(within_lines(&mut 0, b"", 0) && within_lines(&mut 0, b"\n\n", 0));
    }
}
