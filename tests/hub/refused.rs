//! A credential that its cluster refuses is read again where it is kept before the refusal counts: also when the hub tells nobody
//! that it changed.

use std::time::Duration;

use serde_json::json;

use super::secrets::{House, replaced};
use crate::support::eventually;

const SOON: Duration = Duration::from_secs(60);

/// The rights of deploy/rbac/hub.yaml but for watching: changes by others are not told of.
async fn forbid_watching(house: &House) {
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/aiops-nextgen/roles";
    let roles = house.server.command("GET", path, &json!({})).await;
    for mut role in roles["items"].as_array().unwrap().clone() {
        for rule in role["rules"].as_array_mut().unwrap() {
            rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "watch");
        }
        let name = role["metadata"]["name"].as_str().unwrap().to_owned();
        house.server.command("PUT", &format!("{path}/{name}"), &role).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_read_again_where_it_is_kept() {
    let Some(mut house) = House::open().await else { return };
    forbid_watching(&house).await;
    // A watch that had begun goes on; the next one is refused.
    house.product.terminate(Duration::from_secs(20)).await;
    house.product.start().await;
    house.client.put(&format!("/api/v1/clusters/{}", house.id), &json!({ "endpoints": {} })).await.expect(200);
    let token = house.server.spoke_token(3_600).await;
    let upload = json!({ "auth_type": "TOKEN", "token": token });
    eventually(SOON, async || {
        let answer = house.client.post(&house.path(), &upload).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    house.until("ONLINE", "healthy").await;

    // Others put another token in its place, and only then is the first one worth nothing.
    let next = replaced(house.secret().await, &house.server.kubeconfig(house.server.token()));
    house.server.command("PUT", &house.secret_path(), &next).await;
    house.server.command("DELETE", "/api/v1/namespaces/fleetbeat/serviceaccounts/fleetbeat", &json!({})).await;
    eventually(SOON, async || {
        house.client.post(&format!("/api/v1/clusters/{}/refresh", house.id), &json!({})).await;
        let told = house.told().await;
        if told == ["uploaded", "noticed"] { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    house.until("ONLINE", "healthy").await;
    // The refusal never counted.
    let path = format!("/api/v1/events?cluster_id={}&event_type=CLUSTER_STATUS_CHANGED&limit=100", house.id);
    let changes = house.client.get(&path).await.expect(200).text();
    assert!(!changes.contains("unauthorized"), "{changes}");
}
