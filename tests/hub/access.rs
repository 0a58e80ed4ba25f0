//! Rights by the hub's own rules: a scripted hub that can fall silent, and a real kube-apiserver with roles and bindings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::spoke::{Act, Asked, Authority, Serving, Spoke};
use crate::support::{Answer, KubeApiserver, Product, Scratch, eventually, kubeconfig};

const SOON: Duration = Duration::from_secs(30);

/// A product that asks the hub of a kubeconfig who somebody is and what they may do.
fn product(kubeconfig: &str) -> Product {
    let product = Product::new();
    let config = product.data_dir().with_file_name("hub-kubeconfig");
    std::fs::write(&config, kubeconfig).unwrap();
    product
        .set("hub.kubeconfig", config.display())
        .set("hub.timeout_seconds", 30)
        .set("auth.kubernetes.enabled", true)
        .set("auth.kubernetes.rights", "access_review")
}

async fn who(product: &Product, token: &str) -> Answer {
    product.bearing(token).get("/api/v1/whoami").await
}

/// A hub where every token is its owner's name, and the name lists what they may do.
fn answers(asked: &Asked<'_>, silent: &AtomicBool) -> Act {
    let (head, body) = asked.head.split_once("\r\n\r\n").unwrap_or_default();
    let mut review: Value = serde_json::from_str(body).unwrap_or_default();
    if head.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews") {
        let user = json!({ "username": review["spec"]["token"], "uid": "7", "groups": ["people"],
            "extra": { "scopes": ["narrow"] } });
        review["status"] = json!({ "authenticated": true, "audiences": review["spec"]["audiences"], "user": user });
    } else if head.starts_with("POST /apis/authorization.k8s.io/v1/subjectaccessreviews") {
        if silent.load(Ordering::SeqCst) {
            return Act::status(503);
        }
        let (spec, asked) = (&review["spec"], &review["spec"]["resourceAttributes"]);
        let known = (&spec["uid"], &spec["groups"], &spec["extra"]);
        assert_eq!(known, (&json!("7"), &json!(["people"]), &json!({ "scopes": ["narrow"] })));
        assert_eq!((&asked["group"], &asked["resource"]), (&json!("aiops.example"), &json!("fleets")));
        let verb = asked["verb"].as_str().unwrap();
        // `patch@blue` is a right over the part that rules name `blue`.
        let here = asked["name"].as_str().map(|name| format!("{verb}@{name}"));
        let mut words = spec["user"].as_str().unwrap().split('-');
        let allowed = words.any(|word| word == verb || Some(word) == here.as_deref());
        review["status"] = json!({ "allowed": allowed });
    } else {
        return Act::status(404);
    }
    let text = review.to_string();
    let length = text.len();
    let kind = "Content-Type: application/json";
    Act::Say(format!("HTTP/1.1 201 Created\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_says_what_somebody_may_do_and_without_its_word_they_may_nothing() {
    let (authority, silent) = (Authority::new(), Arc::new(AtomicBool::new(false)));
    let hub = {
        let silent = Arc::clone(&silent);
        Spoke::start(&authority, Serving::Good, move |asked| answers(&asked, &silent))
    };
    let product = product(&kubeconfig(&hub.https(), &authority.pem(), "token: a-hub-token"))
        .set("auth.tokens.enabled", true)
        .set("auth.kubernetes.access_review.group", "aiops.example")
        .set("auth.kubernetes.access_review.resource", "fleets")
        .set("auth.kubernetes.access_review.operator_verb", "patch")
        .set("circuit_breaker.failure_threshold", 3)
        .set("circuit_breaker.recovery_timeout_seconds", 1)
        .started()
        .await;
    for (token, role) in [
        ("get", "viewer"),
        ("get-patch", "operator"),
        ("get-patch-admin", "admin"),
        ("get-admin", "viewer"),
        ("get-update", "viewer"),
    ] {
        let who = who(&product, token).await.expect(200).json();
        assert_eq!((&who["id"], &who["role"]), (&json!(format!("kubernetes:{token}")), &json!(role)));
        assert_eq!(who["scope"], json!({ "everything": true }), "{who}");
    }
    for token in ["nothing", "patch-admin"] {
        let answer = who(&product, token).await.expect(403);
        assert_eq!(answer.json()["error"]["code"], "PERMISSION_DENIED");
    }
    // What was asked is remembered for a moment.
    let asked = hub.heads().len();
    who(&product, "get-patch-admin").await.expect(200);
    assert_eq!(hub.heads().len(), asked);

    silent.store(true, Ordering::SeqCst);
    let answer = who(&product, "get-unheard").await.expect(503);
    assert_eq!(answer.json()["error"]["code"], "DEPENDENCY_UNAVAILABLE");
    // Whoever was known is not for long.
    eventually(SOON, async || if who(&product, "get").await.status == 503 { Ok(()) } else { Err("still in") }).await;
    silent.store(false, Ordering::SeqCst);
    eventually(SOON, async || if who(&product, "get").await.status == 200 { Ok(()) } else { Err("still out") }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_right_over_a_part_of_the_fleet_sees_and_touches_that_part_only() {
    let authority = Authority::new();
    let hub = Spoke::start(&authority, Serving::Good, move |asked| answers(&asked, &AtomicBool::new(false)));
    let product = product(&kubeconfig(&hub.https(), &authority.pem(), "token: a-hub-token"))
        .set("health_check.enabled", false)
        .set("auth.kubernetes.access_review.group", "aiops.example")
        .set("auth.kubernetes.access_review.resource", "fleets")
        .set("auth.kubernetes.access_review.operator_verb", "patch")
        .set(
            "auth.kubernetes.access_review.parts",
            r#"[{"name": "blue", "label_selector": "team=blue"}, {"name": "red", "label_selector": "team=red"}]"#,
        )
        .started()
        .await;
    let mut ids = std::collections::BTreeMap::new();
    for team in ["blue", "red", "green"] {
        let body = json!({ "name": team, "api_server_url": "https://127.0.0.1:9", "labels": { "team": team } });
        let made = product.bearing("get-patch-admin").post("/api/v1/clusters", &body).await.expect(201).json();
        ids.insert(team, format!("/api/v1/clusters/{}", made["id"].as_str().unwrap()));
    }
    for (token, role, sees) in [
        ("get@blue", "viewer", &["blue"][..]),
        ("get@blue-get@red", "viewer", &["blue", "red"]),
        ("get@blue-patch@blue-get@red", "operator", &["blue"]),
        ("get-patch@red", "operator", &["red"]),
        ("get", "viewer", &["blue", "green", "red"]),
    ] {
        let list = product.bearing(token).get("/api/v1/clusters").await.expect(200).json();
        let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
        assert_eq!(names, sees, "{token}");
        assert_eq!(who(&product, token).await.expect(200).json()["role"], role, "{token}");
        for (team, path) in &ids {
            let (seen, may) = (sees.contains(team), role == "operator");
            product.bearing(token).get(path).await.expect(if seen { 200 } else { 404 });
            let changed = product.bearing(token).patch(path, &json!({ "display_name": token })).await;
            changed.expect(if !may {
                403
            } else if seen {
                200
            } else {
                404
            });
        }
    }
    for token in ["get@green", "patch@blue", "admin@red"] {
        who(&product, token).await.expect(403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_and_bindings_of_a_real_hub_decide() {
    let Some(mut server) = KubeApiserver::start_if_present().await else { return };
    for file in [include_str!("../../deploy/rbac/hub.yaml"), include_str!("../../deploy/rbac/people.yaml")] {
        server.apply(file).await;
    }
    let own = server.token_for("aiops-nextgen", "fleetbeat", "").await;
    let parts = r#"[{"name": "blue", "label_selector": "team=blue"}, {"name": "red", "label_selector": "team=red"}]"#;
    let product = product(&server.kubeconfig(&own)).set("auth.kubernetes.access_review.parts", parts).started().await;
    let mut tokens = std::collections::BTreeMap::new();
    for (account, role) in [
        ("looker", Some("fleetbeat-viewer")),
        ("worker", Some("fleetbeat-operator")),
        ("chief", Some("fleetbeat-admin")),
        ("painter", Some("fleetbeat-operator-of-blue")),
        ("root", Some("cluster-admin")),
        ("nobody", None),
        ("housed", None),
    ] {
        server.service_account(account).await;
        if let Some(role) = role {
            let kind = ("clusterrolebindings", "ClusterRoleBinding");
            bind(&server, "/apis/rbac.authorization.k8s.io/v1", kind, account, role).await;
        }
        tokens.insert(account, server.token_for("default", account, "fleetbeat").await);
    }
    // A right in one namespace is none over the fleet.
    let inside = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    bind(&server, inside, ("rolebindings", "RoleBinding"), "housed", "fleetbeat-admin").await;
    for (account, role) in [("looker", "viewer"), ("worker", "operator"), ("chief", "admin"), ("root", "admin")] {
        // The server's own view of bindings follows a moment later.
        eventually(SOON, async || {
            let answer = who(&product, &tokens[account]).await;
            let said = (answer.status == 200).then(|| answer.json()["role"].clone());
            if said == Some(json!(role)) { Ok(()) } else { Err(format!("{account}: {}", answer.text())) }
        })
        .await;
    }
    eventually(SOON, async || {
        let answer = who(&product, &tokens["painter"]).await;
        let said = (answer.status == 200).then(|| (answer.json()["role"].clone(), answer.json()["scope"].clone()));
        let expected = (json!("operator"), json!({ "label_selector": "team=blue" }));
        if said == Some(expected) { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    for account in ["nobody", "housed"] {
        who(&product, &tokens[account]).await.expect(403);
    }
    let token = format!("Bearer {}", tokens["looker"]);
    let looker = product.client().with_header("authorization", &token);
    let body = json!({ "name": "one", "api_server_url": "https://127.0.0.1:9" });
    looker.post("/api/v1/clusters", &body).await.expect(403);

    // A binding that is gone is soon felt, and so is the hub.
    let binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/chief";
    server.command("DELETE", binding, &json!({})).await;
    let gone = async || match who(&product, &tokens["chief"]).await.status {
        403 => Ok(()),
        status => Err(status),
    };
    eventually(SOON, gone).await;
    server.kill();
    let away = async || match who(&product, &tokens["root"]).await.status {
        503 => Ok(()),
        status => Err(status),
    };
    eventually(SOON, away).await;
}

async fn bind(server: &KubeApiserver, at: &str, (plural, kind): (&str, &str), account: &str, role: &str) {
    let body = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": account },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": "default" }] });
    server.command("POST", &format!("{at}/{plural}"), &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_would_come_from_nowhere_or_from_two_places_are_refused_by_key() {
    let scratch = Scratch::new();
    let config = scratch.write("kubeconfig", "", None);
    for (named, key, value) in [
        ("auth.kubernetes.rights", "auth.kubernetes.rights", "everybody"),
        ("auth.kubernetes.grants", "auth.kubernetes.grants", r#"[{"group": "*", "role": "viewer"}]"#),
        ("auth.kubernetes.access_review.admin_verb", "auth.kubernetes.access_review.admin_verb", "Admin!"),
        ("auth.kubernetes.access_review.resource", "auth.kubernetes.access_review.resource", ""),
        ("auth.kubernetes.access_review.group", "auth.kubernetes.access_review.group", "a/b"),
        (
            "auth.kubernetes.access_review.parts[0]",
            "auth.kubernetes.access_review.parts",
            r#"[{"name": "Blue", "label_selector": "team=blue"}]"#,
        ),
        ("auth.kubernetes.access_review.parts[0]", "auth.kubernetes.access_review.parts", r#"[{"name": "blue"}]"#),
        (
            "auth.kubernetes.access_review.parts[1]",
            "auth.kubernetes.access_review.parts",
            r#"[{"name": "a", "label_selector": "b"}, {"name": "a", "label_selector": "c"}]"#,
        ),
    ] {
        let product = Product::new()
            .set("hub.kubeconfig", config.display())
            .set("auth.kubernetes.enabled", true)
            .set("auth.kubernetes.rights", "access_review")
            .set(key, value);
        let run = product.run(&["serve"]);
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && told.contains(named), "{named}: {told}");
    }
}
