//! What strangers cost: how often the hub is asked about tokens that nobody knows, and who has to wait for that.

use std::{
    collections::HashSet,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use fleetbeat::{
    api::{ApiParts, router},
    hub::{AskHub, HubError, Review, Reviewed, Reviews},
    identity::{Grants, Identity, Kubernetes, Peer, Rights, Role, Scope},
    limits::{Limiter, Rate, Rates},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{task::JoinHandle, time::Instant};
use tower::ServiceExt;

use crate::{doors::grant, house::House, support::eventually};

/// A hub that knows tokens beginning with `good`, and keeps a list of those that it was asked about. It never answers about
/// those beginning with `hang`.
#[derive(Default)]
struct CountingHub(Mutex<Vec<String>>);

impl CountingHub {
    fn asked(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[async_trait::async_trait]
impl AskHub for CountingHub {
    async fn ask(&self, token: &SecretString, _: &str) -> Result<Review, HubError> {
        let token = token.expose_secret();
        self.0.lock().unwrap().push(token.to_owned());
        if token.starts_with("hang") {
            std::future::pending::<()>().await;
        }
        if !token.starts_with("good") {
            return Ok(Review::Refused);
        }
        let user = Reviewed { user: token.to_owned(), groups: vec!["team".to_owned()], ..Reviewed::default() };
        Ok(Review::Accepted(Arc::new(user)))
    }
}

/// The API behind that hub, with so much allowed to strangers of one address.
async fn guarded(unknown: Rate) -> (House, Arc<CountingHub>, Router) {
    let house = House::guarded().await;
    let hub = Arc::<CountingHub>::default();
    let grants = Grants::new(vec![grant("team", Role::Viewer, Scope::Everything)]);
    let reviews = Reviews::new(Arc::clone(&hub) as _, Arc::clone(&house.clock));
    let kubernetes = Kubernetes::new(reviews, Arc::clone(&house.clock), "fleetbeat".to_owned(), Rights::Grants(grants));
    let identity = Identity::open().with_tokens(Arc::clone(&house.keyring)).with_kubernetes(Arc::new(kubernetes));
    let rates = Rates { known: Rate { per_second: 0.0, burst: 1.0 }, unknown };
    let limiter = Arc::new(Limiter::new(Arc::clone(&house.clock), rates, None));
    let router = router(ApiParts { limiter, ..house.parts(identity, None) });
    (house, hub, router)
}

const MODEST: Rate = Rate { per_second: 1.0, burst: 5.0 };
const SCARCE: Rate = Rate { per_second: 1e-6, burst: 5.0 };
const PLENTY: Rate = Rate { per_second: 0.0, burst: 1.0 };

async fn ask(router: &Router, path: &str, bearer: Option<&str>) -> u16 {
    ask_from(9, router, path, bearer).await
}

/// The same from an address of one's choice.
async fn ask_from(host: u8, router: &Router, path: &str, bearer: Option<&str>) -> u16 {
    let mut request = Request::get(path);
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer::at(SocketAddr::from(([127, 0, 0, host], 1))));
    router.clone().oneshot(request).await.unwrap().status().as_u16()
}

/// So many strangers at once, each from an address of 127.0.0.0/24, with tokens about which the hub never answers.
fn hanging(router: &Router, count: u8, host: impl Fn(u8) -> u8) -> Vec<JoinHandle<u16>> {
    let each = |n| {
        let (router, host, bearer) = (router.clone(), host(n), format!("hang-{n}"));
        tokio::spawn(async move { ask_from(host, &router, "/api/v1/whoami", Some(&bearer)).await })
    };
    (0..count).map(each).collect()
}

/// Waits until so many of them are answered.
async fn answered(strangers: &[JoinHandle<u16>], wanted: RangeInclusive<usize>) {
    eventually(Duration::from_secs(60), async || {
        let answered = strangers.iter().filter(|each| each.is_finished()).count();
        if wanted.contains(&answered) { Ok(()) } else { Err(format!("{answered} are answered")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_is_asked_about_no_more_tokens_than_an_address_may_try() {
    let (_house, hub, router) = guarded(MODEST).await;
    let began = Instant::now();
    let mut answers = HashSet::new();
    for n in 0..60 {
        answers.insert(ask(&router, "/api/v1/whoami", Some(&format!("guess-{n}"))).await);
    }
    let allowed = 5 + began.elapsed().as_secs() as usize + 1;
    assert!(hub.asked() <= allowed, "{} of at most {allowed}", hub.asked());
    assert!(answers.is_subset(&[401, 429].into()) && answers.contains(&401), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once_they_are_no_more() {
    let (_house, hub, router) = guarded(SCARCE).await;
    let tries = hanging(&router, 40, |_| 9);
    // All but those that the hub is asked about are answered.
    answered(&tries, 35..=40).await;
    assert!(hub.asked() <= 5, "{}", hub.asked());
    tries.into_iter().for_each(|each| each.abort());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tells_nothing_of_the_fleet_asks_nobody_who_is_calling() {
    let (house, hub, router) = guarded(PLENTY).await;
    let document = house.get("/api/v1/openapi.json").await.json();
    let mut open = 0;
    for (path, item) in document["paths"].as_object().unwrap().iter().filter(|(_, item)| item.get("get").is_some()) {
        // Who opens a socket may be known already.
        let is_open = item["get"]["x-required-role"] == "none" && path != "/ws";
        let path = path.replace("{id}", &uuid::Uuid::now_v7().to_string()).replace("{name}", "nobody");
        let (before, plain) = (hub.asked(), ask(&router, &path, None).await);
        for n in 0..5 {
            let guess = format!("guess-{n}-{}", uuid::Uuid::now_v7().simple());
            assert_eq!(ask(&router, &path, Some(&guess)).await, plain, "{path}");
        }
        assert_eq!(hub.asked() - before, if is_open { 0 } else { 5 }, "{path}");
        open += usize::from(is_open);
    }
    assert!(open >= 7, "{open} are open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_remembered_does_not_wait_behind_strangers() {
    let (_house, hub, router) = guarded(PLENTY).await;
    assert_eq!(ask(&router, "/api/v1/whoami", Some("good-one")).await, 200);
    let strangers = hanging(&router, 40, |n| 10 + n / 4);
    eventually(Duration::from_secs(60), async || {
        if hub.asked() > 16 { Ok(()) } else { Err(format!("{} were asked about", hub.asked())) }
    })
    .await;
    assert_eq!(ask(&router, "/api/v1/whoami", Some("good-one")).await, 200);
    strangers.into_iter().for_each(|each| each.abort());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_turns_out_good_costs_its_address_nothing() {
    let (_house, hub, router) = guarded(SCARCE).await;
    for n in 0..20 {
        assert_eq!(ask(&router, "/api/v1/whoami", Some(&format!("good-{n}"))).await, 200);
    }
    assert_eq!(hub.asked(), 20);
    for n in 0..5 {
        assert_eq!(ask(&router, "/api/v1/whoami", Some(&format!("guess-{n}"))).await, 401);
    }
    assert_eq!(ask(&router, "/api/v1/whoami", Some("guess-again")).await, 429);
    assert_eq!(ask(&router, "/api/v1/whoami", Some("good-1")).await, 200, "who is known is not hurt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_of_one_address_leave_places_at_the_hub_to_others() {
    let (_house, hub, router) = guarded(PLENTY).await;
    let strangers = hanging(&router, 60, |_| 9);
    // All but those that the hub is asked about are told that they are not known now.
    answered(&strangers, 56..=56).await;
    assert_eq!(hub.asked(), 4, "a quarter of its places");
    for n in 0..3 {
        assert_eq!(ask_from(10, &router, "/api/v1/whoami", Some(&format!("good-{n}"))).await, 200);
    }
    assert_eq!(ask(&router, "/api/v1/whoami", Some("good-late")).await, 503, "there is no place for that address");
    let mut answers = HashSet::new();
    for each in strangers {
        if each.is_finished() {
            answers.insert(each.await.unwrap());
        } else {
            each.abort();
        }
    }
    assert_eq!(answers, [503].into());
}
