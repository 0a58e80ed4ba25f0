//! `/ws` on a real socket: the protocol of the platform's frontend, scopes, limits, and readers that are slow or nobody any more.

use std::{net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use fleetbeat::{
    audit::Origin,
    identity::{Role, Scope},
    listener::{Door, Limits, serve},
};
use fleetbeat_actors::testing::Behaviour;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::CloseFrame},
};

use crate::house::House;

/// A house that is listened to.
struct Served {
    house: House,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Served {
    async fn of(house: House) -> Self {
        let door = Door::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = door.address().unwrap();
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(serve(vec![door], None, house.router.clone(), Limits::default(), stopping));
        Self { house, address, _stop: stop }
    }

    /// Opens a socket, as a page of this origin where one is given.
    async fn try_open(&self, origin: Option<&str>) -> Result<Client, Error> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        Ok(Client(client_async(request, stream).await?.0))
    }

    async fn open(&self) -> Client {
        self.try_open(None).await.unwrap()
    }

    /// Opens a socket and says who it is.
    async fn enter(&self, token: &str) -> Client {
        let mut client = self.open().await;
        client.say(json!({ "type": "auth", "token": token })).await;
        assert_eq!(client.hear().await["status"], "authenticated");
        client
    }

    /// …and subscribes to everything.
    async fn follow(&self, token: &str) -> Client {
        let mut client = self.enter(token).await;
        client.subscribe(json!({ "event_types": ["*"] })).await;
        client
    }

    async fn admin(&self) -> String {
        self.house.token(Role::Admin, Scope::Everything).await
    }
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        let next = timeout(Duration::from_secs(20), self.0.next());
        next.await.expect("in time").expect("not ended").unwrap()
    }

    /// The next message.
    async fn hear(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.say(message).await;
        self.hear().await
    }

    async fn subscribe(&mut self, subscription: Value) -> Value {
        let answer = self.ask(json!({ "type": "subscribe", "subscription": subscription })).await;
        assert_eq!(answer["type"], "subscribed", "{answer}");
        answer
    }

    /// The next event of this type.
    async fn event(&mut self, event_type: &str) -> Value {
        loop {
            let message = self.hear().await;
            assert_eq!(message["type"], "event", "{message}");
            if message["event_type"] == event_type {
                return message;
            }
        }
    }

    /// Whatever comes until it is closed: the messages, and the close frame.
    async fn rest(&mut self) -> (Vec<Value>, Option<CloseFrame>) {
        let mut messages = Vec::new();
        loop {
            match timeout(Duration::from_secs(30), self.0.next()).await.expect("closed in time") {
                Some(Ok(Message::Text(text))) => messages.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return (messages, frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (messages, None),
            }
        }
    }
}

