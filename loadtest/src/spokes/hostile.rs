//! Answers made to hurt a careless reader: a gzip bomb, deep JSON, an absurd wish to be left alone.

use std::sync::LazyLock;

/// What the bomb unpacks to.
const BOMB_BYTES: usize = 5 * 1024 * 1024;
/// How deep the JSON is nested.
const DEPTH: usize = 15_000;

/// 429 with a Retry-After of thirty years.
pub(super) const RETRY_AFTER: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1000000000\r\nContent-Length: 0\r\n\r\n";

/// 200 with some 32 KiB that unpack to 5 MiB.
pub(super) fn gzip_bomb() -> &'static [u8] {
    static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| answer("Content-Encoding: gzip\r\n", &gzip_of_zeros(BOMB_BYTES)));
    &BOMB
}

/// 200 with arrays in arrays.
pub(super) fn deep_json() -> &'static [u8] {
    static JSON: LazyLock<Vec<u8>> =
        LazyLock::new(|| answer("", format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)).as_bytes()));
    &JSON
}

fn answer(extra: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{extra}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A gzip member of `bytes` zeros: one literal, then "258 more of the same" over and over (fixed Huffman codes).
fn gzip_of_zeros(bytes: usize) -> Vec<u8> {
    let repeats = bytes.saturating_sub(1) / 258;
    let total = 1 + repeats * 258;
    let mut bits = Bits { bytes: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], filled: 0 };
    bits.put(0b1, 1); // the last block
    bits.put(0b01, 2); // with fixed codes, lowest bit first
    bits.code(0b0011_0000, 8); // literal 0
    for _ in 0..repeats {
        bits.code(0b1100_0101, 8); // length 258
        bits.code(0, 5); // distance 1
    }
    bits.code(0, 7); // end of block
    let mut gzip = bits.bytes;
    gzip.extend(crc32_of_zeros(total).to_le_bytes());
    gzip.extend((total as u32).to_le_bytes());
    gzip
}

struct Bits {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 when it is full.
    filled: u8,
}

impl Bits {
    /// `count` bits of `value`, lowest first.
    fn put(&mut self, value: u16, count: u8) {
        for nth in 0..count {
            if self.filled == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (((value >> nth) & 1) as u8) << self.filled;
            }
            self.filled = (self.filled + 1) % 8;
        }
    }

    /// A Huffman code: highest bit first.
    fn code(&mut self, value: u16, count: u8) {
        (0..count).rev().for_each(|nth| self.put(value >> nth, 1));
    }
}

fn crc32_of_zeros(count: usize) -> u32 {
    let table: Vec<u32> = (0..256u32).map(|byte| (0..8).fold(byte, |crc, _| step(crc))).collect();
    !(0..count).fold(u32::MAX, |crc, _| table[(crc & 0xff) as usize] ^ (crc >> 8))
}

fn step(crc: u32) -> u32 {
    if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_bomb_is_small_and_ends_with_the_length_it_unpacks_to() {
        let bomb = gzip_of_zeros(BOMB_BYTES);
        assert!(bomb.len() < 40_000, "{} bytes", bomb.len());
        let length = u32::from_le_bytes(bomb[bomb.len() - 4..].try_into().unwrap());
        assert!(length > 5_000_000, "{length}");
    }

    #[test]
    fn gzip_itself_finds_the_bomb_well_formed() {
        let Ok(mut gzip) = Command::new("gzip").args(["-t", "-"]).stdin(Stdio::piped()).spawn() else {
            return;
        };
        gzip.stdin.take().unwrap().write_all(&gzip_of_zeros(BOMB_BYTES)).unwrap();
        assert!(gzip.wait().unwrap().success());
    }
}
