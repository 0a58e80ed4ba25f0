//! What a scenario stands on: the spokes, the monitor, its PostgreSQL and its Redis, each a process of this run, on a free
//! port, in a directory of this run, gone with it.

mod awake;
mod monitor;
mod postgres;
mod process;
mod proxy;
mod redis;
mod swarm;

pub use awake::{can_keep_awake, keep_awake, stay_awake};
pub use monitor::{Monitor, MonitorOptions};
pub use postgres::{Disk, Postgres};
pub use process::{Running, Scratch, free_port};
pub use proxy::Proxy;
pub use redis::Redis;
pub use swarm::{Swarm, SwarmOptions};
