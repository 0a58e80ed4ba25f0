//! The real binary under tools that attack servers: crowds of half-sent requests, and a scan of its TLS.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::stand::{hear, say};
use crate::support::{Authority, Client, Product, Scratch, eventually, exchange, free_port};

const CROWD: usize = 200;
/// How long a half-sent request may stay, with a little for a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_millis(10_500);

/// A program of the search path, or `None` with a line that says so.
fn program(name: &str, install: &str) -> Option<PathBuf> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search_path).map(|folder| folder.join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: no {name} here ({install})");
    }
    found
}

/// Asks for `/health` again and again until `done`; the 99th percentile of how long that took, and how often it was asked.
async fn health_while(client: &Client, done: impl Future<Output = ()>) -> (Duration, usize) {
    let mut took = Vec::new();
    tokio::pin!(done);
    loop {
        tokio::select! {
            biased;
            () = &mut done => break,
            spent = async {
                let begin = Instant::now();
                client.get("/health").await.expect(200);
                begin.elapsed()
            } => took.push(spent),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    took.sort();
    (took[(took.len() * 99).div_ceil(100) - 1], took.len())
}

fn small(p99: Duration, count: usize, what: &str) {
    println!("{what}: /health p99 {:.1} ms over {count} requests", p99.as_secs_f64() * 1_000.0);
    assert!(p99 < Duration::from_millis(100), "{what}: {p99:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_half_sent_requests_are_closed_in_time_and_hurt_nobody() {
    let product = Product::new().set("auth.tokens.enabled", true).started().await;
    let at = product.url().trim_start_matches("http://").to_owned();
    let halves = [
        "GET /health HT",
        "GET /health HTTP/1.1\r\nHost: x\r\nX-A: b\r\n",
        "POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        "POST /auth/logout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
    ];
    let mut crowd = Vec::new();
    for half in halves.into_iter().cycle().take(CROWD) {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        say(&mut stream, half).await;
        let begin = Instant::now();
        crowd.push(tokio::spawn(async move {
            hear(&mut stream, Duration::from_secs(20)).await;
            begin.elapsed()
        }));
    }
    let mut longest = Duration::ZERO;
    let all_closed = async {
        for one in crowd {
            longest = longest.max(one.await.unwrap());
        }
    };
    let (p99, count) = health_while(&product.client(), all_closed).await;
    println!("the last of {CROWD} was closed after {:.2} s", longest.as_secs_f64());
    assert!(longest <= CLOSED_WITHIN, "{longest:?}");
    small(p99, count, "half-sent requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slowhttptest_finds_the_door_open_and_its_own_connections_closed() {
    let Some(slow) = program("slowhttptest", "apt-get install slowhttptest") else { return };
    let product = Product::new().set("auth.tokens.enabled", true).started().await;
    for (mode, path) in [("-H", "/health"), ("-B", "/api/v1/clusters")] {
        let (slow, url) = (slow.clone(), format!("{}{path}", product.url()));
        let run = tokio::task::spawn_blocking(move || {
            let mut command = Command::new("timeout");
            command.arg("60").arg(slow).args([mode, "-c", "200", "-r", "200", "-i", "4", "-l", "20", "-p", "1"]);
            command.args(["-x", "24", "-u", &url]).output().unwrap()
        });
        let mut told = String::new();
        let ran = async { told = String::from_utf8_lossy(&run.await.unwrap().stdout).into_owned() };
        let (p99, count) = health_while(&product.client(), ran).await;
        assert!(told.contains("No open connections left"), "{told}");
        assert!(!plain(&told).contains("service available: NO"), "{told}");
        small(p99, count, &format!("slowhttptest {mode}"));
    }
}

/// Without the colours of terminals, and with single blanks.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A product that speaks TLS, and the port it does so on.
async fn tls_product(scratch: &Scratch, authority: &Authority) -> (Product, u16) {
    let (port, (certificate, key)) = (free_port(), authority.issue_for_days(90));
    let mut product = Product::new()
        .set("server.listen", format!("127.0.0.1:{port}"))
        .set("server.tls.cert_file", scratch.write("server.pem", &certificate, None).display())
        .set("server.tls.key_file", scratch.write("server.key", &key, None).display())
        .set("auth.tokens.enabled", true);
    product.launch();
    let ask = "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    eventually(Duration::from_secs(30), async || {
        let answer = exchange(authority.client_config(), ([127, 0, 0, 1], port).into(), ask).await?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
    })
    .await;
    (product, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslyze_finds_nothing_weak() {
    let Some(sslyze) = program("sslyze", "pip install sslyze") else { return };
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let (_product, port) = tls_product(&scratch, &authority).await;
    let authorities = scratch.write("ca.pem", &authority.pem(), None);
    let found = scratch.path().join("found.json");
    let (run, told) = {
        let found = found.clone();
        tokio::task::spawn_blocking(move || scan(&sslyze, &authorities, &found, port)).await.unwrap()
    };
    let report = std::fs::read_to_string(&found).unwrap_or_default();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {told}"));
    judge(&report["server_scan_results"][0]["scan_result"]);
    assert!(run, "not as Mozilla recommends:\n{told}");
}

/// Is the server as Mozilla's `intermediate` says, and what sslyze wrote.
fn scan(sslyze: &Path, authorities: &Path, found: &Path, port: u16) -> (bool, String) {
    let mut command = Command::new("timeout");
    command.arg("300").arg(sslyze).args(["--mozilla_config", "intermediate", "--sni", "localhost", "--json_out"]);
    command.arg(found).arg("--certinfo_ca_file").arg(authorities).arg(format!("127.0.0.1:{port}"));
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn judge(found: &Value) {
    let result = |name: &str| {
        assert_eq!(found[name]["status"], "COMPLETED", "{name}: {}", found[name]);
        found[name]["result"].clone()
    };
    let suites = |version: &str| -> Vec<String> {
        let accepted = result(&format!("{version}_cipher_suites"))["accepted_cipher_suites"].clone();
        let name = |suite: &Value| suite["cipher_suite"]["name"].as_str().unwrap().to_owned();
        accepted.as_array().unwrap().iter().map(name).collect()
    };
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert_eq!(suites(old), Vec::<String>::new(), "{old}");
    }
    for suite in suites("tls_1_2") {
        let modern = suite.starts_with("TLS_ECDHE_") && (suite.contains("_GCM_") || suite.contains("_CHACHA20_"));
        assert!(modern, "{suite}");
    }
    assert_eq!(suites("tls_1_3").len(), 3);
    assert_eq!(result("heartbleed")["is_vulnerable_to_heartbleed"], false);
    assert_eq!(result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"], false);
    assert_eq!(result("tls_compression")["supports_compression"], false);
    assert_eq!(result("tls_1_3_early_data")["supports_early_data"], false);
    assert_eq!(result("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"], false);
    assert_eq!(result("tls_extended_master_secret")["supports_ems_extension"], true);
    let robot = result("robot")["robot_result"].clone();
    assert!(robot.as_str().is_some_and(|word| word.starts_with("NOT_VULNERABLE")), "{robot}");
}
