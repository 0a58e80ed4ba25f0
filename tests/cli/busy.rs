//! A server that is busy: imports wait as long as it says, send less at once, and lose nothing.

use std::convert::Infallible;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::desk::Said;
use super::support::Scratch;

fn refusal(code: &str) -> Value {
    json!({ "code": code, "message": "not now", "details": [] })
}

/// What a busy server answers to an import of these names; `turn` counts its requests.
fn answer(turn: usize, names: &[String]) -> (u16, Value) {
    let item = |(at, name): (usize, &String)| match turn {
        2 if at % 2 == 1 => json!({ "name": name, "result": "failed", "error": refusal("DEPENDENCY_UNAVAILABLE") }),
        _ => json!({ "name": name, "result": "created", "id": "01a1ff38-09cf-7150-b2aa-d253df44718c" }),
    };
    match turn {
        0 => (503, json!({ "error": refusal("DEPENDENCY_UNAVAILABLE") })),
        1 => (429, json!({ "error": refusal("RATE_LIMITED") })),
        _ => (200, json!({ "items": names.iter().enumerate().map(item).collect::<Vec<_>>() })),
    }
}

/// Starts one; its address, and the sizes of the imports that it was sent.
async fn busy_server() -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    let clusters = body["clusters"].as_array().unwrap();
                    let names: Vec<_> = clusters.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
                    let turn = seen.lock().unwrap().len();
                    seen.lock().unwrap().push(names.len());
                    let (status, body) = answer(turn, &names);
                    let answer = Response::builder().status(status).header("retry-after", "1");
                    Ok::<_, Infallible>(answer.body(Full::<Bytes>::from(body.to_string())).unwrap())
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, sizes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_waits_for_a_busy_server_sends_less_and_loses_nothing() {
    let (url, sizes) = busy_server().await;
    let scratch = Scratch::new();
    let clusters: Vec<_> =
        (0..120).map(|n| json!({ "name": format!("site-{n}"), "api_server_url": "https://127.0.0.1:1" })).collect();
    let file = scratch.write("fleet.json", &json!({ "clusters": clusters }).to_string(), None);
    let begun = tokio::time::Instant::now();
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_fleetbeat"), "clusters", "import"]).arg(&file);
    command.args(["--server", &url, "-o", "json"]).stdin(Stdio::null());
    let said: Said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into();
    let items = said.expect(0).json()["items"].as_array().unwrap().clone();
    let names: Vec<_> = items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, (0..120).map(|n| format!("site-{n}")).collect::<Vec<_>>(), "each once, in order");
    assert!(items.iter().all(|item| item["result"] == "created"));
    // Refused: half of it. Limited: as many. Half not taken: half again; then more each time.
    assert_eq!(*sizes.lock().unwrap(), [100, 50, 50, 25, 50, 20]);
    assert!(begun.elapsed().as_secs() >= 3, "waited for each refusal");
}
