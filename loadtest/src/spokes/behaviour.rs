//! How a server of a spoke behaves, and the words for it (`dead`, `slow:300`, `status:503`, …) that
//! flags, scripts, the control API and the truth log share.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How one server behaves from the moment it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(try_from = "String", into = "String")]
pub enum Behaviour {
    /// Answers as the real thing.
    #[default]
    Healthy,
    /// Killed: the listener is closed and so is every connection; connecting is refused.
    Dead,
    /// Its network is gone: packets vanish unacknowledged, on new and on established connections.
    Unreachable,
    /// Accepts TCP and says nothing, ever; established connections go silent.
    Blackhole,
    /// Accepts TCP, reads the TLS hello and never answers it; established connections go silent.
    TlsSilent,
    /// Finishes TLS, reads the request and never answers.
    Hang,
    /// Answers after a pause.
    Slow {
        /// The pause in milliseconds.
        ms: u32,
    },
    /// Answers one byte at a time.
    Drip {
        /// The pause before each byte in milliseconds.
        ms: u32,
    },
    /// Answers every request with this status code; 3xx points back at the same path.
    Status {
        /// The HTTP status code.
        code: u16,
    },
    /// Sends RST.
    Reset(ResetAt),
    /// Presents a certificate no client should accept; established connections are closed.
    Certificate(CertificateFault),
    /// Finishes TLS and answers requests with bytes that are no HTTP.
    Garbage,
    /// Answers the TLS hello in clear text.
    Plaintext,
    /// Answers with headers that never end.
    EndlessHeaders,
    /// Answers 200 with a body that never ends.
    EndlessBody,
    /// Answers with interim (1xx) responses that never end.
    EndlessInterim,
    /// Answers, then closes the connection without having announced it.
    CloseAfterResponse,
    /// Answers 200 with a small gzip body that unpacks to very much more.
    GzipBomb,
    /// Answers 200 with JSON nested thousands deep.
    DeepJson,
    /// Answers 429 and asks to come back in thirty years.
    RetryAfter,
}

/// When a resetting server sends its RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetAt {
    /// As soon as it has accepted; established connections are reset at once.
    Accept,
    /// In the middle of the TLS handshake, when it has read the hello.
    Handshake,
    /// When it has read a request.
    Request,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateFault {
    /// Its end lies in the past.
    Expired,
    /// It is for another name and address.
    WrongName,
    /// An authority signed it that nobody was told to trust.
    UnknownCa,
    /// It is right, but hundreds of others that nobody needs come with it.
    GiantChain,
}

/// What a client meets before it can ask anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// No listener.
    Closed,
    /// No packet comes through.
    Vanished,
    /// TCP, and then nothing.
    Silent,
    /// RST.
    Reset,
    /// RST as soon as the client has said something.
    ResetAfterHello,
    /// Clear text where TLS should be.
    ClearText,
    /// A handshake, with a faulty certificate or the right one.
    Handshake(Option<CertificateFault>),
}

/// A word that names no behaviour.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no behaviour: use one of {list}", list = Behaviour::WORDS.map(|(word, _)| word).join(", "))]
pub struct UnknownBehaviour(pub String);

impl Behaviour {
    /// Every word with its meaning, for help texts and error messages.
    pub const WORDS: [(&'static str, &'static str); 25] = [
        ("healthy", "answers as the real thing"),
        ("dead", "listener and connections closed, connecting is refused"),
        ("unreachable", "packets vanish unacknowledged, on old and new connections"),
        ("blackhole", "accepts TCP and never says anything"),
        ("tls_silent", "never answers the TLS hello"),
        ("hang", "TLS works, requests are never answered"),
        ("slow:MS", "answers after MS milliseconds"),
        ("drip:MS", "answers one byte every MS milliseconds"),
        ("status:CODE", "answers every request with this status code"),
        ("reset:accept", "RST as soon as a connection is accepted"),
        ("reset:handshake", "RST in the middle of the TLS handshake"),
        ("reset:request", "RST when a request has been read"),
        ("certificate:expired", "a certificate of the past"),
        ("certificate:wrong_name", "a certificate for another name and address"),
        ("certificate:unknown_ca", "a certificate of an authority nobody trusts"),
        ("certificate:giant_chain", "the right certificate with hundreds that nobody needs"),
        ("garbage", "answers requests with bytes that are no HTTP"),
        ("plaintext", "answers the TLS hello in clear text"),
        ("endless_headers", "response headers that never end"),
        ("endless_body", "a response body that never ends"),
        ("endless_1xx", "interim responses that never end"),
        ("close_after_response", "closes unannounced after each response"),
        ("gzip_bomb", "a small body that unpacks to very much more"),
        ("deep_json", "JSON nested thousands deep"),
        ("retry_after", "429, and come back in thirty years"),
    ];

