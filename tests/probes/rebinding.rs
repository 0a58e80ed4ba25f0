//! Names that lead elsewhere between the proof of a credential and its use: where a connection goes is judged each time, and who
//! answers there has to prove itself before anything is said.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use fleetbeat::{
    credentials::{Credential, Part, Prover},
    probes::{HttpProber, LookUp, Trust},
};
use fleetbeat_actors::health::{Cause, Endpoint};

use crate::{
    bench::{Bench, cause},
    spoke::{Act, Serving, Spoke},
};

const TOKEN: &str = "canary-token-77d0";

fn place(spoke: &Spoke) -> SocketAddr {
    spoke.https().strip_prefix("https://").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_after_the_proof_takes_no_token_along() {
    let (bench, strangers) = (Bench::new(), Bench::new());
    let home = Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let stranger = Spoke::start(&strangers.authority, Serving::Good, |_| Act::status(200));
    let answer = Arc::new(Mutex::new(vec![place(&home)]));
    let told = Arc::clone(&answer);
    let look_up: LookUp = Arc::new(move |_, _| Ok(told.lock().unwrap().clone()));
    let trust = Trust::of(rustls::RootCertStore::empty());
    let prober = HttpProber::with_look_up(
        bench.options.clone(),
        trust,
        bench.policy.clone(),
        bench.credentials.clone(),
        look_up,
    );
    let target = bench.target(&format!("https://spoke.test:{}", place(&home).port()));
    let credential = Credential::default().with(Endpoint::ApiServer, Part::of_token(TOKEN));
    let proof = prober.prove(Arc::new(target.clone()), Arc::new(credential.clone())).await;
    assert_eq!(cause(proof.api_server), None);
    bench.credentials.put(target.id(), credential);

    let mut session = bench.session_of(&prober, &target);
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    for (addresses, expected) in [
        (vec![at("169.254.169.254:443")], Some(Cause::Blocked)),
        (vec![at("[::ffff:169.254.169.254]:443")], Some(Cause::Blocked)),
        (vec![at("[fd00:ec2::254]:443"), at("[fd00:ec2::23]:443")], Some(Cause::Blocked)),
        (vec![place(&stranger)], Some(Cause::Tls)),
        // What may not be connected to is left out; the rest is tried.
        (vec![at("169.254.169.254:443"), place(&home)], None),
    ] {
        *answer.lock().unwrap() = addresses.clone();
        assert_eq!(cause(session.check(true).await.api_server), expected, "{addresses:?}");
    }
    assert_eq!((home.heads().len(), stranger.heads().len()), (2, 0));
    assert!(home.heads().iter().all(|head| head.contains(TOKEN)));
}
