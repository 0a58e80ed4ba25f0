//! A real kube-apiserver over a real etcd, where the machine has both (`tests/kube-apiserver` builds the first).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::process::{Running, Scratch, at_the_mercy_of_tests, free_port, tail};
use super::tls::Authority;
use super::waiting::eventually;

const STARTS_WITHIN: Duration = Duration::from_secs(120);
const TOKEN: &str = "a-real-token";

/// A server with RBAC; dropped, it and its etcd are killed and their data removed.
pub struct KubeApiserver {
    program: PathBuf,
    port: u16,
    etcd_port: u16,
    authority: Authority,
    running: Option<Running>,
    _etcd: Running,
    scratch: Scratch,
}

impl KubeApiserver {
    /// A server, or `None` with a line that says so on a machine without the binaries.
    pub async fn start_if_present() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: no kube-apiserver here; tests/kube-apiserver builds one");
            return None;
        };
        let scratch = Scratch::new();
        let authority = Authority::new();
        let (certificate, key) = authority.issue();
        scratch.write("server.crt", &certificate, None);
        scratch.write("server.key", &key, None);
        let (accounts, accounts_key) = authority.issue();
        scratch.write("accounts.crt", &accounts, None);
        scratch.write("accounts.key", &accounts_key, None);
        scratch.write("ca.crt", &authority.pem(), None);
        scratch.write("tokens.csv", &format!("{TOKEN},admin,1,\"system:masters\"\n"), None);
        let (port, etcd_port) = (free_port(), free_port());
        let etcd = start_etcd(&scratch, etcd_port);
        let mut server = Self { program, port, etcd_port, authority, running: None, _etcd: etcd, scratch };
        server.start().await;
        Some(server)
    }

    /// Starts it again on the same port and data.
    pub async fn start(&mut self) {
        let file = |name: &str| self.scratch.path().join(name).display().to_string();
        let flags = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://127.0.0.1".to_owned(),
            format!("--service-account-key-file={}", file("accounts.crt")),
            format!("--service-account-signing-key-file={}", file("accounts.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--cert-dir={}", file("certificates")),
        ];
        let log = self.scratch.path().join("log");
        self.running = Some(Running::spawn(&self.program, None, &log, |command| {
            command.args(flags);
        }));
        eventually(STARTS_WITHIN, async || {
            // It makes this namespace a moment after it says that it is ready.
            let answer = self.ask("/api/v1/namespaces/default", Some(TOKEN)).await.map_err(|error| error.to_string());
            let ready = self.ask("/readyz", None).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
            match answer {
                Ok(answer) if ready && answer.starts_with("HTTP/1.1 200") => Ok(()),
                other => Err(format!("{other:?}\n{}", tail(&self.log()))),
            }
        })
        .await;
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The authority of its certificate.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// A bearer token that may do anything.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Certificate and key of a client that it knows by this name, in this group.
    pub fn client_certificate(&self, name: &str, group: &str) -> (String, String) {
        self.authority.issue_client(name, group)
    }

    /// A kubeconfig for a holder of this token.
    pub fn kubeconfig(&self, token: &str) -> String {
        kubeconfig(&self.url(), &self.ca_pem(), &format!("token: '{token}'"))
    }

    /// A token of a service account that is there, made for an audience; the server's own when it is empty.
    pub async fn token_for(&self, namespace: &str, account: &str, audience: &str) -> String {
        let audiences: Vec<&str> = [audience].into_iter().filter(|audience| !audience.is_empty()).collect();
        let asked = serde_json::json!({ "spec": { "audiences": audiences, "expirationSeconds": 600 } });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        self.command("POST", &path, &asked).await["status"]["token"].as_str().unwrap().to_owned()
    }

    /// The identity of a service account that is there.
    pub async fn account_uid(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}");
        self.command("GET", &path, &serde_json::json!({})).await["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// A token of a service account as the server signs them itself, with an end of the caller's choice.
    pub fn signed_token(&self, namespace: &str, account: &str, uid: &str, end: i64) -> String {
        let key = std::fs::read(self.scratch.path().join("accounts.key")).unwrap();
        let key = jsonwebtoken::EncodingKey::from_ec_pem(&key).unwrap();
        let claims = serde_json::json!({
            "iss": "https://127.0.0.1", "aud": ["https://127.0.0.1"], "iat": end - 3_600, "nbf": end - 3_600, "exp": end,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": account, "uid": uid } },
        });
        jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256), &claims, &key).unwrap()
    }

    /// As [`KubeApiserver::command`], or why it did not succeed.
    pub async fn try_command(&self, method: &str, path: &str, body: &serde_json::Value) -> Result<(), String> {
        let answer = self.commanded(method, path, body).await.map_err(|error| error.to_string())?;
        if answer.starts_with("HTTP/1.0 20") { Ok(()) } else { Err(answer) }
    }

    /// Creates or removes something as someone who may do anything; panics unless that succeeds. The answer's body.
    pub async fn command(&self, method: &str, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let answer = self.commanded(method, path, body).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 20"), "{method} {path}: {answer}");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        serde_json::from_str(body).unwrap_or_default()
    }

    async fn commanded(&self, method: &str, path: &str, body: &serde_json::Value) -> std::io::Result<String> {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.exchange(&request).await
    }

    /// Makes what deploy/rbac/spoke.yaml says, where it is missing, and a token of its service account that lives so many
    /// seconds.
    pub async fn spoke_token(&self, seconds: u32) -> String {
        for document in include_str!("../../deploy/rbac/spoke.yaml").split("\n---\n") {
            let object: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            let path = match object["kind"].as_str().unwrap() {
                "Namespace" => "/api/v1/namespaces",
                "ServiceAccount" => "/api/v1/namespaces/fleetbeat/serviceaccounts",
                "Role" => "/apis/rbac.authorization.k8s.io/v1/namespaces/fleetbeat/roles",
                "RoleBinding" => "/apis/rbac.authorization.k8s.io/v1/namespaces/fleetbeat/rolebindings",
                "ClusterRole" => "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                "ClusterRoleBinding" => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                other => panic!("a {other}"),
            };
            self.command("POST", path, &object).await;
        }
        let asked = serde_json::json!({ "spec": { "expirationSeconds": seconds } });
        let path = "/api/v1/namespaces/fleetbeat/serviceaccounts/fleetbeat/token";
        self.command("POST", path, &asked).await["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Creates the objects of a file of manifests: namespaces, service accounts, roles and their bindings.
    pub async fn apply(&self, manifests: &str) {
        for document in manifests.split("\n---\n") {
            let object: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            let kind = object["kind"].as_str().unwrap().to_lowercase();
            let group = object["apiVersion"].as_str().unwrap();
            let root = if group == "v1" { "/api/v1".to_owned() } else { format!("/apis/{group}") };
            let place = object["metadata"]["namespace"].as_str().map(|name| format!("/namespaces/{name}"));
            self.command("POST", &format!("{root}{}/{kind}s", place.unwrap_or_default()), &object).await;
        }
    }

    /// A token of a service account in namespace `default`, which is made where missing.
    pub async fn service_account(&self, name: &str) -> String {
        let accounts = "/api/v1/namespaces/default/serviceaccounts";
        self.command("POST", accounts, &serde_json::json!({ "metadata": { "name": name } })).await;
        let asked = serde_json::json!({ "spec": { "expirationSeconds": 3600 } });
        let answer = self.command("POST", &format!("{accounts}/{name}/token"), &asked).await;
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    /// A whole answer, headers and body, as text.
    pub async fn ask(&self, path: &str, token: Option<&str>) -> std::io::Result<String> {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        self.exchange(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n")).await
    }

    async fn exchange(&self, request: &str) -> std::io::Result<String> {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").map_err(std::io::Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.authority.client_config()));
        let mut connection = connector.connect(name, tcp).await?;
        connection.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

at_the_mercy_of_tests!(KubeApiserver, TERM, 30);

fn start_etcd(scratch: &Scratch, port: u16) -> Running {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()));
    Running::spawn(Path::new("etcd"), None, &scratch.path().join("etcd.log"), |command| {
        command.arg("--data-dir").arg(scratch.path().join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
    })
}

/// What `FLEETBEAT_KUBE_APISERVER` names, what `tests/kube-apiserver` built, or what the search path has.
fn program() -> Option<PathBuf> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let find =
        |name: &str| std::env::split_paths(&search_path).map(|folder| folder.join(name)).find(|path| path.exists());
    find("etcd")?;
    let named = std::env::var_os("FLEETBEAT_KUBE_APISERVER").map(PathBuf::from);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kube-apiserver");
    named.or_else(|| built.exists().then_some(built)).or_else(|| find("kube-apiserver"))
}

/// A kubeconfig with inline data only, for a user of these fields.
pub fn kubeconfig(server: &str, ca_pem: &str, user: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let ca = BASE64_STANDARD.encode(ca_pem);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters:\n- name: c\n  \
         cluster: {{server: '{server}', certificate-authority-data: {ca}}}\nusers:\n- name: u\n  user: {{{user}}}\n\
         contexts:\n- name: x\n  context: {{cluster: c, user: u}}\n"
    )
}
