//! A process without descriptors blames itself. Alone in its file: the limit is the whole process's.
#![cfg(test)]

#[path = "probes/bench.rs"]
#[allow(dead_code, reason = "only a part of the bench is needed here")]
mod bench;
#[path = "probes/spoke.rs"]
#[allow(dead_code, reason = "only a part of the spoke's repertoire is needed here")]
mod spoke;

use fleetbeat_actors::health::NotRun;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{
    bench::{Bench, cause, reason},
    spoke::{Act, Serving, Spoke},
};

#[tokio::test]
async fn without_descriptors_a_probe_is_not_run_and_with_them_it_is() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let target = bench.target(&spoke.https());
    let mut named = bench.session(&bench.target(&format!("https://localhost:{}", spoke.address.port())));
    let mut session = bench.session(&target);
    assert_eq!(cause(session.check(true).await.api_server), None);

    let full = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut none = full;
    none.current = Some(open.saturating_sub(2));
    setrlimit(Resource::Nofile, none).unwrap();
    let held: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let (by_address, by_name) = (bench.once(&spoke.https()).await, named.check(false).await.api_server);
    drop(held);
    setrlimit(Resource::Nofile, full).unwrap();

    assert_eq!(reason(by_address), NotRun::NoDescriptor);
    assert_eq!(reason(by_name), NotRun::NoDescriptor);
    assert_eq!(cause(bench.once(&spoke.https()).await), None);
}
