//! Which answer, or which silence, becomes which outcome.

use std::{sync::Arc, time::Duration};

use fleetbeat::credentials::{ClientCertificate, Credential, Credentials, Lookup, Part};
use fleetbeat::probes::{HttpProber, Trust};
use fleetbeat_actors::health::{Cause, Endpoint, NotRun, Outcome};
use fleetbeat_actors::roll::{ClusterId, Endpoints};

use crate::{
    bench::{Bench, cause, reason},
    spoke::{Act, Serving, Spoke},
};

#[tokio::test]
async fn every_endpoint_is_asked_at_its_own_path_and_judged_by_itself() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |asked| match asked.head {
        head if head.starts_with("GET /tempo/ready ") => Act::status(503),
        _ => Act::status(200),
    });
    let mut target = bench.target(&spoke.https());
    Arc::make_mut(&mut target.cluster).endpoints = Endpoints {
        prometheus_url: Some(format!("{}/prometheus/", spoke.https())),
        tempo_url: Some(format!("{}/tempo", spoke.https())),
        loki_url: Some(spoke.https()),
    };
    let report = bench.session(&target).check(false).await;
    assert!(matches!(report.api_server, Outcome::Healthy { .. }), "{report:?}");
    assert!(matches!(report.prometheus, Some(Outcome::Healthy { .. })), "{report:?}");
    assert_eq!(cause(report.tempo.unwrap()), Some(Cause::HttpStatus));
    assert!(matches!(report.loki, Some(Outcome::Healthy { .. })), "{report:?}");
    assert!(!report.authenticated && report.fresh);
    let mut paths: Vec<_> =
        spoke.heads().iter().map(|head| head.split(' ').nth(1).unwrap_or_default().to_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["/prometheus/-/ready", "/ready", "/readyz", "/tempo/ready"]);
}