    /// What a client meets first.
    pub(super) fn opening(self) -> Opening {
        match self {
            Behaviour::Dead => Opening::Closed,
            Behaviour::Unreachable => Opening::Vanished,
            Behaviour::Blackhole | Behaviour::TlsSilent => Opening::Silent,
            Behaviour::Reset(ResetAt::Handshake) => Opening::ResetAfterHello,
            Behaviour::Reset(ResetAt::Accept) => Opening::Reset,
            Behaviour::Plaintext => Opening::ClearText,
            Behaviour::Certificate(fault) => Opening::Handshake(Some(fault)),
            Behaviour::Healthy
            | Behaviour::Hang
            | Behaviour::Slow { .. }
            | Behaviour::Drip { .. }
            | Behaviour::Status { .. }
            | Behaviour::Reset(ResetAt::Request)
            | Behaviour::Garbage
            | Behaviour::EndlessHeaders
            | Behaviour::EndlessBody
            | Behaviour::EndlessInterim
            | Behaviour::CloseAfterResponse
            | Behaviour::GzipBomb
            | Behaviour::DeepJson
            | Behaviour::RetryAfter => Opening::Handshake(None),
        }
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Behaviour::Healthy => f.write_str("healthy"),
            Behaviour::Dead => f.write_str("dead"),
            Behaviour::Unreachable => f.write_str("unreachable"),
            Behaviour::Blackhole => f.write_str("blackhole"),
            Behaviour::TlsSilent => f.write_str("tls_silent"),
            Behaviour::Hang => f.write_str("hang"),
            Behaviour::Slow { ms } => write!(f, "slow:{ms}"),
            Behaviour::Drip { ms } => write!(f, "drip:{ms}"),
            Behaviour::Status { code } => write!(f, "status:{code}"),
            Behaviour::Reset(ResetAt::Accept) => f.write_str("reset:accept"),
            Behaviour::Reset(ResetAt::Handshake) => f.write_str("reset:handshake"),
            Behaviour::Reset(ResetAt::Request) => f.write_str("reset:request"),
            Behaviour::Certificate(CertificateFault::Expired) => f.write_str("certificate:expired"),
            Behaviour::Certificate(CertificateFault::WrongName) => f.write_str("certificate:wrong_name"),
            Behaviour::Certificate(CertificateFault::UnknownCa) => f.write_str("certificate:unknown_ca"),
            Behaviour::Certificate(CertificateFault::GiantChain) => f.write_str("certificate:giant_chain"),
            Behaviour::Garbage => f.write_str("garbage"),
            Behaviour::Plaintext => f.write_str("plaintext"),
            Behaviour::EndlessHeaders => f.write_str("endless_headers"),
            Behaviour::EndlessBody => f.write_str("endless_body"),
            Behaviour::EndlessInterim => f.write_str("endless_1xx"),
            Behaviour::CloseAfterResponse => f.write_str("close_after_response"),
            Behaviour::GzipBomb => f.write_str("gzip_bomb"),
            Behaviour::DeepJson => f.write_str("deep_json"),
            Behaviour::RetryAfter => f.write_str("retry_after"),
        }
    }
}

impl FromStr for Behaviour {
    type Err = UnknownBehaviour;

    fn from_str(text: &str) -> Result<Self, UnknownBehaviour> {
        let (word, value) = text.split_once(':').unwrap_or((text, ""));
        plain(text).or_else(|| with_number(word, value)).ok_or_else(|| UnknownBehaviour(text.to_owned()))
    }
}

fn plain(text: &str) -> Option<Behaviour> {
    Some(match text {
        "healthy" => Behaviour::Healthy,
        "dead" => Behaviour::Dead,
        "unreachable" => Behaviour::Unreachable,
        "blackhole" => Behaviour::Blackhole,
        "tls_silent" => Behaviour::TlsSilent,
        "hang" => Behaviour::Hang,
        "reset" | "reset:accept" => Behaviour::Reset(ResetAt::Accept),
        "reset:handshake" => Behaviour::Reset(ResetAt::Handshake),
        "reset:request" => Behaviour::Reset(ResetAt::Request),
        "certificate:expired" => Behaviour::Certificate(CertificateFault::Expired),
        "certificate:wrong_name" => Behaviour::Certificate(CertificateFault::WrongName),
        "certificate:unknown_ca" => Behaviour::Certificate(CertificateFault::UnknownCa),
        "certificate:giant_chain" => Behaviour::Certificate(CertificateFault::GiantChain),
        "garbage" => Behaviour::Garbage,
        "plaintext" => Behaviour::Plaintext,
        "endless_headers" => Behaviour::EndlessHeaders,
        "endless_body" => Behaviour::EndlessBody,
        "endless_1xx" => Behaviour::EndlessInterim,
        "close_after_response" => Behaviour::CloseAfterResponse,
        "gzip_bomb" => Behaviour::GzipBomb,
        "deep_json" => Behaviour::DeepJson,
        "retry_after" => Behaviour::RetryAfter,
        _ => return None,
    })
}

fn with_number(word: &str, value: &str) -> Option<Behaviour> {
    match word {
        "slow" => value.parse().ok().map(|ms| Behaviour::Slow { ms }),
        "drip" => value.parse().ok().map(|ms| Behaviour::Drip { ms }),
        "status" => value.parse().ok().filter(|code| (200..=599).contains(code)).map(|code| Behaviour::Status { code }),
        _ => None,
    }
}

impl TryFrom<String> for Behaviour {
    type Error = UnknownBehaviour;

    fn try_from(text: String) -> Result<Self, UnknownBehaviour> {
        text.parse()
    }
}

impl From<Behaviour> for String {
    fn from(behaviour: Behaviour) -> Self {
        behaviour.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_what_it_was_written_from() {
        for (word, _) in Behaviour::WORDS {
            let text = word.replace("MS", "250").replace("CODE", "503");
            let behaviour: Behaviour = text.parse().unwrap();
            assert_eq!(behaviour.to_string(), text);
        }
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_list() {
        let error = "sleepy".parse::<Behaviour>().unwrap_err().to_string();
        assert!(error.contains("sleepy") && error.contains("blackhole"), "{error}");
        assert!("status:99".parse::<Behaviour>().is_err());
        assert!("slow:".parse::<Behaviour>().is_err());
    }
}
