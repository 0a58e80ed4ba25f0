//! Redis from the outside: as much of its protocol (RESP2) as a reader of streams and channels needs.

mod connection;
mod value;

pub use connection::{Connection, RedisError};
pub use value::{BadProtocol, Value, decode, encode};
