//! `fleetbeat clusters import --from`: what hubs keep of other clusters. Secrets are those of a real kube-apiserver; custom
//! objects come from a small server of the test's own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::desk::{Desk, Said};
use super::support::{Authority, KubeApiserver, eventually};

const SOON: Duration = Duration::from_secs(60);

/// A server of fleetbeat, a hub, and the kubeconfig that leads there.
struct House {
    desk: Desk,
    hub: KubeApiserver,
    kubeconfig: String,
}

impl House {
    async fn open() -> Option<Self> {
        let hub = KubeApiserver::start_if_present().await?;
        let desk = Desk::open().await;
        let kubeconfig = write(&desk, "hub.yaml", &hub.kubeconfig(hub.token()));
        for namespace in ["argocd", "clusters"] {
            hub.command("POST", "/api/v1/namespaces", &json!({ "metadata": { "name": namespace } })).await;
        }
        Some(Self { desk, hub, kubeconfig })
    }

    fn import(&self, keeper: &str, more: &[&str]) -> Said {
        let arguments =
            ["clusters", "import", "--from", keeper, "--hub-kubeconfig", self.kubeconfig.as_str(), "-o", "json"];
        self.desk.ask(&[&arguments[..], more].concat())
    }

    async fn put_argo(&self, method: &str, secret: &str, name: &str, server: &str, config: &Value) {
        let labels = json!({ "argocd.argoproj.io/secret-type": "cluster", "team": "core" });
        let object = json!({ "metadata": { "name": secret, "namespace": "argocd", "labels": labels },
            "stringData": { "name": name, "server": server, "config": config.to_string() } });
        let path = "/api/v1/namespaces/argocd/secrets";
        let path = if method == "PUT" { format!("{path}/{secret}") } else { path.to_owned() };
        self.hub.command(method, &path, &object).await;
    }

    async fn put_capi(&self, cluster: &str, secret: &str, kubeconfig: &str) {
        let labels = json!({ "cluster.x-k8s.io/cluster-name": cluster });
        let object = json!({ "metadata": { "name": secret, "labels": labels }, "type": "cluster.x-k8s.io/secret",
            "stringData": { "value": kubeconfig } });
        self.hub.command("POST", "/api/v1/namespaces/clusters/secrets", &object).await;
    }

    fn argo_config(&self) -> Value {
        let ca = BASE64_STANDARD.encode(self.hub.ca_pem());
        json!({ "bearerToken": self.hub.token(), "tlsClientConfig": { "insecure": false, "caData": ca } })
    }

    fn cluster(&self, name: &str) -> Value {
        self.desk.ask(&["clusters", "get", name, "-o", "json"]).expect(0).json()
    }
}

