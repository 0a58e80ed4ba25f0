//! `fleetbeat audit`: the log of a real server, tampered with behind its back.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use super::desk::{Desk, Said};
use super::support::{Postgres, Product};

fn add(desk: &Desk, name: &str) {
    desk.ask(&["clusters", "add", name, "--api-server", "https://127.0.0.1:1"]).expect(0);
}

/// The place of the last row, as it can be noted.
fn last(said: &Said) -> String {
    let found = said.json();
    format!("{}:{}", found["last"]["position"], found["last"]["hash"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_who_did_what_from_where_in_which_request() {
    let desk = Desk::open().await;
    add(&desk, "spoke-1");
    desk.ask(&["clusters", "add", "no good name", "--api-server", "https://127.0.0.1:1"]).expect(1);
    let named = desk.product.client().with_header("x-request-id", "my-request");
    named.delete("/api/v1/clusters/by-name/spoke-1").await.expect(405);
    desk.ask(&["audit", "verify"]).expect(0);
    let rows = desk.ask(&["audit", "list", "-o", "json"]).expect(0).json();
    let rows = rows["items"].as_array().unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row["action"].as_str().unwrap(), row["outcome"].as_str().unwrap())).collect();
    let expected = [("api.write", "refused"), ("cluster.create", "refused"), ("cluster.create", "succeeded")];
    assert_eq!(seen, expected, "{rows:?}");
    assert_eq!((&rows[0]["request_id"], &rows[0]["cause"]), (&"my-request".into(), &"METHOD_NOT_ALLOWED".into()));
    for row in rows {
        assert_eq!(row["actor"], "local", "{row}");
    }
    let table = desk.ask(&["audit", "list", "--outcome", "succeeded"]).expect(0).out;
    assert!(table.contains("cluster.create") && table.contains("spoke-1") && !table.contains("refused"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_changed_in_the_file_is_named_and_so_is_one_removed() {
    let mut desk = Desk::open().await;
    for name in ["spoke-1", "spoke-2", "spoke-3"] {
        add(&desk, name);
    }
    let noted = last(&desk.ask(&["audit", "verify", "-o", "json"]).expect(0));
    desk.ask(&["audit", "verify", "--expect", &noted]).expect(0);
    desk.product.terminate(Duration::from_secs(10)).await;
    let said = desk.ask(&["audit", "verify", "--local", "--expect", &noted]).expect(0);
    assert!(said.out.contains("is whole: 3 rows"), "{}", said.out);
    let other = format!("2:{}", noted.split_once(':').unwrap().1);
    let said = desk.ask(&["audit", "verify", "--local", "--expect", &other]).expect(1);
    assert!(said.err.contains("row 2 is another than the one that was expected"), "{}", said.err);
    run(&desk.product, "UPDATE audit SET object = 'somebody-else' WHERE position = 2").await;
    let said = desk.ask(&["audit", "verify", "--local"]).expect(1);
    assert!(said.err.contains("row 2 was changed"), "{}", said.err);
    run(&desk.product, "DELETE FROM audit WHERE position = 2").await;
    let said = desk.ask(&["audit", "verify", "--local", "-o", "json"]).expect(1);
    assert_eq!((&said.json()["broken"]["position"], &said.json()["broken"]["fault"]), (&2.into(), &"missing".into()));
    desk.product.start().await;
    let said = desk.ask(&["audit", "verify"]).expect(1);
    assert!(said.err.contains("row 2 is missing"), "{}", said.err);
    add(&desk, "spoke-4");
}

async fn run(product: &Product, statement: &'static str) {
    let url = format!("sqlite://{}", product.data_dir().join("fleetbeat.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_changed_on_the_server_is_named_and_so_is_one_removed() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let database = url.rsplit('/').next().unwrap().to_owned();
    let product = Product::new().set("database_url", &url);
    let own = product.url();
    let desk = Desk { product: product.with_variable("FLEETBEAT_SERVER", own).started().await };
    for name in ["spoke-1", "spoke-2", "spoke-3"] {
        add(&desk, name);
    }
    desk.ask(&["audit", "verify"]).expect(0);
    let change = "UPDATE clusters.audit SET outcome = 'refused' WHERE position = 3";
    postgres.execute(&database, change.to_owned()).await;
    let said = desk.ask(&["audit", "verify"]).expect(1);
    assert!(said.err.contains("row 3 was changed"), "{}", said.err);
    postgres.execute(&database, "DELETE FROM clusters.audit WHERE position = 1".to_owned()).await;
    let said = desk.ask(&["audit", "verify"]).expect(1);
    assert!(said.err.contains("row 1 is missing"), "{}", said.err);
}
