//! A destination of webhooks: a real HTTP server on loopback that keeps what it is sent and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::hmac;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::{eventually, free_port};

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Message {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    /// The name of the cluster that it tells of.
    pub fn cluster(&self) -> String {
        self.json()["data"]["payload"]["name"].as_str().unwrap_or_default().to_owned()
    }

    /// Is it signed with this secret, and no other? Computed apart from the product's code.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = match secret.strip_prefix("whsec_") {
            Some(rest) => BASE64_STANDARD.decode(rest).unwrap(),
            None => secret.as_bytes().to_vec(),
        };
        let text = [self.id().as_bytes(), b".", self.header("webhook-timestamp").as_bytes(), b".", &self.body].concat();
        let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &text);
        self.header("webhook-signature") == format!("v1,{}", BASE64_STANDARD.encode(signed.as_ref()))
    }
}

struct Shared {
    messages: Mutex<Vec<Message>>,
    status: AtomicU16,
    /// Sent with every answer, where it is set.
    extra: Mutex<Option<(&'static str, String)>>,
}

/// A receiver. It keeps its address and what it was sent while it is away.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Receiver {
    /// One that answers 204.
    pub async fn start() -> Self {
        let mut receiver = Self::absent();
        receiver.come().await;
        receiver
    }

    /// One that does not listen yet.
    pub fn absent() -> Self {
        let shared = Shared { messages: Mutex::default(), status: AtomicU16::new(204), extra: Mutex::default() };
        Self { address: SocketAddr::from(([127, 0, 0, 1], free_port())), shared: Arc::new(shared), server: None }
    }

    /// Begins to listen.
    pub async fn come(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&self.shared));
        self.server = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    pub fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// Answers so from now on.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Sends everybody there from now on.
    pub fn redirect(&self, location: &str) {
        *self.shared.extra.lock().unwrap() = Some(("location", location.to_owned()));
        self.answer(307);
    }

    /// Asks everybody to come again later, as `Retry-After` says it.
    pub fn defer(&self, status: u16, later: &str) {
        *self.shared.extra.lock().unwrap() = Some(("retry-after", later.to_owned()));
        self.answer(status);
    }

    /// Where it is, without a path.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn messages(&self) -> Vec<Message> {
        self.shared.messages.lock().unwrap().clone()
    }

    /// The messages, once there are so many.
    pub async fn until(&self, count: usize, within: Duration) -> Vec<Message> {
        eventually(within, async || {
            let messages = self.messages();
            if messages.len() >= count { Ok(messages) } else { Err(format!("{} messages", messages.len())) }
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    shared.messages.lock().unwrap().push(Message { uri, headers, body });
    let status = StatusCode::from_u16(shared.status.load(Ordering::Relaxed)).unwrap();
    match shared.extra.lock().unwrap().clone() {
        None => status.into_response(),
        Some(extra) => (status, [extra]).into_response(),
    }
}
