//! A gateway in front: believed behind a Unix socket or with a client certificate of a name that is listed, and nobody else is.

use std::path::Path;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::support::{Authority, Client, Product, Running, Scratch, eventually, exchange, free_port};

const GRANTS: &str = r#"[{"group": "readers", "role": "viewer"}, {"group": "root", "role": "admin"}]"#;
const SOON: Duration = Duration::from_secs(20);

/// haproxy as a gateway: one door that says who is calling, and a careless one that lets callers say so too. `server` is how it
/// reaches fleetbeat.
fn haproxy(scratch: &Scratch, server: &str, ports: [u16; 2], cluster: &str) -> Option<Running> {
    let program = Path::new("/usr/sbin/haproxy");
    if !program.exists() {
        eprintln!("SKIPPED: no haproxy here, so no proxy stands in front");
        return None;
    }
    let said = [("X-User-ID", "ada@example.com"), ("X-User-Groups", "readers"), ("X-Cluster-Access", cluster)];
    let lines = |verb: &str| -> String {
        said.iter().map(|(name, value)| format!("  http-request {verb} {name} {value}\n")).collect()
    };
    let config = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\n\
         frontend careful\n  bind 127.0.0.1:{}\n{}  http-request del-header X-User-Email\n  default_backend fleetbeat\n\
         frontend careless\n  bind 127.0.0.1:{}\n{}  default_backend fleetbeat\n\
         backend fleetbeat\n  server one {server}\n",
        ports[0],
        lines("set-header"),
        ports[1],
        lines("add-header"),
    );
    let path = scratch.write("haproxy.cfg", &config, None);
    Some(Running::spawn(program, None, &scratch.path().join("haproxy.log"), |command| {
        command.arg("-db").arg("-f").arg(&path);
    }))
}

/// Says that it is somebody who may do everything.
fn spoof(client: Client) -> Client {
    let client = client.with_header("x-user-id", "root").with_header("x-user-groups", "root");
    client.with_header("x-cluster-access", "*").with_header("x-user-email", "root@example.com")
}

/// The ids of the clusters `mine` and `theirs`, which are registered.
async fn two_clusters(admin: &Client) -> [String; 2] {
    let body = |name: &str| json!({ "name": name, "api_server_url": "https://127.0.0.1:9" });
    let mut ids = [String::new(), String::new()];
    for (id, name) in ids.iter_mut().zip(["mine", "theirs"]) {
        let made = admin.post("/api/v1/clusters", &body(name)).await.expect(201).json();
        made["id"].as_str().unwrap().clone_into(id);
    }
    ids
}

