//! Where tokens and client certificates go, and where they never go.

use std::sync::Arc;

use fleetbeat::credentials::{Binding, ClientCertificate, Credential, Part, Prover};
use fleetbeat_actors::health::{Cause, Endpoint};
use rcgen::{CertificateParams, KeyPair};

use crate::{
    bench::{Bench, cause},
    spoke::{Act, Serving, Spoke},
};

const TOKEN: &str = "canary-token-5d1c";

#[tokio::test]
async fn a_token_goes_to_the_api_server_it_belongs_to() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let target = bench.target(&spoke.https());
    bench.give_token(&target, TOKEN);
    let mut session = bench.session(&target);
    assert!(session.check(false).await.authenticated);
    bench.give_token(&target, "rotated");
    session.check(false).await;
    bench.credentials.remove(target.id());
    assert!(!session.check(false).await.authenticated);
    let heads = spoke.heads();
    assert!(heads[0].starts_with("GET /api/v1/namespaces?limit=1 HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{}", heads[0]);
    assert!(heads[1].contains("authorization: Bearer rotated\r\n"), "{}", heads[1]);
    assert!(heads[2].starts_with("GET /readyz ") && !heads[2].contains("authorization"), "{}", heads[2]);
    assert_eq!(spoke.connections(), 1, "a new token needs no new connection");
}

#[tokio::test]
async fn servers_that_cannot_prove_themselves_see_no_byte_of_a_request() {
    let (bench, stranger) = (Bench::new(), Bench::new());
    for (authority, serving, expected) in [
        (&stranger.authority, Serving::Good, Cause::Tls),
        (&bench.authority, Serving::WrongName, Cause::Tls),
        (&bench.authority, Serving::Expired, Cause::CertificateExpired),
        (&bench.authority, Serving::Resetting, Cause::Tls),
    ] {
        let spoke = Spoke::start(authority, serving, |_| Act::status(200));
        let target = bench.target(&spoke.https());
        bench.give_token(&target, TOKEN);
        let report = bench.session(&target).check(false).await;
        assert_eq!(cause(report.api_server), Some(expected));
        assert!(spoke.heads().is_empty());
    }
}

#[tokio::test]
async fn nothing_secret_travels_without_tls() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Plain, |_| Act::status(200));
    let mut target = bench.target(&spoke.http());
    Arc::make_mut(&mut target.cluster).endpoints.prometheus_url = Some(spoke.http());
    bench.give_token(&target, TOKEN);
    let report = bench.session(&target).check(false).await;
    assert_eq!((cause(report.api_server), cause(report.prometheus.unwrap())), (None, None));
    assert!(!report.authenticated);
    let heads = spoke.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads.iter().all(|head| !head.contains(TOKEN) && !head.to_ascii_lowercase().contains("authorization")));
}

#[tokio::test]
async fn each_endpoint_sees_its_own_token_only() {
    let bench = Bench::new();
    let start = || Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let (api, prometheus, loki) = (start(), start(), start());
    let mut target = bench.target(&api.https());
    let endpoints = &mut Arc::make_mut(&mut target.cluster).endpoints;
    (endpoints.prometheus_url, endpoints.loki_url) = (Some(prometheus.https()), Some(loki.https()));
    let credential = Credential::default()
        .with(Endpoint::ApiServer, Part::of_token("for-api"))
        .with(Endpoint::Prometheus, Part::of_token("for-prometheus"));
    bench.credentials.put(target.id(), credential);
    bench.session(&target).check(false).await;
    assert!(api.heads()[0].contains("Bearer for-api\r\n"));
    assert!(prometheus.heads()[0].contains("Bearer for-prometheus\r\n"));
    assert!(!loki.heads()[0].contains("Bearer"));
}

