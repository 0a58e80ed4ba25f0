//! Fleets as a whole: starting, scripts, the control API, the truth log, the end.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Client, SOON, fleet, within};
use fleetbeat_loadtest::spokes::{
    Behaviour, Endpoints, Fleet, FleetError, FleetOptions, Ports, Role, Script, Selector, State, Truth, control,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request to the control API.
async fn call(control: SocketAddr, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut tcp = TcpStream::connect(control).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(tcp.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())))
}

async fn controlled(count: usize) -> (Fleet, SocketAddr) {
    let fleet = fleet(count, |_| ());
    let control = control::serve(fleet.handle(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
    (fleet, control)
}

#[tokio::test]
async fn the_control_api_lists_everything_needed_to_register() {
    let (fleet, control) = controlled(3).await;
    let (status, body) = call(control, "GET", "/spokes", None).await;
    assert_eq!((status, body["total"].as_u64()), (200, Some(3)));
    let first = &body["items"][0];
    assert_eq!(first["name"], fleet.spokes()[0].name);
    assert_eq!(first["api_server_url"], fleet.spokes()[0].url(Role::Api).unwrap());
    assert!(first["ca_bundle"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
    assert_eq!(first["expected"]["state"], "ONLINE");
    assert_eq!(first["behaviours"]["loki"], "healthy");
    let (_, file) = call(control, "GET", "/registration", None).await;
    assert_eq!(file["clusters"].as_array().unwrap().len(), 3);
    assert!(file["clusters"][0].get("behaviours").is_none());
}

#[tokio::test]
async fn behaviours_are_changed_one_by_one_and_many_at_once() {
    let (fleet, control) = controlled(10).await;
    let name = &fleet.spokes()[0].name;
    let path = format!("/spokes/{name}/behaviour");
    let (status, view) = call(control, "PUT", &path, Some(json!({"role": "tempo", "behaviour": "status:503"}))).await;
    assert_eq!((status, &view["expected"]["score"]), (200, &json!(85)));
    let body = json!({"select": {"share": 0.5, "seed": 4}, "behaviour": "dead"});
    let (status, changed) = call(control, "POST", "/behaviours", Some(body)).await;
    assert_eq!((status, &changed["changed"]), (200, &json!(5)));
    let body = json!({"changes": [{"spoke": name, "behaviour": "healthy"}]});
    assert_eq!(call(control, "POST", "/behaviours", Some(body)).await.0, 200);
    let (_, truth) = call(control, "GET", "/truth?after=1&limit=3", None).await;
    assert_eq!((truth["items"].as_array().unwrap().len(), &truth["last_seq"]), (3, &json!(4)));
    assert_eq!(truth["items"][0]["state"], "OFFLINE");
}

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let (fleet, control) = controlled(2).await;
    let put = |path: &'static str, body| call(control, "PUT", path, Some(body));
    assert_eq!(put("/spokes/nobody/behaviour", json!({"behaviour": "dead"})).await.0, 404);
    let path = format!("/spokes/{}/behaviour", fleet.spokes()[0].name);
    assert_eq!(call(control, "PUT", &path, Some(json!({"behaviour": "sleepy"}))).await.0, 422);
    let both = json!({"changes": [{"spoke": fleet.spokes()[0].name, "behaviour": "dead"},
                                  {"spoke": "nobody", "behaviour": "dead"}]});
    assert_eq!(call(control, "POST", "/behaviours", Some(both)).await.0, 404);
    assert!(fleet.truth().is_empty());
}

#[tokio::test]
async fn the_truth_can_be_waited_for() {
    let (fleet, control) = controlled(1).await;
    let waiting = tokio::spawn(async move { call(control, "GET", "/truth?wait_ms=5000", None).await });
    fleet.set(&fleet.spokes()[0].name, Role::Api, Behaviour::Dead).await.unwrap();
    let (_, page) = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(page["items"][0]["behaviour"], "dead");
}

#[tokio::test]
async fn a_script_is_played_in_real_time_and_its_truth_is_in_memory_and_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("truth.jsonl");
    let fleet = fleet(5, |options| options.truth_file = Some(file.clone()));
    let name = &fleet.spokes()[2].name;
    let script = format!(
        "changes:\n- {{at_ms: 300, spoke: {name}, behaviour: healthy}}\n\
         - {{at_ms: 100, spoke: {name}, role: prometheus, behaviour: dead}}\n\
         - {{at_ms: 200, spoke: {name}, behaviour: dead}}\n"
    );
    let begun_ms = fleet.uptime_ms();
    let playback = fleet.play(Script::parse(&script).unwrap()).unwrap();
    assert_eq!(playback.total(), 3);
    tokio::time::timeout(SOON, playback.wait()).await.unwrap().unwrap();
    let truth = fleet.truth();
    let states: Vec<_> = truth.iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Degraded, State::Offline, State::Online]);
    for (one, planned_ms) in truth.iter().zip([100, 200, 300]) {
        assert!(one.at_ms + 1 >= begun_ms + planned_ms, "{one:?} came before its time");
    }
    assert!(truth.is_sorted_by_key(|one| one.at));
    let lines = std::fs::read_to_string(&file).unwrap();
    let read: Vec<Truth> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, truth);
}

