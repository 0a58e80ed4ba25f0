//! Credentials in Secrets of a real kube-apiserver: written by us and read back as anybody would, and the other way round. The
//! hub is asked as a ServiceAccount with the rights of deploy/rbac/hub.yaml, and no others.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::{Client, KubeApiserver, Product, eventually};

const SOON: Duration = Duration::from_secs(30);
const SECRETS: &str = "/api/v1/namespaces/aiops-nextgen/secrets";

/// A fleetbeat in front of a hub that it also watches.
pub(super) struct House {
    pub(super) server: KubeApiserver,
    pub(super) product: Product,
    pub(super) client: Client,
    pub(super) id: String,
}

impl House {
    pub(super) async fn open() -> Option<Self> {
        let server = KubeApiserver::start_if_present().await?;
        server.apply(include_str!("../../deploy/rbac/hub.yaml")).await;
        let token = server.token_for("aiops-nextgen", "fleetbeat", "").await;
        let product = Product::new().set("credentials.store", "kubernetes");
        let config = product.data_dir().with_file_name("hub-kubeconfig");
        std::fs::write(&config, server.kubeconfig(&token)).unwrap();
        let product = product.set("hub.kubeconfig", config.display()).started().await;
        let client = product.client();
        let body = json!({ "name": "spoke", "api_server_url": server.url(), "ca_bundle": server.ca_pem(),
            "platform": "KUBERNETES", "endpoints": { "prometheus_url": "https://127.0.0.1:9" } });
        let answer = client.post("/api/v1/clusters", &body).await.expect(201).json();
        let id = answer["id"].as_str().unwrap().to_owned();
        Some(Self { server, product, client, id })
    }

    pub(super) fn path(&self) -> String {
        format!("/api/v1/clusters/{}/credentials", self.id)
    }

    pub(super) fn secret_path(&self) -> String {
        format!("{SECRETS}/cluster-creds-{}", self.id)
    }

    pub(super) async fn secret(&self) -> Value {
        self.server.command("GET", &self.secret_path(), &json!({})).await
    }

    /// The Secret, where there is one.
    pub(super) async fn try_secret(&self) -> Option<Value> {
        let all = self.server.command("GET", SECRETS, &json!({})).await;
        all["items"].as_array().unwrap().first().cloned()
    }

