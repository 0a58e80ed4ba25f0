//! One connection to a Redis server, every step within a time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::value::{BadProtocol, Value, decode, encode};

/// Longest wait for a connection, or for a command to be taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open connection.
pub struct Connection {
    stream: TcpStream,
    pending: Vec<u8>,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The network.
    #[error("the connection to Redis broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The protocol.
    #[error(transparent)]
    Protocol(#[from] BadProtocol),
    /// The server said no.
    #[error("Redis refused: {0}")]
    Refused(String),
    /// Nothing came in time.
    #[error("Redis was silent")]
    Silent,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or not in time.
    pub async fn open(address: SocketAddr) -> Result<Self, RedisError> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.map_err(|_| RedisError::Silent)??;
        Ok(Self { stream, pending: Vec::new() })
    }

    /// Sends a command.
    ///
    /// # Errors
    /// When it is not taken in time.
    pub async fn send(&mut self, words: &[&str]) -> Result<(), RedisError> {
        timeout(PATIENCE, self.stream.write_all(&encode(words))).await.map_err(|_| RedisError::Silent)??;
        Ok(())
    }

    /// The next value the server sends. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection ends, the server refuses, or nothing comes in time ([`RedisError::Silent`]).
    pub async fn next(&mut self, within: Duration) -> Result<Value, RedisError> {
        timeout(within, self.read()).await.map_err(|_| RedisError::Silent)?
    }

    /// Sends a command and reads its answer.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::next`].
    pub async fn ask(&mut self, words: &[&str], within: Duration) -> Result<Value, RedisError> {
        self.send(words).await?;
        self.next(within).await
    }

    async fn read(&mut self) -> Result<Value, RedisError> {
        loop {
            if let Some((value, used)) = decode(&self.pending)? {
                self.pending.drain(..used);
                return match value {
                    Value::Error(text) => Err(RedisError::Refused(text)),
                    value => Ok(value),
                };
            }
            if self.stream.read_buf(&mut self.pending).await? == 0 {
                return Err(RedisError::Broken(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn server(answers: &'static [u8]) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for byte in answers {
                stream.write_all(&[*byte]).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        address
    }

    #[tokio::test]
    async fn answers_come_one_by_one_however_they_are_cut() {
        let mut connection = Connection::open(server(b"+PONG\r\n$2\r\nhi\r\n-NO way\r\n").await).await.unwrap();
        let within = Duration::from_secs(5);
        assert_eq!(connection.ask(&["PING"], within).await.unwrap(), Value::Simple("PONG".into()));
        assert_eq!(connection.next(within).await.unwrap().text().as_deref(), Some("hi"));
        assert!(matches!(connection.next(within).await, Err(RedisError::Refused(text)) if text == "NO way"));
        assert!(matches!(connection.next(Duration::from_millis(20)).await, Err(RedisError::Silent)));
    }
}
