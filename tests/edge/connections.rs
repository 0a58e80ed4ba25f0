//! Connections: who is told to be calling, and how long each thing may take.

use std::{sync::Arc, time::Duration};

use fleetbeat::listener::{Clients, Limits};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::{
    stand::{Stand, get_once, hear, say},
    support::in_time,
};

const SHORT: Duration = Duration::from_millis(400);
const SOON: Duration = Duration::from_secs(40);
/// Less than any limit has by default.
const EARLY: Duration = Duration::from_secs(8);
/// How long half of anything may stay by default.
const WITHIN: Duration = Duration::from_secs(10);

fn short() -> Limits {
    Limits { head_timeout: SHORT, body_timeout: SHORT, handshake_timeout: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn a_request_tells_the_address_it_came_from() {
    let stand = Stand::plain(Limits::default()).await;
    assert_eq!(get_once(stand.connect().await, "/peer").await, "127.0.0.1 [] unix=false tls=false");
}

#[tokio::test]
async fn a_request_over_the_unix_socket_tells_so_and_needs_no_tls() {
    let stand = Stand::tls(Limits::default(), |_| Clients::Anybody).await;
    assert_eq!(get_once(stand.connect_unix().await, "/peer").await, "nowhere [] unix=true tls=false");
}

#[tokio::test]
async fn a_client_certificate_gives_its_names_and_is_not_needed_where_it_is_not_required() {
    let stand = Stand::tls(Limits::default(), Clients::MayProve).await;
    let bare = stand.connect_tls(None, &[]).await.unwrap();
    assert_eq!(get_once(bare, "/peer").await, "127.0.0.1 [] unix=false tls=true");
    let gateway = stand.authority.issue_client("gateway", "platform");
    let proven = stand.connect_tls(Some(gateway), &["http/1.1"]).await.unwrap();
    assert_eq!(get_once(proven, "/peer").await, "127.0.0.1 [\"gateway\"] unix=false tls=true");
}

#[tokio::test]
async fn where_a_certificate_is_required_nobody_gets_in_without_or_with_another_authoritys() {
    let stand = Stand::tls(Limits::default(), Clients::MustProve).await;
    let stranger = crate::support::Authority::new().issue_client("gateway", "platform");
    for certificate in [None, Some(stranger)] {
        // With TLS 1.3 the client believes in the connection until it reads.
        if let Ok(mut stream) = stand.connect_tls(certificate, &[]).await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert_eq!(hear(&mut stream, SOON).await, "");
        }
    }
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_negotiated_and_many_requests_share_a_connection() {
    let stand = Stand::tls(Limits::default(), |_| Clients::Anybody).await;
    let stream = stand.connect_tls(None, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = hyper::Request::get("https://localhost/peer").body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(answer, "127.0.0.1 [] unix=false tls=true");
    }
}

#[tokio::test]
async fn plain_http_never_becomes_http2() {
    let stand = Stand::plain(Limits::default()).await;
    let mut stream = stand.connect().await;
    say(&mut stream, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let answer = hear(&mut stream, SOON).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let stand = Stand::plain(Limits::default()).await;
    for (hosts, good) in
        [("Host: x\r\n", true), ("", false), ("Host: x\r\nHost: x\r\n", false), ("Host: x\r\nhost: y\r\n", false)]
    {
        let mut stream = stand.connect().await;
        say(&mut stream, &format!("GET /peer HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).await;
        let answer = hear(&mut stream, SOON).await;
        let expected = if good { "HTTP/1.1 200" } else { "HTTP/1.1 400" };
        assert!(answer.starts_with(expected), "{hosts:?}: {answer}");
    }
    let mut old = stand.connect().await;
    say(&mut old, "GET /peer HTTP/1.0\r\n\r\n").await;
    assert!(hear(&mut old, SOON).await.starts_with("HTTP/1.0 200"));
}

#[tokio::test]
async fn whoever_sends_half_of_anything_is_cut_off() {
    let plain = Stand::plain(short()).await;
    let halves = [
        "",
        "GET /peer HT",
        "GET /peer HTTP/1.1\r\nHost: x\r\nX-A: b\r\n",
        "GET /peer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
        "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
        "GET /peer HTTP/1.1\r\nHost: x\r\n\r\nGET /peer HTT",
    ];
    for half in halves {
        in_time(EARLY, async || {
            let mut stream = plain.connect().await;
            say(&mut stream, half).await;
            hear(&mut stream, SOON).await;
        })
        .await;
    }
}

#[tokio::test]
async fn half_a_handshake_is_cut_off() {
    let stand = Stand::tls(short(), |_| Clients::Anybody).await;
    in_time(EARLY, async || {
        let mut stream = stand.connect().await;
        say(&mut stream, "\x16\x03\x01").await;
        hear(&mut stream, SOON).await;
    })
    .await;
}

#[tokio::test]
async fn half_a_frame_of_http2_is_cut_off() {
    let stand = Stand::tls(Limits::default(), |_| Clients::Anybody).await;
    in_time(WITHIN, async || {
        let mut stream = stand.connect_tls(None, &["h2"]).await.unwrap();
        // The preface, empty settings, and a HEADERS frame that announces 100 bytes and brings 4.
        say(&mut stream, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x64\x01\x04\0\0\0\x01half").await;
        hear(&mut stream, SOON).await;
    })
    .await;
}

#[tokio::test]
async fn half_a_head_after_a_slow_handshake_is_cut_off_and_half_a_body_from_its_first_byte_on() {
    let stand = Stand::tls(Limits::default(), |_| Clients::Anybody).await;
    let closed_after = async |half: &str| {
        let (began, tcp) = (Instant::now(), stand.connect().await);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(stand.authority.client_config()));
        let mut stream = connector.connect(name, tcp).await.unwrap();
        let asked = Instant::now();
        say(&mut stream, half).await;
        hear(&mut stream, SOON).await;
        (began.elapsed(), asked.elapsed())
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (head, body) = tokio::join!(
            closed_after("GET /peer HTTP/1.1\r\nHost: x\r\n"),
            closed_after("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"),
        );
        if head.0 <= WITHIN && body.1 <= WITHIN {
            return;
        }
        seen.push((head, body));
    }
    panic!("not once within {WITHIN:?}: {seen:?}");
}

#[tokio::test]
async fn floods_of_frames_that_ask_for_nothing_are_cut_off() {
    let stand = Stand::tls(Limits::default(), |_| Clients::Anybody).await;
    for (what, frame) in [
        ("settings", &b"\0\0\0\x04\0\0\0\0\0"[..]),
        ("pings", b"\0\0\x08\x06\0\0\0\0\x0012345678"),
        ("windows", b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01"),
        ("priorities", b"\0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x10"),
        ("resets", b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"),
        ("unknown", b"\0\0\0\xee\0\0\0\0\x01"),
    ] {
        let (mut reading, mut writing) = tokio::io::split(stand.connect_tls(None, &["h2"]).await.unwrap());
        say(&mut writing, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        let closed = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
        let (flood, began, mut sent) = (frame.repeat(1_000), Instant::now(), 0);
        while tokio::io::AsyncWriteExt::write_all(&mut writing, &flood).await.is_ok() && !closed.is_finished() {
            sent += 1_000;
            assert!(sent < 1_000_000 && began.elapsed() < SOON, "{what}: {sent} frames");
        }
    }
}

#[tokio::test]
async fn a_body_that_drips_gains_nothing_and_one_that_flows_has_time() {
    let stand = Stand::plain(Limits { body_rate: 1_000, ..short() }).await;
    let (mut dripping, began) = (stand.connect().await, Instant::now());
    say(&mut dripping, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n").await;
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if tokio::io::AsyncWriteExt::write_all(&mut dripping, b"x").await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, drip).await.expect("closed");
    assert!(began.elapsed() < EARLY);

    let stand = Stand::plain(Limits { body_rate: 25, ..short() }).await;
    let mut flowing = stand.connect().await;
    say(&mut flowing, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n").await;
    for _ in 0..8 {
        say(&mut flowing, &"x".repeat(250)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(hear(&mut flowing, SOON).await.ends_with("\r\n\r\n2000"));
}

#[tokio::test]
async fn a_kept_connection_may_wait_longer_than_half_a_head() {
    let stand = Stand::plain(Limits { idle_timeout: Duration::from_secs(2), ..short() }).await;
    let mut stream = stand.connect().await;
    let began = Instant::now();
    say(&mut stream, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hear(&mut stream, SOON).await;
    assert!(began.elapsed() > Duration::from_millis(1_900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_idle_connection_of_http2_is_closed_although_it_answers_pings() {
    let stand = Stand::tls(Limits { idle_timeout: SHORT * 10, ..Limits::default() }, |_| Clients::Anybody).await;
    let stream = stand.connect_tls(None, &["h2"]).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("https://localhost/peer").body(Empty::<bytes::Bytes>::new()).unwrap();
    sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    let _ = tokio::time::timeout(SOON, connection).await.expect("closed");
}

#[tokio::test]
async fn a_client_that_takes_nothing_in_is_cut_off() {
    let stand = Stand::plain(Limits { write_timeout: SHORT, ..Limits::default() }).await;
    let mut stream = stand.connect().await;
    say(&mut stream, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::sleep(SHORT * 3).await;
    // What was on its way is read, and then the end.
    hear(&mut stream, SOON).await;
}

#[tokio::test]
async fn one_address_gets_so_many_connections_and_another_is_not_hurt() {
    let limits = Limits { connections_per_address: 3, uncounted: Vec::new(), ..Limits::default() };
    let stand = Stand::plain(limits).await;
    let mut crowd = Vec::new();
    for _ in 0..3 {
        let mut stream = stand.connect().await;
        say(&mut stream, "GET /peer HTTP/1.1\r\nHost: x\r\n\r\n").await;
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await.unwrap();
        crowd.push(stream);
    }
    assert_eq!(hear(&mut stand.connect().await, SOON).await, "");
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind(([127, 0, 0, 77], 0).into()).unwrap();
    let other = other.connect(stand.address).await.unwrap();
    assert_eq!(get_once(other, "/peer").await, "127.0.0.77 [] unix=false tls=false");
}

#[tokio::test]
async fn changed_certificates_are_shown_without_a_restart_and_bad_ones_never() {
    let stand = Stand::tls(Limits::default(), |_| Clients::Anybody).await;
    let shown = async || {
        let stream = stand.connect_tls(None, &[]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let first = shown().await;
    stand.scratch.write("server.pem", "broken", None);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(shown().await, first);
    let (certificate, key) = stand.authority.issue();
    stand.scratch.write("server.key", &key, None);
    stand.scratch.write("server.pem", &certificate, None);
    crate::support::eventually(Duration::from_secs(10), || async { shown().await != first }).await;
}

#[tokio::test]
async fn the_file_of_a_unix_socket_is_for_owner_and_group_and_goes_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let stand = Stand::plain(Limits::default()).await;
    assert_eq!(std::fs::metadata(&stand.socket).unwrap().permissions().mode() & 0o777, 0o660);
    stand.stop.send_replace(true);
    stand.task.await.unwrap();
    assert!(!stand.socket.exists());
}
