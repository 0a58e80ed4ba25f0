//! What takes messages to their destinations: judged on the address that is connected to, and never kept for ever.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fleetbeat::{
    credentials::InMemoryCredentials,
    probes::{AddressPolicy, HttpCourier, HttpProber, LookUp, ProbeOptions, Trust},
    webhooks::{Courier, Delivery, Letter},
};
use fleetbeat_actors::health::Cause;
use rustls::RootCertStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

fn courier(look_up: LookUp, deadline: Duration) -> HttpCourier {
    let options = ProbeOptions::default();
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    let memory = Arc::new(InMemoryCredentials::default());
    let prober = HttpProber::with_look_up(options.clone(), Trust::of(RootCertStore::empty()), policy, memory, look_up);
    HttpCourier::beside(&prober, options, deadline)
}

fn letter(url: &str) -> Letter {
    Letter { line: None, url: Url::parse(url).unwrap(), headers: Default::default(), body: Bytes::from_static(b"{}") }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_is_blocked() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let rebinding: LookUp = Arc::new(move |_, port| {
        let ip = if counted.fetch_add(1, Ordering::Relaxed) == 0 { [198, 51, 100, 7] } else { [169, 254, 169, 254] };
        Ok(vec![SocketAddr::from((ip, port))])
    });
    let courier = courier(rebinding, Duration::from_secs(5));
    let url = "http://rebinding.example/latest/meta-data";
    assert!(courier.admits(&Url::parse(url).unwrap()).await);
    assert_eq!(courier.deliver(letter(url)).await, Delivery::Failed(Cause::Blocked));
    assert_eq!(looks.load(Ordering::Relaxed), 2, "looked up once a delivery, and what came out is what counts");
}

#[tokio::test]
async fn an_answer_without_end_ends_in_time_and_in_size() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for endless in [false, true] {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                while endless && stream.write_all(chunk.as_bytes()).await.is_ok() {}
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    let nowhere: LookUp = Arc::new(|_, _| Err(std::io::ErrorKind::NotFound.into()));
    let hasty = courier(Arc::clone(&nowhere), Duration::from_millis(500));
    assert_eq!(hasty.deliver(letter(&url)).await, Delivery::Failed(Cause::Timeout), "silent after its head");
    let courier = courier(nowhere, Duration::from_secs(40));
    assert_eq!(courier.deliver(letter(&url)).await, Delivery::Answered(200), "more than anybody reads");
}
