//! A hub that misbehaves costs a bounded time and a bounded number of bytes, and never leads anywhere else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fleetbeat::{
    breaker::{Breaker, BreakerRules, BreakerState},
    clock::SystemClock,
    hub::{Hub, HubError, Limits, Source},
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};

use crate::{
    spoke::{Act, Authority, Serving, Spoke},
    support::{Scratch, eventually},
};

const LIMITS: Limits = Limits { timeout: Duration::from_secs(60), answer_bytes: 10_000 };
const HASTY: Limits = Limits { timeout: Duration::from_millis(500), ..LIMITS };

fn kubeconfig(server: &str, ca: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let ca = BASE64_STANDARD.encode(ca);
    format!(
        "clusters: [{{name: c, cluster: {{server: '{server}', certificate-authority-data: {ca}}}}}]\n\
         users: [{{name: u, user: {{token: a-hub-token}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    )
}

async fn hub_at(scratch: &Scratch, spoke: &Spoke, ca: &str) -> Hub {
    hub_within(LIMITS, scratch, spoke, ca).await
}

async fn hub_within(limits: Limits, scratch: &Scratch, spoke: &Spoke, ca: &str) -> Hub {
    let config = kubeconfig(&format!("https://{}", spoke.address), ca);
    Hub::open(Source::Kubeconfig(scratch.write("kubeconfig", &config, None)), limits).await.unwrap()
}

/// What asking a hub that does `act` ends with, and how often it was asked.
async fn asked(act: Act) -> (HubError, usize) {
    asked_within(LIMITS, act).await
}

async fn asked_within(limits: Limits, act: Act) -> (HubError, usize) {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let spoke = Spoke::start(&authority, Serving::Good, move |_| act.clone());
    let hub = hub_within(limits, &scratch, &spoke, &authority.pem()).await;
    let secrets: Api<Secret> = Api::namespaced(hub.client(), "default");
    let error = secrets.list(&ListParams::default()).await.unwrap_err();
    (HubError::from(error), spoke.heads().len())
}

fn answer(head: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

#[tokio::test]
async fn silence_and_slow_answers_end_in_time() {
    let drip = format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", "x".repeat(500));
    for act in [Act::Hang, Act::Drip(drip)] {
        let began = tokio::time::Instant::now();
        let (error, _) = asked_within(HASTY, act).await;
        assert!(matches!(&error, HubError::Unavailable(why) if why.contains("no answer in time")), "{error}");
        assert!(began.elapsed() < Duration::from_secs(40));
    }
}

#[tokio::test]
async fn endless_answers_end_by_their_size_before_their_time_is_up() {
    let endless = |head: &str, more: &str| Act::Endless(head.to_owned(), more.to_owned());
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
    for (act, words) in [
        (endless("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", &"x".repeat(1_000)), "larger"),
        (endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk), "larger"),
        (endless("HTTP/1.1 200 OK\r\n", "a: b\r\n"), "the connection broke"),
        (Act::Close, "the connection broke"),
    ] {
        let (error, _) = asked(act).await;
        assert!(matches!(&error, HubError::Unavailable(why) if why.contains(words)), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_an_error_is_not_asked_again() {
    let (error, times) = asked(answer("302 Found\r\nLocation: https://127.0.0.1:1/evil", "")).await;
    assert!(matches!(&error, HubError::Unavailable(why) if why.contains("not followed")), "{error}");
    assert_eq!(times, 1);
    for status in [429, 500, 503] {
        let (error, times) = asked(answer(&format!("{status} No"), "{}")).await;
        assert!(matches!(error, HubError::Unavailable(_)), "{error}");
        assert_eq!(times, 1, "{status}");
    }
}

#[tokio::test]
async fn a_hub_that_fails_is_left_alone_then_tried_and_asked_again() {
    let (scratch, authority, good) = (Scratch::new(), Authority::new(), Arc::new(AtomicBool::new(false)));
    let is_good = Arc::clone(&good);
    let list = r#"{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":[]}"#;
    let spoke = Spoke::start(&authority, Serving::Good, move |_| match is_good.load(Ordering::SeqCst) {
        true => answer("200 OK\r\nContent-Type: application/json", list),
        false => Act::status(503),
    });
    let rules = BreakerRules { failure_threshold: 2, recovery_timeout: Duration::from_secs(8), half_open_requests: 2 };
    let breaker = Arc::new(Breaker::new("hub_kubernetes", Arc::new(SystemClock), rules));
    let config = kubeconfig(&spoke.https(), &authority.pem());
    let source = Source::Kubeconfig(scratch.write("kubeconfig", &config, None));
    let hub = Hub::open_behind(source, LIMITS, Some(Arc::clone(&breaker))).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(hub.client(), "default");
    let list = async || secrets.list(&ListParams::default()).await.map(|_| ()).map_err(HubError::from);
    assert!(list().await.is_err() && breaker.state() == BreakerState::Closed);
    assert!(list().await.is_err() && breaker.state() == BreakerState::Open);
    let error = list().await.unwrap_err();
    assert!(matches!(&error, HubError::Unavailable(why) if why.contains("left alone")), "{error}");
    assert_eq!(spoke.heads().len(), 2);
    good.store(true, Ordering::SeqCst);
    eventually(Duration::from_secs(60), list).await;
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    list().await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test]
async fn words_of_refusal_are_shown_and_content_is_not() {
    let refusal = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"secrets is\nforbidden"}"#;
    let (error, _) = asked(answer("403 Forbidden", refusal)).await;
    assert_eq!(error.to_string(), "the hub does not allow it: secrets isforbidden");
    let (error, _) = asked(answer("200 OK", r#"{"items": "canary-4242"}"#)).await;
    assert_eq!(error.to_string(), "the hub's answer cannot be read");
}

#[tokio::test]
async fn a_hub_that_is_not_trusted_hears_no_token() {
    let (scratch, authority, stranger) = (Scratch::new(), Authority::new(), Authority::new());
    for (serving, ca) in [
        (Serving::Good, &stranger),
        (Serving::WrongName, &authority),
        (Serving::Expired, &authority),
        (Serving::Silent, &authority),
    ] {
        let spoke = Spoke::start(&authority, serving, |_| Act::status(200));
        let hub = hub_at(&scratch, &spoke, &ca.pem()).await;
        let secrets: Api<Secret> = Api::namespaced(hub.client(), "default");
        let error = HubError::from(secrets.list(&ListParams::default()).await.unwrap_err());
        assert!(matches!(error, HubError::Unavailable(_)), "{error}");
        assert!(spoke.heads().is_empty());
    }
}

#[tokio::test]
async fn only_inline_kubeconfigs_are_read_and_the_error_names_the_key() {
    let scratch = Scratch::new();
    let good = kubeconfig("https://127.0.0.1:1", &Authority::new().pem());
    for (from, to, key) in [
        ("token: a-hub-token", "exec: {command: canary}", "users[0].user.exec"),
        ("token: a-hub-token", "tokenFile: /etc/canary", "users[0].user.tokenFile"),
        ("token: a-hub-token", "token: a-hub-token, as: canary", "users[0].user.as"),
        ("server: '", "proxy-url: 'http://canary', server: '", "clusters[0].cluster.proxy-url"),
        ("https://", "http://", "clusters[0].cluster.server"),
    ] {
        let path = scratch.write("kubeconfig", &good.replacen(from, to, 1), None);
        let error = Hub::open(Source::Kubeconfig(path), LIMITS).await.err().unwrap().to_string();
        assert!(error.contains(key) && !error.contains("canary"), "{error}");
    }
    let nowhere = Source::Kubeconfig("/nowhere/at/all".into());
    assert!(matches!(Hub::open(nowhere, LIMITS).await, Err(HubError::Access(_))));
}
