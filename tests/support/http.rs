//! A small JSON client for the product's own API.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Longest time for one request.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; panics when it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Panics with the body unless the status is the one expected; returns the answer.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Client {
    /// A client of the server at a base URL without trailing slash.
    pub fn new(base: &str) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Self { base: base.to_owned(), pool, headers: Vec::new() }
    }

    /// The same client, sending one more header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path, Some(body)).await
    }

    /// `PATCH` with a JSON merge patch.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        let patch = self.clone().with_header("content-type", "application/merge-patch+json");
        patch.ask(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE`
    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await
    }

    /// `GET` that may fail, as while a server starts or is cut off.
    pub async fn try_get(&self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Any request with any bytes as body.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, String> {
        let answer = async {
            let response = self.open(method, path, body).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer { status, headers, body })
        };
        tokio::time::timeout(ANSWERS_WITHIN, answer)
            .await
            .map_err(|_| format!("{path}: no answer in {ANSWERS_WITHIN:?}"))?
    }

    /// A response whose body is still to be read.
    pub async fn open(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !body.is_empty() && self.headers.iter().all(|(name, _)| name != "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        self.pool.request(request).await.map_err(|error| format!("{path}: {error:?}"))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|value| Bytes::from(value.to_string())).unwrap_or_default();
        self.send(method, path, body).await.unwrap()
    }
}
