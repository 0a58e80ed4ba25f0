//! Fifty canaries through every way that a secret can take, and a look at everything that is left behind: answers, logs,
//! metrics, events, traces, the files of either database.

use std::path::Path;

use serde_json::json;

use crate::collector::Collector;
use crate::support::{Authority, Postgres, Product, Scratch, eventually};
use crate::{SOON, base64, kubeconfig, register};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_in_files_logs_metrics_events_or_errors() {
    let collector = Collector::start().await;
    let product =
        Product::new().set("log.level", "trace").set("tracing.otlp_endpoint", collector.url()).started().await;
    look_for_canaries(&product, &collector, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_in_the_data_of_postgresql() {
    let mut server = Postgres::start_new().await;
    let url = server.database().await;
    let collector = Collector::start().await;
    let product = Product::new().set("log.level", "trace").set("tracing.otlp_endpoint", collector.url());
    let product = product.set("database_url", url).started().await;
    look_for_canaries(&product, &collector, Some(&mut server)).await;
}

/// Fifty canaries through every way a secret can take; none may be found anywhere afterwards.
async fn look_for_canaries(product: &Product, collector: &Collector, server: Option<&mut Postgres>) {
    let client = product.client();
    let ca = Authority::new().pem();
    let id = register(&client, "canary", "https://127.0.0.1:9", Some(&ca)).await;
    let endpoints = json!({ "endpoints": { "prometheus_url": "https://127.0.0.1:9", "tempo_url": "https://127.0.0.1:9",
        "loki_url": "https://127.0.0.1:9" } });
    client.put(&format!("/api/v1/clusters/{id}"), &endpoints).await.expect(200);
    let path = format!("/api/v1/clusters/{id}/credentials");
    let mut said = String::new();
    for n in 0..50 {
        let c = canary(n);
        let config = |user: &str| kubeconfig("https://127.0.0.1:9", &ca, user);
        let with = |user: String| json!({ "auth_type": "KUBECONFIG", "kubeconfig": config(&user) });
        let body = match n % 14 {
            0 => json!({ "auth_type": "TOKEN", "token": c, "prometheus_token": c, "tempo_token": c, "loki_token": c }),
            1 => with(format!("token: {c}")),
            2 => with(format!("exec: {{command: {c}}}")),
            3 => with(format!("tokenFile: /etc/{c}")),
            4 => with(format!("username: {c}, password: {c}")),
            5 => with(format!("token: [{c}]")),
            6 => with(format!("token: {c}, client-key-data: {c}")),
            7 => json!({ "auth_type": "CERTIFICATE", "client_certificate": c, "client_key": c }),
            8 => json!({ "auth_type": c, "token": c }),
            9 => json!({ "auth_type": "TOKEN", "token": [c], "ca": c }),
            10 => json!({ "auth_type": "TOKEN", "token": format!("{c}\r\nHost: evil") }),
            11 => json!({ "auth_type": "KUBECONFIG", "kubeconfig": format!("{c}: [") }),
            12 => json!({ "auth_type": "KUBECONFIG", "kubeconfig": base64(&config(&format!("token: {c}"))) }),
            _ => json!({ "auth_type": "TOKEN", "token": "a", "passphrase": c }),
        };
        for target in [path.clone(), format!("{path}?force=true"), format!("{path}/rotate"), format!("{path}/validate")]
        {
            said.push_str(&client.post(&target, &body).await.text());
        }
        client.post(&format!("/api/v1/clusters/{id}/refresh"), &json!({})).await;
    }
    for page in [
        "/api/v1/clusters",
        "/api/v1/events?limit=1000",
        "/api/v1/audit?limit=1000",
        "/api/v1/fleet/credentials",
        "/metrics",
        "/health/detailed",
        &path,
        &format!("/api/v1/clusters/{id}"),
        &format!("/api/v1/clusters/{id}/status"),
    ] {
        said.push_str(&client.get(page).await.text());
    }
    import_canaries(product, &mut said);
    // Spans go out in batches: the last request's is there when all before it are.
    let spans = eventually(SOON, async || {
        let spans = collector.spans();
        let is_told = |route: &str| spans.iter().any(|span| span.attribute("http.route") == route);
        let told = is_told("/api/v1/clusters/{id}/credentials") && is_told("/api/v1/clusters/{id}/credentials/rotate");
        if told && is_told("/api/v1/clusters/{id}/status") { Ok(spans.len()) } else { Err(spans.len()) }
    })
    .await;
    println!("{spans} spans were exported");
    said.push_str(&product.logs());
    assert!(said.contains("\"stored\""), "some were stored");
    let mut places = vec![("what it said".to_owned(), said.into_bytes()), ("its traces".to_owned(), collector.bytes())];
    read_all(&product.data_dir(), &mut places);
    match server {
        None => assert!(places.iter().any(|(name, _)| name.ends_with("fleetbeat.db"))),
        Some(server) => {
            // Everything that is still in its memory goes to its files.
            server.execute("postgres", "CHECKPOINT".to_owned()).await;
            read_all(&server.data_dir(), &mut places);
            places.push(("the server's log".to_owned(), server.log().into_bytes()));
            assert!(
                places.iter().any(|(name, bytes)| name.contains("/base/") && contains(bytes, &id)),
                "rows are seen"
            );
        }
    }
    let traces = Traces::of(&(0..50).map(canary).collect::<Vec<_>>());
    let found: Vec<_> = places.iter().filter(|(_, bytes)| traces.are_in(bytes)).map(|(name, _)| name).collect();
    println!("50 canaries, {} places, {} hits", places.len(), found.len());
    assert!(found.is_empty(), "{found:?}");
}

/// Canaries in a kubeconfig that the command line imports: what it says and what the server is told of it.
fn import_canaries(product: &Product, said: &mut String) {
    let users = (0..50).map(|n| match n % 3 {
        0 => format!("- {{name: u{n}, user: {{token: {}}}}}\n", canary(n)),
        1 => format!("- {{name: u{n}, user: {{exec: {{command: {}}}}}}}\n", canary(n)),
        _ => format!("- {{name: u{n}, user: {{username: a, password: {}}}}}\n", canary(n)),
    });
    let clusters = (0..50).map(|n| format!("- {{name: c{n}, cluster: {{server: 'https://127.0.0.1:9'}}}}\n"));
    let contexts = (0..50).map(|n| format!("- {{name: ctx-{n}, context: {{cluster: c{n}, user: u{n}}}}}\n"));
    let lists =
        [("users", users.collect()), ("clusters", clusters.collect()), ("contexts", contexts.collect::<String>())];
    let lists = lists.map(|(key, list): (_, String)| format!("{key}:\n{list}")).concat();
    let scratch = Scratch::new();
    let file = scratch.write("kubeconfig", &format!("apiVersion: v1\nkind: Config\n{lists}"), None);
    let url = product.url();
    let done = product.run(&["clusters", "import", "--kubeconfig", file.to_str().unwrap(), "--server", &url]);
    assert_eq!(done.status.code(), Some(1), "nobody listens there");
    for text in [&done.stdout, &done.stderr] {
        said.push_str(&String::from_utf8_lossy(text));
    }
}

fn canary(n: usize) -> String {
    format!("canary{n:02}secret{:08x}", n * 0x0123_4567 % 0xffff_ffff)
}

fn read_all(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Texts, each plain and as it looks inside base64, wherever it begins there.
struct Traces {
    texts: Vec<Vec<u8>>,
    /// What they begin with: a look at it spares most comparisons.
    beginnings: Vec<[u8; 4]>,
}

impl Traces {
    fn of(secrets: &[String]) -> Self {
        let mut texts: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
        for (before, cut) in [("", 0), ("x", 2), ("xx", 3)] {
            let encoded = secrets.iter().map(|secret| base64(&format!("{before}{secret}")));
            texts.extend(encoded.map(|text| text.as_bytes()[cut..text.len() - 4].to_vec()));
        }
        let mut beginnings: Vec<[u8; 4]> = texts.iter().map(|text| text[..4].try_into().unwrap()).collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        Self { texts, beginnings }
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        let begins = |window: &[u8]| self.beginnings.iter().any(|beginning| window == beginning);
        let mut places = bytes.windows(4).enumerate().filter(|(_, window)| begins(window));
        places.any(|(at, _)| self.texts.iter().any(|text| bytes[at..].starts_with(text)))
    }
}

#[test]
fn a_canary_is_seen_plain_and_at_every_place_in_base64() {
    let traces = Traces::of(&[canary(7)]);
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{}: after", canary(7));
        assert!(traces.are_in(text.as_bytes()) && traces.are_in(base64(&text).as_bytes()), "{text}");
    }
    assert!(!traces.are_in(canary(8).as_bytes()) && !traces.are_in(b""));
}
