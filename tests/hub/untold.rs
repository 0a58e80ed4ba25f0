//! A Secret and what tells of it cannot be written in one transaction. The process is killed between the two, by a database that
//! takes no event of changed credentials; at the next start everybody is told.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use super::secrets::House;
use crate::support::eventually;

const SOON: Duration = Duration::from_secs(30);

/// The database takes no event of changed credentials, and takes them again.
const REFUSE: &str = "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.event_type = 'CLUSTER_CREDENTIALS_UPDATED' \
    BEGIN SELECT RAISE(ABORT, 'not now'); END";
const TAKE: &str = "DROP TRIGGER refuse";

async fn database(house: &House, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(house.product.data_dir().join("fleetbeat.db"));
    let mut connection: SqliteConnection = options.busy_timeout(Duration::from_secs(20)).connect().await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

/// Kills the process once `has_written` holds of the Secret, while nothing of it can be told.
async fn interrupted(
    house: &mut House,
    method: &str,
    path: &str,
    body: &Value,
    has_written: impl Fn(Option<&Value>) -> bool,
) {
    database(house, REFUSE).await;
    eventually(SOON, async || {
        let answer = match method {
            "POST" => house.client.post(path, body).await,
            _ => house.client.delete(path).await,
        };
        assert!(answer.status >= 500, "{}", answer.text());
        if has_written(house.try_secret().await.as_ref()) { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    house.product.kill9();
    database(house, TAKE).await;
}

impl House {
    /// The action and the actor of the last rows about credentials.
    async fn last_audit(&self) -> (String, String) {
        let rows = self.client.get(&format!("/api/v1/audit?cluster_id={}&limit=100", self.id)).await.expect(200).json();
        let rows = rows["items"].as_array().unwrap().clone();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let row =
            rows.iter().find(|row| text(row, "action").starts_with("credentials.") && row["outcome"] == "succeeded");
        row.map(|row| (text(row, "action"), text(row, "actor"))).unwrap_or_default()
    }

    async fn until_told(&self, actions: &[&str]) {
        eventually(SOON, async || {
            let told = self.told().await;
            if told == actions { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_told_before_the_end_of_the_process_is_told_at_the_next_start() {
    let Some(mut house) = House::open().await else { return };
    let (path, rotate) = (house.path(), format!("{}/rotate?force=true", house.path()));
    let upload = json!({ "auth_type": "TOKEN", "token": house.server.token() });
    let force = format!("{path}?force=true");

    interrupted(&mut house, "POST", &force, &upload, |secret| secret.is_some()).await;
    house.product.start().await;
    house.until_told(&["uploaded"]).await;
    let by = ("credentials.upload".to_owned(), "local".to_owned());
    assert_eq!(house.last_audit().await, by, "the audit log names who did it");
    house.until("DEGRADED", "refused").await;

    let fresh = house.server.token_for("aiops-nextgen", "fleetbeat", "").await;
    let rotated = json!({ "auth_type": "TOKEN", "token": fresh });
    let is_new = |secret: Option<&Value>| secret.is_some_and(|secret| House::token_in(secret) == fresh);
    interrupted(&mut house, "POST", &rotate, &rotated, is_new).await;
    house.product.start().await;
    house.until_told(&["uploaded", "rotated"]).await;
    assert_eq!(house.last_audit().await.0, "credentials.rotate");

    // Told once: another start tells nothing, and neither does a label that somebody else sets.
    let mut secret = house.secret().await;
    secret["metadata"]["labels"]["theirs"] = json!("1");
    house.server.command("PUT", &house.secret_path(), &secret).await;
    house.product.kill9();
    house.product.start().await;

    interrupted(&mut house, "DELETE", &path, &json!({}), |secret| secret.is_none()).await;
    house.product.start().await;
    eventually(SOON, async || {
        let told = house.told().await;
        if told.last().is_some_and(|last| last == "deleted") { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    assert_eq!(house.last_audit().await.0, "credentials.delete");
    let told = house.told().await;
    assert_eq!(told.iter().filter(|action| *action != "noticed").count(), 3, "{told:?}");
    let verified = house.client.get("/api/v1/audit/verification").await.expect(200).json();
    assert_eq!(verified["whole"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_did_while_nobody_watched_is_told_at_the_next_start() {
    let Some(mut house) = House::open().await else { return };
    let upload = json!({ "auth_type": "TOKEN", "token": house.server.token() });
    house.client.post(&house.path(), &upload).await.expect(200);
    house.product.terminate(Duration::from_secs(20)).await;
    let nobody = house.server.service_account("nobody").await;
    let theirs = super::secrets::replaced(house.secret().await, &house.server.kubeconfig(&nobody));
    house.server.command("PUT", &house.secret_path(), &theirs).await;
    house.product.start().await;
    house.until_told(&["uploaded", "noticed"]).await;
    assert_eq!(house.last_audit().await, ("credentials.notice".to_owned(), "system".to_owned()));
    house.until("DEGRADED", "forbidden").await;
    house.product.terminate(Duration::from_secs(20)).await;
    house.product.start().await;
    house.until("DEGRADED", "forbidden").await;
    assert_eq!(house.told().await, ["uploaded", "noticed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_others_set_while_nobody_watched_is_not_told_of() {
    let Some(mut house) = House::open().await else { return };
    let upload = json!({ "auth_type": "TOKEN", "token": house.server.token() });
    house.client.post(&format!("{}?force=true", house.path()), &upload).await.expect(200);
    house.until("DEGRADED", "refused").await;

    // Another label, twice, and other bytes that mean the same.
    for change in ["1", "2", "words"] {
        house.product.terminate(Duration::from_secs(20)).await;
        let mut secret = house.secret().await;
        secret["metadata"]["labels"]["theirs"] = json!(change);
        if change == "words" {
            secret = super::secrets::replaced(secret, &house.server.kubeconfig(house.server.token()));
        }
        house.server.command("PUT", &house.secret_path(), &secret).await;
        house.product.start().await;
        // Credentials are used only once everything was told of that happened meanwhile.
        eventually(SOON, async || house.client.get(&house.path()).await.status == 200).await;
        house.until("DEGRADED", "refused").await;
    }
    assert_eq!(house.told().await, ["uploaded"]);

    // A token beside the kubeconfig is something else.
    house.product.terminate(Duration::from_secs(20)).await;
    let mut secret = house.secret().await;
    secret["data"]["prometheus-token"] = json!("bWV0cmljcw==");
    house.server.command("PUT", &house.secret_path(), &secret).await;
    house.product.start().await;
    house.until_told(&["uploaded", "noticed"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_did_not_take_at_once_is_told_when_it_does() {
    let Some(house) = House::open().await else { return };
    database(&house, REFUSE).await;
    let force = format!("{}?force=true", house.path());
    let upload = json!({ "auth_type": "TOKEN", "token": house.server.token() });
    eventually(SOON, async || {
        let answer = house.client.post(&force, &upload).await;
        assert!(answer.status >= 500, "{}", answer.text());
        if house.try_secret().await.is_some() { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    database(&house, TAKE).await;
    house.until_told(&["uploaded"]).await;
    assert_eq!(house.last_audit().await.0, "credentials.upload");
    house.until("DEGRADED", "refused").await;
}
