//! One request to the hub: with the identity of the moment, within the limits, and never a second place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, USER_AGENT},
};
use kube::client::Body;
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use super::{
    Limits, Source,
    access::Access,
    body::{Allowance, Limited},
    error::Trouble,
    line::Line,
};
use crate::{breaker::Breaker, traces};

/// How old a reading of the files may be: a pod's token is replaced an hour or so before it ends.
const READ_EVERY: Duration = Duration::from_secs(30);
/// Requests that wait for the head of their answer at once.
const AT_ONCE: usize = 32;
/// A watch that is longer silent than this is dead: the server ends it by itself before, or sends bookmarks.
const WATCH_IDLE: Duration = Duration::from_secs(330);
const AGENT: HeaderValue = HeaderValue::from_static(concat!("fleetbeat/", env!("CARGO_PKG_VERSION")));

/// The way to the hub.
pub(super) struct Channel {
    source: Source,
    limits: Limits,
    breaker: Option<Arc<Breaker>>,
    places: Semaphore,
    current: Mutex<Option<(Instant, Arc<Line>)>>,
    /// The hub refused our identity: read it again before the next request.
    refused: AtomicBool,
}

impl Channel {
    pub(super) fn new(source: Source, limits: Limits, breaker: Option<Arc<Breaker>>) -> Self {
        let places = Semaphore::new(AT_ONCE);
        Self { source, limits, breaker, places, current: Mutex::new(None), refused: AtomicBool::new(false) }
    }

    /// The connections of the moment. Reads the files again when that is due.
    pub(super) async fn line(&self) -> Result<Arc<Line>, Trouble> {
        let mut current = self.current.lock().await;
        let refused = self.refused.swap(false, Ordering::Relaxed);
        if let Some((read, line)) = &*current
            && !refused
            && read.elapsed() < READ_EVERY
        {
            return Ok(Arc::clone(line));
        }
        let before = current.as_ref().map(|(_, line)| Arc::clone(line));
        let line = match (self.read(before.as_deref()).await, before) {
            (Ok(line), _) => Arc::new(line),
            (Err(why), None) => return Err(Trouble::NoAccess(why)),
            (Err(why), Some(before)) => {
                tracing::warn!(why, "how the hub is reached cannot be read again; going on as before");
                before
            }
        };
        *current = Some((Instant::now(), Arc::clone(&line)));
        Ok(line)
    }

    async fn read(&self, before: Option<&Line>) -> Result<Line, String> {
        let source = self.source.clone();
        let access = tokio::task::spawn_blocking(move || Access::read(&source)).await;
        let access = access.map_err(|_| "the files could not be read".to_owned())??;
        match before {
            Some(before) if access.shares_connections_with(&before.access) => before.renewed(access),
            _ => Line::new(access),
        }
    }

    /// One request, one answer; none while the hub is known to be away.
    pub(super) async fn ask(&self, mut request: Request<Body>) -> Result<Response<Limited>, Trouble> {
        if self.breaker.as_ref().is_some_and(|breaker| !breaker.admits()) {
            return Err(Trouble::LeftAlone);
        }
        let span = traces::hub(request.method());
        traces::continue_in(&span, request.headers_mut());
        let answer = self.exchange(request).instrument(span).await;
        let there = answer.as_ref().err().map_or(Some(true), Trouble::is_hub_there);
        if let (Some(breaker), Some(there)) = (&self.breaker, there) {
            breaker.learn(there);
        }
        answer
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Limited>, Trouble> {
        let until = Instant::now() + self.limits.timeout;
        let endless = is_watch(&request);
        let head = timeout_at(until, self.head(request)).await.map_err(|_| Trouble::Silent)??;
        if head.status() == StatusCode::UNAUTHORIZED {
            self.refused.store(true, Ordering::Relaxed);
        }
        if head.status().is_redirection() {
            return Err(Trouble::Redirects(head.status().as_u16()));
        }
        if head.status().is_server_error() || head.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(Trouble::Troubled(head.status().as_u16()));
        }
        let bytes = self.limits.answer_bytes;
        let allowance = match endless && head.status().is_success() {
            true => Allowance::Lines { bytes, idle: WATCH_IDLE },
            false => Allowance::Whole { bytes, until },
        };
        Ok(head.map(|body| Limited::new(body, allowance)))
    }

    async fn head(&self, mut request: Request<Body>) -> Result<Response<hyper::body::Incoming>, Trouble> {
        let _place = self.places.acquire().await.map_err(|_| Trouble::Silent)?;
        let line = self.line().await?;
        *request.uri_mut() = line.uri(request.uri().path_and_query()).ok_or(Trouble::Unsendable)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT);
        headers.remove(ACCEPT_ENCODING);
        headers.remove(AUTHORIZATION);
        if let Some(bearer) = &line.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        line.pool.request(request).await.map_err(|error| Trouble::of_exchange(&error))
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}
