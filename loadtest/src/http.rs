//! A small HTTP client for JSON APIs on this machine: kept connections, a deadline for everything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Longest wait for an answer, body included, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of one server. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Http {
    base: String,
    token: Option<Arc<str>>,
    client: Client<HttpConnector, Full<Bytes>>,
    patience: Duration,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// All of its body.
    pub body: Bytes,
    /// When to come again, if it says so.
    pub retry_after: Option<Duration>,
}

/// A request without a useful answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request cannot be written.
    #[error("no such request: {0}")]
    Request(#[from] hyper::http::Error),
    /// Nobody answered.
    #[error("no answer from {0}: {1}")]
    Network(String, String),
    /// Nobody answered in time.
    #[error("no answer in time from {0}")]
    Late(String),
    /// The answer was a refusal.
    #[error("{path} answered {status}: {body}")]
    Status {
        /// Of what.
        path: String,
        /// The status code.
        status: StatusCode,
        /// The begin of the body.
        body: String,
    },
    /// The answer is not what was expected.
    #[error("{0} answered something else: {1}")]
    Content(String, serde_json::Error),
}

impl Http {
    /// A client of the server at this URL (scheme, host and port).
    pub fn new(base: &str) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(Duration::from_secs(20));
        Self {
            base: base.trim_end_matches('/').to_owned(),
            token: None,
            client: builder.build_http(),
            patience: PATIENCE,
        }
    }

    /// The same with another longest wait.
    pub fn patient_for(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same, saying who it is.
    #[must_use]
    pub fn with_token(self, token: Option<&str>) -> Self {
        Self { token: token.map(Arc::from), ..self }
    }

    /// What it says who it is with.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The URL of the server.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Opens a request; its body is still to be read.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let sent = self.client.request(request.body(Full::new(body))?);
        match timeout(self.patience, sent).await {
            Ok(answer) => answer.map_err(|error| HttpError::Network(path.to_owned(), chain(&error))),
            Err(_) => Err(HttpError::Late(path.to_owned())),
        }
    }

    /// One request with its whole answer, whatever its status.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), HttpError> {
        let (status, body) = self.collect(method, path, body).await?;
        Ok((status, body.to_bytes()))
    }

    /// The same in the pieces in which it came: to put many of them together takes a while.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn collect(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Collected<Bytes>), HttpError> {
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        let whole = async {
            let answer = self.open(method, path, headers, body).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await;
            let body = body.map_err(|error| HttpError::Network(path.to_owned(), chain(&error)))?;
            Ok((status, body))
        };
        timeout(self.patience, whole).await.unwrap_or_else(|_| Err(HttpError::Late(path.to_owned())))
    }

    /// A posted document with its whole answer, whatever its status, and when to come again if it says so.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Answer, HttpError> {
        let whole = async {
            let answer = self.open(Method::POST, path, &[("content-type", "application/json")], body).await?;
            let status = answer.status();
            let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let body = answer.into_body().collect().await;
            let body = body.map_err(|error| HttpError::Network(path.to_owned(), chain(&error)))?.to_bytes();
            Ok(Answer { status, body, retry_after: after.map(Duration::from_secs) })
        };
        timeout(self.patience, whole).await.unwrap_or_else(|_| Err(HttpError::Late(path.to_owned())))
    }

    /// The JSON that a request is answered with.
    ///
    /// # Errors
    /// As [`Http::send`], and when the answer is a refusal or other JSON.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, HttpError> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let (status, answer) = self.send(method, path, body).await?;
        if !status.is_success() {
            let body = String::from_utf8_lossy(&answer).chars().take(400).collect();
            return Err(HttpError::Status { path: path.to_owned(), status, body });
        }
        serde_json::from_slice(&answer).map_err(|error| HttpError::Content(path.to_owned(), error))
    }

    /// `GET` of JSON.
    ///
    /// # Errors
    /// As [`Http::json`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, HttpError> {
        self.json(Method::GET, path, None).await
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
