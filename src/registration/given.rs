//! Credentials as a caller gives them, read and checked. No error carries a value, only the path of a field.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use fleetbeat_actors::{health::Endpoint, roll::Cluster};
use secrecy::zeroize::Zeroizing;
use serde_json::{Map, Value};

use super::{
    invalid::{Detail, Invalid},
    reader::Reader,
};
use crate::credentials::{
    AuthType, Binding, Part,
    kubeconfig::{self, Refused, Rules},
    material, url_of,
};

/// Longest text of any field, in bytes: a kubeconfig in base64.
const MAX_TEXT: usize = 2 * kubeconfig::MAX_KUBECONFIG;

/// The tokens of the further endpoints, with the field that names their authorities.
const ENDPOINTS: [(Endpoint, &str, &str, &str); 3] = [
    (Endpoint::Prometheus, "prometheus_token", "prometheus_ca", "prometheus_url"),
    (Endpoint::Tempo, "tempo_token", "tempo_ca", "tempo_url"),
    (Endpoint::Loki, "loki_token", "loki_ca", "loki_url"),
];

/// Credentials as given, not yet bound to a place.
#[derive(Debug)]
pub struct Given {
    parts: Vec<(Endpoint, &'static str, Part)>,
    /// The server that a kubeconfig names, with the path of the field.
    server: Option<(String, String)>,
}

impl Given {
    /// Reads an upload, or with `partial` a rotation, which may leave the API server's credentials as they are.
    ///
    /// # Errors
    /// Every field that is wrong, unknown or missing.
    pub fn read(map: Map<String, Value>, partial: bool) -> Result<Self, Invalid> {
        let mut reader = Reader::new(map, "");
        let mut given = Self { parts: Vec::new(), server: None };
        let auth_type = read_auth_type(&mut reader, partial);
        let ca_pem = reader.text("ca", authorities);
        let api_server = match auth_type {
            Some(AuthType::Kubeconfig) => given.read_kubeconfig(&mut reader),
            Some(AuthType::Token) => {
                required(&mut reader, "token", token).map(|token| ("token", Part::of_token(token)))
            }
            Some(AuthType::Certificate) => read_certificate(&mut reader),
            None => None,
        };
        if let Some((field, mut part)) = api_server {
            part.auth_type = auth_type.unwrap_or_default();
            part.ca_pem = ca_pem.or(part.ca_pem);
            given.parts.push((Endpoint::ApiServer, field, part));
        }
        for (endpoint, token_field, ca_field, _) in ENDPOINTS {
            let ca_pem = reader.text(ca_field, authorities);
            if let Some(text) = reader.text(token_field, token) {
                let part = Part { ca_pem, ..Part::of_token(text.trim()) };
                given.parts.push((endpoint, token_field, part));
            } else if ca_pem.is_some() {
                reader.wrong(ca_field, format!("is used with {token_field} only"));
            }
        }
        if partial && given.parts.is_empty() && auth_type.is_none() {
            reader.wrong("auth_type", "nothing is given; give auth_type with its fields, or the token of an endpoint");
        }
        reader.finish(&[], false)?;
        Ok(given)
    }

    fn read_kubeconfig(&mut self, reader: &mut Reader) -> Option<(&'static str, Part)> {
        let text = required(reader, "kubeconfig", short)?;
        match kubeconfig::read(&plain(&text), Rules::default()) {
            Ok(config) => {
                self.server = Some((format!("kubeconfig.{}", config.server_path), config.server));
                let part = Part {
                    auth_type: AuthType::Kubeconfig,
                    token: config.token,
                    certificate: config.certificate,
                    ca_pem: config.ca_pem,
                    tls_server_name: config.tls_server_name,
                    bound_to: None,
                };
                Some(("kubeconfig", part))
            }
            Err(Refused { path, reason }) => {
                let field = if path.is_empty() { "kubeconfig".to_owned() } else { format!("kubeconfig.{path}") };
                reader.wrong(&field, reason);
                None
            }
        }
    }

    /// The parts, bound to where `cluster` has its endpoints. With `force` a kubeconfig may name another server.
    ///
    /// # Errors
    /// Fields for endpoints that the cluster does not have, or that speak no TLS.
    pub fn bind(self, cluster: &Cluster, force: bool) -> Result<Vec<(Endpoint, Arc<Part>)>, Invalid> {
        let mut details = Vec::new();
        if let Some((field, server)) = self.server.filter(|_| !force)
            && Binding::of(&server, None) != Binding::of(&cluster.api_server_url, None)
        {
            details.push(Detail::new(field, "is another server than the cluster's api_server_url"));
        }
        let mut bound = Vec::new();
        for (endpoint, field, part) in self.parts {
            match Binding::of_endpoint(cluster, endpoint) {
                Some(place) => bound.push((endpoint, Arc::new(Part { bound_to: Some(place), ..part }))),
                None => details.push(Detail::new(field, homeless(cluster, endpoint))),
            }
        }
        if details.is_empty() { Ok(bound) } else { Err(Invalid { details, bad_name: false }) }
    }
}

/// Why credentials for an endpoint have nowhere to go.
fn homeless(cluster: &Cluster, endpoint: Endpoint) -> String {
    let url = ENDPOINTS.iter().find(|(known, ..)| *known == endpoint).map_or("api_server_url", |(.., url)| *url);
    match url_of(cluster, endpoint) {
        None => format!("the cluster has no endpoints.{url}"),
        Some(_) => format!("credentials travel only over https, and the cluster's {url} is not"),
    }
}

fn read_auth_type(reader: &mut Reader, partial: bool) -> Option<AuthType> {
    let known = |word: &str| match AuthType::of_word(word) {
        Some(_) => Ok(()),
        None => Err("must be one of KUBECONFIG, TOKEN, SERVICE_ACCOUNT, CERTIFICATE".to_owned()),
    };
    let mut present = false;
    let word = reader.text_seen("auth_type", &mut present, known);
    if !present && !partial {
        reader.wrong("auth_type", "is required");
    }
    AuthType::of_word(&word?)
}

fn read_certificate(reader: &mut Reader) -> Option<(&'static str, Part)> {
    let chain = required(reader, "client_certificate", |pem| short(pem).and_then(|()| material::chain(pem).map(drop)));
    let key = required(reader, "client_key", short).map(Zeroizing::new);
    let (chain, key) = (chain?, key?);
    match material::certificate(&chain, &key) {
        Ok(certificate) => Some(("client_certificate", Part::of_certificate(certificate))),
        Err(reason) => {
            reader.wrong("client_key", reason);
            None
        }
    }
}

fn required(reader: &mut Reader, field: &str, rule: impl FnOnce(&str) -> Result<(), String>) -> Option<String> {
    let mut present = false;
    let text = reader.text_seen(field, &mut present, rule);
    if !present {
        reader.wrong(field, "is required with this auth_type");
    }
    text
}

fn token(text: &str) -> Result<(), String> {
    material::token(text).map(drop)
}

fn authorities(pem: &str) -> Result<(), String> {
    short(pem).and_then(|()| material::authorities(pem))
}

fn short(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT { Err(format!("must have at most {MAX_TEXT} bytes, has {}", text.len())) } else { Ok(()) }
}

/// A kubeconfig as text, whether given so or in base64.
fn plain(text: &str) -> Zeroizing<String> {
    let compact: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let decoded = BASE64_STANDARD.decode(compact.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Zeroizing::new(decoded.unwrap_or_else(|| text.to_owned()))
}
