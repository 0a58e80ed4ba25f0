//! The real binary under tools that attack servers: crowds of half-sent requests, and a scan of its TLS.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::stand::{hear, say};
use crate::support::{Authority, Client, Product, Scratch, eventually, exchange, free_port};

const CROWD: usize = 200;
/// How long a half-sent request may stay.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// A program of the search path, or `None` with a line that says so.
fn program(name: &str, install: &str) -> Option<PathBuf> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search_path).map(|folder| folder.join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: no {name} here ({install})");
    }
    found
}

/// How long `/health` takes, asked again and again until `done`.
async fn health_while(client: &Client, done: impl Future<Output = ()>) -> Vec<Duration> {
    let mut took = Vec::new();
    tokio::pin!(done);
    loop {
        tokio::select! {
            biased;
            () = &mut done => return took,
            spent = async {
                let begin = Instant::now();
                client.get("/health").await.expect(200);
                begin.elapsed()
            } => took.push(spent),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[(took.len() * 99).div_ceil(100) - 1]
}

/// Asks while an attack goes on, and right before and after it. What counts is what the attack adds: where answers take long without
/// any, they may take twice as long with it. An attack says what was wrong with it, and as what it does it does every time, a machine
/// that was busy with something else may try three.
async fn hardly_felt(client: &Client, what: &str, mut attack: impl AsyncFnMut() -> Option<String>) {
    const ATTEMPTS: usize = 3;
    const FAST: Duration = Duration::from_millis(100);
    let quiet_for = || tokio::time::sleep(Duration::from_secs(2));
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let mut without = health_while(client, quiet_for()).await;
        let mut wrong = None;
        let during = health_while(client, async { wrong = attack().await }).await;
        without.extend(health_while(client, quiet_for()).await);
        let count = during.len();
        let (during, without) = (p99(during), p99(without));
        println!("{what}: /health p99 {during:.1?} over {count} requests; {without:.1?} without; {wrong:?}");
        if during < FAST.max(2 * without) && wrong.is_none() {
            return;
        }
        seen.push((during, without, wrong));
    }
    panic!("{what}: {seen:?}");
}

/// Attackers take turns: each is to be told from a process that nobody attacks, and needs the cores itself.
static ATTACKERS: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_half_sent_requests_are_closed_in_time_and_hurt_nobody() {
    let _turn = ATTACKERS.lock().await;
    let product = Product::new().set("auth.tokens.enabled", true).started().await;
    let at = product.url().trim_start_matches("http://").to_owned();
    let halves = [
        "GET /health HT",
        "GET /health HTTP/1.1\r\nHost: x\r\nX-A: b\r\n",
        "POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        "POST /auth/logout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
    ];
    let attack = async || {
        let mut crowd = Vec::new();
        for half in halves.into_iter().cycle().take(CROWD) {
            let begin = Instant::now();
            let mut stream = TcpStream::connect(&at).await.unwrap();
            say(&mut stream, half).await;
            crowd.push(tokio::spawn(async move {
                hear(&mut stream, Duration::from_secs(40)).await;
                begin.elapsed()
            }));
        }
        let mut longest = Duration::ZERO;
        for one in crowd {
            longest = longest.max(one.await.unwrap());
        }
        println!("the last of {CROWD} was closed after {longest:.2?}");
        (longest > CLOSED_WITHIN).then(|| format!("closed after {longest:?}"))
    };
    hardly_felt(&product.client(), "half-sent requests", attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slowhttptest_finds_the_door_open_and_its_own_connections_closed() {
    let Some(slow) = program("slowhttptest", "apt-get install slowhttptest") else { return };
    let _turn = ATTACKERS.lock().await;
    // Strangers' bodies are not waited for: for those the API has to be open.
    for (mode, path, guarded) in [("-H", "/health", true), ("-B", "/api/v1/clusters", false)] {
        let product = Product::new().set("auth.tokens.enabled", guarded).started().await;
        let url = format!("{}{path}", product.url());
        let attack = async || {
            let (slow, url) = (slow.clone(), url.clone());
            let run = tokio::task::spawn_blocking(move || {
                let mut command = Command::new("timeout");
                command.arg("60").arg(slow).args([mode, "-c", "200", "-r", "200", "-i", "4", "-l", "20", "-p", "1"]);
                command.args(["-x", "24", "-f", "application/json", "-u", &url]).output().unwrap()
            });
            let told = String::from_utf8_lossy(&run.await.unwrap().stdout).into_owned();
            (!told.contains("No open connections left")).then_some(told)
        };
        hardly_felt(&product.client(), &format!("slowhttptest {mode}"), attack).await;
    }
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
    let _turn = ATTACKERS.lock().await;
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let (_product, port) = tls_product(&scratch, &authority).await;
    let authorities = scratch.write("ca.pem", &authority.pem(), None);
    let found = scratch.path().join("found.json");
    let told = {
        let found = found.clone();
        tokio::task::spawn_blocking(move || scan(&sslyze, &authorities, &found, port)).await.unwrap()
    };
    let report = std::fs::read_to_string(&found).unwrap_or_default();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {told}"));
    judge(&report["server_scan_results"][0]["scan_result"]);
    let compared = told.split_once("COMPLIANCE AGAINST").unwrap_or_else(|| panic!("not compared: {told}")).1;
    // Whether the test's own authority deserves trust is not the question.
    let complaints = compared.lines().map(str::trim).filter(|line| line.starts_with("* "));
    let complaints: Vec<_> = complaints.filter(|line| !line.starts_with("* certificate_path_validation")).collect();
    assert!(complaints.is_empty(), "not as Mozilla recommends: {complaints:?}");
}

/// What sslyze writes, the comparison with Mozilla's `intermediate` at its end.
fn scan(sslyze: &Path, authorities: &Path, found: &Path, port: u16) -> String {
    let mut command = Command::new("timeout");
    command.arg("300").arg(sslyze).args(["--mozilla_config", "intermediate", "--sni", "localhost", "--certinfo"]);
    command.args([
        "--sslv2",
        "--sslv3",
        "--tlsv1",
        "--tlsv1_1",
        "--tlsv1_2",
        "--tlsv1_3",
        "--elliptic_curves",
        "--ems",
    ]);
    command.args([
        "--early_data",
        "--compression",
        "--reneg",
        "--robot",
        "--heartbleed",
        "--openssl_ccs",
        "--fallback",
    ]);
    command.arg("--json_out").arg(found).arg("--certinfo_ca_file").arg(authorities).arg(format!("127.0.0.1:{port}"));
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
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
