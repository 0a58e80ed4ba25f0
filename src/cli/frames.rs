//! Server-sent events, as far as the live stream uses them: bytes in, frames out. Reads nothing itself.

/// Longest frame kept, in bytes; an event is a few kilobytes.
const MAX_FRAME: usize = 16 << 20;

/// One frame of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// The `id` field: where to go on after.
    pub id: Option<String>,
    /// The `data` field; empty in a heartbeat.
    pub data: String,
}

/// The stream is not what it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stream holds no event within {MAX_FRAME} bytes")]
pub struct Endless;

/// Collects bytes until frames are complete.
#[derive(Debug, Default)]
pub struct Frames {
    pending: Vec<u8>,
}

impl Frames {
    /// Takes bytes and gives back what they complete.
    ///
    /// # Errors
    /// When a frame does not end.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, Endless> {
        self.pending.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut from = 0;
        while let Some(length) = self.pending[from..].windows(2).position(|pair| pair == b"\n\n") {
            frames.extend(parse(&String::from_utf8_lossy(&self.pending[from..from + length])));
            from += length + 2;
        }
        self.pending.drain(..from);
        if self.pending.len() > MAX_FRAME { Err(Endless) } else { Ok(frames) }
    }
}

fn parse(block: &str) -> Option<Frame> {
    let mut frame = Frame::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => frame.id = Some(value.to_owned()),
            "data" if frame.data.is_empty() => frame.data = value.to_owned(),
            "data" => frame.data = format!("{}\n{value}", frame.data),
            _ => {}
        }
    }
    (frame != Frame::default()).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_complete_however_the_bytes_arrive() {
        let stream = b"retry: 2000\n: hello\n\nid: 7\ndata: {\"a\":1}\n\n: heartbeat\nid: 9\n\n";
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let all: Vec<_> = stream.chunks(size).flat_map(|chunk| frames.push(chunk).unwrap()).collect();
            let event = Frame { id: Some("7".to_owned()), data: "{\"a\":1}".to_owned() };
            assert_eq!(all, [event, Frame { id: Some("9".to_owned()), data: String::new() }]);
        }
    }

    #[test]
    fn an_endless_frame_is_refused() {
        let mut frames = Frames::default();
        assert_eq!(frames.push(&vec![b'x'; MAX_FRAME + 1]), Err(Endless));
    }
}
