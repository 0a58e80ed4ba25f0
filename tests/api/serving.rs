//! The server on a real socket: slow clients, large heads, an orderly end.

use std::time::Duration;

use fleetbeat::listener::{Door, Limits, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::Instant,
};

use crate::house::House;

struct Served {
    house: House,
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn served(limits: Limits) -> Served {
    let house = House::build().await;
    let door = Door::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = door.address().unwrap();
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(serve(vec![door], None, house.router.clone(), limits, stopping));
    Served { house, address, stop, task }
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn hear(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut bytes)).await.expect("closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_cut_off() {
    let limits = Limits { head_timeout: Duration::from_millis(300), ..Limits::default() };
    let served = served(limits).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    say(&mut slow, "GET /health HTTP/1.1\r\nHost: x\r\n").await;
    let began = Instant::now();
    hear(slow).await;
    assert!(began.elapsed() < Duration::from_secs(8), "before the default");
}

#[tokio::test]
async fn a_giant_head_is_refused() {
    let served = served(Limits::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Big: {}\r\n\r\n", "x".repeat(70_000));
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = hear(stream).await;
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
}

#[tokio::test]
async fn further_connections_wait_for_a_place() {
    let limits = Limits { connections: 1, head_timeout: Duration::from_millis(400), ..Limits::default() };
    let served = served(limits).await;
    let _idle = TcpStream::connect(served.address).await.unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    say(&mut second, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(hear(second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn stopping_ends_streams_and_lets_requests_finish() {
    let served = served(Limits::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    say(&mut stream, "GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    let _idle = TcpStream::connect(served.address).await.unwrap();
    let began = Instant::now();
    served.house.stop.send_replace(true);
    served.stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(40), served.task).await.expect("stopped").unwrap();
    assert!(began.elapsed() < Duration::from_secs(9), "less than the grace");
    assert!(hear(stream).await.contains("0\r\n\r\n"));
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    let served = served(Limits::default()).await;
    let open = async || {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        say(&mut stream, "GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
        stream
    };
    let (stuck, mut reading) = (open().await, open().await);
    let mut first = [0; 15];
    reading.read_exact(&mut first).await.unwrap();
    stuck.readable().await.unwrap();
    let one = |i| serde_json::json!({"name": format!("spoke-{i}"), "api_server_url": "https://x.example:6443"});
    for round in 0..5 {
        let body = serde_json::json!({ "clusters": (round * 1000..round * 1000 + 1000).map(one).collect::<Vec<_>>() });
        served.house.json("POST", "/api/v1/clusters:import", body).await;
    }
    let (mut seen, mut buffer) = (0, vec![0; 1 << 16]);
    let mut text = String::new();
    while seen < 5_000 {
        let read =
            tokio::time::timeout(Duration::from_secs(10), reading.read(&mut buffer)).await.expect("more").unwrap();
        text += &String::from_utf8_lossy(&buffer[..read]);
        seen = text.matches("\"CLUSTER_REGISTERED\"").count();
    }
    drop(stuck);
}
