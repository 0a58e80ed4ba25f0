//! Bodies on their way in and out: one must come in time, the other tells when it is through.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Limits, activity::InFlight};

/// A body that did not come in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub struct BodyTooSlow;

/// The body of a request, which must come in time.
pub(super) struct Coming {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
    rate: u32,
}

impl Coming {
    /// The body as a router takes it, of a request that began to come then.
    pub(super) fn body(body: Incoming, began: Instant, limits: &Limits) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        let deadline = Box::pin(sleep_until(began + limits.body_timeout));
        Body::new(Self { body, deadline, rate: limits.body_rate.max(1) })
    }

    fn earn(&mut self, bytes: usize) {
        let later = Duration::from_secs_f64(bytes as f64 / f64::from(self.rate));
        let deadline = self.deadline.deadline() + later;
        self.deadline.as_mut().reset(deadline);
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                self.earn(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyTooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer: its request is in flight until it is through.
pub(super) struct Going {
    body: Body,
    _request: InFlight,
}

impl Going {
    pub(super) fn new(body: Body, request: InFlight) -> Self {
        Self { body, _request: request }
    }
}

impl HttpBody for Going {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
