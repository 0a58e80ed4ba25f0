//! The contract of credential stores: sealed in the database, and in Secrets of a real kube-apiserver.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fleetbeat::{
    audit::Origin,
    credentials::{
        AuthType, Binding, Change, ClientCertificate, Credential, CredentialStore, KeySource, Part, RotationError,
        SealedStore,
    },
    store::Store,
};
use fleetbeat_actors::{
    health::Endpoint,
    ports::{Clock, StoreError},
    roll::ClusterId,
};
use secrecy::ExposeSecret;

use super::{
    Backend,
    sample::{event, register},
};

struct Noon;

impl Clock for Noon {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }
}

/// A store of credentials with what it stands on.
struct Bench {
    backend: Backend,
    store: Arc<dyn Store>,
    kept: Arc<dyn CredentialStore>,
    keys: tempfile::TempDir,
}

impl Bench {
    async fn of(backend: Backend) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let store = backend.store().await;
        let kept: Arc<dyn CredentialStore> = match backend.secrets(&store) {
            Some(secrets) => Arc::new(secrets),
            None => Arc::new(open(&store, &keys, "k")),
        };
        Self { backend, store, kept, keys }
    }

    fn reopened(&self, key: &str) -> SealedStore {
        open(&self.store, &self.keys, key)
    }

    async fn found(&self) -> Vec<(ClusterId, Option<Credential>)> {
        match self.backend.secrets(&self.store) {
            Some(secrets) => secrets.load().await.unwrap(),
            None => self.reopened("k").load().await.unwrap(),
        }
    }
}

fn open(store: &Arc<dyn Store>, keys: &tempfile::TempDir, name: &str) -> SealedStore {
    SealedStore::open(Arc::clone(store), Arc::new(Noon), KeySource::File(keys.path().join(name))).unwrap()
}

fn part(token: &str) -> Part {
    Part { bound_to: Binding::of("https://127.0.0.1:6443", None), ..Part::of_token(token) }
}

fn put(parts: &[(Endpoint, &str)]) -> Change {
    Change { put: parts.iter().map(|(kind, token)| (*kind, Arc::new(part(token)))).collect(), gone: Vec::new() }
}

fn token(credential: &Credential, kind: Endpoint) -> Option<&str> {
    credential.part(kind)?.token.as_ref().map(|token| token.expose_secret())
}

pub async fn what_is_kept_comes_back_as_it_was(backend: Backend) {
    let bench = Bench::of(backend).await;
    let clusters = register(&*bench.store, &["one", "two", "six"], 10).await;
    let authority = crate::support::Authority::new();
    let (chain, key) = authority.issue_client("fleetbeat", "system:masters");
    let whole = Part {
        auth_type: AuthType::Certificate,
        certificate: Some(ClientCertificate { chain_pem: chain.clone(), key_pem: key.as_str().into() }),
        ca_pem: Some(authority.pem()),
        tls_server_name: Some("a.example".to_owned()),
        ..part("api")
    };
    let change = Change { put: vec![(Endpoint::ApiServer, Arc::new(whole))], ..Change::default() };
    bench.kept.write(clusters[0].id, &change, &[event(clusters[0].id, 50, 2)], &[]).await.unwrap();
    let change = put(&[(Endpoint::Prometheus, "metrics"), (Endpoint::Loki, "logs")]);
    bench.kept.write(clusters[0].id, &change, &[], &[]).await.unwrap();
    bench.kept.write(clusters[1].id, &put(&[(Endpoint::ApiServer, "other")]), &[], &[]).await.unwrap();
    let found = bench.found().await;
    assert_eq!(found.len(), 2);
    let one = found.iter().find(|(id, _)| *id == clusters[0].id).unwrap().1.clone().unwrap();
    let kept = one.part(Endpoint::ApiServer).unwrap();
    assert_eq!((kept.auth_type, kept.ca_pem.as_deref()), (AuthType::Certificate, Some(authority.pem().as_str())));
    let certificate = kept.certificate.as_ref().unwrap();
    assert_eq!((certificate.chain_pem.as_str(), certificate.key_pem.expose_secret()), (chain.as_str(), key.as_str()));
    assert_eq!((&kept.bound_to, kept.tls_server_name.as_deref()), (&part("").bound_to, Some("a.example")));
    assert_eq!(token(&one, Endpoint::Prometheus), Some("metrics"));
    assert!(one.part(Endpoint::Tempo).is_none());
    assert_eq!(bench.store.head().await.unwrap(), 50, "the event is stored with the change");
}

pub async fn parts_are_replaced_and_removed_one_by_one(backend: Backend) {
    let bench = Bench::of(backend).await;
    let id = register(&*bench.store, &["one"], 10).await[0].id;
    let both = put(&[(Endpoint::ApiServer, "a"), (Endpoint::Loki, "l")]);
    bench.kept.write(id, &both, &[], &[]).await.unwrap();
    let change = Change { gone: vec![Endpoint::Loki, Endpoint::Tempo], ..put(&[(Endpoint::ApiServer, "b")]) };
    bench.kept.write(id, &change, &[], &[]).await.unwrap();
    let kept = bench.found().await.remove(0).1.unwrap();
    assert_eq!((token(&kept, Endpoint::ApiServer), kept.parts().count()), (Some("b"), 1));
    bench.kept.write(id, &Change { gone: vec![Endpoint::ApiServer], ..Change::default() }, &[], &[]).await.unwrap();
    assert!(bench.found().await.is_empty());
}