#[tokio::test]
async fn a_client_certificate_is_an_identity_of_the_connection() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let target = bench.target(&spoke.https());
    let mut session = bench.session(&target);
    session.check(false).await;
    let key = KeyPair::generate().unwrap();
    let chain_pem = CertificateParams::new(["fleetbeat".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let certificate = ClientCertificate { chain_pem, key_pem: key.serialize_pem().into() };
    let credential = Credential::default().with(Endpoint::ApiServer, Part::of_certificate(certificate));
    bench.credentials.put(target.id(), credential.clone());
    assert!(session.check(false).await.authenticated);
    session.check(false).await;
    assert_eq!(spoke.connections(), 2, "the anonymous connection is not used with an identity");
    bench.credentials.put(target.id(), credential);
    session.check(false).await;
    bench.credentials.remove(target.id());
    assert!(!session.check(false).await.authenticated);
    assert_eq!(spoke.connections(), 4);
}

#[tokio::test]
async fn a_bundle_alone_counts_for_the_api_server() {
    let (bench, public) = (Bench::new(), Bench::new());
    let mut roots = rustls::RootCertStore::empty();
    let pem = public.authority.pem();
    let anchor =
        <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(pem.as_bytes());
    roots.add(anchor.unwrap()).unwrap();
    let trust = fleetbeat::probes::Trust::of(roots);
    let prober = fleetbeat::probes::HttpProber::new(
        bench.options.clone(),
        trust,
        bench.policy.clone(),
        bench.credentials.clone(),
    );
    let spoke = Spoke::start(&public.authority, Serving::Good, |_| Act::status(200));
    let mut target = bench.target(&spoke.https());
    Arc::make_mut(&mut target.cluster).endpoints.prometheus_url = Some(spoke.https());
    let report = bench.session_of(&prober, &target).check(false).await;
    assert_eq!(cause(report.api_server), Some(Cause::Tls), "the bundle replaces the shared roots");
    assert_eq!(cause(report.prometheus.unwrap()), None, "…but not for an endpoint behind a public certificate");
    Arc::make_mut(&mut target.cluster).ca_bundle = None;
    let report = bench.session_of(&prober, &target).check(false).await;
    assert_eq!(cause(report.api_server), None);
}

#[tokio::test]
async fn a_secret_bound_to_another_place_stays_at_home() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let target = bench.target(&spoke.https());
    let ca = bench.authority.pem();
    let bound = |url: &str, ca: Option<&str>| {
        let part = Part { bound_to: Binding::of(url, ca), ..Part::of_token(TOKEN) };
        Credential::default().with(Endpoint::ApiServer, part)
    };
    for elsewhere in [
        bound("https://127.0.0.1:1", Some(&ca)),
        bound("https://spoke.test", Some(&ca)),
        bound(&spoke.https(), None),
        bound(&spoke.https(), Some("another")),
    ] {
        bench.credentials.put(target.id(), elsewhere);
        assert!(!bench.session(&target).check(false).await.authenticated);
    }
    assert!(spoke.heads().iter().all(|head| !head.contains(TOKEN)));
    bench.credentials.put(target.id(), bound(&spoke.https(), Some(&ca)));
    assert!(bench.session(&target).check(false).await.authenticated);
}

#[tokio::test]
async fn a_refused_credential_that_was_rotated_meanwhile_is_tried_again_in_its_new_form() {
    let bench = Bench::new();
    let (credentials, id) =
        (bench.credentials.clone(), std::sync::OnceLock::<fleetbeat_actors::roll::ClusterId>::new());
    let id = Arc::new(id);
    let known = Arc::clone(&id);
    let spoke = Spoke::start(&bench.authority, Serving::Good, move |asked| {
        if asked.head.contains("Bearer new\r\n") {
            return Act::status(200);
        }
        let rotated = Credential::default().with(Endpoint::ApiServer, Part::of_token("new"));
        credentials.put(*known.get().unwrap(), rotated);
        Act::status(401)
    });
    let target = bench.target(&spoke.https());
    id.set(target.id()).unwrap();
    bench.give_token(&target, "old");
    let report = bench.session(&target).check(false).await;
    assert_eq!(cause(report.api_server), None);
    assert_eq!(spoke.heads().len(), 2);
}

#[tokio::test]
async fn a_credential_that_did_not_change_is_refused_once() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(401));
    let target = bench.target(&spoke.https());
    bench.give_token(&target, TOKEN);
    let report = bench.session(&target).check(false).await;
    assert_eq!(cause(report.api_server), Some(Cause::Unauthorized));
    assert_eq!(spoke.heads().len(), 1);
}

