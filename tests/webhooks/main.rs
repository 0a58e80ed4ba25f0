//! Webhooks of the real binary, told to real receivers: what arrives, what survives, what is refused.
#![cfg(test)]

mod courier;
mod receiver;
mod silences;
#[path = "../support/mod.rs"]
mod support;

use std::{collections::BTreeSet, time::Duration};

use receiver::Receiver;
use serde_json::{Value, json};
use support::{Client, Postgres, Product, eventually};

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One that tries often and soon, and checks no cluster.
fn product() -> Product {
    Product::new()
        .set("health_check.enabled", false)
        .set("webhooks.initial_backoff_seconds", 0.05)
        .set("webhooks.max_backoff_seconds", 0.2)
        .set("webhooks.timeout_seconds", 5)
        .set("webhooks.max_attempts", 1000)
}

async fn register(client: &Client, name: &str, labels: Value) {
    let body = json!({ "name": name, "api_server_url": "https://127.0.0.1:1", "labels": labels });
    client.post("/api/v1/clusters", &body).await.expect(201);
}

async fn make(client: &Client, body: Value) -> Value {
    client.post("/api/v1/webhooks", &body).await.expect(201).json()
}

fn path(webhook: &Value, rest: &str) -> String {
    format!("/api/v1/webhooks/{}{rest}", webhook["id"].as_str().unwrap())
}

/// Ids of the log's events of this type, in order.
async fn logged(client: &Client, event_type: &str) -> Vec<String> {
    let list = client.get(&format!("/api/v1/events?event_type={event_type}&limit=1000")).await.expect(200).json();
    list["items"].as_array().unwrap().iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_arrives_signed_and_nothing_else() {
    let (product, receiver) = (product().started().await, Receiver::start().await);
    let client = product.client();
    let hook = json!({
        "name": "ops", "url": format!("{}?token=url-s3cret", receiver.url()), "secret": SECRET,
        "event_types": ["CLUSTER_REGISTERED"], "label_selector": "env=prod",
    });
    let made = make(&client, hook).await;
    register(&client, "lab-1", json!({ "env": "lab" })).await;
    register(&client, "prod-1", json!({ "env": "prod" })).await;
    let update = json!({ "display_name": "Not wanted" });
    let id = client.get("/api/v1/clusters/by-name/prod-1").await.json()["id"].as_str().unwrap().to_owned();
    client.put(&format!("/api/v1/clusters/{id}"), &update).await.expect(200);
    register(&client, "prod-2", json!({ "env": "prod" })).await;

    let messages = receiver.until(2, SOON).await;
    assert_eq!(messages.iter().map(receiver::Message::cluster).collect::<Vec<_>>(), ["prod-1", "prod-2"]);
    let ids = logged(&client, "CLUSTER_REGISTERED").await;
    assert_eq!(messages.iter().map(receiver::Message::id).collect::<Vec<_>>(), ids[1..]);
    let (first, event) = (&messages[0], messages[0].json());
    assert!(first.is_signed_with(SECRET) && !first.is_signed_with("another secret, long enough"));
    assert_eq!((first.uri.path(), first.uri.query()), ("/in", Some("token=url-s3cret")));
    assert_eq!(first.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(ids[1])));
    assert_eq!((&event["type"], &event["subject"]), (&json!("io.fleetbeat.CLUSTER_REGISTERED"), &json!(id)));

    let status = eventually(SOON, async || {
        let shown = client.get(&path(&made, "")).await.expect(200).json();
        (shown["status"]["last_delivered_at"] != Value::Null).then_some(shown)
    })
    .await;
    assert_eq!((&status["status"]["state"], &status["signed"]), (&json!("delivering"), &json!(true)));
    let tries = client.get(&path(&made, "/deliveries")).await.expect(200).json();
    assert_eq!((&tries["items"][0]["outcome"], &tries["items"][0]["status"]), (&json!("delivered"), &json!(204)));
    secrets_are_nowhere(&product, &client, &made).await;
}

