//! Values of RESP2, read from and written to bytes.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A short word, such as `OK`.
    Simple(String),
    /// The server's refusal.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Values in a row.
    Array(Vec<Value>),
    /// Nothing.
    Null,
}

/// Bytes that are no RESP2.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server does not speak RESP2")]
pub struct BadProtocol;

/// Deepest nesting accepted.
const DEPTH: usize = 16;

impl Value {
    /// The text of a word or of bytes.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Simple(text) => Some(text.clone()),
            Value::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Error(_) | Value::Integer(_) | Value::Array(_) | Value::Null => None,
        }
    }

    /// The values of an array; none for anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            Value::Simple(_) | Value::Error(_) | Value::Integer(_) | Value::Bulk(_) | Value::Null => &[],
        }
    }
}

/// The first value in `bytes` and how many of them it takes; nothing while more are needed.
///
/// # Errors
/// Bytes that cannot be the begin of any value.
pub fn decode(bytes: &[u8]) -> Result<Option<(Value, usize)>, BadProtocol> {
    decode_at(bytes, DEPTH)
}

fn decode_at(bytes: &[u8], depth: usize) -> Result<Option<(Value, usize)>, BadProtocol> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let (Some(kind), text) = (bytes.first(), String::from_utf8_lossy(bytes.get(1..end).unwrap_or_default())) else {
        return Ok(None);
    };
    let head = end + 2;
    match kind {
        b'+' => Ok(Some((Value::Simple(text.into_owned()), head))),
        b'-' => Ok(Some((Value::Error(text.into_owned()), head))),
        b':' => Ok(Some((Value::Integer(number(&text)?), head))),
        b'$' => Ok(bulk(&bytes[head..], number(&text)?)?.map(|(value, length)| (value, head + length))),
        b'*' => Ok(array(&bytes[head..], number(&text)?, depth)?.map(|(value, length)| (value, head + length))),
        _ => Err(BadProtocol),
    }
}

fn number(text: &str) -> Result<i64, BadProtocol> {
    text.parse().map_err(|_| BadProtocol)
}

fn bulk(bytes: &[u8], length: i64) -> Result<Option<(Value, usize)>, BadProtocol> {
    let Ok(length) = usize::try_from(length) else { return Ok(Some((Value::Null, 0))) };
    match bytes.get(length..length + 2) {
        Some(b"\r\n") => Ok(Some((Value::Bulk(bytes[..length].to_vec()), length + 2))),
        Some(_) => Err(BadProtocol),
        None => Ok(None),
    }
}

fn array(bytes: &[u8], length: i64, depth: usize) -> Result<Option<(Value, usize)>, BadProtocol> {
    let Ok(length) = usize::try_from(length) else { return Ok(Some((Value::Null, 0))) };
    let depth = depth.checked_sub(1).ok_or(BadProtocol)?;
    let (mut items, mut used) = (Vec::new(), 0);
    for _ in 0..length {
        let Some((item, taken)) = decode_at(&bytes[used..], depth)? else { return Ok(None) };
        items.push(item);
        used += taken;
    }
    Ok(Some((Value::Array(items), used)))
}

/// A command as the server wants it.
pub fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Value {
        let (value, used) = decode(text.as_bytes()).unwrap().unwrap();
        assert_eq!(used, text.len());
        value
    }

    #[test]
    fn every_kind_of_value_is_read() {
        assert_eq!(whole("+OK\r\n"), Value::Simple("OK".into()));
        assert_eq!(whole("-ERR no\r\n"), Value::Error("ERR no".into()));
        assert_eq!(whole(":-7\r\n"), Value::Integer(-7));
        assert_eq!(whole("$3\r\na\r\n\r\n"), Value::Bulk(b"a\r\n".to_vec()));
        assert_eq!(whole("$-1\r\n"), Value::Null);
        assert_eq!(whole("*-1\r\n"), Value::Null);
        let nested = Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::Bulk(b"x".to_vec())])]);
        assert_eq!(whole("*2\r\n:1\r\n*1\r\n$1\r\nx\r\n"), nested);
    }

    #[test]
    fn a_value_that_is_not_all_there_is_waited_for() {
        let text = b"*2\r\n$3\r\nabc\r\n:1\r\n";
        for length in 0..text.len() {
            assert_eq!(decode(&text[..length]), Ok(None), "{length} bytes");
        }
        assert!(decode(text).unwrap().is_some());
    }

    #[test]
    fn two_values_are_read_one_after_the_other() {
        let (first, used) = decode(b"+a\r\n+b\r\n").unwrap().unwrap();
        assert_eq!((first, used), (Value::Simple("a".into()), 4));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["hello\r\n", ":x\r\n", "$1\r\nabc\r\n"] {
            assert_eq!(decode(text.as_bytes()), Err(BadProtocol), "{text}");
        }
        assert_eq!(decode("*1\r\n".repeat(40).as_bytes()), Err(BadProtocol));
    }

    #[test]
    fn a_command_reads_back_as_its_words() {
        let bytes = encode(&["XREAD", "COUNT", "5"]);
        let words: Vec<_> = decode(&bytes).unwrap().unwrap().0.items().iter().filter_map(Value::text).collect();
        assert_eq!(words, ["XREAD", "COUNT", "5"]);
    }
}
