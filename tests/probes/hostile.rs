//! Spokes that mean harm: whatever they send, a probe ends in time, within its caps, with a cause.

use std::time::Duration;

use fleetbeat_actors::health::Cause;

use crate::{
    bench::{Bench, cause},
    spoke::{Act, Serving, Spoke},
};

async fn against(deadline: Duration, act: Act) -> Option<Cause> {
    let mut bench = Bench::new();
    bench.deadline = deadline;
    let spoke = Spoke::start(&bench.authority, Serving::Good, move |_| act.clone());
    let mut late = Vec::new();
    // A busy machine is late now and then, a probe without end always.
    while late.len() < 3 {
        let began = tokio::time::Instant::now();
        let outcome = bench.once(&spoke.https()).await;
        if began.elapsed() < deadline + Duration::from_millis(500) {
            return cause(outcome);
        }
        late.push((outcome, began.elapsed()));
    }
    panic!("not once in time: {late:?}");
}

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn silence_and_drips_end_at_the_deadline() {
    assert_eq!(against(SHORT, Act::Hang).await, Some(Cause::Timeout));
    let drip = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1_000));
    assert_eq!(against(SHORT, Act::Drip(drip)).await, Some(Cause::Timeout));
    let stuck = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!".to_owned();
    assert_eq!(against(SHORT, Act::Say(stuck)).await, Some(Cause::Timeout));
}

#[tokio::test]
async fn endless_headers_are_too_large() {
    let endless = Act::Endless("HTTP/1.1 200 OK\r\n".to_owned(), "X-Filler: more and more and more\r\n".to_owned());
    assert_eq!(against(LONG, endless).await, Some(Cause::TooLarge));
    let one = Act::Endless("HTTP/1.1 200 OK\r\nX-One: ".to_owned(), "y".repeat(1_000));
    assert_eq!(against(LONG, one).await, Some(Cause::TooLarge));
    let many = "A: b\r\n".repeat(500);
    let many = Act::Say(format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"));
    assert_eq!(against(LONG, many).await, Some(Cause::TooLarge));
}

#[tokio::test]
async fn endless_bodies_are_too_large_however_they_are_delimited() {
    let chunk = format!("3e8\r\n{}\r\n", "z".repeat(1_000));
    let chunked = Act::Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), chunk);
    assert_eq!(against(LONG, chunked).await, Some(Cause::TooLarge));
    let open = Act::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "z".repeat(1_000));
    assert_eq!(against(LONG, open).await, Some(Cause::TooLarge));
    let announced = Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned());
    assert_eq!(against(LONG, announced).await, Some(Cause::TooLarge));
    let tiny =
        Act::Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "1\r\nz\r\n".to_owned());
    assert_eq!(against(LONG, tiny).await, Some(Cause::TooLarge));
}

#[tokio::test]
async fn endless_interim_answers_come_to_an_end() {
    let endless = Act::Endless(String::new(), "HTTP/1.1 100 Continue\r\n\r\n".to_owned());
    assert_eq!(against(LONG, endless).await, Some(Cause::TooLarge));
}

#[tokio::test]
async fn a_compressed_body_is_counted_and_never_unpacked() {
    let bomb = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1f}\u{7f}\u{8}\0".to_owned();
    assert_eq!(against(LONG, Act::Say(bomb)).await, None);
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    for nonsense in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        assert_eq!(against(LONG, Act::Say(nonsense.to_owned())).await, Some(Cause::Protocol), "{nonsense:?}");
    }
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!".to_owned();
    assert_eq!(against(LONG, Act::SayAndClose(broken)).await, Some(Cause::Protocol));
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n".to_owned();
    assert_eq!(against(LONG, Act::Say(chunks)).await, Some(Cause::Protocol));
}

#[tokio::test]
async fn an_absurd_retry_after_is_only_a_status() {
    let patience = "HTTP/1.1 503 Later\r\nRetry-After: 1000000000\r\nContent-Length: 0\r\n\r\n".to_owned();
    assert_eq!(against(LONG, Act::Say(patience)).await, Some(Cause::HttpStatus));
}
