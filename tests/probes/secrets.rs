//! Where tokens and client certificates go, and where they never go.

use std::sync::Arc;

use fleetbeat::credentials::{ClientCertificate, Credential};
use fleetbeat_actors::health::Cause;
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
    let credential = Credential {
        bearer_token: Some("for-api".into()),
        prometheus_token: Some("for-prometheus".into()),
        ..Credential::default()
    };
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
    let credential = Credential { client_certificate: Some(certificate), ..Credential::default() };
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
