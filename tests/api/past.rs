//! History and uptime.

use std::time::Duration;

use fleetbeat_actors::testing::Behaviour;
use serde_json::json;
use tokio::time::Instant;

use crate::house::{House, steady};

#[tokio::test]
async fn a_cluster_s_past_is_told() {
    let house = House::build().await;
    let id = house.register("abc").await;
    house.until(&id, "ONLINE").await;
    house.fleet.set(id.parse().unwrap(), Behaviour::Refuses);
    house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    house.until(&id, "OFFLINE").await;
    let path = format!("/api/v1/clusters/{id}/history");
    let deadline = Instant::now() + Duration::from_secs(40);
    let told = loop {
        let told = house.get(&path).await.json();
        if told["transitions"].as_array().unwrap().len() == 2 {
            break told;
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    insta::assert_json_snapshot!("transitions", steady(told["transitions"].clone()));
    let one = house.get(&format!("{path}?limit=1")).await.json();
    assert_eq!((one["transitions"].as_array().unwrap().len(), &one["truncated"]), (1, &json!(true)));
    let uptime = house.get(&format!("/api/v1/clusters/{id}/uptime?window=7d")).await.json();
    let seconds = |field: &str| uptime[field].as_f64().unwrap();
    assert_eq!((&uptime["state"], &uptime["outages"]), (&json!("OFFLINE"), &json!(1)), "{uptime}");
    assert!(seconds("up_seconds") > 0.0 && seconds("down_seconds") > 0.0, "{uptime}");
}

#[tokio::test]
async fn a_cluster_never_checked_has_no_uptime() {
    let house = House::build().await;
    let id = house.register("abc").await;
    house.until(&id, "ONLINE").await;
    house.fleet.set(id.parse().unwrap(), Behaviour::NotRun);
    let missing = house.get("/api/v1/clusters/00000000-0000-0000-0000-000000000001/uptime").await;
    assert_eq!(missing.code(), "CLUSTER_NOT_FOUND");
    for bad in ["0m", "91d", "1y", "-1d", "24", "h", "9999999999999999999d"] {
        let answer = house.get(&format!("/api/v1/clusters/{id}/uptime?window={bad}")).await;
        assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec!["window".to_owned()]), "{bad}");
    }
    for (query, field) in
        [("from=x", "from"), ("from=2027-01-02T00:00:00Z&to=2027-01-01T00:00:00Z", "from"), ("limit=0", "limit")]
    {
        assert_eq!(house.get(&format!("/api/v1/clusters/{id}/history?{query}")).await.fields(), [field], "{query}");
    }
}