#[tokio::test]
async fn a_request_says_who_asks_and_for_which_host() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    assert_eq!(cause(bench.once(&spoke.https()).await), None);
    let head = spoke.heads()[0].to_ascii_lowercase();
    assert!(head.contains(&format!("host: {}\r\n", spoke.address)), "{head}");
    assert!(head.contains(concat!("user-agent: fleetbeat/", env!("CARGO_PKG_VERSION"), "\r\n")), "{head}");
    assert!(!head.contains("accept-encoding") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn with_credentials_a_refusal_counts_and_without_it_is_life() {
    let bench = Bench::new();
    let known =
        [(401, Cause::Unauthorized), (403, Cause::Forbidden), (429, Cause::Throttled), (404, Cause::HttpStatus)];
    for (status, expected) in known {
        let spoke = Spoke::start(&bench.authority, Serving::Good, move |_| Act::status(status));
        assert_eq!(cause(bench.once(&spoke.https()).await), None, "{status}");
        let target = bench.target(&spoke.https());
        bench.give_token(&target, "a-token");
        let report = bench.session(&target).check(false).await;
        assert!(report.authenticated);
        assert_eq!(cause(report.api_server), Some(expected), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_is_not_health() {
    let bench = Bench::new();
    let other = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let to = other.https();
    let spoke = Spoke::start(&bench.authority, Serving::Good, move |_| {
        Act::Say(format!("HTTP/1.1 302 Found\r\nLocation: {to}/login\r\nContent-Length: 0\r\n\r\n"))
    });
    let target = bench.target(&spoke.https());
    assert_eq!(cause(bench.once(&spoke.https()).await), Some(Cause::HttpStatus));
    bench.give_token(&target, "a-token");
    assert_eq!(cause(bench.session(&target).check(false).await.api_server), Some(Cause::HttpStatus));
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn what_fails_before_http_has_its_own_cause() {
    let bench = Bench::new();
    let mut hasty = Bench::new();
    hasty.deadline = Duration::from_millis(300);
    let serve = |serving| Spoke::start(&bench.authority, serving, |_| Act::status(200));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(cause(bench.once(&format!("https://{free}")).await), Some(Cause::Refused));
    assert_eq!(cause(bench.once(&serve(Serving::Expired).https()).await), Some(Cause::CertificateExpired));
    assert_eq!(cause(bench.once(&serve(Serving::WrongName).https()).await), Some(Cause::Tls));
    assert_eq!(cause(bench.once(&serve(Serving::Resetting).https()).await), Some(Cause::Tls));
    assert_eq!(cause(hasty.once(&serve(Serving::Silent).https()).await), Some(Cause::Timeout));
    assert_eq!(cause(bench.once(&serve(Serving::Good).http()).await), Some(Cause::Protocol));
    assert_eq!(cause(bench.once("https://name.that.cannot.exist.invalid").await), Some(Cause::Dns));
    assert_eq!(cause(bench.once("https://169.254.169.254/latest/meta-data").await), Some(Cause::Blocked));
    assert_eq!(cause(bench.once("ftp://127.0.0.1").await), Some(Cause::Blocked));
}

#[tokio::test]
async fn a_full_backlog_is_no_connection_within_the_deadline() {
    let mut bench = Bench::new();
    bench.deadline = Duration::from_millis(300);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let fill: Vec<_> = (0..4).map(|_| tokio::net::TcpStream::connect(address)).collect();
    let _held: Vec<_> = futures_util::future::join_all(
        fill.into_iter().map(|connect| tokio::time::timeout(Duration::from_millis(500), connect)),
    )
    .await;
    assert_eq!(cause(bench.once(&format!("https://{address}")).await), Some(Cause::ConnectTimeout));
}

#[tokio::test]
async fn an_authority_nobody_trusts_is_a_tls_failure() {
    let (bench, stranger) = (Bench::new(), Bench::new());
    let spoke = Spoke::start(&stranger.authority, Serving::Good, |_| Act::status(200));
    assert_eq!(cause(bench.once(&spoke.https()).await), Some(Cause::Tls));
    let mut target = bench.target(&spoke.https());
    Arc::make_mut(&mut target.cluster).ca_bundle = Some("no certificate".to_owned());
    assert_eq!(cause(bench.session(&target).check(false).await.api_server), Some(Cause::Tls));
}

#[tokio::test]
async fn a_server_reached_by_another_name_is_verified_by_the_name_given() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::WrongName, |_| Act::status(200));
    let mut target = bench.target(&spoke.https());
    Arc::make_mut(&mut target.cluster).tls_server_name = Some("elsewhere.test".to_owned());
    assert_eq!(cause(bench.session(&target).check(false).await.api_server), None);
}

#[tokio::test]
async fn own_listeners_are_never_probed() {
    let mut bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    bench.policy.own_listeners = vec![spoke.address];
    let port = spoke.address.port();
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "127.0.0.1."] {
        assert_eq!(cause(bench.once(&format!("https://{host}:{port}")).await), Some(Cause::Blocked), "{host}");
    }
    bench.policy.own_listeners = vec![([0, 0, 0, 0], port).into()];
    assert_eq!(cause(bench.once(&format!("https://localhost:{port}")).await), Some(Cause::Blocked));
    assert_eq!(spoke.connections(), 0);
}

#[tokio::test]
async fn without_permits_a_probe_is_not_run_and_the_clock_does_not_start() {
    let mut bench = Bench::new();
    bench.options.max_in_flight = 1;
    bench.options.permit_wait = Duration::from_millis(200);
    bench.deadline = Duration::from_secs(60);
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::Hang);
    let (prober, target) = (bench.prober(), bench.target(&spoke.https()));
    let (mut first, mut second) = (bench.session_of(&prober, &target), bench.session_of(&prober, &target));
    let first = tokio::spawn(async move { first.check(false).await });
    crate::bench::until("the permit is taken", || prober.permits_in_use().in_flight == 1).await;
    assert_eq!(reason(second.check(false).await.api_server), NotRun::NoPermit);
    first.abort();
    crate::bench::until("the permit is given back", || prober.permits_in_use().in_flight == 0).await;
}

#[tokio::test]
async fn a_kept_connection_is_asked_however_many_new_ones_hang() {
    let mut bench = Bench::new();
    (bench.options.max_in_flight, bench.options.permit_wait) = (1, Duration::from_millis(200));
    bench.deadline = Duration::from_secs(60);
    let hung = Spoke::start(&bench.authority, Serving::Good, |_| Act::Hang);
    let good = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let prober = bench.prober();
    let mut healthy = bench.session_of(&prober, &bench.target(&good.https()));
    assert_eq!(cause(healthy.check(false).await.api_server), None);
    let mut hanging = bench.session_of(&prober, &bench.target(&hung.https()));
    let hanging = tokio::spawn(async move { hanging.check(false).await });
    crate::bench::until("the permit is taken", || prober.permits_in_use().in_flight == 1).await;
    assert_eq!(cause(healthy.check(false).await.api_server), None);
    assert_eq!(good.connections(), 1);
    assert_eq!(reason(healthy.check(true).await.api_server), NotRun::NoPermit, "a fresh look needs a new connection");
    hanging.abort();
}

#[tokio::test]
async fn a_silent_handshake_gives_its_permit_back() {
    let mut bench = Bench::new();
    bench.options.max_handshakes = 1;
    bench.deadline = Duration::from_secs(60);
    let silent = Spoke::start(&bench.authority, Serving::Silent, |_| Act::status(200));
    let good = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let prober = bench.prober();
    let mut hanging = bench.session_of(&prober, &bench.target(&silent.https()));
    let mut healthy = bench.session_of(&prober, &bench.target(&good.https()));
    let hanging = tokio::spawn(async move { hanging.check(false).await });
    crate::bench::until("the permit is taken", || prober.permits_in_use().handshakes == 1).await;
    assert_eq!(cause(healthy.check(false).await.api_server), None);
    assert!(!hanging.is_finished(), "its deadline is still to come");
    hanging.abort();
}

#[tokio::test]
async fn credentials_that_cannot_be_used_or_read_are_told_apart() {
    struct Away;
    impl Credentials for Away {
        fn get(&self, _: ClusterId) -> Lookup {
            Lookup::Unavailable
        }
    }
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let target = bench.target(&spoke.https());
    let trust = Trust::of(rustls::RootCertStore::empty());
    let prober = HttpProber::new(bench.options.clone(), trust, bench.policy.clone(), Arc::new(Away));
    let report = bench.session_of(&prober, &target).check(false).await;
    assert_eq!(reason(report.api_server), NotRun::CredentialStore);

    bench.give_token(&target, "not a\nheader");
    assert_eq!(cause(bench.session(&target).check(false).await.api_server), Some(Cause::Credentials));
    let certificate = ClientCertificate { chain_pem: "nonsense".to_owned(), key_pem: "nonsense".into() };
    bench
        .credentials
        .put(target.id(), Credential::default().with(Endpoint::ApiServer, Part::of_certificate(certificate)));
    assert_eq!(cause(bench.session(&target).check(false).await.api_server), Some(Cause::Credentials));
    assert_eq!(spoke.connections(), 0);
}