    /// The token that the kubeconfig in the Secret carries.
    pub(super) fn token_in(secret: &Value) -> String {
        let text = BASE64_STANDARD.decode(secret["data"]["kubeconfig"].as_str().unwrap()).unwrap();
        let config: Value = serde_saphyr::from_str(std::str::from_utf8(&text).unwrap()).unwrap();
        config["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn until(&self, state: &str, reason: &str) {
        eventually(SOON, async || {
            let status = self.client.get(&format!("/api/v1/clusters/{}/status", self.id)).await.json();
            if status["state"] == state && status["reason"] == reason { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    pub(super) async fn told(&self) -> Vec<String> {
        let path = format!("/api/v1/events?cluster_id={}&event_type=CLUSTER_CREDENTIALS_UPDATED&limit=100", self.id);
        let events = self.client.get(&path).await.expect(200).json();
        let events = events["items"].as_array().or_else(|| events["events"].as_array()).cloned().unwrap_or_default();
        events.iter().map(|event| event["payload"]["action"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

pub(super) fn replaced(mut secret: Value, kubeconfig: &str) -> Value {
    secret["data"]["kubeconfig"] = json!(BASE64_STANDARD.encode(kubeconfig));
    secret
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_has_the_promised_shape_and_what_others_write_is_used() {
    let Some(mut house) = House::open().await else { return };
    let (server, client) = (&house.server, &house.client);
    let upload = json!({ "auth_type": "TOKEN", "token": server.token(), "prometheus_token": "metrics" });
    client.post(&format!("{}?force=true", house.path()), &upload).await.expect(200);
    let secret = house.secret().await;
    assert_eq!(secret["metadata"]["name"], format!("cluster-creds-{}", house.id));
    let labels = json!({ "app.kubernetes.io/component": "cluster-registry", "aiops.io/cluster-id": house.id });
    assert_eq!(secret["metadata"]["labels"], labels);
    assert_eq!(secret["type"], "Opaque");
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["kubeconfig", "prometheus-token"]);
    assert_eq!(secret["data"]["prometheus-token"], BASE64_STANDARD.encode("metrics"));
    assert_eq!(House::token_in(&secret), server.token());
    house.until("DEGRADED", "refused").await;
    client.put(&format!("/api/v1/clusters/{}", house.id), &json!({ "endpoints": {} })).await.expect(200);
    house.until("ONLINE", "healthy").await;

    // Somebody writes a token that is not accepted; then, as a whole new Secret, one that is.
    server.command("PUT", &house.secret_path(), &replaced(house.secret().await, &server.kubeconfig("wrong"))).await;
    house.until("DEGRADED", "unauthorized").await;
    server.command("DELETE", &house.secret_path(), &json!({})).await;
    house.until("ONLINE", "healthy").await;
    assert_eq!(client.get(&house.path()).await.status, 404);
    let nobody = server.service_account("nobody").await;
    let fresh = json!({ "metadata": { "name": secret["metadata"]["name"], "labels": labels },
        "stringData": { "kubeconfig": server.kubeconfig(&nobody) } });
    server.command("POST", SECRETS, &fresh).await;
    house.until("DEGRADED", "forbidden").await;

    // What runs a program is not used, and nothing else is in its place.
    let hostile = server.kubeconfig("x").replace("{token: 'x'}", "{exec: {command: /bin/true}}");
    server.command("PUT", &house.secret_path(), &replaced(house.secret().await, &hostile)).await;
    eventually(SOON, async || client.get(&house.path()).await.status == 503).await;

    // After a restart what is kept there is read again; a rotation writes there.
    let good = replaced(house.secret().await, &server.kubeconfig(server.token()));
    server.command("PUT", &house.secret_path(), &good).await;
    house.until("ONLINE", "healthy").await;
    house.product.terminate(Duration::from_secs(20)).await;
    house.product.start().await;
    house.until("ONLINE", "healthy").await;
    let token = house.server.token_for("aiops-nextgen", "fleetbeat", "").await;
    let rotated = json!({ "auth_type": "TOKEN", "token": token });
    house.client.post(&format!("{}/rotate?force=true", house.path()), &rotated).await.expect(200);
    assert_eq!(House::token_in(&house.secret().await), token);

    let told = house.told().await;
    assert_eq!(told.first().map(String::as_str), Some("uploaded"), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("rotated"), "{told:?}");
    assert_eq!(told.iter().filter(|action| *action == "noticed").count(), 5, "{told:?}");
    let secrets = house.server.command("GET", SECRETS, &json!({})).await;
    assert_eq!(secrets["items"].as_array().unwrap().len(), 1);

    // A cluster that is gone leaves no Secret.
    house.client.delete(&format!("/api/v1/clusters/{}", house.id)).await.expect(204);
    eventually(SOON, async || {
        let left = house.server.command("GET", SECRETS, &json!({})).await;
        left["items"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_moves_leaves_no_token_in_its_secret() {
    let Some(house) = House::open().await else { return };
    let upload = json!({ "auth_type": "TOKEN", "token": house.server.token(), "prometheus_token": "metrics" });
    house.client.post(&format!("{}?force=true", house.path()), &upload).await.expect(200);
    let cluster = format!("/api/v1/clusters/{}", house.id);
    let moved = json!({ "endpoints": { "prometheus_url": "https://127.0.0.1:10" } });
    house.client.put(&cluster, &moved).await.expect(200);
    assert!(house.secret().await["data"].get("prometheus-token").is_none());
    house.client.put(&cluster, &json!({ "api_server_url": "https://127.0.0.1:11" })).await.expect(200);
    let secrets = house.server.command("GET", SECRETS, &json!({})).await;
    assert_eq!(secrets["items"], json!([]));
    assert_eq!(house.client.get(&house.path()).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_of_the_hub_allows_what_is_needed_and_nothing_else() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    server.apply(include_str!("../../deploy/rbac/hub.yaml")).await;
    let may = async |verb: &str, group: &str, resource: &str, namespace: &str| {
        let review = json!({ "spec": { "user": "system:serviceaccount:aiops-nextgen:fleetbeat",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": { "verb": verb, "group": group, "resource": resource, "namespace": namespace } } });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        server.command("POST", path, &review).await["status"]["allowed"] == true
    };
    for verb in ["get", "list", "watch", "create", "update", "delete"] {
        assert!(may(verb, "", "secrets", "aiops-nextgen").await, "{verb}");
        assert!(!may(verb, "", "secrets", "kube-system").await, "{verb}");
        assert!(!may(verb, "", "pods", "aiops-nextgen").await, "{verb}");
    }
    assert!(may("create", "authentication.k8s.io", "tokenreviews", "").await);
    for (verb, group, resource) in [
        ("patch", "", "secrets"),
        ("deletecollection", "", "secrets"),
        ("create", "", "serviceaccounts/token"),
        ("list", "", "nodes"),
        ("impersonate", "", "users"),
        ("create", "rbac.authorization.k8s.io", "rolebindings"),
    ] {
        assert!(!may(verb, group, resource, "aiops-nextgen").await, "{verb} {resource}");
    }
}