async fn secrets_are_nowhere(product: &Product, client: &Client, made: &Value) {
    let mut texts = vec![made.to_string(), product.logs()];
    for read in ["/api/v1/webhooks", &path(made, ""), &path(made, "/deliveries"), "/api/v1/audit", "/metrics"] {
        texts.push(client.get(read).await.expect(200).text());
    }
    for file in std::fs::read_dir(product.data_dir()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() && path.extension().is_none_or(|extension| extension != "key") {
            texts.push(String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned());
        }
    }
    for text in texts {
        assert!(!text.contains(&SECRET[6..]) && !text.contains("url-s3cret"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_sent_at_once_and_a_secret_made_here_is_told_once() {
    let (product, receiver) = (product().started().await, Receiver::start().await);
    let client = product.client();
    let made = make(&client, json!({ "name": "made-here", "url": receiver.url() })).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    let tried = client.post(&path(&made, "/test"), &json!({})).await.expect(200).json();
    assert_eq!((&tried["outcome"], &tried["event_type"]), (&json!("delivered"), &json!("WEBHOOK_TEST")));
    let message = receiver.until(1, SOON).await.remove(0);
    assert!(message.is_signed_with(&secret));
    assert_eq!(message.json()["type"], "io.fleetbeat.WEBHOOK_TEST");
    assert!(!client.get("/api/v1/webhooks").await.text().contains(&secret));

    let slack = make(&client, json!({ "name": "slack", "url": receiver.url(), "format": "slack" })).await;
    assert!(
        slack.get("secret").is_none() && slack["signed"] == json!(false) && !slack["url"].to_string().contains("/in")
    );
    client.post(&path(&slack, "/test"), &json!({})).await.expect(200);
    let message = receiver.until(2, SOON).await.remove(1);
    assert!(message.json()["text"].is_string() && message.header("webhook-signature").is_empty());

    receiver.answer(418);
    let tried = client.post(&path(&made, "/test"), &json!({})).await.expect(200).json();
    assert_eq!(
        (&tried["outcome"], &tried["error"], &tried["status"]),
        (&json!("failed"), &json!("http_status"), &json!(418))
    );
    let audit = client.get("/api/v1/audit?action=webhook.test").await.expect(200).json();
    let told: Vec<_> = audit["items"].as_array().unwrap().iter().map(|row| row["outcome"].clone()).collect();
    assert_eq!(told, ["failed", "succeeded", "succeeded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_is_told_everything_in_order_when_it_is_back() {
    let (product, mut receiver) = (product().started().await, Receiver::absent());
    let client = product.client();
    let made = make(&client, json!({ "name": "away", "url": receiver.url() })).await;
    for n in 0..5 {
        register(&client, &format!("spoke-{n}"), json!({})).await;
    }
    let waits = eventually(SOON, async || {
        let shown = client.get(&path(&made, "")).await.expect(200).json();
        (shown["status"]["state"] == "retrying").then_some(shown)
    });
    assert_eq!(waits.await["status"]["last_error"], "refused");
    receiver.come().await;
    let messages = receiver.until(5, SOON).await;
    let ids: Vec<_> = messages.iter().map(receiver::Message::id).collect();
    assert_eq!(ids, logged(&client, "CLUSTER_REGISTERED").await);
}

/// Killed while it is telling, it forgets nothing, tells under the same ids, and in the same order.
async fn nothing_is_lost_to_kill_9(mut product: Product) {
    let receiver = Receiver::start().await;
    product.start().await;
    make(&product.client(), json!({ "name": "faithful", "url": receiver.url(), "secret": SECRET })).await;
    for round in 0..4 {
        let client = product.client();
        // Half of a round cannot be told, so that tries are under way.
        receiver.answer(if round % 2 == 0 { 503 } else { 204 });
        for n in 0..8 {
            register(&client, &format!("spoke-{round}-{n}"), json!({})).await;
        }
        product.kill9();
        product.start().await;
        receiver.answer(204);
    }
    let ids = logged(&product.client(), "CLUSTER_REGISTERED").await;
    assert_eq!(ids.len(), 32);
    eventually(SOON, async || {
        let told: BTreeSet<_> = receiver.messages().iter().map(receiver::Message::id).collect();
        let missing: Vec<_> = ids.iter().filter(|id| !told.contains(*id)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{} of {} are missing", missing.len(), ids.len())) }
    })
    .await;
    let mut first = Vec::new();
    for id in receiver.messages().iter().map(receiver::Message::id) {
        if !first.contains(&id) {
            first.push(id);
        }
    }
    assert_eq!(first, ids, "each id is a log's, and they came in its order");
    assert!(receiver.messages().iter().all(|message| message.is_signed_with(SECRET)));
    println!("32 events, 4 kills: {} messages, lost 0, out of order 0", receiver.messages().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_to_kill_9_with_sqlite() {
    nothing_is_lost_to_kill_9(product()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_to_kill_9_with_postgresql() {
    let url = Postgres::shared().await.database().await;
    nothing_is_lost_to_kill_9(product().set("database_url", url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_told_becomes_a_dead_letter_that_can_be_tried_again() {
    let receiver = Receiver::start().await;
    let mut product = product().set("webhooks.max_attempts", 2).started().await;
    let client = product.client();
    let made = make(&client, json!({ "name": "deaf", "url": receiver.url() })).await;
    receiver.answer(500);
    register(&client, "lost", json!({})).await;
    let letters = eventually(SOON, async || {
        let list = client.get(&path(&made, "/dead-letters")).await.expect(200).json();
        (!list["items"].as_array().unwrap().is_empty()).then_some(list)
    })
    .await;
    let letter = &letters["items"][0];
    assert_eq!(
        (&letter["reason"], &letter["attempts"], &letter["last_error"]),
        (&json!("exhausted"), &json!(2), &json!("http_status"))
    );
    assert_eq!((receiver.messages().len(), &letter["payload"]["name"]), (2, &json!("lost")));
    receiver.answer(200);
    register(&client, "found", json!({})).await;
    assert_eq!(receiver.until(3, SOON).await[2].cluster(), "found");

    // A dead letter outlives the process.
    product.terminate(Duration::from_secs(40)).await;
    product.start().await;
    assert_eq!(client.get(&path(&made, "")).await.json()["status"]["dead_letters"], 1);
    let again = path(&made, &format!("/dead-letters/{}/retry", letter["event_id"].as_str().unwrap()));
    receiver.answer(500);
    assert_eq!(client.post(&again, &json!({})).await.expect(200).json()["outcome"], "failed");
    receiver.answer(200);
    assert_eq!(client.post(&again, &json!({})).await.expect(200).json()["outcome"], "delivered");
    assert_eq!(receiver.messages().last().unwrap().id(), letter["event_id"].as_str().unwrap());
    client.post(&again, &json!({})).await.expect(404);
    assert_eq!(client.get(&path(&made, "/dead-letters")).await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_key_opens_the_addresses_still() {
    let receiver = Receiver::start().await;
    let mut product = product().started().await;
    let made = make(&product.client(), json!({ "name": "kept", "url": receiver.url(), "secret": SECRET })).await;
    product.terminate(Duration::from_secs(40)).await;
    let key = product.data_dir().join("credentials.key");
    let before = std::fs::read_to_string(&key).unwrap();
    let rotated = product.run(&["keys", "rotate"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert_ne!(std::fs::read_to_string(&key).unwrap(), before);
    product.start().await;
    let tried = product.client().post(&path(&made, "/test"), &json!({})).await.expect(200).json();
    assert_eq!(tried["outcome"], "delivered", "{tried}");
    assert!(receiver.messages()[0].is_signed_with(SECRET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_not_allowed_is_refused_by_its_field() {
    let product = product().set("webhooks.allow_http", true).started().await;
    let client = product.client();
    for url in
        ["http://169.254.169.254/latest/meta-data", "https://0.0.0.0/", &product.url(), "http://[::ffff:169.254.0.1]/"]
    {
        let refused =
            client.post("/api/v1/webhooks", &json!({ "name": "inward", "url": url })).await.expect(400).json();
        assert_eq!(refused["error"]["details"][0]["field"], "url", "{url}: {refused}");
    }
    let wrong =
        json!({ "url": "ftp://x", "secret": "short", "event_types": ["X"], "label_selector": "((", "colour": 1 });
    let refused = client.post("/api/v1/webhooks", &wrong).await.expect(400).json();
    let named: Vec<_> =
        refused["error"]["details"].as_array().unwrap().iter().map(|detail| detail["field"].clone()).collect();
    assert_eq!(named, ["url", "secret", "event_types", "label_selector", "colour"]);

    let outward = self::product().set("probes.allow_loopback", false).started().await;
    let refused = json!({ "name": "here", "url": "http://localhost:9/" });
    let refused = outward.client().post("/api/v1/webhooks", &refused).await.expect(400).json();
    assert_eq!(refused["error"]["details"][0]["field"], "url", "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_a_failure_and_leads_nowhere() {
    let (product, receiver, other) = (product().started().await, Receiver::start().await, Receiver::start().await);
    let client = product.client();
    let made = make(&client, json!({ "name": "moved", "url": receiver.url() })).await;
    receiver.redirect(&other.url());
    let tried = client.post(&path(&made, "/test"), &json!({})).await.expect(200).json();
    assert_eq!((&tried["outcome"], &tried["error"]), (&json!("failed"), &json!("redirect")));
    assert_eq!((receiver.messages().len(), other.messages().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_silent_destination_delays_no_other() {
    let receiver = Receiver::start().await;
    let product = product().set("webhooks.timeout_seconds", 120).started().await;
    let client = product.client();
    // It accepts connections, and never answers.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    for n in 0..10 {
        make(&client, json!({ "name": format!("silent-{n}"), "url": url })).await;
    }
    make(&client, json!({ "name": "attentive", "url": receiver.url() })).await;
    for n in 0..50 {
        register(&client, &format!("spoke-{n}"), json!({})).await;
    }
    assert_eq!(receiver.until(50, SOON).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_one_is_told_nothing_and_a_removed_one_is_gone() {
    let (product, receiver) = (product().started().await, Receiver::start().await);
    let client = product.client();
    let made = make(&client, json!({ "name": "pausing", "url": receiver.url(), "enabled": false })).await;
    register(&client, "unheard", json!({})).await;
    let begun = client.put(&path(&made, ""), &json!({ "enabled": true })).await.expect(200).json();
    assert_eq!(begun["status"]["state"], "delivering");
    register(&client, "heard", json!({})).await;
    assert_eq!(receiver.until(1, SOON).await[0].cluster(), "heard");
    let taken = json!({ "name": "pausing", "url": receiver.url() });
    let refused = client.post("/api/v1/webhooks", &taken).await.expect(400).json();
    assert_eq!(refused["error"]["details"][0]["field"], "name");
    client.delete(&path(&made, "")).await.expect(204);
    client.get(&path(&made, "")).await.expect(404);
    assert_eq!(client.get("/api/v1/webhooks").await.json()["items"], json!([]));
    let audit = client.get("/api/v1/audit").await.expect(200).json();
    let told: Vec<_> = audit["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    for action in ["webhook.create", "webhook.update", "webhook.delete"] {
        assert!(told.contains(&json!(action)), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_no_more_than_its_maker_may_see_and_only_administrators_make_one() {
    let (product, receiver) = (product().set("auth.tokens.enabled", true).started().await, Receiver::start().await);
    let admin = product.admin();
    let token = async |role: &str, team: &str| {
        let scope = json!({ "label_selector": format!("team={team}") });
        let body = json!({ "name": team, "role": role, "scope": scope });
        let made = admin.post("/api/v1/tokens", &body).await.expect(201).json();
        product.bearing(made["token"].as_str().unwrap())
    };
    let (blue, red, worker) =
        (token("admin", "blue").await, token("admin", "red").await, token("operator", "blue").await);
    let hook = json!({ "name": "blue", "url": receiver.url() });
    worker.post("/api/v1/webhooks", &hook).await.expect(403);
    let made = make(&blue, hook).await;
    register(&admin, "red-1", json!({ "team": "red" })).await;
    register(&admin, "blue-1", json!({ "team": "blue" })).await;
    register(&admin, "nobody-1", json!({})).await;
    register(&admin, "blue-2", json!({ "team": "blue" })).await;
    let told = receiver.until(2, SOON).await;
    assert_eq!(told.iter().map(receiver::Message::cluster).collect::<Vec<_>>(), ["blue-1", "blue-2"]);

    assert_eq!(red.get("/api/v1/webhooks").await.expect(200).json()["items"], json!([]));
    for (method, rest) in [("get", ""), ("post", "/test"), ("delete", "")] {
        let answer = match method {
            "get" => red.get(&path(&made, rest)).await,
            "post" => red.post(&path(&made, rest), &json!({})).await,
            _ => red.delete(&path(&made, rest)).await,
        };
        answer.expect(404);
    }
    worker.get(&path(&made, "")).await.expect(200);
    worker.delete(&path(&made, "")).await.expect(403);
    admin.delete(&path(&made, "")).await.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_time_is_left_alone_that_long_but_no_longer_than_is_reasonable() {
    let (product, receiver) =
        (product().set("webhooks.max_backoff_seconds", 2).started().await, Receiver::start().await);
    let client = product.client();
    let made = make(&client, json!({ "name": "busy", "url": receiver.url() })).await;
    receiver.defer(429, "1");
    register(&client, "first", json!({})).await;
    receiver.until(2, SOON).await;
    // A date far away counts as the longest pause.
    receiver.defer(503, "Thu, 01 Jan 2099 00:00:00 GMT");
    let before = receiver.until(4, SOON).await.len();
    receiver.defer(204, "3600");
    let messages = receiver.until(before + 1, SOON).await;
    let tries = client.get(&path(&made, "/deliveries")).await.expect(200).json();
    let tries: Vec<_> = tries["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|one| {
            let at: chrono::DateTime<chrono::Utc> = one["at"].as_str().unwrap().parse().unwrap();
            (at, one["status"].as_u64().unwrap())
        })
        .collect();
    for pair in tries.windows(2) {
        let (pause, least) = ((pair[1].0 - pair[0].0).as_seconds_f64(), if pair[0].1 == 429 { 1.0 } else { 2.0 });
        assert!(pause > least - 0.05 && pause < least + 5.0, "{pause} s after a {}", pair[0].1);
    }
    assert!(messages.iter().all(|message| message.id() == messages[0].id()));
    let shown = client.get(&path(&made, "")).await.expect(200).json();
    assert_eq!(shown["status"]["dead_letters"], 0, "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_webhook_has_its_own_series_as_long_as_it_exists() {
    let (product, receiver, deaf) =
        (product().set("webhooks.max_attempts", 2), Receiver::start().await, Receiver::start().await);
    let product = product.started().await;
    let client = product.client();
    make(&client, json!({ "name": "hears", "url": receiver.url() })).await;
    let made = make(&client, json!({ "name": "deaf", "url": deaf.url() })).await;
    deaf.answer(500);
    register(&client, "one", json!({})).await;
    let wanted = [
        r#"fleetbeat_webhook_deliveries_total{webhook="hears",outcome="delivered"} 1"#,
        r#"fleetbeat_webhook_deliveries_total{webhook="deaf",outcome="failed"} 2"#,
        r#"fleetbeat_webhook_given_up_total{webhook="deaf"} 1"#,
        r#"fleetbeat_webhook_dead_letters_kept{webhook="deaf"} 1"#,
        r#"fleetbeat_webhook_pending_age_seconds{webhook="hears"} 0"#,
    ];
    let scrape = eventually(SOON, async || {
        let text = client.get("/metrics").await.expect(200).text();
        let missing: Vec<_> = wanted.iter().filter(|line| !text.lines().any(|known| known == **line)).collect();
        if missing.is_empty() { Ok(text) } else { Err(format!("{missing:?}")) }
    })
    .await;
    support::check_metrics(&scrape);
    client.delete(&path(&made, "")).await.expect(204);
    assert!(!client.get("/metrics").await.expect(200).text().contains(r#"webhook="deaf""#));
}
