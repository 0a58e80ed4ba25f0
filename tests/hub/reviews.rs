//! Reviews of tokens by a real kube-apiserver, and how the hub itself is reached.

use std::{sync::Arc, time::Duration};

use fleetbeat::{
    clock::SystemClock,
    hub::{AskHub, Hub, HubError, Limits, Review, Reviews, Source},
};
use serde_json::json;

use crate::support::{KubeApiserver, Scratch};

const AUDIENCE: &str = "fleetbeat-internal";

async fn hub_of(server: &KubeApiserver, scratch: &Scratch, token: &str) -> Hub {
    let path = scratch.write("kubeconfig", &server.kubeconfig(token), None);
    Hub::open(Source::Kubeconfig(path), Limits::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_accepted_from_its_owner_for_its_audience_only() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    let scratch = Scratch::new();
    let hub = hub_of(&server, &scratch, server.token()).await;
    let reviews = Reviews::new(Arc::new(hub.clone()), Arc::new(SystemClock));
    server.service_account("collector").await;
    let good = server.token_for("default", "collector", AUDIENCE).await;
    let Ok(Review::Accepted(user)) = reviews.review(&good, AUDIENCE).await else { panic!("not accepted") };
    assert_eq!(user.user, "system:serviceaccount:default:collector");
    assert!(user.uid.is_some() && user.groups.contains(&"system:serviceaccounts:default".to_owned()), "{user:?}");

    let other = server.token_for("default", "collector", "somebody-else").await;
    let own = server.token_for("default", "collector", "").await;
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for refused in [other.as_str(), &own, &forged, "not-a-token", "a.b.c"] {
        assert_eq!(reviews.review(refused, AUDIENCE).await.unwrap(), Review::Refused, "{refused}");
    }

    // A revoked one: the account is gone. The short memory may still know it; the hub does not.
    server.command("DELETE", "/api/v1/namespaces/default/serviceaccounts/collector", &json!({})).await;
    crate::support::eventually(Duration::from_secs(20), async || {
        let answer = hub.ask(&good.clone().into(), AUDIENCE).await.unwrap();
        if answer == Review::Refused { Ok(()) } else { Err("still accepted") }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_accepted_while_the_hub_is_away_or_refuses_us() {
    let Some(mut server) = KubeApiserver::start_if_present().await else { return };
    let scratch = Scratch::new();
    server.service_account("collector").await;
    let good = server.token_for("default", "collector", AUDIENCE).await;
    let powerless = server.service_account("powerless").await;
    let hub = hub_of(&server, &scratch, &powerless).await;
    let reviews = Reviews::new(Arc::new(hub), Arc::new(SystemClock));
    let answer = reviews.review(&good, AUDIENCE).await;
    assert!(matches!(&answer, Err(HubError::Forbidden(why)) if why.contains("tokenreviews")), "{answer:?}");
    server.kill();
    let answer = reviews.review(&good, AUDIENCE).await;
    assert!(matches!(answer, Err(HubError::Unavailable(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_s_token_is_read_again_when_it_was_replaced() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    let scratch = Scratch::new();
    scratch.write("ca.crt", &server.ca_pem(), None);
    scratch.write("token", "an-old-token\n", None);
    let source = Source::InCluster { server: server.url(), folder: scratch.path().to_owned() };
    let hub = Hub::open(source, Limits::default()).await.unwrap();
    let refused = HubError::from(hub.client().apiserver_version().await.unwrap_err());
    assert!(matches!(&refused, HubError::Unavailable(why) if why.contains("401")), "{refused}");
    // The version is told to everybody: ask for something that is not.
    scratch.write("token", server.token(), None);
    assert_eq!(hub.ask(&"nobody".to_owned().into(), AUDIENCE).await.unwrap(), Review::Refused);
    // Files that are gone for a moment change nothing.
    std::fs::remove_file(scratch.path().join("token")).unwrap();
    assert_eq!(hub.ask(&"nobody".to_owned().into(), AUDIENCE).await.unwrap(), Review::Refused);
}