#[tokio::test]
async fn the_control_api_generates_scripts_and_lets_spokes_flap() {
    let (fleet, control) = controlled(4).await;
    let name = &fleet.spokes()[0].name;
    let flap = json!({"flap": {"spoke": name, "up_ms": 20, "down_ms": 20, "duration_ms": 200}});
    let (status, begun) = call(control, "POST", "/script", Some(flap)).await;
    assert_eq!(status, 202);
    assert!(begun["changes"].as_u64().unwrap() >= 6, "{begun}");
    let mut last = fleet.last_truth();
    let all = last.wait_for(|seq| *seq >= begun["changes"].as_u64().unwrap());
    tokio::time::timeout(SOON, all).await.expect("the flapping is played").unwrap();
    let generate = json!({"generate": {"seed": 2, "duration_ms": 600000, "clean": true}});
    assert_eq!(call(control, "POST", "/script", Some(generate)).await.0, 202);
    let broken = json!({"changes": [{"at_ms": 1, "spoke": "nobody", "behaviour": "dead"}]});
    assert_eq!(call(control, "POST", "/script", Some(broken)).await.0, 400);
}

#[tokio::test]
async fn stopping_closes_everything_and_keeps_the_truth() {
    let (fleet, control) = controlled(2).await;
    let client = Client::trusting(&fleet);
    let mut kept = client.connect(&fleet.spokes()[0], Role::Api).await.unwrap();
    kept.get("/readyz", None).await.unwrap();
    fleet.set(&fleet.spokes()[1].name, Role::Api, Behaviour::Dead).await.unwrap();
    assert_eq!(call(control, "POST", "/stop", None).await.0, 200);
    tokio::time::timeout(SOON, fleet.stopped()).await.unwrap();
    let _ = within(kept.closed()).await;
    assert!(client.get(&fleet.spokes()[0], Role::Api, "/readyz").await.is_err());
    assert_eq!(fleet.truth().len(), 1);
    let again = fleet.set(&fleet.spokes()[0].name, Role::Api, Behaviour::Dead).await;
    assert!(matches!(again, Err(FleetError::Stopped)));
}

#[test]
fn a_fleet_on_its_own_threads_serves_without_the_caller_and_ends_when_dropped() {
    let options = FleetOptions { count: 2, ports: Ports::ANY, ..FleetOptions::default() };
    let fleet = Fleet::start_on_own_threads(&options, 1).unwrap();
    let address = fleet.spokes()[0].socket(Role::Api).unwrap();
    std::net::TcpStream::connect(address).unwrap();
    drop(fleet);
    let deadline = tokio::time::Instant::now() + SOON;
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "the listener outlives the fleet");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_fleet_on_its_own_threads_is_used_from_another_runtime() {
    let options = FleetOptions { count: 1, ports: Ports::ANY, endpoints: Endpoints::none(), ..Default::default() };
    let fleet = Fleet::start_on_own_threads(&options, 1).unwrap();
    let name = fleet.spokes()[0].name.clone();
    fleet.set(&name, Role::Api, Behaviour::Status { code: 503 }).await.unwrap();
    let client = Client::trusting(&fleet);
    assert_eq!(client.get(&fleet.spokes()[0], Role::Api, "/readyz").await.unwrap().0, 503);
    let script = Script::parse(&format!("changes: [{{at_ms: 5, spoke: {name}, behaviour: healthy}}]")).unwrap();
    tokio::time::timeout(SOON, fleet.play(script).unwrap().wait()).await.unwrap().unwrap();
    assert_eq!(client.get(&fleet.spokes()[0], Role::Api, "/readyz").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_fleet_that_needs_too_many_descriptors_says_how_many() {
    let options = FleetOptions {
        count: 1_000,
        ports: Ports::ANY,
        endpoints: Endpoints::all(),
        connections_per_endpoint: 1_000_000,
        ..FleetOptions::default()
    };
    let error = Fleet::start(&options).err().unwrap();
    assert!(matches!(error, FleetError::Descriptors { needed, limit, .. } if needed > limit));
    assert!(error.to_string().contains("4000 listeners"), "{error}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = fleet(1, |_| ());
    let taken = first.spokes()[0].socket(Role::Api).unwrap();
    let ports = Ports { api: taken.port(), ..Ports::ANY };
    let error = Fleet::start(&FleetOptions { count: 1, ports, ..FleetOptions::default() }).err().unwrap();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[tokio::test]
async fn the_control_api_stays_on_this_machine() {
    let fleet = fleet(1, |_| ());
    let refused = control::serve(fleet.handle(), "0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(refused, Err(FleetError::ControlAddress(_))));
}

#[tokio::test]
async fn a_third_of_a_large_fleet_dies_within_a_second() {
    let fleet = fleet(600, |options| options.endpoints = Endpoints::none());
    let third = Selector { share: Some(1.0 / 3.0), seed: 1, ..Selector::default() };
    let mut spreads = Vec::new();
    // A busy machine is slow now and then; a fleet that dies one by one always.
    while spreads.len() < 3 && spreads.iter().all(|spread| *spread >= 1_000) {
        fleet.apply(&fleet.selected(&third, Role::Api, Behaviour::Healthy)).await.unwrap();
        let (before, changes) = (fleet.truth().len(), fleet.selected(&third, Role::Api, Behaviour::Dead));
        assert_eq!(changes.len(), 200);
        fleet.apply(&changes).await.unwrap();
        let truth = fleet.truth().split_off(before);
        assert_eq!(truth.len(), 200);
        spreads.push(truth[199].at_ms - truth[0].at_ms);
    }
    let truth = fleet.truth();
    let truth = &truth[truth.len() - 200..];
    assert!(spreads.iter().any(|spread| *spread < 1_000), "spread over {spreads:?} ms");
    let refused = TcpStream::connect(fleet.spoke(&truth[0].spoke).unwrap().socket(Role::Api).unwrap()).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    tokio::time::timeout(Duration::from_secs(1), async { fleet.served() }).await.unwrap();
}
