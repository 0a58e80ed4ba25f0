//! A small collector: takes OTLP over HTTP in protobuf, and keeps what it needs of it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent_id: String,
    pub trace_state: String,
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Span {
    /// An attribute's value as text; empty when absent.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }
}

/// A running collector; it ends with its test.
pub struct Collector {
    url: String,
    messages: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let messages = Arc::default();
        tokio::spawn(accept(listener, Arc::clone(&messages)));
        Self { url, messages }
    }

    /// Where it takes spans.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything that came so far, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.messages.lock().unwrap().concat()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        let messages = self.messages.lock().unwrap().clone();
        let resources = messages.iter().flat_map(|message| parts(message, 1));
        let scopes = resources.flat_map(|resource| parts(resource, 2));
        scopes.flat_map(|scope| parts(scope, 2)).map(span).collect()
    }

    /// `service.name` of what came last.
    pub fn service(&self) -> String {
        let messages = self.messages.lock().unwrap().clone();
        let resources = messages.iter().flat_map(|message| parts(message, 1)).flat_map(|spans| parts(spans, 1));
        let mut attributes = resources.flat_map(|resource| parts(resource, 1)).map(attribute);
        attributes.find(|(key, _)| key == "service.name").map(|(_, value)| value).unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, messages: Arc<Mutex<Vec<Bytes>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let messages = Arc::clone(&messages);
        let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
            let messages = Arc::clone(&messages);
            async move {
                assert_eq!(request.headers()["content-type"], "application/x-protobuf");
                let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                messages.lock().unwrap().push(body);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

fn span(bytes: &[u8]) -> Span {
    let text = |number| String::from_utf8_lossy(first(bytes, number)).into_owned();
    Span {
        trace_id: hex(first(bytes, 1)),
        span_id: hex(first(bytes, 2)),
        trace_state: text(3),
        parent_id: hex(first(bytes, 4)),
        name: text(5),
        attributes: parts(bytes, 9).into_iter().map(attribute).collect(),
    }
}

fn attribute(bytes: &[u8]) -> (String, String) {
    let value = fields(first(bytes, 2)).into_iter().next();
    let value = match value {
        Some((_, Field::Bytes(text))) => String::from_utf8_lossy(text).into_owned(),
        Some((_, Field::Number(number))) => number.to_string(),
        None => String::new(),
    };
    (String::from_utf8_lossy(first(bytes, 1)).into_owned(), value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

enum Field<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

/// The fields of a protobuf message, by their numbers.
fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut rest)),
            1 => Field::Number(u64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut rest);
                Field::Bytes(take(&mut rest, length as usize))
            }
            5 => Field::Number(u32::from_le_bytes(take(&mut rest, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn parts(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let chosen = fields(bytes).into_iter().filter(|(found, _)| *found == number);
    chosen.filter_map(|(_, field)| if let Field::Bytes(bytes) = field { Some(bytes) } else { None }).collect()
}

fn first(bytes: &[u8], number: u64) -> &[u8] {
    parts(bytes, number).first().copied().unwrap_or_default()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

fn varint(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}
