//! The hostile-spoke suite, one spoke of every kind among healthy ones: each is met by a health check and by a discovery.
//! Both end in time and find nothing, and every neighbour is found healthy meanwhile.

use std::sync::Arc;
use std::time::Duration;

use fleetbeat::{
    credentials::{Credential, Part},
    discovery::{Budget, Inquirer, Interview, Silence, conclude, survey},
    probes::{HttpProber, ProbeOptions},
};
use fleetbeat_actors::{
    health::{Endpoint, NotRun, Outcome},
    ports::Prober,
    target::Target,
};
use fleetbeat_loadtest::spokes::{Behaviour, Endpoints, Fleet, FleetOptions, Ports, Role, Scope, Spoke};
use futures_util::future::join_all;

use crate::{
    bench::Bench,
    spoke::{Act, Serving},
};

const DEADLINE: Duration = Duration::from_secs(2);
const NEIGHBOURS: usize = 10;
/// Every case of the security table, with whether a health check may call it healthy: what it sends is not looked into, and without
/// credentials a 429 is alive.
const CASES: [(&str, bool); 19] = [
    ("blackhole", false),
    ("tls_silent", false),
    ("hang", false),
    ("drip:20", false),
    ("reset:accept", false),
    ("reset:handshake", false),
    ("reset:request", false),
    ("garbage", false),
    ("plaintext", false),
    ("endless_headers", false),
    ("endless_body", false),
    ("endless_1xx", false),
    ("gzip_bomb", true),
    ("deep_json", true),
    ("status:302", false),
    ("retry_after", true),
    ("certificate:giant_chain", true),
    ("certificate:expired", false),
    ("certificate:unknown_ca", false),
];

struct Meeting {
    case: Option<&'static str>,
    healthy: bool,
    nodes: Option<u64>,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hostile_spoke_hurts_a_check_a_discovery_or_a_neighbour() {
    let (mut bench, patient) = (Bench::new(), Bench::new());
    bench.deadline = DEADLINE;
    let prober = bench.prober();
    let options = ProbeOptions { max_in_flight: 64, body_bytes: 1 << 20, ..ProbeOptions::default() };
    let inquirer = prober.apart(options);
    let options = FleetOptions {
        count: CASES.len() + NEIGHBOURS,
        endpoints: Endpoints::none(),
        ports: Ports::ANY,
        require_token: true,
        ..FleetOptions::default()
    };
    let fleet = Fleet::start(&options).unwrap();
    for (spoke, (word, _)) in fleet.spokes().iter().zip(CASES) {
        let behaviour: Behaviour = word.parse().unwrap();
        fleet.set(&spoke.name, Scope::All, behaviour).await.unwrap();
    }
    let meetings = fleet.spokes().iter().enumerate().map(|(nth, spoke)| {
        let case = CASES.get(nth).map(|(word, _)| *word);
        let bench = if case.is_some() { &bench } else { &patient };
        meet(case, target(bench, spoke, fleet.ca_pem()), credential(spoke), &prober, &inquirer)
    });
    for met in join_all(meetings).await {
        let Meeting { case, healthy, nodes, took } = met;
        let Some(word) = case else {
            assert_eq!((healthy, nodes), (true, Some(3)), "a neighbour was hurt");
            continue;
        };
        let may_be_healthy = CASES.iter().any(|(known, may)| *known == word && *may);
        assert!(may_be_healthy || !healthy, "{word} is no health");
        assert!(nodes.is_none() || word == "certificate:giant_chain", "{word} told of {nodes:?} nodes");
        assert!(took < 20 * DEADLINE, "{word} took {took:?}");
        println!("{word}: healthy {healthy}, {took:?}");
    }
}

#[tokio::test]
async fn discoveries_that_take_all_their_permits_take_none_of_the_checks() {
    let mut bench = Bench::new();
    (bench.options.max_in_flight, bench.options.permit_wait) = (1, Duration::from_millis(100));
    let spoke = crate::spoke::Spoke::start(&bench.authority, Serving::Good, |_| Act::status(200));
    let (prober, target) = (bench.prober(), Arc::new(bench.target(&spoke.https())));
    let inquirer = prober.apart(bench.options.clone());
    let credential = Arc::new(Credential::default().with(Endpoint::ApiServer, Part::of_token("a")));
    let open = async || inquirer.converse(Arc::clone(&target), Arc::clone(&credential)).await;
    let held = open().await.ok().unwrap();
    assert_eq!(open().await.err(), Some(Silence::NotRun(NotRun::NoPermit)), "discovery has no more permits");
    assert_eq!((inquirer.permits_in_use().in_flight, prober.permits_in_use().in_flight), (1, 0));
    let mut session = prober.open(Arc::clone(&target), Arc::new(|| {}), None);
    assert!(matches!(session.check(true).await.api_server, Outcome::Healthy { .. }));
    drop(held);
    assert!(open().await.is_ok());
}

async fn meet(
    case: Option<&'static str>,
    target: Arc<Target>,
    credential: Arc<Credential>,
    prober: &HttpProber,
    inquirer: &HttpProber,
) -> Meeting {
    let began = tokio::time::Instant::now();
    let mut session = prober.open(Arc::clone(&target), Arc::new(|| {}), None);
    let checked = async { matches!(session.check(true).await.api_server, Outcome::Healthy { .. }) };
    let discovered = async {
        let conversation = inquirer.converse(target, credential).await.ok()?;
        let budget = Budget { time: 3 * DEADLINE, bytes: 4 << 20, questions: 50 };
        let evidence = survey(Interview::begin(conversation, budget)).await.ok()?;
        conclude(&evidence, None).node_count
    };
    let (healthy, nodes) = tokio::join!(checked, discovered);
    Meeting { case, healthy, nodes, took: began.elapsed() }
}

fn credential(spoke: &Spoke) -> Arc<Credential> {
    let token = spoke.token.clone().unwrap();
    Arc::new(Credential::default().with(Endpoint::ApiServer, Part::of_token(token)))
}

fn target(bench: &Bench, spoke: &Spoke, ca: &str) -> Arc<Target> {
    let mut target = bench.target(&spoke.url(Role::Api).unwrap());
    let cluster = Arc::make_mut(&mut target.cluster);
    cluster.ca_bundle = Some(ca.to_owned());
    Arc::new(target)
}
