//! One of many listeners, at either door of the live stream: how it comes in, and what it hears. It reads no more of an event than its id,
//! so that a thousand of them cost little.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

use super::Notes;
use crate::clock::{WallMs, wall_ms};
use crate::http::Http;

/// Any key will do: the answer to it is not checked.
const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
/// Before the id of an event, in both doors.
const MARK: &[u8] = b"\"event_id\":\"";
/// Longest wait for an answer.
const SOON: Duration = Duration::from_secs(20);

/// The way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Server-sent events.
    Sse,
    /// WebSocket.
    WebSocket,
}

/// What one listener heard, in order: ids of events, and when they came.
pub type Heard = Notes<(Uuid, WallMs)>;

/// A connection that is listened on.
pub struct Line {
    door: Door,
    stream: TcpStream,
}

impl Line {
    /// Comes in; what is answered before the first event is read.
    ///
    /// # Errors
    /// When nobody listens, or nobody is let in.
    pub async fn open(door: Door, http: &Http) -> Result<Self> {
        let stream = timeout(SOON, TcpStream::connect(address(http)?)).await??;
        Self::over(door, stream, http).await
    }

    /// The same, over a connection that takes in hardly more than is read: with the segments of a real network, small windows.
    ///
    /// # Errors
    /// As [`Line::open`].
    pub async fn open_narrow(door: Door, http: &Http) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4 * 1024)?;
        SockRef::from(&socket).set_tcp_mss(1_400)?;
        Self::over(door, timeout(SOON, socket.connect(address(http)?.parse()?)).await??, http).await
    }

    async fn over(door: Door, stream: TcpStream, http: &Http) -> Result<Self> {
        stream.set_nodelay(true)?;
        let stream = match door {
            Door::Sse => listen(stream, http).await?,
            Door::WebSocket => subscribe(stream, http).await?,
        };
        Ok(Self { door, stream })
    }
}

/// Host and port.
fn address(http: &Http) -> Result<&str> {
    http.base().strip_prefix("http://").context("listeners speak plain HTTP only")
}

async fn listen(mut stream: TcpStream, http: &Http) -> Result<TcpStream> {
    let address = address(http)?;
    let token = http.token().map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    let head = format!("GET /api/v1/events/stream HTTP/1.1\r\nhost: {address}\r\n{token}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let answer = read_until(&mut stream, b": fleetbeat\n\n").await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "refused: {}", String::from_utf8_lossy(&answer));
    Ok(stream)
}

/// Opens a WebSocket, says who it is, and subscribes to everything; the answers are read before it returns.
async fn subscribe(mut stream: TcpStream, http: &Http) -> Result<TcpStream> {
    let address = address(http)?;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13";
    let head = format!("GET /ws HTTP/1.1\r\nhost: {address}\r\n{upgrade}\r\n{KEY}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let answer = read_until(&mut stream, b"\r\n\r\n").await?;
    ensure!(answer.starts_with(b"HTTP/1.1 101"), "refused: {}", String::from_utf8_lossy(&answer));
    let auth = serde_json::json!({ "type": "auth", "token": http.token().unwrap_or_default() });
    stream.write_all(&frame(&auth.to_string())).await?;
    let answer = read_until(&mut stream, b"}").await?;
    ensure!(answer.windows(15).any(|part| part == b"\"authenticated\""), "{}", String::from_utf8_lossy(&answer));
    let wish = serde_json::json!({ "type": "subscribe", "subscription": {} });
    stream.write_all(&frame(&wish.to_string())).await?;
    read_until(&mut stream, b"\"unknown_event_types\":[]}").await?;
    Ok(stream)
}

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
        let byte = timeout(SOON, stream.read_u8()).await?;
        answer.push(byte.with_context(|| format!("after {}", String::from_utf8_lossy(&answer)))?);
    }
    Ok(answer)
}

/// Hears until the line ends.
pub async fn hear(mut line: Line, heard: &Heard) {
    let mut unread = Vec::with_capacity(256 * 1024);
    while let Ok(1..) = line.stream.read_buf(&mut unread).await {
        let now = wall_ms();
        let (taken, ids) = match line.door {
            Door::Sse => of_lines(&unread),
            Door::WebSocket => of_frames(&unread),
        };
        unread.drain(..taken);
        ids.into_iter().for_each(|id| heard.push((id, now)));
    }
}

/// Events in whole lines, and how many bytes those are.
fn of_lines(bytes: &[u8]) -> (usize, Vec<Uuid>) {
    let (mut taken, mut ids) = (0, Vec::new());
    while let Some(length) = bytes[taken..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[taken..taken + length];
        if line.starts_with(b"data: ") {
            ids.extend(id_in(line));
        }
        taken += length + 1;
    }
    (taken, ids)
}

/// Events in whole frames, and how many bytes those are. What is no event is left out.
fn of_frames(bytes: &[u8]) -> (usize, Vec<Uuid>) {
    let (mut taken, mut ids) = (0, Vec::new());
    while let Some((head, length)) = size_of(&bytes[taken..]) {
        let Some(payload) = bytes.get(taken + head..taken + head + length) else { break };
        if payload.starts_with(b"{\"type\":\"event\"") {
            ids.extend(id_in(payload));
        }
        taken += head + length;
    }
    (taken, ids)
}

/// Bytes of a frame's head and of its payload.
fn size_of(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? {
        126 => Some((4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into())),
        127 => Some((10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize)),
        length => Some((2, (*length).into())),
    }
}

/// The id near the beginning of an event.
fn id_in(text: &[u8]) -> Option<Uuid> {
    let begin = &text[..text.len().min(200)];
    let at = begin.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    Uuid::try_parse_ascii(text.get(at..at + 36)?).ok()
}

/// Reads all that is left: was it told that it is too slow before the line was closed?
///
/// # Errors
/// When the line breaks.
pub async fn read_the_rest(mut line: Line) -> Result<bool> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match timeout(SOON, line.stream.read(&mut buffer)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(read)) => all.extend_from_slice(&buffer[..read]),
            Ok(Err(error)) => bail!("broken: {error}"),
            Err(_) => return Ok(false),
        }
    }
    Ok(all.windows(13).any(|part| part == b"SLOW_CONSUMER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190b5a0-0000-7000-8000-000000000001";

    #[test]
    fn events_are_read_from_whole_lines_and_whole_frames_only() {
        let event = format!("{{\"type\":\"event\",\"event\":{{\"event_id\":\"{ID}\"}}}}");
        let lines = format!(": fleetbeat\n\nid: 7\ndata: {event}\n\ndata: {{\"event_id\":\"half");
        let (taken, ids) = of_lines(lines.as_bytes());
        assert_eq!((&lines[taken..], ids), ("data: {\"event_id\":\"half", vec![ID.parse().unwrap()]));

        let mut frames = [&[0x81, u8::try_from(event.len()).unwrap()], event.as_bytes()].concat();
        frames.extend([0x81, 2, b'{', b'}', 0x81, 126, 0]);
        let (taken, ids) = of_frames(&frames);
        assert_eq!((&frames[taken..], ids), ([0x81, 126, 0].as_slice(), vec![ID.parse().unwrap()]));
    }
}
