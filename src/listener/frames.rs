//! Frames of HTTP/2 that ask for nothing (settings, pings, windows, priorities, resets): a client may send as many as a client
//! needs that asks for something. Knows where frames begin, and nothing of what is in them.

use tokio::time::Instant;

/// Bytes of what a client says first of all.
const PREFACE: usize = 24;
/// Bytes before each frame's payload: its length, type, flags and stream.
const HEAD: usize = 9;
/// Frames that carry a request: its body, its head, the rest of its head.
const ASKING: [u8; 3] = [0, 1, 9];
/// Frames that ask for nothing: as many at once, …
const BURST: f64 = 10_000.0;
/// … so many a second in the long run, …
const PER_SECOND: f64 = 1_000.0;
/// … one for so many bytes that the client is sent, for it makes room for more, …
const BYTES_EACH: f64 = 512.0;
/// … and some for each frame that asks for something.
const FOR_ASKING: f64 = 4.0;

/// What a client may still send.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to come that are not the beginning of a frame.
    rest: usize,
    head: [u8; HEAD],
    /// How much of `head` has come.
    begun: usize,
    left: f64,
    as_of: Instant,
}

/// There were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many frames that ask for nothing")]
pub(super) struct Flood;

impl Frames {
    /// Of a connection that begins now.
    pub(super) fn new() -> Self {
        Self { rest: PREFACE, head: [0; HEAD], begun: 0, left: BURST, as_of: Instant::now() }
    }

    /// The client is sent so many bytes.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.gain(bytes as f64 / BYTES_EACH);
    }

    /// These bytes came.
    ///
    /// # Errors
    /// When there are too many frames in them that ask for nothing.
    pub(super) fn heard(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        let now = Instant::now();
        self.gain(now.duration_since(self.as_of).as_secs_f64() * PER_SECOND);
        self.as_of = now;
        while !bytes.is_empty() {
            let passed = self.rest.min(bytes.len());
            self.rest -= passed;
            bytes = &bytes[passed..];
            let taken = (HEAD - self.begun).min(bytes.len());
            self.head[self.begun..self.begun + taken].copy_from_slice(&bytes[..taken]);
            self.begun += taken;
            bytes = &bytes[taken..];
            if self.begun == HEAD {
                self.begin_frame()?;
            }
        }
        Ok(())
    }

    fn begin_frame(&mut self) -> Result<(), Flood> {
        let [high, middle, low, kind, ..] = self.head;
        self.rest = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.begun = 0;
        if ASKING.contains(&kind) {
            self.gain(FOR_ASKING);
            return Ok(());
        }
        self.left -= 1.0;
        if self.left < 0.0 { Err(Flood) } else { Ok(()) }
    }

    fn gain(&mut self, frames: f64) {
        self.left = (self.left + frames).min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, 0, 0, 0, 0, 0][..], &vec![PING; length.into()]].concat()
    }

    fn met() -> Frames {
        let mut frames = Frames::new();
        frames.heard(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_counted_however_the_bytes_are_cut() {
        for size in [1, 2, 9, 17, 1_000] {
            let (mut frames, mut count) = (met(), 0);
            let flood = frame(PING, 8).repeat(BURST as usize + 100);
            let cut = flood.chunks(size).position(|part| {
                count += part.len();
                frames.heard(part).is_err()
            });
            assert!(cut.is_some() && count.abs_diff(BURST as usize * 17) < size + 17, "{size}: {count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_and_is_answered_may_go_on_for_ever() {
        let mut frames = met();
        for _ in 0..100_000 {
            frames.heard(&frame(1, 40)).unwrap();
            frames.heard(&frame(PING, 8).repeat(4)).unwrap();
            frames.sent(64 * 1024);
            frames.heard(&frame(8, 4).repeat(128)).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_may_make_room_and_answer_pings_at_an_even_pace() {
        let mut frames = met();
        for _ in 0..20_000 {
            frames.heard(&frame(8, 4)).unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(frames.left > BURST - 10.0);
        assert_eq!(frames.heard(&frame(4, 0).repeat(BURST as usize + 1)), Err(Flood));
    }
}