/// Whatever callers of the careful door send, they are whom the gateway says; those of the careless one are nobody once they
/// say something, too.
async fn only_the_gateway_says_who(ports: [u16; 2], token: &str, [mine, theirs]: &[String; 2]) {
    let careful = Client::new(&format!("http://127.0.0.1:{}", ports[0]));
    eventually(SOON, async || careful.try_get("/health").await.map(|_| ())).await;
    let alike = |client: Client| client.with_header("x_user_id", "root").with_header("x-user_groups", "root");
    for (case, client) in [
        ("as is", careful.clone()),
        ("spoofed", spoof(careful.clone())),
        ("look-alikes", alike(careful.clone())),
        ("hop by hop", careful.clone().with_header("connection", "close, x-user-id, x-user-groups")),
        ("with a token", careful.clone().with_header("authorization", &format!("Bearer {token}"))),
    ] {
        let answer = client.get("/api/v1/whoami").await;
        if answer.status == 200 {
            let who = answer.json();
            assert_eq!((&who["id"], &who["role"]), (&json!("gateway:ada@example.com"), &json!("viewer")), "{case}");
        } else {
            assert!(case == "hop by hop" && answer.status == 401, "{case}: {}", answer.text());
        }
    }
    careful.get(&format!("/api/v1/clusters/{mine}")).await.expect(200);
    careful.get(&format!("/api/v1/clusters/{theirs}")).await.expect(404);
    let careless = Client::new(&format!("http://127.0.0.1:{}", ports[1]));
    careless.get("/api/v1/whoami").await.expect(200);
    spoof(careless).get("/api/v1/whoami").await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_believed_behind_its_socket_and_nobody_else_is() {
    let (scratch, ports) = (Scratch::new(), [free_port(), free_port()]);
    let socket = scratch.path().join("api.sock");
    let product = Product::new()
        .set("server.also_listen", format!("unix:{}", socket.display()))
        .set("auth.tokens.enabled", true)
        .set("auth.gateway.unix_socket", true)
        .set("auth.gateway.grants", GRANTS)
        .started()
        .await;
    let token = product.first_token();
    let admin = product.admin();
    let ids = two_clusters(&admin).await;
    spoof(product.client()).get("/api/v1/whoami").await.expect(401);
    assert_eq!(spoof(admin).get("/api/v1/whoami").await.expect(200).json()["method"], "token");
    let server = format!("unix@{}", socket.display());
    let Some(_running) = haproxy(&scratch, &server, ports, &ids[0]) else { return };
    only_the_gateway_says_who(ports, &token, &ids).await;
}

/// A product behind TLS that asks for client certificates, and whoever issues those.
struct Guarded {
    product: Product,
    authority: Authority,
    scratch: Scratch,
    port: u16,
    socket: String,
}

impl Guarded {
    async fn start() -> Self {
        let (scratch, authority, port) = (Scratch::new(), Authority::new(), free_port());
        let (certificate, key) = authority.issue();
        let socket = format!("unix:{}", scratch.path().join("plain.sock").display());
        let mut product = Product::new()
            .set("server.listen", format!("127.0.0.1:{port}"))
            .set("server.also_listen", &socket)
            .set("server.tls.cert_file", scratch.write("server.pem", &certificate, None).display())
            .set("server.tls.key_file", scratch.write("server.key", &key, None).display())
            .set("server.tls.client_ca_file", scratch.write("ca.pem", &authority.pem(), None).display())
            .set("auth.tokens.enabled", true)
            .set("auth.gateway.client_names", "gateway.platform")
            .set("auth.gateway.grants", GRANTS);
        product.launch();
        let guarded = Self { product, authority, scratch, port, socket };
        eventually(SOON, async || {
            let answer = guarded.ask(guarded.authority.client_config(), "GET", "/ready", &[], "").await;
            answer.and_then(|(status, text)| if status == 200 { Ok(()) } else { Err(text) })
        })
        .await;
        guarded
    }

    /// Somebody with a certificate of an authority.
    fn proved(&self, by: &Authority, name: &str) -> ClientConfig {
        self.authority.client_config_with(by.issue_client(name, "platform"))
    }

    async fn ask(
        &self,
        config: ClientConfig,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(u16, String), String> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        let answer = exchange(config, ([127, 0, 0, 1], self.port).into(), &request).await?;
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no answer")?;
        Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
    }

    async fn who(&self, config: ClientConfig, headers: &[(&str, &str)]) -> (u16, Value) {
        let (status, body) = self.ask(config, "GET", "/api/v1/whoami", headers, "").await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }
}

const SAID: [(&str, &str); 3] = [("X-User-ID", "root"), ("X-User-Groups", "root"), ("X-Cluster-Access", "*")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_believed_by_the_name_in_its_certificate_and_by_nothing_else() {
    let guarded = Guarded::start().await;
    let ours = &guarded.authority;
    let (status, who) = guarded.who(guarded.proved(ours, "gateway.platform"), &SAID).await;
    assert_eq!((status, &who["id"], &who["role"]), (200, &json!("gateway:root"), &json!("admin")), "{who}");
    // It speaks for its users only, and says nothing by halves.
    let proved = || guarded.proved(ours, "gateway.platform");
    let token = format!("Bearer {}", guarded.product.first_token());
    assert_eq!(guarded.who(proved(), &[("Authorization", &token)]).await.0, 401);
    let long = "a".repeat(300);
    for (case, headers) in [
        ("no user", vec![SAID[1], SAID[2]]),
        ("no groups", vec![SAID[0], SAID[2]]),
        ("no clusters", vec![SAID[0], SAID[1]]),
        ("two users", vec![SAID[0], ("x-user-id", "eve"), SAID[1], SAID[2]]),
        ("an empty user", vec![("X-User-ID", ""), SAID[1], SAID[2]]),
        ("a long user", vec![("X-User-ID", long.as_str()), SAID[1], SAID[2]]),
        ("a look-alike", vec![("X_User_ID", "root"), SAID[1], SAID[2]]),
        ("hop by hop", vec![("Connection", "X-User-ID"), SAID[0], SAID[1], SAID[2]]),
    ] {
        assert_eq!(guarded.who(proved(), &headers).await.0, 401, "{case}");
    }

    // Nobody else is believed, whatever they say: not with another name, and not without a certificate.
    let names = ["gateway.platform.evil", "Gateway.Platform", "gateway", "*", "root"];
    for name in names {
        assert_eq!(guarded.who(guarded.proved(ours, name), &SAID).await.0, 401, "{name}");
    }
    let bare = || ours.client_config();
    assert_eq!(guarded.who(bare(), &SAID).await.0, 401);
    let (status, who) = guarded.who(bare(), &[SAID[0], SAID[1], SAID[2], ("Authorization", &token)]).await;
    assert_eq!((status, &who["method"]), (200, &json!("token")), "headers beside a token mean nothing: {who}");
    // A certificate of another authority ends the handshake, whatever its name.
    let stranger = guarded.proved(&Authority::new(), "gateway.platform");
    let met = guarded.ask(stranger, "GET", "/api/v1/whoami", &SAID, "").await;
    assert!(met.is_err(), "{met:?}");
    // The Unix socket proves nothing here: that was not set.
    let mut plain = tokio::net::UnixStream::connect(guarded.socket.trim_start_matches("unix:")).await.unwrap();
    let said: String = SAID.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{said}\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut plain, request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut plain, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_with_the_gateway_s_certificate_says_who_and_its_clients_do_not() {
    let guarded = Guarded::start().await;
    let token = guarded.product.first_token();
    let bearer = format!("Bearer {token}");
    let mut ids = [String::new(), String::new()];
    for (id, name) in ids.iter_mut().zip(["mine", "theirs"]) {
        let body = json!({ "name": name, "api_server_url": "https://127.0.0.1:9" }).to_string();
        let bare = guarded.authority.client_config();
        let made = guarded.ask(bare, "POST", "/api/v1/clusters", &[("Authorization", &bearer)], &body).await.unwrap();
        assert_eq!(made.0, 201, "{}", made.1);
        let made: Value = serde_json::from_str(&made.1).unwrap();
        made["id"].as_str().unwrap().clone_into(id);
    }
    let (certificate, key) = guarded.authority.issue_client("gateway.platform", "platform");
    let proof = guarded.scratch.write("gateway.pem", &format!("{certificate}{key}"), None);
    let authority = guarded.scratch.path().join("ca.pem");
    let server = format!(
        "127.0.0.1:{} ssl crt {} ca-file {} verify required verifyhost localhost",
        guarded.port,
        proof.display(),
        authority.display()
    );
    let ports = [free_port(), free_port()];
    let Some(_running) = haproxy(&guarded.scratch, &server, ports, &ids[0]) else { return };
    only_the_gateway_says_who(ports, &token, &ids).await;
}
