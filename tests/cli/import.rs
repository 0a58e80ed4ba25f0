//! `fleetbeat clusters import`: files, kubeconfigs, standard input; twice, and rehearsed.

use base64::{Engine, prelude::BASE64_STANDARD};
use fleetbeat_loadtest::spokes::{Fleet, FleetOptions, Ports};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::desk::{Desk, spokes};
use super::steady::steady;

const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
users:
- {name: admin, user: {token: a-secret-token}}
clusters:
- {name: prod, cluster: {server: "https://127.0.0.1:1", tls-server-name: kubernetes}}
- {name: by-file, cluster: {server: "https://127.0.0.1:2", certificate-authority: /etc/ca.pem}}
contexts:
- {name: "admin@Prod_1", context: {cluster: prod, user: admin}}
- {name: "viewer@Prod_1", context: {cluster: prod, user: admin}}
- {name: by-file, context: {cluster: by-file, user: admin}}
"#;

fn write(desk: &Desk, name: &str, text: &str) -> String {
    let path = desk.product.data_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_once_however_often_it_is_given() {
    let (desk, fleet) = (Desk::open().await, spokes(250, 22));
    let file = write(&desk, "fleet.yaml", &serde_saphyr::to_string(&fleet.registrations()).unwrap());
    let rehearsed = desk.ask(&["clusters", "import", &file, "--dry-run"]).expect(0);
    assert_eq!(rehearsed.err, "250 would be created\n");
    assert_eq!(desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out, "");
    assert_eq!(desk.ask(&["clusters", "import", &file]).expect(0).err, "250 created\n");
    assert_eq!(desk.ask(&["clusters", "import", &file]).expect(0).err, "250 unchanged\n");
    assert_eq!(desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out.lines().count(), 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_gives_its_contexts_and_keeps_its_secrets() {
    let desk = Desk::open().await;
    let file = write(&desk, "kubeconfig", KUBECONFIG);
    let rehearsed = desk.ask(&["clusters", "import", "--kubeconfig", &file, "--dry-run"]).expect(1);
    assert_snapshot!("kubeconfig_rehearsed", rehearsed.out);
    let done = desk.ask(&["clusters", "import", "--kubeconfig", &file, "--environment", "lab"]).expect(1);
    assert_snapshot!("kubeconfig", format!("{}---\n{}", done.out, done.err));
    let cluster = desk.ask(&["clusters", "get", "admin-prod-1", "-o", "json"]).expect(0).json();
    assert_eq!(cluster["tls_server_name"], "kubernetes");
    assert_eq!(cluster["environment"], "LAB");
    assert!(!cluster.to_string().contains("a-secret-token"));
    // Nobody listens there, so its credentials cannot be tried, and nothing is stored.
    let one = desk.ask(&["clusters", "import", &file, "--context", "admin@Prod_1", "-o", "json"]).expect(1).json();
    assert_eq!((&one["items"][0]["result"], &one["items"][0]["credentials"]), (&json!("unchanged"), &json!("failed")));
    assert!(!one.to_string().contains("a-secret-token"));
    desk.ask(&["clusters", "import", "--kubeconfig", &file, "--context", "nobody"]).expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_has_its_own_result_and_nonsense_is_refused_whole() {
    let desk = Desk::open().await;
    let clusters = r#"{"clusters":[{"name":"one","api_server_url":"https://127.0.0.1:1"},{"name":"X"}]}"#;
    let said = desk.shell(&format!("echo '{clusters}' | $fleetbeat clusters import -")).expect(1);
    assert_snapshot!("items", steady(&format!("{}---\n{}", said.out, said.err)));
    for (name, text) in
        [("a.yaml", "clusters: 5"), ("b.json", "{\"clusters\": ["), ("c.yaml", "just words"), ("d.yaml", "[7]")]
    {
        desk.ask(&["clusters", "import", &write(&desk, name, text)]).expect(1);
    }
    desk.ask(&["clusters", "import", "/nowhere/at/all"]).expect(1);
    desk.ask(&["clusters", "import"]).expect(2);
}

/// A kubeconfig of spokes that want tokens: the second context's user runs a program, the third shows a wrong token.
fn kubeconfig_of(fleet: &Fleet) -> String {
    let registered = serde_json::to_value(fleet.registrations()).unwrap();
    let token = |at: usize| fleet.spokes()[at].token.clone().unwrap();
    let users = [
        json!({ "token": token(0) }),
        json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": ["ran"] } }),
        json!({ "token": "a-wrong-token" }),
    ];
    let named = |kind: &str, at: usize, inner: Value| json!({ "name": format!("spoke-{at}"), kind: inner });
    let list = |one: &dyn Fn(usize) -> Value| (0..3).map(one).collect::<Vec<_>>();
    let cluster = |at: usize| {
        let spoke = &registered["clusters"][at];
        let ca = BASE64_STANDARD.encode(spoke["ca_bundle"].as_str().unwrap());
        named("cluster", at, json!({ "server": spoke["api_server_url"], "certificate-authority-data": ca }))
    };
    let name = |at: usize| format!("spoke-{at}");
    json!({
        "apiVersion": "v1", "kind": "Config", "clusters": list(&cluster),
        "users": list(&|at| named("user", at, users[at].clone())),
        "contexts": list(&|at| named("context", at, json!({ "cluster": name(at), "user": name(at) }))),
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_s_inline_credentials_are_tried_stored_and_kept() {
    let desk = Desk::open().await;
    let options = FleetOptions { count: 3, seed: 7, ports: Ports::ANY, require_token: true, ..FleetOptions::default() };
    let fleet = Fleet::start_on_own_threads(&options, 1).unwrap();
    let file = write(&desk, "kubeconfig", &kubeconfig_of(&fleet));
    let import = |more: &[&str]| {
        let arguments = ["clusters", "import", "--kubeconfig", file.as_str(), "-o", "json"];
        desk.ask(&[&arguments[..], more].concat())
    };
    let became = |json: &Value| -> Vec<String> {
        let word =
            |item: &Value| format!("{} {}", item["result"].as_str().unwrap(), item["credentials"].as_str().unwrap());
        json["items"].as_array().unwrap().iter().map(word).collect()
    };
    let rehearsed = import(&["--dry-run"]).expect(0).json();
    let would = ["would be tried", "none", "would be tried"].map(|word| format!("would be created {word}"));
    assert_eq!(became(&rehearsed), would);
    assert_eq!(desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out, "", "a rehearsal changes nothing");

    let done = import(&[]).expect(1);
    assert_eq!(became(&done.json()), ["created stored", "created none", "created failed"]);
    let why = |at: usize| done.json()["items"][at]["message"].as_str().unwrap().to_owned();
    assert!(why(1).contains("users[1].user.exec"), "{}", why(1));
    assert!(why(2).contains("does not accept"), "{}", why(2));
    assert!(!desk.product.data_dir().with_file_name("ran").exists(), "nothing is run");
    for secret in [fleet.spokes()[0].token.as_deref().unwrap(), "a-wrong-token"] {
        assert!(!done.out.contains(secret) && !done.err.contains(secret));
    }
    desk.until("spoke-0", "ONLINE").await;

    let again = import(&["--context", "spoke-0", "--context", "spoke-1"]).expect(0).json();
    assert_eq!(became(&again), ["unchanged unchanged", "unchanged none"]);
    let uploads = desk.product.client().get("/api/v1/audit?action=credentials.upload").await.json();
    let stored = uploads["items"].as_array().unwrap().iter().filter(|row| row["outcome"] == "succeeded");
    assert_eq!(stored.count(), 1, "{uploads}");
}
