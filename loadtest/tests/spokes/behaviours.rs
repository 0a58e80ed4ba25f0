//! Every behaviour of a simulated spoke, seen by a real TLS client.

use std::io::ErrorKind;
use std::time::Duration;

use super::client::{Client, SOON, fleet, stays_quiet, within};
use fleetbeat_loadtest::spokes::{Behaviour, Fleet, Role, Spoke, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Scene {
    fleet: Fleet,
    client: Client,
}

impl Scene {
    fn new() -> Self {
        let fleet = fleet(1, |_| ());
        Self { client: Client::trusting(&fleet), fleet }
    }

    fn spoke(&self) -> &Spoke {
        &self.fleet.spokes()[0]
    }

    async fn api_is(&self, behaviour: &str) {
        self.fleet.set(&self.spoke().name, Role::Api, behaviour.parse().unwrap()).await.unwrap();
    }

    async fn readyz(&self) -> std::io::Result<(u16, String)> {
        self.client.get(self.spoke(), Role::Api, "/readyz").await
    }

    async fn connected(&self) -> super::client::Connection {
        self.client.connect(self.spoke(), Role::Api).await.unwrap()
    }

    async fn is_healthy(&self) {
        assert_eq!(self.readyz().await.unwrap(), (200, "ok".to_owned()));
    }
}

#[tokio::test]
async fn a_healthy_spoke_answers_on_every_endpoint() {
    let scene = Scene::new();
    let get = |role, path| scene.client.get(scene.spoke(), role, path);
    scene.is_healthy().await;
    assert_eq!(get(Role::Api, "/livez").await.unwrap().0, 200);
    assert!(get(Role::Api, "/version").await.unwrap().1.contains("gitVersion"));
    assert!(get(Role::Api, "/api/v1/namespaces?limit=1").await.unwrap().1.contains("\"continue\":"));
    assert_eq!(get(Role::Api, "/api/v1/secrets").await.unwrap().0, 404);
    assert_eq!(get(Role::Prometheus, "/-/ready").await.unwrap().1, "Prometheus Server is Ready.\n");
    assert_eq!(get(Role::Prometheus, "/-/healthy").await.unwrap().0, 200);
    assert_eq!(get(Role::Tempo, "/ready").await.unwrap(), (200, "ready\n".to_owned()));
    assert_eq!(get(Role::Loki, "/ready").await.unwrap(), (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_sessions_resume() {
    let scene = Scene::new();
    let mut kept = scene.connected().await;
    for _ in 0..100 {
        assert_eq!(kept.get("/readyz", None).await.unwrap().0, 200);
    }
    assert!(!kept.resumed());
    let mut second = scene.connected().await;
    assert_eq!(second.get("/readyz", None).await.unwrap().0, 200);
    assert!(second.resumed());
    let served = scene.fleet.served();
    assert_eq!((served.requests, served.accepted, served.handshakes, served.resumed), (101, 2, 2, 1));
    assert_eq!(served.open, 2);
}

#[tokio::test]
async fn a_token_is_wanted_where_told_to() {
    let fleet = fleet(2, |options| options.require_token = true);
    let client = Client::trusting(&fleet);
    let spoke = &fleet.spokes()[0];
    let token = spoke.token.as_deref().unwrap();
    assert_ne!(fleet.spokes()[1].token.as_deref(), Some(token));
    let mut connection = client.connect(spoke, Role::Api).await.unwrap();
    let path = "/api/v1/namespaces?limit=1";
    assert_eq!(connection.get(path, None).await.unwrap().0, 401);
    assert_eq!(connection.get(path, Some("wrong")).await.unwrap().0, 401);
    assert_eq!(connection.get(path, Some(token)).await.unwrap().0, 200);
    assert_eq!(connection.get("/readyz", None).await.unwrap().0, 200);
    assert_eq!(connection.get("/readyz", Some("wrong")).await.unwrap().0, 401);
    assert_eq!(fleet.served().with_credentials, 3);
}

#[tokio::test]
async fn a_dead_spoke_closes_its_connections_at_once_and_refuses_new_ones_until_it_is_back() {
    let scene = Scene::new();
    let mut kept = scene.connected().await;
    kept.get("/readyz", None).await.unwrap();
    scene.api_is("dead").await;
    assert!(within(kept.closed()).await.is_err() || scene.fleet.served().open == 0);
    assert_eq!(scene.readyz().await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    scene.api_is("healthy").await;
    scene.is_healthy().await;
}

#[tokio::test]
async fn the_other_endpoints_live_on_when_one_dies() {
    let scene = Scene::new();
    scene.api_is("dead").await;
    assert_eq!(scene.client.get(scene.spoke(), Role::Prometheus, "/-/ready").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_blackhole_accepts_and_says_nothing_and_old_connections_go_silent() {
    let scene = Scene::new();
    let mut kept = scene.connected().await;
    kept.get("/readyz", None).await.unwrap();
    scene.api_is("blackhole").await;
    assert!(stays_quiet(kept.get("/readyz", None)).await);
    assert!(stays_quiet(scene.client.connect(scene.spoke(), Role::Api)).await);
    TcpStream::connect(scene.spoke().socket(Role::Api).unwrap()).await.unwrap();
    scene.api_is("healthy").await;
    assert!(within(kept.closed()).await.is_err());
    scene.is_healthy().await;
}

#[tokio::test]
async fn an_unreachable_spoke_does_not_even_acknowledge() {
    let scene = Scene::new();
    let mut kept = scene.connected().await;
    kept.get("/readyz", None).await.unwrap();
    scene.api_is("unreachable").await;
    assert!(stays_quiet(kept.get("/readyz", None)).await);
    let address = scene.spoke().socket(Role::Api).unwrap();
    assert!(stays_quiet(TcpStream::connect(address)).await, "not even TCP connects");
    scene.api_is("healthy").await;
    scene.is_healthy().await;
}

#[tokio::test]
async fn a_silent_tls_server_leaves_the_handshake_hanging() {
    let scene = Scene::new();
    scene.api_is("tls_silent").await;
    assert!(stays_quiet(scene.client.connect(scene.spoke(), Role::Api)).await);
    scene.api_is("healthy").await;
    scene.is_healthy().await;
}

#[tokio::test]
async fn a_hanging_server_finishes_tls_and_never_answers() {
    let scene = Scene::new();
    scene.api_is("hang").await;
    let mut connection = within(scene.client.connect(scene.spoke(), Role::Api)).await.unwrap();
    assert!(stays_quiet(connection.get("/readyz", None)).await);
    assert_eq!(scene.fleet.served().requests, 1);
    scene.api_is("healthy").await;
    assert_eq!(within(connection.response()).await.unwrap().0, 200, "the late answer comes when it is well again");
}

#[tokio::test]
async fn a_slow_server_answers_late() {
    let scene = Scene::new();
    scene.api_is("slow:1500").await;
    let mut connection = scene.connected().await;
    let asked = tokio::time::Instant::now();
    connection.ask("/readyz", None).await.unwrap();
    assert_eq!(within(connection.response()).await.unwrap().0, 200);
    assert!(asked.elapsed() >= Duration::from_millis(1_500), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_dripping_server_sends_the_whole_answer_byte_by_byte() {
    let scene = Scene::new();
    scene.api_is("drip:1").await;
    let mut connection = scene.connected().await;
    let started = tokio::time::Instant::now();
    assert_eq!(within(connection.get("/readyz", None)).await.unwrap(), (200, "ok".to_owned()));
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
}

#[tokio::test]
async fn status_codes_come_as_told() {
    let scene = Scene::new();
    let mut kept = scene.connected().await;
    for code in [500, 503, 401, 403, 429, 302, 404] {
        scene.api_is(&format!("status:{code}")).await;
        assert_eq!(kept.get("/readyz", None).await.unwrap().0, code);
    }
    scene.api_is("healthy").await;
    assert_eq!(kept.get("/readyz", None).await.unwrap().0, 200);
}

#[tokio::test]
async fn resets_come_on_accept_or_after_the_request() {
    let scene = Scene::new();
    let mut kept = scene.connected().await;
    kept.get("/readyz", None).await.unwrap();
    scene.api_is("reset:request").await;
    assert_eq!(within(kept.get("/readyz", None)).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut kept = scene.connected().await;
    scene.api_is("reset:accept").await;
    assert_eq!(within(kept.closed()).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(scene.readyz().await.is_err());
    scene.api_is("reset:handshake").await;
    assert_eq!(scene.readyz().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    scene.api_is("healthy").await;
    scene.is_healthy().await;
}

#[tokio::test]
async fn faulty_certificates_are_refused_even_by_a_client_with_an_old_session() {
    let scene = Scene::new();
    for (fault, sign) in [("expired", "Expired"), ("wrong_name", "NotValidForName"), ("unknown_ca", "UnknownIssuer")] {
        scene.is_healthy().await;
        let mut kept = scene.connected().await;
        kept.get("/readyz", None).await.unwrap();
        scene.api_is(&format!("certificate:{fault}")).await;
        assert!(within(kept.closed()).await.is_err(), "old connections are closed");
        let error = format!("{:?}", scene.readyz().await.unwrap_err());
        assert!(error.contains(sign), "{fault}: {error}");
        scene.api_is("healthy").await;
        scene.is_healthy().await;
    }
}

#[tokio::test]
async fn garbage_is_no_http() {
    let scene = Scene::new();
    scene.api_is("garbage").await;
    let error = scene.readyz().await.unwrap_err().kind();
    assert!(matches!(error, ErrorKind::InvalidData | ErrorKind::UnexpectedEof), "{error}");
}

#[tokio::test]
async fn plain_text_instead_of_tls_breaks_the_handshake() {
    let scene = Scene::new();
    scene.api_is("plaintext").await;
    let error = scene.readyz().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error:?}");
}

#[tokio::test]
async fn endless_answers_never_end_by_themselves_and_end_when_the_client_goes() {
    let scene = Scene::new();
    for behaviour in ["endless_headers", "endless_body", "endless_1xx"] {
        scene.api_is(behaviour).await;
        assert_eq!(scene.readyz().await.unwrap_err().kind(), ErrorKind::InvalidData, "{behaviour}");
    }
    let gone = async {
        while scene.fleet.served().open > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("connections end with their clients");
}

#[tokio::test]
async fn hostile_answers_are_well_formed_http() {
    let scene = Scene::new();
    let mut kept = scene.connected().await;
    scene.api_is("gzip_bomb").await;
    assert_eq!(kept.get("/readyz", None).await.unwrap().0, 200);
    scene.api_is("deep_json").await;
    assert!(kept.get("/readyz", None).await.unwrap().1.starts_with("[[[["));
    scene.api_is("retry_after").await;
    assert_eq!(kept.get("/readyz", None).await.unwrap().0, 429);
    scene.api_is("certificate:giant_chain").await;
    assert!(within(scene.client.connect(scene.spoke(), Role::Api)).await.is_err());
}

#[tokio::test]
async fn a_closing_server_answers_before_it_closes() {
    let scene = Scene::new();
    scene.api_is("close_after_response").await;
    let mut connection = scene.connected().await;
    assert_eq!(connection.get("/readyz", None).await.unwrap().0, 200);
    assert_eq!(within(connection.closed()).await.unwrap(), 0);
}

#[tokio::test]
async fn idle_connections_are_closed_where_told_to() {
    let fleet = fleet(1, |options| options.idle_close = Some(Duration::from_secs(3)));
    let client = Client::trusting(&fleet);
    let mut connection = client.connect(&fleet.spokes()[0], Role::Api).await.unwrap();
    assert_eq!(connection.get("/readyz", None).await.unwrap().0, 200);
    let _ = within(connection.closed()).await;
    assert_eq!(fleet.served().open, 0);
}

#[tokio::test]
async fn plain_endpoints_speak_http_and_say_so_in_their_url() {
    let fleet = fleet(1, |options| options.plain = vec![Role::Prometheus]);
    let spoke = &fleet.spokes()[0];
    assert!(spoke.url(Role::Prometheus).unwrap().starts_with("http://127.20.0.1:"));
    let mut tcp = TcpStream::connect(spoke.socket(Role::Prometheus).unwrap()).await.unwrap();
    tcp.write_all(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(tcp.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("Prometheus Server is Ready.\n"), "{answer}");
}

#[tokio::test]
async fn requests_may_be_pipelined_and_have_bodies() {
    let fleet = fleet(1, |options| options.plain = vec![Role::Api]);
    let mut tcp = TcpStream::connect(fleet.spokes()[0].socket(Role::Api).unwrap()).await.unwrap();
    let requests =
        "POST /readyz HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdGET /livez HTTP/1.1\r\nConnection: close\r\n\r\n";
    tcp.write_all(requests.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(tcp.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
}

#[tokio::test]
async fn a_whole_cluster_dies_in_one_change_and_the_truth_tells_its_state() {
    let scene = Scene::new();
    let name = &scene.spoke().name;
    scene.fleet.set(name, Role::Loki, Behaviour::Hang).await.unwrap();
    let dead = fleetbeat_loadtest::spokes::Scope::All;
    scene.fleet.set(name, dead, Behaviour::Dead).await.unwrap();
    scene.fleet.set(name, dead, Behaviour::Dead).await.unwrap();
    scene.fleet.set(name, dead, Behaviour::Healthy).await.unwrap();
    let told: Vec<_> = scene.fleet.truth().iter().map(|one| (one.seq, one.state, one.score)).collect();
    assert_eq!(told, [(1, State::Degraded, 85), (2, State::Offline, 0), (3, State::Online, 100)]);
    assert!(scene.fleet.truth().iter().all(|one| one.clear && one.is_transition()));
}
