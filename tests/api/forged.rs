//! Forged and broken proofs: tokens that are nearly right, floods of unknown keys, headers that nobody may be believed for.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use fleetbeat::{
    breaker::{Breaker, BreakerRules, BreakerState},
    clock::SystemClock,
    identity::{
        Identity, Role, Scope, Unknown,
        oidc::{Oidc, Wire, WireError},
    },
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{
    doors::{Doors, Entrance, grant, now},
    house::House,
    support::{Issuer, eventually, issuer::Key},
};

/// A house that believes an issuer.
struct Guarded {
    house: House,
    doors: Doors,
    oidc: Arc<Oidc>,
}

impl Guarded {
    async fn new() -> Self {
        let house = House::guarded().await;
        let doors = Doors::new(&house.clock).await;
        let oidc = doors.oidc(&house, vec![grant("team", Role::Admin, Scope::Everything)]);
        Self { house, doors, oidc }
    }

    fn claims(&self) -> Value {
        self.doors.issuer.claims(now(&self.house), "ada", &["team"])
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    async fn refused(&self, token: &str, case: &str) {
        assert_eq!(self.oidc.identify(token).await.unwrap_err(), Unknown::Refused, "{case}");
    }

    fn identity(&self) -> Identity {
        Identity::open().with_tokens(Arc::clone(&self.house.keyring)).with_oidc(Arc::clone(&self.oidc))
    }

    async fn ask(&self, entrance: &Entrance) -> StatusCode {
        self.house.as_entered(entrance, "GET", "/api/v1/whoami", Value::Null).await.status
    }
}

fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_issuer_is_its_subject() {
    let guarded = Guarded::new().await;
    let caller = guarded.oidc.identify(&guarded.doors.issuer.key().sign(&guarded.claims())).await.unwrap();
    assert_eq!((&*caller.id, &*caller.name, caller.role), ("oidc:ada", "ada", Role::Admin));
    guarded.doors.issuer.replace(Key::ec("second"));
    tokio::time::timeout(Duration::from_secs(30), async {
        let token = guarded.doors.issuer.key().sign(&guarded.claims());
        while guarded.oidc.identify(&token).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .expect("a rotated key is found once the limit allows it");
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_then_tried_and_asked_again() {
    let (issuer, authority) = (Issuer::start().await, tempfile::NamedTempFile::new().unwrap());
    std::fs::write(authority.path(), issuer.ca_pem()).unwrap();
    let rules = BreakerRules { failure_threshold: 2, recovery_timeout: Duration::from_secs(8), half_open_requests: 2 };
    let breaker = Arc::new(Breaker::new("token_issuer", Arc::new(SystemClock), rules));
    let wire = Wire::new(Some(authority.path())).unwrap().behind(Arc::clone(&breaker));
    let keys = format!("{}/keys", issuer.url()).parse().unwrap();
    issuer.set_down(true);
    for _ in 0..2 {
        assert!(matches!(wire.get(&keys).await, Err(WireError::Status(_))));
    }
    assert!(matches!(wire.get(&keys).await, Err(WireError::LeftAlone)));
    assert_eq!((breaker.state(), issuer.key_requests()), (BreakerState::Open, 2));
    issuer.set_down(false);
    eventually(Duration::from_secs(60), async || wire.get(&keys).await).await;
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    wire.get(&keys).await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_no_group_that_counts_is_known_and_may_nothing() {
    let guarded = Guarded::new().await;
    let token = guarded.doors.issuer.key().sign(&guarded.with("groups", json!(["others"])));
    assert_eq!(guarded.oidc.identify(&token).await.unwrap_err(), Unknown::Powerless);
    let router = guarded.house.router_with(guarded.identity(), None);
    assert_eq!(guarded.ask(&Entrance::bearing(router, &token)).await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_a_signature_or_with_another_kind_of_it_is_refused() {
    let guarded = Guarded::new().await;
    let (key, claims) = (guarded.doors.issuer.key(), guarded.claims());
    let good = key.sign(&claims);
    assert!(guarded.oidc.identify(&good).await.is_ok());
    for alg in ["none", "None", "NONE", "", "HS256", "EdDSA"] {
        for signature in ["", "AAAA", good.rsplit('.').next().unwrap()] {
            let head = part(&json!({ "alg": alg, "typ": "JWT", "kid": "first" }));
            guarded.refused(&format!("{head}.{}.{signature}", part(&claims)), alg).await;
        }
    }
    // The public key as the secret of a symmetric algorithm.
    let pem = key.public_pem();
    let der = pem.lines().filter(|line| !line.starts_with("---")).collect::<String>();
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), der.as_bytes()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let head = Header { kid: Some("first".to_owned()), ..Header::new(algorithm) };
            let token = jsonwebtoken::encode(&head, &claims, &EncodingKey::from_secret(secret)).unwrap();
            guarded.refused(&token, "the public key as a secret").await;
        }
    }
    // Another key of the right kind, under the right name.
    guarded.refused(&Key::rsa("first").sign(&claims), "another key").await;
    guarded.refused(&Key::ec("first").sign(&claims), "another kind of key").await;
    // Claims that were changed afterwards.
    let parts: Vec<_> = good.split('.').collect();
    let changed = part(&guarded.with("groups", json!(["team", "more"])));
    guarded.refused(&[parts[0], &changed, parts[2]].join("."), "changed claims").await;
    guarded.refused(&[parts[0], parts[1], ""].join("."), "no signature").await;
    guarded.refused(&format!("{good}.{}", parts[2]), "four parts").await;
    guarded.refused(&format!("{good}="), "padding").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_names_its_own_key_is_refused_or_not_listened_to() {
    let guarded = Guarded::new().await;
    let (claims, own) = (guarded.claims(), Key::rsa("own"));
    for kid in ["own", "../first", "first\0", "' OR '1'='1", "http://127.0.0.1/keys", "", &"k".repeat(4_096)] {
        let head = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
        guarded.refused(&own.sign_with(&head, &claims), kid).await;
    }
    let named = Header {
        kid: Some("first".to_owned()),
        jku: Some("https://127.0.0.1:9/keys".to_owned()),
        x5u: Some("https://127.0.0.1:9/chain".to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    guarded.refused(&own.sign_with(&named, &claims), "an address of keys").await;
    let critical =
        Header { kid: Some("first".to_owned()), crit: Some(vec!["exp".to_owned()]), ..Header::new(Algorithm::RS256) };
    guarded.refused(&guarded.doors.issuer.key().sign_with(&critical, &claims), "something critical").await;
    let typed =
        Header { kid: Some("first".to_owned()), typ: Some("logout+jwt".to_owned()), ..Header::new(Algorithm::RS256) };
    guarded.refused(&guarded.doors.issuer.key().sign_with(&typed, &claims), "another type").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_has_to_say_everything_that_decides_and_say_it_right() {
    let guarded = Guarded::new().await;
    let (key, now) = (guarded.doors.issuer.key(), now(&guarded.house));
    for claim in ["exp", "nbf", "iss", "aud", "sub"] {
        let mut claims = guarded.claims();
        claims.as_object_mut().unwrap().remove(claim);
        guarded.refused(&key.sign(&claims), &format!("no {claim}")).await;
        for wrong in [Value::Null, json!(""), json!([]), json!({}), json!(true), json!("else")] {
            // A subject may be called `else`.
            if (claim, &wrong) != ("sub", &json!("else")) {
                guarded.refused(&key.sign(&guarded.with(claim, wrong.clone())), &format!("{claim} {wrong}")).await;
            }
        }
    }
    let issuer = guarded.doors.issuer.url();
    for (claim, wrong) in [
        ("exp", json!(now - 60)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(f64::MAX)),
        ("nbf", json!(now + 120)),
        ("iat", json!(now + 120)),
        ("iss", json!(format!("{issuer}/"))),
        ("iss", json!(issuer.to_uppercase())),
        ("iss", json!([issuer])),
        ("iss", json!([issuer, "https://evil.example"])),
        ("aud", json!(["other"])),
        ("aud", json!("fleetbeat-api ")),
        ("sub", json!("a\r\nb")),
        ("sub", json!("s".repeat(300))),
    ] {
        guarded.refused(&key.sign(&guarded.with(claim, wrong.clone())), &format!("{claim} {wrong}")).await;
    }
    assert!(guarded.oidc.identify(&key.sign(&guarded.with("exp", json!(now - 10)))).await.is_ok(), "within the skew");
    assert!(guarded.oidc.identify(&key.sign(&guarded.with("aud", json!(["x", "fleetbeat-api"])))).await.is_ok());
    // The same claim twice: which one counts is nobody's to choose.
    let twice = guarded.claims().to_string().replacen('{', r#"{"sub":"eve","#, 1);
    let signed = key.sign(&json!({}));
    let head = signed.split('.').next().unwrap();
    guarded.refused(&format!("{head}.{}.AAAA", BASE64_URL_SAFE_NO_PAD.encode(twice)), "a claim twice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_asks_the_issuer_hardly_ever() {
    let guarded = Guarded::new().await;
    let own = Key::ec("own");
    let claims = guarded.claims();
    let began = tokio::time::Instant::now();
    let flood = (0..1_000).map(|n| {
        let head = Header { kid: Some(format!("unknown-{n}")), ..Header::new(Algorithm::ES256) };
        let token = own.sign_with(&head, &claims);
        let oidc = Arc::clone(&guarded.oidc);
        tokio::spawn(async move { oidc.identify(&token).await.unwrap_err() })
    });
    for answer in futures_util::future::join_all(flood).await {
        assert_eq!(answer.unwrap(), Unknown::Refused);
    }
    let (asked, took) = (guarded.doors.issuer.key_requests(), began.elapsed());
    println!("1000 tokens of unknown keys in {took:?}: {asked} requests for the key set");
    assert!(asked <= 1 + took.as_secs() as usize / 10, "{asked}");
    let good = guarded.doors.issuer.key().sign(&claims);
    assert!(guarded.oidc.identify(&good).await.is_ok(), "the others are served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_away_holds_up_nobody_and_known_keys_go_on() {
    let guarded = Guarded::new().await;
    let token = guarded.doors.issuer.key().sign(&guarded.claims());
    guarded.doors.issuer.set_down(true);
    let router = guarded.house.router_with(guarded.identity(), None);
    assert_eq!(guarded.ask(&Entrance::bearing(router, &token)).await, StatusCode::SERVICE_UNAVAILABLE);

    let other = Guarded::new().await;
    let token = other.doors.issuer.key().sign(&other.claims());
    assert!(other.oidc.identify(&token).await.is_ok());
    other.doors.issuer.set_down(true);
    assert!(other.oidc.identify(&token).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_or_doubled_authorization_is_refused() {
    let guarded = Guarded::new().await;
    let key = guarded.doors.issuer.key();
    let good = key.sign(&guarded.claims());
    let long = key.sign(&guarded.with("padding", json!("x".repeat(20_000))));
    guarded.refused(&long, "oversized").await;
    let router = guarded.house.router_with(guarded.identity(), None);
    let bearing = |token: &str| Entrance::bearing(router.clone(), token);
    assert_eq!(guarded.ask(&bearing(&good)).await, StatusCode::OK);
    assert_eq!(guarded.ask(&bearing(&long)).await, StatusCode::UNAUTHORIZED);
    for second in [format!("Bearer {good}"), "Basic YTpi".to_owned(), "Bearer x".to_owned()] {
        let doubled = bearing(&good).showing("authorization", &second);
        assert_eq!(guarded.ask(&doubled).await, StatusCode::UNAUTHORIZED, "{second}");
    }
    for joined in [format!("Bearer {good}, Bearer {good}"), format!("Basic {good}"), good.clone()] {
        let joined = Entrance::bare(router.clone()).showing("authorization", &joined);
        assert_eq!(guarded.ask(&joined).await, StatusCode::UNAUTHORIZED);
    }
    let query = Request::get(format!("/api/v1/whoami?access_token={good}")).body(Body::empty()).unwrap();
    let answer = tower::ServiceExt::oneshot(router.clone(), query).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}