fn cluster(name: &str, team: &str) -> Value {
    json!({ "name": name, "api_server_url": format!("https://{name}.example:6443"), "labels": { "team": team } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frontend_logs_in_subscribes_and_sees_a_state_change() {
    let served = Served::of(House::build().await).await;
    let id = served.house.register("spoke").await;
    served.house.until(&id, "ONLINE").await;
    let mut client = served.open().await;
    let welcome = client.ask(json!({ "type": "auth", "token": "any" })).await;
    assert_eq!((&welcome["type"], &welcome["status"]), (&json!("auth_response"), &json!("authenticated")));
    assert!(welcome["client_id"].is_string(), "{welcome}");
    let wish = json!({
        "event_types": ["CLUSTER_STATUS_CHANGED", "ALERT_FIRED"], "cluster_filter": [id], "namespace_filter": ["default"],
    });
    let granted = client.subscribe(wish.clone()).await;
    assert_eq!((&granted["subscription"], &granted["unknown_event_types"]), (&wish, &json!(["ALERT_FIRED"])));
    served.house.fleet.set(id.parse().unwrap(), Behaviour::Refuses);
    served.house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    let mut event = client.event("CLUSTER_STATUS_CHANGED").await;
    while event["payload"]["new_state"] != "OFFLINE" {
        event = client.event("CLUSTER_STATUS_CHANGED").await;
    }
    let told =
        [&event["cluster_id"], &event["cluster_name"], &event["payload"]["old_state"], &event["payload"]["new_state"]];
    assert_eq!(told, [&json!(id), &json!("spoke"), &json!("ONLINE"), &json!("OFFLINE")], "{event}");
    assert!(event["payload"]["health_score"].is_number() && event["payload"]["reason"].is_string(), "{event}");
    let stored = served.house.get("/api/v1/events?event_type=CLUSTER_STATUS_CHANGED&limit=1000").await.json();
    let stored = stored["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&event["event_id"], &event["timestamp"]), (&stored["event_id"], &stored["timestamp"]));
    assert_eq!(event["payload"], stored["payload"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_are_answered_and_nonsense_is_told_by_its_code() {
    let served = Served::of(House::build().await).await;
    let mut client = served.enter("").await;
    let pong = client.ask(json!({ "type": "ping", "timestamp": 1_700_000_000_000_i64 })).await;
    assert_eq!((&pong["type"], &pong["timestamp"]), (&json!("pong"), &json!(1_700_000_000_000_i64)));
    assert!(pong["server_time"].as_str().unwrap().ends_with('Z'), "{pong}");
    for (message, code) in [
        (json!({ "type": "dance" }), "INVALID_MESSAGE"),
        (json!([1]), "INVALID_MESSAGE"),
        (json!({ "type": "subscribe", "subscription": { "event_types": [] } }), "INVALID_SUBSCRIPTION"),
        (json!({ "type": "subscribe", "subscription": { "cluster_filter": ["x"] } }), "INVALID_SUBSCRIPTION"),
        (json!({ "type": "unsubscribe", "subscription_id": "x" }), "INVALID_SUBSCRIPTION"),
        (json!({ "type": "ping", "timestamp": "x".repeat(20_000) }), "MESSAGE_TOO_LARGE"),
    ] {
        let answer = client.ask(message.clone()).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{answer}");
        assert!(answer["message"].is_string());
    }
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.hear().await["code"], "INVALID_MESSAGE");
    for _ in 0..16 {
        client.subscribe(json!({ "event_types": ["X"] })).await;
    }
    let wish = json!({ "type": "subscribe", "subscription": { "event_types": ["X"] } });
    assert_eq!(client.ask(wish).await["code"], "TOO_MANY_SUBSCRIPTIONS");
    client.0.send(Message::text("x".repeat(100_000))).await.unwrap();
    assert!(client.rest().await.0.is_empty(), "what is far too large ends the socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_wanted_any_more_is_not_told() {
    let served = Served::of(House::build().await).await;
    let id = served.house.register("spoke").await;
    let mut client = served.enter("").await;
    let by_id = client.subscribe(json!({ "event_types": ["CLUSTER_UPDATED"] })).await["subscription_id"].clone();
    let by_type = client.subscribe(json!({ "event_types": ["CLUSTER_DELETED"] })).await["subscription_id"].clone();
    let path = format!("/api/v1/clusters/{id}");
    served.house.json("PUT", &path, json!({ "region": "eu" })).await;
    assert_eq!(client.event("CLUSTER_UPDATED").await["payload"]["region"], "eu");
    let ended = client.ask(json!({ "type": "unsubscribe", "subscription_id": by_id })).await;
    assert_eq!((&ended["type"], &ended["subscription_ids"]), (&json!("unsubscribed"), &json!([by_id])));
    served.house.json("PUT", &path, json!({ "region": "us" })).await;
    served.house.json("DELETE", &path, json!({})).await;
    let next = client.hear().await;
    assert_eq!(next["event_type"], "CLUSTER_DELETED", "not the second change: {next}");
    let ended = client.ask(json!({ "type": "unsubscribe", "event_types": ["CLUSTER_DELETED"] })).await;
    assert_eq!((&ended["subscription_ids"], &ended["event_types"]), (&json!([by_type]), &json!(["CLUSTER_DELETED"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_say_who_they_are_is_closed_after_five_seconds() {
    let served = Served::of(House::guarded().await).await;
    let began = tokio::time::Instant::now();
    let mut client = served.open().await;
    let early = client.ask(json!({ "type": "subscribe", "subscription": { "event_types": ["*"] } })).await;
    assert_eq!(early["code"], "AUTH_REQUIRED");
    let (messages, close) = client.rest().await;
    assert!(
        (Duration::from_millis(4_900)..Duration::from_secs(40)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!((&messages[0]["code"], u16::from(close.unwrap().code)), (&json!("AUTH_REQUIRED"), 1008));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_refused_closed_and_told_in_the_audit_log() {
    let served = Served::of(House::guarded().await).await;
    for token in [json!("wrong"), json!(format!("fbt_{}_{}", "0".repeat(32), "0".repeat(64))), Value::Null] {
        let mut client = served.open().await;
        let answer = client.ask(json!({ "type": "auth", "token": token })).await;
        assert_eq!((&answer["type"], &answer["status"]), (&json!("auth_response"), &json!("failed")), "{answer}");
        assert_eq!(u16::from(client.rest().await.1.unwrap().code), 1008);
    }
    served.house.journal.flush().await.unwrap();
    let rows = served.house.as_bearer(&served.admin().await, "GET", "/api/v1/audit?outcome=refused", Value::Null).await;
    let rows = rows.json()["items"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!((&row["cause"], &row["details"]["route"]), (&json!("AUTH_FAILED"), &json!("/ws")), "{row}");
        assert!(row["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_clusters_in_scope_are_told_of() {
    let served = Served::of(House::guarded().await).await;
    let admin = served.admin().await;
    let register = async |name: &str, team: &str| {
        let made = served.house.as_bearer(&admin, "POST", "/api/v1/clusters", cluster(name, team)).await;
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let (mine, theirs) = (register("mine-1", "blue").await, register("theirs-1", "red").await);
    let by_labels = served.house.token(Role::Viewer, Scope::labels("team=blue".to_owned()).unwrap()).await;
    let by_id = served.house.token(Role::Viewer, Scope::clusters(&[&mine]).unwrap()).await;
    let mut clients = [served.follow(&by_labels).await, served.follow(&by_id).await];
    let mut all = served.follow(&admin).await;
    for client in &mut clients {
        client.subscribe(json!({ "cluster_filter": [theirs] })).await;
    }
    for id in [&theirs, &mine] {
        let path = format!("/api/v1/clusters/{id}");
        served.house.as_bearer(&admin, "PUT", &path, json!({ "region": "eu" })).await;
    }
    assert_eq!(all.event("CLUSTER_UPDATED").await["cluster_id"], json!(theirs));
    for client in &mut clients {
        let event = client.event("CLUSTER_UPDATED").await;
        assert_eq!(event["cluster_id"], json!(mine), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_ends_sockets_and_streams_promptly() {
    let served = Served::of(House::guarded().await).await;
    let token = served.admin().await;
    let mut client = served.follow(&token).await;
    let stream = served.house.stream(&token).await;
    let id = served.house.keyring.list()[0].id;
    assert!(served.house.keyring.revoke(id, &Origin::console()).await.unwrap());
    let (messages, close) = timeout(Duration::from_secs(40), client.rest()).await.expect("promptly");
    assert_eq!((&messages[0]["code"], u16::from(close.unwrap().code)), (&json!("AUTH_EXPIRED"), 1008));
    let ended = stream.into_data_stream().for_each(async |_| {});
    timeout(Duration::from_secs(40), ended).await.expect("promptly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_kept_out() {
    let served = Served::of(House::build().await).await;
    let own = format!("http://{}", served.address);
    assert!(served.try_open(Some(&own)).await.is_ok());
    for strange in ["https://evil.example", "null"] {
        match served.try_open(Some(strange)).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 403),
            other => panic!("{strange}: {:?}", other.map(drop)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_dropped_and_told_and_slows_nobody() {
    let served = Served::of(House::build().await).await;
    let (mut slow, mut quick) = (served.follow("").await, served.follow("").await);
    let note = "x".repeat(60);
    let one = |i: usize| {
        let labels: serde_json::Map<_, _> = (0..30).map(|n| (format!("label-{n}"), json!(note))).collect();
        json!({ "name": format!("spoke-{i}"), "api_server_url": "https://x.example:6443", "labels": labels })
    };
    let count = 9_000;
    let told = tokio::spawn(async move {
        for _ in 0..count {
            quick.event("CLUSTER_REGISTERED").await;
        }
    });
    let import = async {
        for round in 0..count / 300 {
            let body = json!({ "clusters": (round * 300..round * 300 + 300).map(one).collect::<Vec<_>>() });
            assert_eq!(served.house.json("POST", "/api/v1/clusters:import", body).await.status, StatusCode::OK);
        }
    };
    let wakes_up = async {
        while served.house.get("/api/v1/streaming/status").await.json()["clients_dropped"] == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        slow.rest().await
    };
    let both = timeout(Duration::from_secs(90), async { tokio::join!(import, wakes_up).1 });
    let (messages, close) = both.await.expect("dropped");
    timeout(Duration::from_secs(60), told).await.expect("in time").unwrap();
    assert_eq!(messages.last().unwrap()["code"], "SLOW_CONSUMER");
    assert_eq!(u16::from(close.unwrap().code), 1013);
    assert!(messages.len() < count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_see_who_listens_to_what() {
    let served = Served::of(House::guarded().await).await;
    let admin = served.admin().await;
    let viewer = served.house.token(Role::Viewer, Scope::Everything).await;
    let mut client = served.enter(&viewer).await;
    let granted = client.subscribe(json!({ "event_types": ["CLUSTER_*"] })).await;
    let _stream = served.house.stream(&viewer).await;
    let ask = async |what: &str| {
        let path = format!("/api/v1/streaming/{what}");
        served.house.as_bearer(&admin, "GET", &path, Value::Null).await.json()
    };
    let status = ask("status").await;
    assert_eq!((&status["websocket_clients"], &status["sse_clients"]), (&json!(1), &json!(1)), "{status}");
    let clients = ask("clients").await["items"].as_array().unwrap().clone();
    assert_eq!(clients.len(), 2);
    assert!(clients.iter().all(|client| client["actor"].as_str().unwrap().starts_with("token:")), "{clients:?}");
    let subscriptions = ask("subscriptions").await["items"].clone();
    assert_eq!(subscriptions[0]["subscription_id"], granted["subscription_id"]);
    assert_eq!(subscriptions[0]["event_types"], json!(["CLUSTER_*"]));
    drop(client);
    timeout(Duration::from_secs(10), async {
        while ask("status").await["websocket_clients"] != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("gone");
}
