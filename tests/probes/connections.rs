//! How connections live: kept, retried, given up, and missed when the peer closes them.

use std::{sync::Arc, time::Duration};

use fleetbeat_actors::health::Cause;

use crate::{
    bench::{Bench, cause, until},
    spoke::{Act, Serving, Spoke},
};

#[tokio::test]
async fn a_connection_is_kept_between_checks_and_replaced_when_asked_afresh() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let mut session = bench.session(&bench.target(&spoke.https()));
    for round in 0..5 {
        let report = session.check(false).await;
        assert_eq!(cause(report.api_server), None);
        assert_eq!(report.fresh, round == 0);
    }
    assert_eq!(spoke.connections(), 1);
    assert!(session.check(true).await.fresh);
    assert_eq!((spoke.connections(), bench.pokes()), (2, 0));
}

#[tokio::test]
async fn a_failure_on_a_kept_connection_is_retried_on_a_fresh_one() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |asked| match asked.nth {
        1 => Act::status(200),
        _ => Act::Close,
    });
    let mut session = bench.session(&bench.target(&spoke.https()));
    for _ in 0..3 {
        assert_eq!(cause(session.check(false).await.api_server), None);
    }
    assert_eq!((spoke.connections(), spoke.heads().len(), bench.pokes()), (3, 5, 0));
}

#[tokio::test]
async fn a_failure_on_a_fresh_connection_counts_at_once() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::Close);
    assert_eq!(cause(bench.once(&spoke.https()).await), Some(Cause::Protocol));
    assert_eq!(spoke.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_closed_by_its_peer_pokes_once() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let mut session = bench.session(&bench.target(&spoke.https()));
    session.check(false).await;
    session.check(false).await;
    spoke.cut();
    until("the poke", || bench.pokes() == 1).await;
    assert_eq!(cause(session.check(false).await.api_server), None);
    assert_eq!((spoke.connections(), bench.pokes()), (2, 1));
}

#[tokio::test]
async fn a_connection_that_we_close_pokes_nobody() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let mut session = bench.session(&bench.target(&spoke.https()));
    session.check(false).await;
    session.check(true).await;
    drop(session);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.pokes(), 0);
}

#[tokio::test]
async fn a_server_that_closes_after_its_answer_is_respected_and_pokes_nobody() {
    let bench = Bench::new();
    let answers = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nok until the end",
    ];
    for (round, answer) in answers.into_iter().enumerate() {
        let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::SayAndClose(answer.to_owned()));
        let mut session = bench.session(&bench.target(&spoke.https()));
        for _ in 0..3 {
            assert_eq!(cause(session.check(false).await.api_server), None, "{round}");
        }
        assert_eq!(spoke.connections(), 3);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.pokes(), 0);
}

#[tokio::test]
async fn a_server_that_closes_after_every_answer_without_a_word_causes_no_storm() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let mut session = bench.session(&bench.target(&spoke.https()));
    for _ in 0..5 {
        assert_eq!(cause(session.check(false).await.api_server), None);
        spoke.cut();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.pokes(), 1);
}

#[tokio::test]
async fn a_connection_that_ends_with_an_answer_that_promised_to_keep_it_pokes_once() {
    let bench = Bench::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let spoke = Spoke::start(&bench.authority, Serving::Corked, |_| Act::SayAndClose(answer.to_owned()));
    let mut session = bench.session(&bench.target(&spoke.https()));
    for round in 1..=5 {
        assert_eq!(cause(session.check(false).await.api_server), None);
        assert_eq!((spoke.connections(), bench.pokes()), (round, 1), "told before the check ends");
    }
}

#[tokio::test]
async fn retuning_drops_the_connections_that_changed_and_keeps_the_others() {
    let bench = Bench::new();
    let start = || Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let (api, prometheus, moved) = (start(), start(), start());
    let mut target = bench.target(&api.https());
    Arc::make_mut(&mut target.cluster).endpoints.prometheus_url = Some(prometheus.https());
    let mut session = bench.session(&target);
    session.check(false).await;
    Arc::make_mut(&mut target.cluster).endpoints.prometheus_url = Some(moved.https());
    session.retune(Arc::new(target.clone()));
    let report = session.check(false).await;
    assert!(!report.fresh && report.prometheus.is_some());
    assert_eq!((api.connections(), prometheus.connections(), moved.connections()), (1, 1, 1));
    Arc::make_mut(&mut target.cluster).endpoints.prometheus_url = None;
    session.retune(Arc::new(target));
    assert!(session.check(false).await.prometheus.is_none());
    assert_eq!(bench.pokes(), 0);
}

#[tokio::test]
async fn beyond_the_kept_connections_tls_sessions_are_resumed_but_never_for_a_fresh_look() {
    let mut bench = Bench::new();
    bench.options.descriptors = 1;
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let prober = bench.prober();
    let mut session = bench.session_of(&prober, &bench.target(&spoke.https()));
    for _ in 0..4 {
        assert_eq!(cause(session.check(false).await.api_server), None);
    }
    assert_eq!((spoke.connections(), spoke.resumed()), (4, 3));
    session.check(true).await;
    assert_eq!(spoke.resumed(), 3);
    let mut stranger = bench.session_of(&prober, &bench.target(&spoke.https()));
    stranger.check(false).await;
    assert_eq!(spoke.resumed(), 3, "a session of TLS belongs to one cluster");
    assert_eq!(prober.permits_in_use().kept, 0);
}

#[tokio::test]
async fn the_shortest_period_keeps_its_connection_and_a_longer_one_gives_its_own_up() {
    let mut bench = Bench::new();
    bench.options.descriptors = 2;
    let start = || Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let (edge, hub) = (start(), start());
    let prober = bench.prober();
    let every = |spoke: &Spoke, seconds| {
        let mut target = bench.target(&spoke.https());
        target.cadence.period = Duration::from_secs(seconds);
        target
    };
    let mut slow = bench.session_of(&prober, &every(&edge, 60));
    slow.check(false).await;
    slow.check(false).await;
    assert_eq!((edge.connections(), prober.permits_in_use().kept), (1, 1));
    let mut fast = bench.session_of(&prober, &every(&hub, 15));
    fast.check(false).await;
    assert_eq!(cause(slow.check(false).await.api_server), None);
    assert_eq!((edge.connections(), prober.permits_in_use().kept), (1, 0), "used once more, then given up");
    for _ in 0..3 {
        assert_eq!(cause(fast.check(false).await.api_server), None);
        assert_eq!(cause(slow.check(false).await.api_server), None);
    }
    assert_eq!((hub.connections(), hub.resumed()), (2, 0), "kept from its second connection on");
    assert_eq!((edge.connections(), edge.resumed()), (4, 2), "resumed after one full handshake");
    drop(fast);
    slow.check(false).await;
    slow.check(false).await;
    assert_eq!((edge.connections(), prober.permits_in_use().kept), (5, 1));
    assert_eq!(bench.pokes(), 0);
}

#[test]
fn a_thousand_checks_use_one_connection() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cpu = || -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    };
    runtime.block_on(async {
        let mut session = bench.session(&bench.target(&spoke.https()));
        session.check(false).await;
        let before = cpu();
        for _ in 0..1_000 {
            assert_eq!(cause(session.check(false).await.api_server), None);
        }
        println!("{} µs CPU a check of the probing thread, back to back", (cpu() - before) / 1_000_000);
    });
    assert_eq!(spoke.connections(), 1);
}
