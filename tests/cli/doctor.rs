//! `fleetbeat doctor`: everything that fleetbeat needs, looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::desk::{Desk, Said, spokes};
use super::support::{Authority, Postgres, Product, Redis, Scratch, eventually, free_port};

fn verdict<'a>(said: &'a Value, what: &str) -> (&'a str, &'a str) {
    let items = said["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["what"] == what).unwrap_or_else(|| panic!("no {what} in {said}"));
    (found["verdict"].as_str().unwrap(), found["told"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_installation_is_found_healthy_beside_its_server() {
    let (desk, fleet) = (Desk::open().await, spokes(1, 3));
    let file = desk.product.data_dir().join("fleet.json");
    std::fs::write(&file, serde_json::to_string(&fleet.registrations()).unwrap()).unwrap();
    desk.ask(&["clusters", "import", file.to_str().unwrap()]).expect(0);
    let name = &fleet.spokes()[0].name;
    let said = desk.ask(&["doctor", name, "-o", "json"]).expect(0).json();
    for what in ["settings", "data directory", "database", "descriptors", "server", "clock"] {
        assert_eq!(verdict(&said, what).0, "good", "{said}");
    }
    assert_eq!((verdict(&said, "Redis").0, verdict(&said, "hub").0), ("absent", "absent"));
    for phase in ["name", "connect", "tls", "answer"] {
        assert!(verdict(&said, &format!("cluster: {phase}")).1.contains(" ms, "), "{said}");
    }
    assert!(verdict(&said, "cluster: answer").1.contains("200 OK"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_found_and_ends_with_an_error() {
    let desk = Desk::open().await;
    desk.add_dead("gone-1", &[]).await;
    let said = desk.ask(&["doctor", "gone-1", "--redis-url", "redis://127.0.0.1:1/0", "-o", "json"]).expect(1).json();
    assert_eq!(verdict(&said, "cluster: connect"), ("bad", "refused"));
    assert_eq!(verdict(&said, "Redis").0, "bad");
    let text = desk.ask(&["doctor", "--database-url", "postgresql://nobody:s3cret@127.0.0.1:1/x"]).expect(1);
    assert!(text.out.contains("bad") && !text.out.contains("s3cret") && !text.err.contains("s3cret"), "{text:?}");
    let wrong = desk.ask(&["doctor", "--listen", "nonsense", "-o", "json"]).expect(1).json();
    assert_eq!(verdict(&wrong, "settings").0, "bad");
    desk.ask(&["doctor", "nobody"]).expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_database_is_looked_at_without_being_changed() {
    let desk = Desk::open().await;
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let said: Said = desk.ask(&["doctor", "--database-url", &url, "-o", "json"]).expect(0);
    let said = said.json();
    assert!(verdict(&said, "database").1.starts_with("PostgreSQL "), "{said}");
    assert!(verdict(&said, "clock").1.contains("from the database"), "{said}");
}

/// What doctor finds of Redis at a URL, by the authorities of a file.
fn of_redis(url: &str, ca_file: &Path) -> (String, String) {
    let product = Product::new().set("redis_url", url);
    let product = if url.starts_with("rediss:") { product.set("redis_ca_file", ca_file.display()) } else { product };
    let said = Said::from(product.run(&["doctor", "-o", "json"]));
    assert!(!said.out.contains("s3cret") && !said.err.contains("s3cret"), "{said:?}");
    let said = said.json();
    let (is, told) = verdict(&said, "Redis");
    (is.to_owned(), told.to_owned())
}

/// Waits until doctor finds this: on a busy machine it may have found no more than that nobody answers in time.
async fn until_found(url: String, ca_file: PathBuf, expected: &'static str) {
    eventually(Duration::from_secs(90), async || {
        let (url, ca_file) = (url.clone(), ca_file.clone());
        let (is, told) = tokio::task::spawn_blocking(move || of_redis(&url, &ca_file)).await.unwrap();
        if (is.as_str(), told.as_str()) == ("bad", expected) { Ok(()) } else { Err(format!("{is}: {told}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_redis_cannot_be_used_is_said() {
    let (secured, guarded) = (Redis::start_with_tls().await, Redis::start_with_password("s3cret-own").await);
    let (scratch, own) = (Scratch::new(), secured.ca_file());
    let other = scratch.write("other.pem", &Authority::new().pem(), None);
    // Another spelling of 127.0.0.1, for which the certificate is not.
    let misnamed = secured.url().replace("127.0.0.1", "0x7f000001");
    let wrong = guarded.url().replace("s3cret-own", "s3cret-other");
    let away = format!("redis://127.0.0.1:{}/0", free_port());
    for (url, ca_file, expected) in [
        (secured.url(), &other, "TLS failed: its certificate is not trusted"),
        (misnamed, &own, "TLS failed: its certificate is for another name"),
        (away, &own, "connection refused"),
        (wrong, &own, "refused our credentials (WRONGPASS)"),
    ] {
        until_found(url, ca_file.clone(), expected).await;
    }
}
