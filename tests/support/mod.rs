//! What black-box tests share: real servers and the real binary, started and killed by the test that needs them, and the
//! clients that look at them from the outside.
#![cfg(test)]
#![allow(dead_code, unused_imports, reason = "every test file uses its own part")]

mod consumer;
mod fuzz;
mod http;
pub mod issuer;
mod kube;
mod postgres;
mod process;
mod product;
mod prometheus;
mod redis;
mod redis_fleet;
mod sse;
mod tls;
mod waiting;

pub use consumer::{StreamEntry, Subscriber, stream_entries};
pub use fuzz::fuzz_api;
pub use http::{Answer, Client};
pub use issuer::Issuer;
pub use kube::{KubeApiserver, kubeconfig};
pub use postgres::Postgres;
pub use process::{Running, Scratch, free_port};
pub use product::Product;
pub use prometheus::{Prometheus, check_metrics};
pub use redis::Redis;
pub use redis_fleet::RedisFleet;
pub use sse::{Live, LiveEvent};
pub use tls::{Authority, exchange};
pub use waiting::{Settled, eventually, in_time, part_in_time};
