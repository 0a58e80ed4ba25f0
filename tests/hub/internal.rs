//! The internal endpoint, with the real binary and a real kube-apiserver as its hub: who gets credentials, who does not, and what
//! the audit log tells of both.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Client, KubeApiserver, Product, eventually, free_port};

const SOON: Duration = Duration::from_secs(30);
const AUDIENCE: &str = "fleetbeat-internal";

/// A fleetbeat that hands out credentials on a listener of its own, and the hub that it also watches.
struct House {
    server: KubeApiserver,
    product: Product,
    public: Client,
    internal: String,
    id: String,
}

impl House {
    async fn open() -> Option<Self> {
        let server = KubeApiserver::start_if_present().await?;
        server.apply(include_str!("../../deploy/rbac/hub.yaml")).await;
        let token = server.token_for("aiops-nextgen", "fleetbeat", "").await;
        for account in ["collector", "stranger"] {
            server.service_account(account).await;
        }
        let listen = format!("127.0.0.1:{}", free_port());
        let product = Product::new()
            .set("internal.listen", &listen)
            .set("internal.allowed_service_accounts", "default/collector,elsewhere/stranger");
        let config = product.data_dir().with_file_name("hub-kubeconfig");
        std::fs::write(&config, server.kubeconfig(&token)).unwrap();
        let product = product.set("hub.kubeconfig", config.display()).started().await;
        let public = product.client();
        let body = json!({ "name": "spoke", "api_server_url": server.url(), "ca_bundle": server.ca_pem(),
            "platform": "KUBERNETES" });
        let id = public.post("/api/v1/clusters", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let given = json!({ "auth_type": "TOKEN", "token": server.token() });
        public.post(&format!("/api/v1/clusters/{id}/credentials"), &given).await.expect(200);
        Some(Self { server, product, public, internal: format!("http://{listen}"), id })
    }

    fn path(&self) -> String {
        format!("/internal/v1/clusters/{}/credentials", self.id)
    }

    async fn token(&self, account: &str, audience: &str) -> String {
        self.server.token_for("default", account, audience).await
    }

    async fn ask(&self, path: &str, token: &str) -> Answer {
        let client = Client::new(&self.internal).with_header("x-internal-token", token);
        let client = client.with_header("x-service-name", "observability-collector");
        client.with_header("x-request-id", "request-7").get(path).await
    }

    /// Rows about credentials that were read or asked for, the newest first.
    async fn rows(&self) -> Vec<Value> {
        let page = self.public.get("/api/v1/audit?action=credentials.read&limit=1000").await.expect(200).json();
        page["items"].as_array().unwrap().clone()
    }

    /// Waits for the row of something that was refused: those are written a moment later.
    async fn refused_row(&self, cause: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(SOON, async || {
            let rows = self.rows().await;
            found = rows.iter().find(|row| row["cause"] == cause && wanted(row)).cloned();
            if found.is_some() { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
        found.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_handed_to_an_allowed_account_and_that_is_told() {
    let Some(house) = House::open().await else { return };
    let good = house.token("collector", AUDIENCE).await;
    let answer = house.ask(&house.path(), &good).await.expect(200);
    assert_eq!((answer.header("cache-control"), answer.header("x-request-id")), ("no-store", "request-7"));
    let body = answer.json();
    assert_eq!((&body["cluster_id"], &body["cluster_name"]), (&json!(house.id), &json!("spoke")));
    let api = &body["endpoints"]["api_server"];
    assert_eq!((&api["token"], &api["auth_type"]), (&json!(house.server.token()), &json!("TOKEN")));
    assert_eq!(api["url"].as_str().unwrap().trim_end_matches('/'), house.server.url());
    assert_eq!(api["ca"].as_str().unwrap().trim(), house.server.ca_pem().trim());

    // Written before it was handed out: it is there at once, and says who it was, and what they only claim to be.
    let rows = house.rows().await;
    let row = rows.first().unwrap_or_else(|| panic!("no row"));
    let account = "system:serviceaccount:default:collector";
    assert_eq!(
        (&row["actor"], &row["method"]),
        (&json!(format!("kubernetes:{account}")), &json!("kubernetes")),
        "{row}"
    );
    assert_eq!((&row["outcome"], &row["cluster_id"]), (&json!("succeeded"), &json!(house.id)), "{row}");
    assert_eq!(row["request_id"], "request-7", "{row}");
    assert_eq!(row["details"]["claimed_service_name"], "observability-collector", "{row}");
    assert_eq!(row["details"]["endpoints"], json!(["api_server"]), "{row}");
    for secret in [house.server.token(), good.as_str()] {
        assert!(!row.to_string().contains(secret) && !house.product.logs().contains(secret));
    }

    // The public listener does not know the route, with or without a token; this one knows nothing else.
    let outside = house.public.clone().with_header("x-internal-token", &good);
    outside.get(&house.path()).await.expect(404);
    for path in ["/api/v1/clusters", "/health", "/metrics", "/"] {
        house.ask(path, &good).await.expect(404);
    }
    house.ask("/internal/v1/clusters/no-uuid/credentials", &good).await.expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_gets_anything() {
    let Some(house) = House::open().await else { return };
    let good = house.token("collector", AUDIENCE).await;
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let wrong_audience = house.token("collector", "fleetbeat").await;
    let server_s_own = house.token("collector", "").await;
    for refused in [forged.as_str(), &wrong_audience, &server_s_own, house.server.token(), "nonsense", ""] {
        let answer = house.ask(&house.path(), refused).await.expect(401);
        assert_eq!(answer.json()["error"]["code"], "AUTH_FAILED");
    }
    let anonymous = Client::new(&house.internal);
    anonymous.get(&house.path()).await.expect(401);
    let twice = anonymous.clone().with_header("x-internal-token", &good).with_header("x-internal-token", "second");
    let answer = twice.get(&house.path()).await;
    assert!(answer.status == 401, "two tokens: {}", answer.text());
    // Strangers are not told which clusters there are.
    let nowhere = "/internal/v1/clusters/00000000-0000-4000-8000-000000000000/credentials";
    anonymous.get(nowhere).await.expect(401);
    let row = house.refused_row("AUTH_FAILED", |row| row["cluster_id"] == json!(house.id)).await;
    assert_eq!((&row["actor"], &row["outcome"]), (&json!("anonymous"), &json!("refused")), "{row}");

    // An account of the right name in another namespace is allowed; this one is not.
    let stranger = house.token("stranger", AUDIENCE).await;
    let answer = house.ask(&house.path(), &stranger).await.expect(403);
    assert_eq!(answer.json()["error"]["code"], "PERMISSION_DENIED");
    let row = house.refused_row("PERMISSION_DENIED", |_| true).await;
    assert_eq!(row["actor"], "kubernetes:system:serviceaccount:default:stranger", "{row}");

    // What is not there.
    let answer = house.ask(nowhere, &good).await.expect(404);
    assert_eq!(answer.json()["error"]["code"], "CLUSTER_NOT_FOUND");
    house.public.delete(&format!("/api/v1/clusters/{}/credentials", house.id)).await.expect(204);
    let answer = house.ask(&house.path(), &good).await.expect(404);
    assert_eq!(answer.json()["error"]["code"], "CREDENTIALS_NOT_FOUND");
    house.refused_row("CREDENTIALS_NOT_FOUND", |row| row["cluster_id"] == json!(house.id)).await;
    assert!(house.rows().await.iter().all(|row| row["outcome"] != "succeeded"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_gone_means_that_nobody_gets_in() {
    let Some(mut house) = House::open().await else { return };
    let good = house.token("collector", AUDIENCE).await;
    house.ask(&house.path(), &good).await.expect(200);
    house.server.kill();
    // Also not those who were accepted a moment ago.
    let answer = house.ask(&house.path(), &good).await.expect(503);
    assert_eq!(answer.json()["error"]["code"], "DEPENDENCY_UNAVAILABLE");
    assert!(!answer.text().contains(house.server.token()));
    let row = house.refused_row("DEPENDENCY_UNAVAILABLE", |_| true).await;
    assert_eq!((&row["actor"], &row["outcome"]), (&json!("anonymous"), &json!("failed")), "{row}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_would_let_the_wrong_ones_in_are_refused_by_key() {
    let port = free_port();
    let accounts = ("internal.allowed_service_accounts", "default/collector".to_owned());
    let wrong = [
        ("internal.allowed_service_accounts", ("internal.listen", format!("127.0.0.1:{port}")), None),
        ("internal.listen", ("internal.listen", format!("0.0.0.0:{port}")), Some(accounts.clone())),
        ("internal.listen", ("internal.listen", format!("127.0.0.1:{port}")), Some(accounts)),
    ];
    for (named, (key, value), other) in wrong {
        let mut product = Product::new().set(key, value);
        if let Some((key, value)) = other {
            product.put(key, value);
        }
        let run = product.run(&["serve"]);
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && told.contains(named), "{named}: {told}");
    }
}
