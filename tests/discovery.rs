//! Discovery, permissions and renewal by the real binary against a real kube-apiserver, where the machine has one.
#![cfg(test)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Client, KubeApiserver, Product, eventually};

const SOON: Duration = Duration::from_secs(40);

/// Registers the server and gives it a token; the cluster's path.
async fn register(client: &Client, server: &KubeApiserver, name: &str, token: &str) -> (String, Value) {
    let body =
        json!({ "name": name, "api_server_url": server.url(), "ca_bundle": server.ca_pem(), "platform": "KUBERNETES" });
    let id = client.post("/api/v1/clusters", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/clusters/{id}");
    let upload = json!({ "auth_type": "SERVICE_ACCOUNT", "token": token });
    // RBAC needs a moment to know a new account; without the right to list namespaces it is refused at first.
    let stored = eventually(SOON, async || {
        let answer = client.post(&format!("{path}/credentials?force=true"), &upload).await;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    })
    .await;
    (path, stored)
}

/// Waits until something about a cluster is so.
async fn until(client: &Client, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(SOON, async || {
        let cluster = client.get(path).await.expect(200).json();
        if is(&cluster) { Ok(cluster) } else { Err(cluster.to_string()) }
    })
    .await
}

async fn told(client: &Client, kind: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/v1/events?event_type={kind}&limit=1000")).await.expect(200).json();
    page["items"].as_array().unwrap().clone()
}

/// Makes what seed 000 §9 looks for: nodes with GPUs, namespaces of network functions, pods, services, and the definitions of
/// custom resources. (No custom object: the kube-apiserver 1.20 that `tests/kube-apiserver` builds with Go 1.19 ends in a segmentation
/// fault at the first one. Its reflect2 1.0.1 calls `reflect.mapiterinit` as it was before Go 1.18. The simulated spokes have some.)
async fn furnish(server: &KubeApiserver) {
    let labels = json!({ "nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB" });
    for (name, gpus) in [("gpu-1", "8"), ("gpu-2", "4"), ("plain", "0")] {
        let labels = if gpus == "0" { json!({}) } else { labels.clone() };
        let node = json!({ "metadata": { "name": name, "labels": labels }, "status": {
            "capacity": { "cpu": "8", "nvidia.com/gpu": gpus }, "conditions": [{ "type": "Ready", "status": "True" }] } });
        server.command("POST", "/api/v1/nodes", &node).await;
    }
    // More namespaces than one page holds.
    let many = (0..520).map(|n| format!("team-{n}"));
    let some = ["du-site1", "cu-site1", "openshift-monitoring", "nvidia-gpu-operator", "observability"];
    for name in some.map(str::to_owned).into_iter().chain(many) {
        server.command("POST", "/api/v1/namespaces", &json!({ "metadata": { "name": name } })).await;
    }
    for (namespace, pod) in [
        ("nvidia-gpu-operator", "gpu-operator-7d9f"),
        ("nvidia-gpu-operator", "nvidia-dcgm-exporter-x2k"),
        ("openshift-monitoring", "prometheus-k8s-0"),
        ("observability", "tempo-distributor-0"),
    ] {
        let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let _ = server.try_command("POST", &account, &json!({ "metadata": { "name": "default" } })).await;
        let pod = json!({ "metadata": { "name": pod }, "spec": { "automountServiceAccountToken": false,
            "containers": [{ "name": "c", "image": "x" }] } });
        server.command("POST", &format!("/api/v1/namespaces/{namespace}/pods"), &pod).await;
    }
    let querier =
        json!({ "metadata": { "name": "thanos-querier" }, "spec": { "ports": [{ "name": "web", "port": 9091 }] } });
    server.command("POST", "/api/v1/namespaces/openshift-monitoring/services", &querier).await;
    for (group, plural, kind) in [
        ("sriovnetwork.openshift.io", "sriovnetworknodepolicies", "SriovNetworkNodePolicy"),
        ("ptp.openshift.io", "ptpconfigs", "PtpConfig"),
    ] {
        define(server, group, plural, kind).await;
    }
}

async fn define(server: &KubeApiserver, group: &str, plural: &str, kind: &str) {
    let version = json!({ "name": "v1", "served": true, "storage": true,
        "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } });
    let names =
        json!({ "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") });
    let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": names, "versions": [version] } });
    server.command("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_tells_what_it_can_do_and_what_it_may_not_be_asked() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    let (allowed, nobody) = (server.spoke_token(3_600).await, server.service_account("nobody").await);
    furnish(&server).await;
    let product = Product::new().started().await;
    let client = product.client();
    let (path, stored) = register(&client, &server, "real", &allowed).await;
    assert_eq!(stored["lacking_permissions"], json!([]), "{stored}");

    // On registration, without being asked to.
    let cluster = until(&client, &path, |cluster| cluster["capabilities"].is_object()).await;
    let found = &cluster["capabilities"];
    assert_eq!((&found["node_count"], &found["ready_node_count"]), (&json!(3), &json!(3)), "{found}");
    assert_eq!((&found["has_gpu_nodes"], &found["gpu_count"]), (&json!(true), &json!(12)));
    assert_eq!(found["gpu_types"], json!({ "NVIDIA-A100-SXM4-40GB": 12 }));
    assert_eq!((&found["has_gpu_operator"], &found["has_dcgm_exporter"]), (&json!(true), &json!(true)));
    assert_eq!((&found["has_cnf_workloads"], &found["cnf_types"]), (&json!(true), &json!(["vcu", "vdu"])));
    assert_eq!((&found["sriov_policy_count"], &found["ptp_config_count"]), (&json!(0), &json!(0)));
    let runs =
        ["has_prometheus", "has_thanos", "has_tempo", "has_loki", "has_service_mesh"].map(|word| found[word].clone());
    assert_eq!(runs, [json!(true), json!(true), json!(true), json!(false), json!(false)]);
    assert_eq!(found["platform"], "KUBERNETES");
    assert!(found["kubernetes_version"].as_str().unwrap().starts_with('v'), "{found}");
    let suggested = "https://thanos-querier.openshift-monitoring.svc:9091";
    assert_eq!(found["suggested_endpoints"]["prometheus_url"], suggested);
    assert_eq!(found["unknown"], json!({}));
    assert_eq!(cluster["endpoints"], json!({}));

    // An account that may do nothing: nothing is false, and the reasons are given.
    let (blind, stored) = register(&client, &server, "blind", &nobody).await;
    assert_eq!(stored["validation"]["api_server"], "failed");
    let cluster = until(&client, &blind, |cluster| cluster["capabilities"].is_object()).await;
    let found = &cluster["capabilities"];
    for word in ["node_count", "has_gpu_nodes", "gpu_count", "has_cnf_workloads", "has_prometheus", "has_loki"] {
        assert_eq!(found[word], Value::Null, "{word} of {found}");
    }
    assert_eq!(found["unknown"]["nodes"]["reason"], "forbidden");
    assert_eq!(found["unknown"]["namespaces"]["message"], "the account may not list namespaces (403)");
    assert_eq!(found["has_service_mesh"], false, "what everybody may see is known");

    let listed = client.get("/api/v1/clusters?has_gpu=true").await.expect(200).json();
    assert_eq!((&listed["total"], &listed["items"][0]["name"]), (&json!(1), &json!("real")));
    assert_eq!(told(&client, "CLUSTER_CAPABILITIES_CHANGED").await.len(), 2);
    server.command("DELETE", "/api/v1/nodes/gpu-2", &json!({})).await;
    let again = client.post(&format!("{path}/discover"), &json!({})).await.expect(200).json();
    assert_eq!((&again["changed"], &again["capabilities"]["gpu_count"]), (&json!(true), &json!(8)));
    let refreshed = client.post(&format!("{path}/refresh"), &json!({})).await.expect(200).json();
    assert_eq!(refreshed["status"]["state"], "ONLINE");
    assert_eq!(told(&client, "CLUSTER_CAPABILITIES_CHANGED").await.len(), 3, "only changes are told");
    let card = product.run(&["clusters", "get", "real", "--server", &product.url()]);
    let card = String::from_utf8_lossy(&card.stdout).into_owned();
    assert!(card.contains("yes (8 x NVIDIA-A100-SXM4-40GB)"), "{card}");
    let list = product.run(&["clusters", "list", "--has-gpu", "-o", "name", "--server", &product.url()]);
    assert_eq!(String::from_utf8_lossy(&list.stdout).trim(), "real");
    let metrics = client.get("/metrics").await.text();
    assert!(metrics.contains("fleetbeat_discoveries_total{result=\"complete\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_before_it_ends_and_one_that_may_not_be_stays() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    // The shortest life that there is, and 1 % of it: six seconds.
    let product = Product::new().set("credentials.renew_at_percent", 1).started().await;
    let client = product.client();
    let (path, stored) = register(&client, &server, "renewed", &server.spoke_token(600).await).await;
    let before = stored["expires_at"].as_str().unwrap().to_owned();
    let renewed = eventually(SOON, async || {
        let events = told(&client, "CLUSTER_CREDENTIALS_UPDATED").await;
        let renewed = events.into_iter().find(|event| event["payload"]["action"] == "renewed");
        renewed.ok_or_else(|| product.logs())
    })
    .await;
    assert!(renewed["payload"]["expires_at"].as_str().unwrap() > before.as_str(), "{renewed} after {before}");
    let valid = client.post(&format!("{path}/credentials/validate"), &json!({})).await.expect(200).json();
    assert_eq!(valid["status"], "valid", "{valid}");

    // Another account may list namespaces, and not make tokens of itself.
    let fixed = server.service_account("fixed").await;
    let subjects = json!([{ "kind": "ServiceAccount", "name": "fixed", "namespace": "default" }]);
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "fleetbeat-health" });
    let binding = json!({ "metadata": { "name": "fixed" }, "roleRef": role, "subjects": subjects });
    server.command("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await;
    let asked = json!({ "spec": { "expirationSeconds": 600 } });
    let token = server.command("POST", "/api/v1/namespaces/default/serviceaccounts/fixed/token", &asked).await;
    let short = token["status"]["token"].as_str().unwrap();
    assert_ne!(fixed, short);
    let (fixed, stored) = register(&client, &server, "fixed", short).await;
    let lacking = stored["lacking_permissions"].as_array().unwrap();
    assert!(lacking.iter().any(|one| one["wanted_for"] == "renewal" && one["namespace"] == "default"), "{stored}");
    let stuck = until(&client, &fixed, |cluster| {
        let conditions = cluster["status"]["conditions"].as_array().unwrap();
        conditions.iter().any(|condition| condition["type"] == "CredentialsRenewed" && condition["status"] == "False")
    })
    .await;
    assert!(stuck.to_string().contains("may not create tokens of its service account (403)"), "{stuck}");
    until(&client, &fixed, |cluster| cluster["status"]["state"] == "ONLINE").await;
    let valid = client.post(&format!("{fixed}/credentials/validate"), &json!({})).await.expect(200).json();
    assert_eq!(valid["status"], "valid", "the old token stays");
    assert!(product.logs().contains("could not be renewed"));
}