#[tokio::test]
async fn an_authority_and_a_name_of_the_credentials_own_count_where_the_cluster_has_none() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let mut target = bench.target(&spoke.https());
    Arc::make_mut(&mut target.cluster).ca_bundle = None;
    let mut session = bench.session(&target);
    assert_eq!(cause(session.check(false).await.api_server), Some(Cause::Tls));
    let part = Part { ca_pem: Some(bench.authority.pem()), ..Part::of_token(TOKEN) };
    let named = Part { tls_server_name: Some("spoke.test".to_owned()), ..part.clone() };
    let misnamed = Part { tls_server_name: Some("elsewhere.test".to_owned()), ..part.clone() };
    for (part, expected) in [(part, None), (named, None), (misnamed, Some(Cause::Tls))] {
        bench.credentials.put(target.id(), Credential::default().with(Endpoint::ApiServer, part));
        assert_eq!(cause(session.check(false).await.api_server), expected);
    }
}

#[tokio::test]
async fn the_authorities_given_for_an_endpoint_count_there_although_the_cluster_has_a_bundle() {
    let (bench, other) = (Bench::new(), Bench::new());
    let api = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let loki = Spoke::start(&other.authority, Serving::Good, |_| Act::status(200));
    let mut target = bench.target(&api.https());
    Arc::make_mut(&mut target.cluster).endpoints.loki_url = Some(loki.https());
    assert!(target.cluster.ca_bundle.is_some());
    let mut session = bench.session(&target);
    let given = |ca_pem: Option<String>| {
        let part = Part { ca_pem, ..Part::of_token("for-loki") };
        Credential::default().with(Endpoint::ApiServer, Part::of_token(TOKEN)).with(Endpoint::Loki, part)
    };
    for (ca, expected) in [(None, Some(Cause::Tls)), (Some(other.authority.pem()), None), (None, Some(Cause::Tls))] {
        bench.credentials.put(target.id(), given(ca));
        let report = session.check(false).await;
        assert_eq!((cause(report.api_server), cause(report.loki.unwrap())), (None, expected));
    }
    assert_eq!(loki.heads().len(), 1);
    // …and nowhere else.
    let part = Part { ca_pem: Some(other.authority.pem()), ..Part::of_token(TOKEN) };
    bench.credentials.put(target.id(), Credential::default().with(Endpoint::ApiServer, part));
    assert_eq!(
        cause(session.check(false).await.api_server),
        None,
        "the cluster's own bundle counts for its API server"
    );
}

/// A spoke that accepts only the two newest of a row of tokens, as a server does while one is replaced by the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rotations_under_load_fail_no_check() {
    let bench = Bench::new();
    let newest = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let issued = Arc::clone(&newest);
    let spoke = Spoke::start(&bench.authority, Serving::Good, move |asked| {
        let number = asked.head.split("Bearer token-").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let newest = issued.load(std::sync::atomic::Ordering::SeqCst);
        if number.is_some_and(|number: usize| number + 1 >= newest) { Act::status(200) } else { Act::status(401) }
    });
    let target = bench.target(&spoke.https());
    bench.give_token(&target, "token-0");
    let prober = bench.prober();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (mut session, done) = (bench.session_of(&prober, &target), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut checks, mut failed) = (0, 0);
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    checks += 1;
                    failed += usize::from(cause(session.check(checks % 50 == 0).await.api_server).is_some());
                }
                (checks, failed)
            })
        })
        .collect();
    for number in 1..=1_000 {
        newest.store(number, std::sync::atomic::Ordering::SeqCst);
        let next = Credential::default().with(Endpoint::ApiServer, Part::of_token(format!("token-{number}")));
        let proof = prober.prove(Arc::new(target.clone()), Arc::new(next.clone())).await;
        assert_eq!(cause(proof.api_server), None);
        bench.credentials.put(target.id(), next);
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let (mut checks, mut failed) = (0, 0);
    for task in load {
        let (more, lost) = task.await.unwrap();
        (checks, failed) = (checks + more, failed + lost);
    }
    println!("1,000 rotations, {checks} checks, {failed} failed");
    assert_eq!(failed, 0, "of {checks}");
    assert!(checks > 1_000);
}

#[tokio::test]
async fn the_end_of_a_serving_certificate_is_known_after_a_handshake() {
    let bench = Bench::new();
    let spoke = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let (target, prober) = (bench.target(&spoke.https()), bench.prober());
    assert!(prober.serving_ends(target.id()).is_empty());
    bench.session_of(&prober, &target).check(false).await;
    let ends = prober.serving_ends(target.id());
    assert_eq!(ends.len(), 1);
    assert!(ends[0].0 == Endpoint::ApiServer && ends[0].1 > chrono::DateTime::UNIX_EPOCH);
    prober.forget(target.id());
    assert!(prober.serving_ends(target.id()).is_empty());
}
