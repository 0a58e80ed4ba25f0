//! How far behind the listeners of the live stream are: many of them, and a writer that makes events at an even pace.
//! `cargo run --release -p fleetbeat-loadtest --example listeners -- 127.0.0.1:8080 LISTENERS EVENTS_PER_SECOND SECONDS [ws]`
//! With `ws` they listen over WebSocket, otherwise to server-sent events.
//!
//! fleetbeat must watch one cluster at least; its display name is changed again and again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Once in every event.
const MARK: &[u8] = b"\"event_id\"";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, listeners, rate, seconds, over_websocket) = match arguments.as_slice() {
        [address, listeners, rate, seconds] => (address, listeners, rate, seconds, false),
        [address, listeners, rate, seconds, door] if door == "ws" => (address, listeners, rate, seconds, true),
        _ => anyhow::bail!("usage: listeners ADDRESS LISTENERS EVENTS_PER_SECOND SECONDS [ws]"),
    };
    let (listeners, rate, seconds): (usize, u32, u32) = (listeners.parse()?, rate.parse()?, seconds.parse()?);
    let total = (rate * seconds) as usize;
    let sent = Arc::new(Mutex::new(Vec::with_capacity(total)));
    let mut reading = tokio::task::JoinSet::new();
    for _ in 0..listeners {
        let stream = if over_websocket { listen_over_websocket(address).await? } else { listen(address).await? };
        reading.spawn(follow(stream, Arc::clone(&sent), total));
    }
    let began = Instant::now();
    write(address, rate, total, &sent).await?;
    let pace = total as f64 / began.elapsed().as_secs_f64();
    let mut delays = Vec::with_capacity(total * listeners);
    let mut complete = 0;
    while let Some(own) = reading.join_next().await {
        let own = own?;
        complete += usize::from(own.len() == total);
        delays.extend(own);
    }
    delays.sort_unstable();
    let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!("{listeners} listeners, {total} events at {pace:.0}/s: {complete} listeners got all of them");
    println!("{} deliveries, {} lost", delays.len(), total * listeners - delays.len());
    println!("behind: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), delays.last().copied().unwrap_or_default());
    Ok(())
}

async fn listen(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let path = "/api/v1/events/stream?event_type=CLUSTER_UPDATED";
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    ensure!(head.ends_with(b"200"), "refused: {}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// Opens a WebSocket, says who it is, and subscribes; the answers are read before it returns.
async fn listen_over_websocket(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13";
    let head = format!("GET /ws HTTP/1.1\r\nhost: {address}\r\n{upgrade}\r\n{KEY}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let answer = read_until(&mut stream, b"\r\n\r\n").await?;
    ensure!(answer.starts_with(b"HTTP/1.1 101"), "refused: {}", String::from_utf8_lossy(&answer));
    let token = std::env::var("FLEETBEAT_TOKEN").unwrap_or_default();
    let auth = serde_json::json!({ "type": "auth", "token": token });
    stream.write_all(&frame(&auth.to_string())).await?;
    let answer = read_until(&mut stream, b"}").await?;
    ensure!(answer.windows(15).any(|part| part == b"\"authenticated\""), "{}", String::from_utf8_lossy(&answer));
    let wish = serde_json::json!({ "type": "subscribe", "subscription": { "event_types": ["CLUSTER_UPDATED"] } });
    stream.write_all(&frame(&wish.to_string())).await?;
    read_until(&mut stream, b"\"unknown_event_types\":[]}").await?;
    Ok(stream)
}

/// Any key will do: the answer to it is not checked.
const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

/// A short text as a client's frame, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let mut frame = match u8::try_from(text.len()) {
        Ok(short) if short < 126 => vec![0x81, 0x80 | short],
        _ => [&[0x81, 0x80 | 126], length.to_be_bytes().as_slice()].concat(),
    };
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    while !answer.ends_with(end) {
        answer.push(timeout(Duration::from_secs(20), stream.read_u8()).await??);
    }
    Ok(answer)
}

/// The time from each event's making to its arrival, until all came or none came for five seconds.
async fn follow(mut stream: TcpStream, sent: Arc<Mutex<Vec<Instant>>>, total: usize) -> Vec<Duration> {
    let (mut buffer, mut kept) = (vec![0; 64 * 1024], 0);
    let mut delays = Vec::with_capacity(total);
    while delays.len() < total {
        let Ok(Ok(read)) = timeout(Duration::from_secs(20), stream.read(&mut buffer[kept..])).await else { break };
        if read == 0 {
            break;
        }
        let (now, end) = (Instant::now(), kept + read);
        let marks = buffer[..end].windows(MARK.len()).filter(|window| *window == MARK).count();
        for _ in 0..marks {
            let made = sent.lock().get(delays.len()).copied();
            delays.push(made.map_or(Duration::ZERO, |made| now - made));
        }
        // A mark may be cut in two.
        kept = end.min(MARK.len() - 1);
        buffer.copy_within(end - kept..end, 0);
    }
    delays
}

/// Changes a cluster's display name `total` times.
async fn write(address: &str, rate: u32, total: usize, sent: &Mutex<Vec<Instant>>) -> Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let list = exchange(&mut stream, address, "GET", "/api/v1/clusters?page_size=1", "").await?;
    let list: serde_json::Value = serde_json::from_slice(&list)?;
    let id = list["items"][0]["id"].as_str().context("no cluster is registered")?.to_owned();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..total {
        ticks.tick().await;
        sent.lock().push(Instant::now());
        let body = serde_json::json!({ "display_name": format!("number {number}") }).to_string();
        exchange(&mut stream, address, "PUT", &format!("/api/v1/clusters/{id}"), &body).await?;
    }
    Ok(())
}

async fn exchange(
    stream: &mut BufReader<TcpStream>,
    address: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Vec<u8>> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await?;
    let (mut line, mut length, mut status) = (String::new(), 0, String::new());
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line).await? > 0, "the connection was closed");
        let low = line.trim().to_ascii_lowercase();
        if status.is_empty() {
            status.clone_from(&low);
        }
        if let Some(value) = low.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if low.is_empty() {
            break;
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    ensure!(status.contains(" 200"), "{method} {path}: {status}: {}", String::from_utf8_lossy(&answer));
    Ok(answer)
}
