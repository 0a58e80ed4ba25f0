//! An OpenID issuer over TLS: discovery, a key set that rotates, sign-in with a code and PKCE, tokens signed for real.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::tls::Authority;

/// For whom its bearer tokens are.
pub const AUDIENCE: &str = "fleetbeat-api";
/// The client that browsers sign in for, and its secret.
pub const CLIENT: &str = "fleetbeat-dashboard";
pub const SECRET: &str = "a client's secret: %/+";

/// A running issuer; it ends with its test.
pub struct Issuer {
    url: String,
    authority: Authority,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    url: String,
    keys: Mutex<Vec<Key>>,
    key_requests: AtomicUsize,
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
    person: Mutex<Value>,
    mischief: Mutex<BTreeMap<String, Value>>,
    down: Mutex<bool>,
}

/// A signing key that the set shows under a name.
#[derive(Clone)]
pub struct Key {
    name: String,
    algorithm: Algorithm,
    private: EncodingKey,
    public_pem: String,
}

impl Key {
    /// A new RSA key.
    pub fn rsa(name: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let private = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { name: name.to_owned(), algorithm: Algorithm::RS256, private, public_pem: pair.public_key_pem() }
    }

    /// A new key on P-256.
    pub fn ec(name: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { name: name.to_owned(), algorithm: Algorithm::ES256, private, public_pem: pair.public_key_pem() }
    }

    /// The public key as PEM: what an attacker has.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// A token with these claims under this key's name.
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.name.clone()), ..Header::new(self.algorithm) };
        self.sign_with(&header, claims)
    }

    /// A token with this head.
    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.private).unwrap()
    }

    fn shown(&self) -> Value {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.private, self.algorithm).unwrap()).unwrap();
        key["kid"] = json!(self.name);
        key["use"] = json!("sig");
        key
    }
}

impl Issuer {
    /// Starts one with one RSA key.
    pub async fn start() -> Self {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(State { url: url.clone(), ..State::default() });
        *state.keys.lock().unwrap() = vec![Key::rsa("first")];
        *state.person.lock().unwrap() = json!({ "sub": "ada", "preferred_username": "Ada", "groups": ["admins"] });
        tokio::spawn(accept(listener, authority.acceptor(), Arc::clone(&state)));
        Self { url, authority, state }
    }

    /// Its name and address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority that vouches for it.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// The newest key.
    pub fn key(&self) -> Key {
        self.state.keys.lock().unwrap().last().unwrap().clone()
    }

    /// Shows one more key and signs with it from now on.
    pub fn add(&self, key: Key) {
        self.state.keys.lock().unwrap().push(key);
    }

    /// Shows this key and none of those before.
    pub fn replace(&self, key: Key) {
        *self.state.keys.lock().unwrap() = vec![key];
    }

    /// How often its key set was asked for.
    pub fn key_requests(&self) -> usize {
        self.state.key_requests.load(Ordering::SeqCst)
    }

    /// Answers everything with 503, or no more.
    pub fn set_down(&self, down: bool) {
        *self.state.down.lock().unwrap() = down;
    }

    /// Who signs in next: claims of a person.
    pub fn set_person(&self, claims: Value) {
        *self.state.person.lock().unwrap() = claims;
    }

    /// Puts a claim into the next identity tokens, whatever is right; null takes it out.
    pub fn bend(&self, claim: &str, value: Value) {
        self.state.mischief.lock().unwrap().insert(claim.to_owned(), value);
    }

    /// No more mischief.
    pub fn straighten(&self) {
        self.state.mischief.lock().unwrap().clear();
    }

    /// The claims of a good bearer token at a time, in seconds.
    pub fn claims(&self, now: i64, subject: &str, groups: &[&str]) -> Value {
        json!({ "iss": self.url, "aud": AUDIENCE, "sub": subject, "exp": now + 600, "nbf": now - 5, "iat": now - 5,
            "preferred_username": subject, "groups": groups })
    }

    /// A good bearer token at a time, in seconds.
    pub fn token(&self, now: i64, subject: &str, groups: &[&str]) -> String {
        self.key().sign(&self.claims(now, subject, groups))
    }

    /// What happens when a person follows the way to sign in and agrees: where their browser is sent then.
    pub async fn sign_in(&self, location: &str) -> String {
        let (path, query) = location.strip_prefix(&self.url).unwrap().split_once('?').unwrap();
        assert_eq!(path, "/authorize");
        self.state.authorize(query)
    }
}

async fn accept(listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answer = hyper::service::service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn pairs(query: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn seconds() -> i64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let down = *self.down.lock().unwrap();
        let (status, body) = match path.as_str() {
            "/keys" => {
                self.key_requests.fetch_add(1, Ordering::SeqCst);
                let keys: Vec<_> = self.keys.lock().unwrap().iter().map(Key::shown).collect();
                (StatusCode::OK, json!({ "keys": keys }))
            }
            "/.well-known/openid-configuration" => (StatusCode::OK, self.discovery()),
            "/token" => self.token(request).await,
            _ => (StatusCode::NOT_FOUND, json!({})),
        };
        let status = if down { StatusCode::SERVICE_UNAVAILABLE } else { status };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        response
    }

    fn discovery(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({ "issuer": self.url, "jwks_uri": at("/keys"), "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token") })
    }

    fn authorize(&self, query: &str) -> String {
        let asked = pairs(query);
        assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"), "{asked:?}");
        let code = uuid::Uuid::new_v4().simple().to_string();
        let back = format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]);
        self.codes.lock().unwrap().insert(code, asked);
        back
    }

    async fn token(&self, request: Request<Incoming>) -> (StatusCode, Value) {
        let refused = |why: &str| (StatusCode::BAD_REQUEST, json!({ "error": why }));
        let given = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        if given != Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{CLIENT}:{encoded}")))) {
            return (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" }));
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let form = pairs(std::str::from_utf8(&body).unwrap());
        let Some(asked) = self.codes.lock().unwrap().remove(&form["code"]) else { return refused("invalid_grant") };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
        let proved = BASE64_URL_SAFE_NO_PAD.encode(digest.as_ref()) == asked["code_challenge"];
        if !proved || form["redirect_uri"] != asked["redirect_uri"] || form["grant_type"] != "authorization_code" {
            return refused("invalid_grant");
        }
        let key = self.keys.lock().unwrap().last().unwrap().clone();
        let token = key.sign(&self.identity(&asked["nonce"]));
        (StatusCode::OK, json!({ "access_token": "opaque", "token_type": "Bearer", "id_token": token }))
    }

    fn identity(&self, nonce: &str) -> Value {
        let now = seconds();
        let mut claims = self.person.lock().unwrap().clone();
        let told = json!({ "iss": self.url, "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 300 });
        let all = claims.as_object_mut().unwrap();
        all.extend(told.as_object().unwrap().clone());
        for (claim, value) in self.mischief.lock().unwrap().iter() {
            all.insert(claim.clone(), value.clone());
        }
        all.retain(|_, value| !value.is_null());
        claims
    }
}
