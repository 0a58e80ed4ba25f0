//! One request and what becomes of it: the right answer, or one of the wrong ones.

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::behaviour::Behaviour;
use super::cluster;
use super::connection::{Flow, Line, Transport};
use super::door::Door;
use super::hostile;
use super::role::Role;
use super::wire;

/// An endless answer is sent in pieces of about 8 KiB with this pause: some 4 MB/s.
const FLOOD_PAUSE: Duration = Duration::from_millis(2);
const FLOOD_PIECE_BYTES: usize = 8 * 1024;
const GARBAGE: &[u8] = b"\x00\xff\xfe220 this is no HTTP \x07\x07\x07\r\n\x01\x02\x03\r\n\r\n";

struct Reply {
    bytes: Cow<'static, [u8]>,
    body_bytes: usize,
    close: bool,
}

/// Answers the request whose head is the first `head_bytes` of the buffer.
pub(super) async fn respond<S: Transport>(line: &mut Line<'_, S>, head_bytes: usize) -> Flow {
    let Some(reply) = prepare(line, head_bytes) else {
        line.send(&wire::status(line.door.role, 400, "/")).await;
        return Flow::End;
    };
    line.buffer.drain(..head_bytes);
    if skip_body(line, reply.body_bytes).await == Flow::End || deliver(line, &reply.bytes).await == Flow::End {
        return Flow::End;
    }
    if reply.close {
        let _ = line.stream.shutdown().await;
        return Flow::End;
    }
    Flow::Continue
}

fn prepare<S: Transport>(line: &Line<'_, S>, head_bytes: usize) -> Option<Reply> {
    let request = wire::request(line.buffer.get(..head_bytes)?)?;
    let door = line.door;
    door.counters.requests.fetch_add(1, Relaxed);
    door.counters.last_request.store(door.clock.ms() + 1, Relaxed);
    if request.authorization.is_some() {
        door.counters.with_credentials.fetch_add(1, Relaxed);
    }
    let bytes = match line.behaviour {
        Behaviour::Status { code } => Cow::Owned(wire::status(door.role, code, request.path)),
        Behaviour::GzipBomb => Cow::Borrowed(hostile::gzip_bomb()),
        Behaviour::DeepJson => Cow::Borrowed(hostile::deep_json()),
        Behaviour::RetryAfter => Cow::Borrowed(hostile::RETRY_AFTER),
        _ => healthy(door, &request),
    };
    Some(Reply { bytes, body_bytes: request.body_bytes, close: request.close })
}

/// What the real thing would answer.
fn healthy(door: &Door, request: &wire::Request<'_>) -> Cow<'static, [u8]> {
    let token = door.token.as_deref();
    let told = (door.role == Role::Api && wire::is_let_in(token, request))
        .then(|| cluster::answer(door.address.ip(), request))
        .flatten();
    told.map_or_else(|| wire::answer(door.role, token, request), Cow::Owned)
}

async fn skip_body<S: Transport>(line: &mut Line<'_, S>, mut left: usize) -> Flow {
    loop {
        let here = left.min(line.buffer.len());
        line.buffer.drain(..here);
        left -= here;
        if left == 0 {
            return Flow::Continue;
        }
        if line.more().await == Flow::End {
            return Flow::End;
        }
    }
}

async fn deliver<S: Transport>(line: &mut Line<'_, S>, reply: &[u8]) -> Flow {
    match line.behaviour {
        Behaviour::Slow { ms } => match line.pause(Some(millis(ms))).await {
            Flow::Continue => line.send(reply).await,
            Flow::End => Flow::End,
        },
        Behaviour::Hang => match line.pause(None).await {
            Flow::Continue => line.send(reply).await,
            Flow::End => Flow::End,
        },
        Behaviour::Drip { ms } => drip(line, reply, millis(ms)).await,
        Behaviour::Reset(_) => line.reset(),
        Behaviour::Garbage => {
            line.send(GARBAGE).await;
            Flow::End
        }
        Behaviour::EndlessHeaders => {
            flood(line, b"HTTP/1.1 200 OK\r\n", b"X-Padding: aaaaaaaaaaaaaaaaaaaaaaaa\r\n").await
        }
        Behaviour::EndlessBody => flood(line, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b" ").await,
        Behaviour::EndlessInterim => flood(line, b"", b"HTTP/1.1 102 Processing\r\n\r\n").await,
        Behaviour::CloseAfterResponse => {
            line.send(reply).await;
            let _ = line.stream.shutdown().await;
            Flow::End
        }
        Behaviour::Healthy
        | Behaviour::Status { .. }
        | Behaviour::GzipBomb
        | Behaviour::DeepJson
        | Behaviour::RetryAfter
        | Behaviour::Certificate(_)
        | Behaviour::Plaintext
        | Behaviour::Dead
        | Behaviour::Unreachable
        | Behaviour::Blackhole
        | Behaviour::TlsSilent => line.send(reply).await,
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

/// One byte at a time; a change in the middle lets the rest go at once.
async fn drip<S: Transport>(line: &mut Line<'_, S>, reply: &[u8], pause: Duration) -> Flow {
    let dripping = line.behaviour;
    for (sent, byte) in reply.iter().enumerate() {
        if line.pause(Some(pause)).await == Flow::End {
            return Flow::End;
        }
        if line.behaviour != dripping {
            return line.send(&reply[sent..]).await;
        }
        if line.send(&[*byte]).await == Flow::End {
            return Flow::End;
        }
    }
    Flow::Continue
}

/// Sends `start`, then `filler` for as long as the client takes it.
async fn flood<S: Transport>(line: &mut Line<'_, S>, start: &[u8], filler: &[u8]) -> Flow {
    let piece = filler.repeat(FLOOD_PIECE_BYTES / filler.len());
    let flooding = line.behaviour;
    let mut flow = if start.is_empty() { Flow::Continue } else { line.send(start).await };
    while flow == Flow::Continue && line.behaviour == flooding {
        flow = line.send(&piece).await;
        if flow == Flow::Continue {
            flow = line.pause(Some(FLOOD_PAUSE)).await;
        }
    }
    Flow::End
}