fn write(desk: &Desk, name: &str, text: &str) -> String {
    let path = desk.product.data_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `name result credentials` of each item.
fn became(said: &Said) -> Vec<String> {
    let words = |item: &Value| {
        let text = |key: &str| item[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text("name"), text("result"), text("credentials"))
    };
    said.json()["items"].as_array().unwrap().iter().map(words).collect()
}

fn why(said: &Said, name: &str) -> String {
    let json = said.json();
    let item = json["items"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap();
    item["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn argo_cd_s_clusters_come_with_their_credentials_and_are_found_again() {
    let Some(house) = House::open().await else { return };
    let (url, config) = (house.hub.url(), house.argo_config());
    let elsewhere = "https://127.0.0.1:1";
    house.put_argo("POST", "a", "Prod East", &url, &config).await;
    let aws = json!({ "awsAuthConfig": { "clusterName": "x" }, "tlsClientConfig": config["tlsClientConfig"] });
    house.put_argo("POST", "b", "by-aws", elsewhere, &aws).await;
    let runs = json!({ "execProviderConfig": { "command": "touch", "args": ["ran"] } });
    house.put_argo("POST", "c", "by-program", elsewhere, &runs).await;
    house.put_argo("POST", "d", "itself", "https://kubernetes.default.svc", &config).await;
    house.put_argo("POST", "e", "blind", elsewhere, &json!({ "tlsClientConfig": { "insecure": true } })).await;

    let would = house.import("argocd", &["--dry-run"]).expect(1);
    assert_eq!(
        became(&would),
        [
            "prod-east would be created would be tried",
            "by-aws would be created none",
            "by-program would be created none",
            "itself skipped -",
            "blind failed -"
        ]
    );
    assert!(why(&would, "by-aws").contains("awsAuthConfig") && why(&would, "by-program").contains("runs a program"));
    assert!(why(&would, "itself").contains("the hub itself") && why(&would, "blind").contains("insecure"));
    assert_eq!(house.desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out, "", "a rehearsal changes nothing");

    let done = house.import("argocd", &["--environment", "production"]).expect(1);
    assert_eq!(became(&done)[..2], ["prod-east created stored", "by-aws created none"]);
    for said in [&would, &done] {
        assert!(!said.out.contains(house.hub.token()) && !said.err.contains(house.hub.token()));
    }
    let cluster = house.cluster("prod-east");
    let place = |key: &str| cluster[key].as_str().unwrap().to_owned();
    assert_eq!((place("display_name").as_str(), place("environment").as_str()), ("Prod East", "PRODUCTION"));
    assert_eq!(cluster["labels"], json!({ "team": "core" }));
    assert!(place("source").starts_with("argocd:") && place("source").ends_with("/argocd/a"), "{cluster}");
    house.desk.until("prod-east", "ONLINE").await;
    for shown in [&["clusters", "describe", "prod-east"][..], &["clusters", "list", "-o", "wide"]] {
        let said = house.desk.ask(shown).expect(0).out;
        assert!(said.contains(&place("source")), "{said}");
    }

    let again = house.import("argocd", &[]).expect(1);
    assert_eq!(
        became(&again)[..3],
        ["prod-east unchanged unchanged", "by-aws unchanged none", "by-program unchanged none"]
    );
    assert_eq!(became(&house.import("argocd", &["--dry-run"]).expect(1))[0], "prod-east unchanged unchanged");

    // Renamed there, labelled here: the same cluster, with both.
    let path = format!("/api/v1/clusters/{}", place("id"));
    let labels = json!({ "labels": { "team": "core", "mine": "1" } });
    house.desk.product.client().put(&path, &labels).await.expect(200);
    house.put_argo("PUT", "a", "Prod West", &url, &config).await;
    assert_eq!(became(&house.import("argocd", &["--dry-run"]).expect(1))[0], "prod-east would change unchanged");
    assert_eq!(became(&house.import("argocd", &[]).expect(1))[0], "prod-east updated unchanged");
    let after = house.cluster("prod-east");
    assert_eq!((&after["display_name"], &after["id"]), (&json!("Prod West"), &cluster["id"]));
    assert_eq!(after["labels"], json!({ "team": "core", "mine": "1" }));
    assert_eq!(became(&house.import("argocd", &[]).expect(1))[0], "prod-east unchanged unchanged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_api_s_kubeconfigs_are_read_strictly_and_a_name_from_elsewhere_is_told() {
    let Some(house) = House::open().await else { return };
    let good = house.hub.kubeconfig(house.hub.token());
    house.put_capi("edge", "edge-kubeconfig", &good).await;
    house.put_capi("edge", "edge-user-kubeconfig", "not: looked at").await;
    house.put_capi("edge", "edge-ca", "not looked at").await;
    let token = format!("{{token: '{}'}}", house.hub.token());
    house.put_capi("runs", "runs-kubeconfig", &good.replace(&token, "{exec: {command: touch}}")).await;
    let done = house.import("capi", &["--hub-namespace", "clusters"]).expect(1);
    assert_eq!(became(&done), ["edge created stored", "runs failed -"]);
    assert!(why(&done, "runs").contains("users[0].user.exec"), "{}", why(&done, "runs"));
    assert!(house.cluster("edge")["source"].as_str().unwrap().ends_with("/clusters/edge"));
    assert_eq!(became(&house.import("capi", &[]).expect(1))[0], "edge unchanged unchanged");

    // Argo CD has one of that name too: whose is it?
    house.put_argo("POST", "x", "edge", &house.hub.url(), &house.argo_config()).await;
    for more in [&["--dry-run"][..], &[]] {
        let said = house.import("argocd", more).expect(1);
        assert_eq!(became(&said), ["edge failed -"]);
        assert!(why(&said, "edge").contains("imported from capi:"), "{}", why(&said, "edge"));
    }

    // Who may not look is told so; a hub that is away is another exit code.
    let nobody = house.hub.service_account("nobody").await;
    let config = write(&house.desk, "nobody.yaml", &house.hub.kubeconfig(&nobody));
    let ask = |file: &str, more: &[&str]| {
        let arguments = ["clusters", "import", "--from", "argocd", "--hub-kubeconfig", file];
        house.desk.ask(&[&arguments[..], more].concat())
    };
    assert!(ask(&config, &[]).expect(1).err.contains("--hub-name"));
    assert!(ask(&config, &["--hub-name", "here"]).expect(1).err.contains("--hub-namespace"));
    let away = write(&house.desk, "away.yaml", &good.replace(&house.hub.url(), "https://127.0.0.1:1"));
    ask(&away, &[]).expect(4);
    ask("/nowhere/at/all", &[]).expect(2);
    ask(&config, &["--context", "nobody"]).expect(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_were_rotated_on_the_hub_are_proven_and_taken() {
    let Some(house) = House::open().await else { return };
    let (url, config) = (house.hub.url(), house.argo_config());
    house.put_argo("POST", "a", "spoke", &url, &config).await;
    assert_eq!(became(&house.import("argocd", &[]).expect(0)), ["spoke created stored"]);
    let id = house.cluster("spoke")["id"].as_str().unwrap().to_owned();
    let client = house.desk.product.client();
    let has = async |kind: &str| {
        let path = format!("/api/v1/clusters/{id}/credentials");
        client.get(&path).await.expect(200).json()["endpoints"][0][kind] == true
    };
    let audit = async |action: &str| {
        let rows = client.get(&format!("/api/v1/audit?action={action}&outcome=succeeded")).await.expect(200).json();
        rows["items"].as_array().unwrap().len()
    };

    // Another kind of credential there: rehearsed it is tried and not taken, then it is.
    let (certificate, key) = house.hub.client_certificate("fleet", "system:masters");
    let [certificate, key] = [certificate, key].map(|pem| BASE64_STANDARD.encode(pem));
    let tls = json!({ "insecure": false, "caData": config["tlsClientConfig"]["caData"], "certData": certificate, "keyData": key });
    house.put_argo("PUT", "a", "spoke", &url, &json!({ "tlsClientConfig": tls })).await;
    let would = house.import("argocd", &["--dry-run"]).expect(0);
    assert_eq!(became(&would), ["spoke unchanged would be replaced"]);
    assert!(why(&would, "spoke").contains("the cluster accepts the new ones"), "{}", why(&would, "spoke"));
    assert!(has("token").await && !has("client_certificate").await, "a rehearsal changes nothing");
    assert_eq!(audit("credentials.validate").await, 1, "a rehearsal shows them to the cluster, so it is told of");
    assert_eq!(became(&house.import("argocd", &[]).expect(0)), ["spoke unchanged replaced"]);
    assert!(!has("token").await && has("client_certificate").await);
    assert_eq!(became(&house.import("argocd", &[]).expect(0)), ["spoke unchanged unchanged"]);
    assert_eq!(audit("credentials.rotate").await, 1);

    // What the cluster does not accept changes nothing, and it is said what stays.
    let wrong = json!({ "bearerToken": "a-wrong-token", "tlsClientConfig": config["tlsClientConfig"] });
    house.put_argo("PUT", "a", "spoke", &url, &wrong).await;
    for more in [&["--dry-run"][..], &[]] {
        let said = house.import("argocd", more).expect(1);
        assert_eq!(became(&said), ["spoke unchanged failed"]);
        let why = why(&said, "spoke");
        assert!(why.contains("the old ones stay") && why.contains("does not accept"), "{why}");
        assert!(!said.out.contains("a-wrong-token") && !said.err.contains("a-wrong-token"));
    }
    assert!(has("client_certificate").await);
    house.desk.until("spoke", "ONLINE").await;

    // A kubeconfig is taken likewise. A token that is older than the one there of the same account is not.
    let kubeconfig = |token: &str| {
        house
            .hub
            .kubeconfig(token)
            .replace("name: x", "name: spoke")
            .replace("current-context: x", "current-context: spoke")
    };
    let fresh = house.hub.spoke_token(3_600).await;
    let file = write(&house.desk, "fresh.yaml", &kubeconfig(&fresh));
    let import = |file: &str| {
        let arguments = ["clusters", "import", "--kubeconfig", file, "--context", "spoke", "-o", "json"];
        house.desk.ask(&arguments)
    };
    assert_eq!(became(&import(&file).expect(0)), ["spoke unchanged replaced"]);
    let uid = house.hub.account_uid("fleetbeat", "fleetbeat").await;
    let end = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64 + 1_800;
    let older = house.hub.signed_token("fleetbeat", "fleetbeat", &uid, end);
    let file = write(&house.desk, "older.yaml", &kubeconfig(&older));
    let said = import(&file).expect(0);
    assert_eq!(became(&said), ["spoke unchanged kept"]);
    assert!(why(&said, "spoke").contains("newer token"), "{}", why(&said, "spoke"));
    house.desk.until("spoke", "ONLINE").await;
}

/// Defines a kind of custom objects on the hub, as whoever keeps clusters there does.
async fn define(hub: &KubeApiserver, group: &str, plural: &str, kind: &str, versions: &[&str]) {
    let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    let versions: Vec<_> = versions
        .iter()
        .enumerate()
        .map(|(n, name)| json!({ "name": name, "served": true, "storage": n == 0, "schema": schema }))
        .collect();
    let names =
        json!({ "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") });
    let scope = if kind == "ManagedCluster" { "Cluster" } else { "Namespaced" };
    let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": { "group": group, "scope": scope, "names": names, "versions": versions } });
    hub.command("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
    eventually(SOON, async || {
        let path = format!("/apis/{group}/v1/{plural}");
        let other = format!("/apis/{group}/v1beta1/{plural}");
        let (one, two) = (hub.ask(&path, Some(hub.token())).await, hub.ask(&other, Some(hub.token())).await);
        one.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
            || two.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    })
    .await;
}

/// The definitions are a real server's, found and listed as they are on any hub. Objects of them are not: reflect2 1.0.1, which this
/// old kube-apiserver is built with, breaks under every Go since 1.18 on the metadata of the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_hub_with_the_definitions_is_told_from_one_without() {
    let Some(house) = House::open().await else { return };
    let said = house.import("ocm", &[]).expect(1);
    assert!(said.err.contains("Open Cluster Management is not installed"), "{}", said.err);
    define(&house.hub, "cluster.open-cluster-management.io", "managedclusters", "ManagedCluster", &["v1"]).await;
    assert_eq!(became(&house.import("ocm", &[]).expect(0)), [""; 0], "it is installed, and manages nothing yet");

    // Labels of Cluster API's Clusters are read in the version that the hub prefers; without any, the kubeconfig is enough.
    define(&house.hub, "cluster.x-k8s.io", "clusters", "Cluster", &["v1beta1", "v1alpha4"]).await;
    house.put_capi("edge", "edge-kubeconfig", &house.hub.kubeconfig(house.hub.token())).await;
    assert_eq!(became(&house.import("capi", &[]).expect(0)), ["edge created stored"]);
}

/// A hub that says the same to everybody, by the path of the request.
async fn still_hub(pages: HashMap<&'static str, Value>) -> (String, String) {
    let authority = Authority::new();
    let (acceptor, ca) = (authority.acceptor(), authority.pem());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(tcp).await else { continue };
            let pages = pages.clone();
            let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                let page = pages.get(request.uri().path()).cloned();
                async move {
                    let missing =
                        || json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 });
                    let status = if page.is_some() { 200 } else { 404 };
                    let body = Full::<Bytes>::from(page.unwrap_or_else(missing).to_string());
                    let answer = Response::builder().status(status).header("content-type", "application/json");
                    Ok::<_, Infallible>(answer.body(body).unwrap())
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    let data = BASE64_STANDARD.encode(ca);
    let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "hub",
        "clusters": [{ "name": "hub", "cluster": { "server": url, "certificate-authority-data": data } }],
        "users": [{ "name": "me", "user": { "token": "a-token" } }],
        "contexts": [{ "name": "hub", "context": { "cluster": "hub", "user": "me" } }] });
    (url, config.to_string())
}

fn managed(name: &str, url: Option<&str>) -> Value {
    let configs: Vec<_> = url.iter().map(|url| json!({ "url": url })).collect();
    json!({ "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster",
        "metadata": { "name": name, "labels": { "cloud": "Amazon", "vendor": "OpenShift",
            "feature.open-cluster-management.io/addon-x": "available" } },
        "spec": { "hubAcceptsClient": true, "managedClusterClientConfigs": configs } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_clusters_come_with_their_labels_and_without_credentials() {
    let list = json!({ "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedClusterList",
        "metadata": {}, "items": [managed("far-edge-1", Some("https://127.0.0.1:1")), managed("not-yet", None)] });
    let namespace = json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": { "name": "kube-system", "uid": "11111111-2222-3333-4444-555555555555" } });
    let (_, config) = still_hub(HashMap::from([
        ("/apis/cluster.open-cluster-management.io/v1/managedclusters", list),
        ("/api/v1/namespaces/kube-system", namespace.clone()),
    ]))
    .await;
    let desk = Desk::open().await;
    let file = write(&desk, "hub.json", &config);
    let import = |file: &str| {
        let arguments = ["clusters", "import", "--from", "ocm", "--hub-kubeconfig", file, "-o", "json"];
        desk.ask(&arguments)
    };
    let done = import(&file).expect(0);
    assert_eq!(became(&done), ["far-edge-1 created none", "not-yet skipped -"]);
    assert_eq!(became(&import(&file).expect(0))[0], "far-edge-1 unchanged none");
    let cluster = desk.ask(&["clusters", "get", "far-edge-1", "-o", "json"]).expect(0).json();
    assert_eq!(cluster["source"], "ocm:11111111-2222-3333-4444-555555555555/far-edge-1");
    assert_eq!(cluster["labels"], json!({ "cloud": "Amazon", "vendor": "OpenShift" }));
    assert_eq!(cluster["platform"], "OPENSHIFT");

    let (_, bare) = still_hub(HashMap::from([("/api/v1/namespaces/kube-system", namespace)])).await;
    let said = import(&write(&desk, "bare.json", &bare)).expect(1);
    assert!(said.err.contains("Open Cluster Management is not installed"), "{}", said.err);
}