pub async fn an_unregistered_cluster_keeps_nothing(backend: Backend) {
    let bench = Bench::of(backend).await;
    let stranger = ClusterId::generate();
    let refused = bench.kept.write(stranger, &put(&[(Endpoint::ApiServer, "a")]), &[event(stranger, 9, 1)], &[]).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    let one = register(&*bench.store, &["one"], 10).await.remove(0);
    bench.kept.write(one.id, &put(&[(Endpoint::ApiServer, "a")]), &[], &[]).await.unwrap();
    bench.kept.forget(one.id).await.unwrap();
    bench.store.delete(one.id, None, &event(one.id, 60, 2), &[]).await.unwrap();
    assert!(bench.found().await.is_empty(), "a deleted cluster's credentials go with it");
}

pub async fn a_change_of_the_cluster_takes_what_it_unbinds(backend: Backend) {
    let bench = Bench::of(backend).await;
    let one = register(&*bench.store, &["one"], 10).await.remove(0);
    let both = put(&[(Endpoint::ApiServer, "a"), (Endpoint::Loki, "l")]);
    bench.kept.write(one.id, &both, &[], &[]).await.unwrap();
    let changed = fleetbeat_actors::roll::Cluster { generation: 2, ..(*one).clone() };
    bench.kept.unbind(&one, &[Endpoint::ApiServer]).await.unwrap();
    bench.store.update(&changed, 1, &[event(one.id, 60, 2)], &[Endpoint::ApiServer], &[]).await.unwrap();
    let kept = bench.found().await.remove(0).1.unwrap();
    assert_eq!((kept.parts().count(), token(&kept, Endpoint::Loki)), (1, Some("l")));
}

pub async fn a_row_that_was_moved_or_changed_does_not_open(backend: Backend) {
    let bench = Bench::of(backend).await;
    let clusters = register(&*bench.store, &["one", "two"], 10).await;
    bench.kept.write(clusters[0].id, &put(&[(Endpoint::ApiServer, "a")]), &[], &[]).await.unwrap();
    let row = bench.store.sealed_credentials(None, 10).await.unwrap().remove(0);
    let elsewhere = fleetbeat::store::SealedRow { cluster_id: clusters[1].id, ..row.clone() };
    bench.store.write_credentials(clusters[1].id, &[elsewhere], &[], &[], &[]).await.unwrap();
    let bound = "https://evil.example:6443 -".to_owned();
    let diverted = fleetbeat::store::SealedRow { bound_to: bound, ..row };
    bench.store.write_credentials(clusters[0].id, &[diverted], &[], &[], &[]).await.unwrap();
    assert!(bench.found().await.iter().all(|(_, credential)| credential.is_none()));
}

pub async fn another_key_opens_nothing(backend: Backend) {
    let bench = Bench::of(backend).await;
    let id = register(&*bench.store, &["one"], 10).await[0].id;
    bench.kept.write(id, &put(&[(Endpoint::ApiServer, "a")]), &[], &[]).await.unwrap();
    let strange = bench.reopened("another");
    assert!(strange.load().await.unwrap()[0].1.is_none());
    assert!(matches!(strange.rotate_keys(&Origin::console()).await, Err(RotationError::Unopened(lost)) if lost == id));
    assert!(bench.found().await[0].1.is_some());
}

pub async fn a_rotated_key_reseals_everything_and_a_running_process_follows(backend: Backend) {
    let bench = Bench::of(backend).await;
    let names: Vec<String> = (0..30).map(|n| format!("cluster-{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let clusters = register(&*bench.store, &names, 10).await;
    for cluster in &clusters {
        bench.kept.write(cluster.id, &put(&[(Endpoint::ApiServer, "a")]), &[], &[]).await.unwrap();
    }
    let before = bench.store.sealed_credentials(None, 1).await.unwrap().remove(0).key_id;
    let other_process = bench.reopened("k");
    assert_eq!(other_process.rotate_keys(&Origin::console()).await.unwrap(), 30);
    let rows = bench.store.sealed_credentials(None, 100).await.unwrap();
    assert!(rows.iter().all(|row| row.key_id != before && row.key_id == rows[0].key_id));
    bench.kept.write(clusters[0].id, &put(&[(Endpoint::ApiServer, "b")]), &[], &[]).await.unwrap();
    assert!(bench.found().await.iter().all(|(_, credential)| credential.is_some()));
    assert_eq!(bench.reopened("k").rotate_keys(&Origin::console()).await.unwrap(), 30, "…and again");
}

pub async fn nothing_secret_stands_in_the_database(backend: Backend) {
    let bench = Bench::of(backend).await;
    let id = register(&*bench.store, &["one"], 10).await[0].id;
    bench
        .kept
        .write(id, &put(&[(Endpoint::ApiServer, "canary-51ab"), (Endpoint::Loki, "canary-51ab")]), &[], &[])
        .await
        .unwrap();
    let rows = bench.store.sealed_credentials(None, 10).await.unwrap();
    assert!(!rows.iter().any(|row| String::from_utf8_lossy(&row.sealed).contains("canary")));
    if let Some(file) = bench.backend.file() {
        for name in std::fs::read_dir(file.parent().unwrap()).unwrap() {
            let bytes = std::fs::read(name.unwrap().path()).unwrap();
            assert!(!bytes.windows(11).any(|window| window == b"canary-51ab"));
        }
    }
}
