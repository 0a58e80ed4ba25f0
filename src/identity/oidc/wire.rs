//! The wire to the issuer: https (http on loopback only), no redirect, no proxy, with caps on time and size.

use std::{path::Path, sync::Arc, time::Duration};

use axum::http::{Method, Request, StatusCode, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use tracing::Instrument;
use url::{Host, Url, form_urlencoded};

use crate::{breaker::Breaker, traces};

/// Longest time for one exchange with the issuer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest answer of the issuer, bytes.
const MAX_BODY: usize = 256 * 1024;
/// Largest head of an answer, bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Why the issuer gave no usable answer. Tells nothing that the issuer said.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not an address that may be asked.
    #[error("{0} is neither https nor http on loopback")]
    Address(String),
    /// No answer in time.
    #[error("no complete answer within {DEADLINE:?}")]
    Late,
    /// No connection, no TLS, or it broke off.
    #[error("it cannot be reached")]
    Unreachable,
    /// Another status than 200; redirects are not followed.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// An answer that is too large or broke off.
    #[error("its answer is larger than {MAX_BODY} bytes or broke off")]
    Body,
    /// It was away a moment ago.
    #[error("it did not answer before, and is left alone for a while")]
    LeftAlone,
    /// An answer that is not what it must be.
    #[error("its answer is not understood: {0}")]
    Content(&'static str),
}

impl WireError {
    /// Does it say that the issuer is away, or in trouble of its own?
    fn is_absence(&self) -> bool {
        match self {
            Self::Unreachable | Self::Late | Self::Body => true,
            Self::Status(status) => status.is_server_error(),
            _ => false,
        }
    }
}

/// Connections to the issuer.
pub struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    breaker: Option<Arc<Breaker>>,
}

impl Wire {
    /// Trusts the system's roots, or the certificates of a file and no others.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(1).pool_idle_timeout(DEADLINE).http1_max_buf_size(MAX_HEAD);
        Ok(Self { client: builder.build(connector), breaker: None })
    }

    /// Leaves an issuer alone for a while that does not answer.
    #[must_use]
    pub fn behind(self, breaker: Arc<Breaker>) -> Self {
        Self { breaker: Some(breaker), ..self }
    }

    /// What stands at an address.
    pub async fn get(&self, url: &Url) -> Result<Bytes, WireError> {
        let request = Request::get(url.as_str()).header(header::ACCEPT, "application/json");
        self.exchange(url, request.body(Full::default())).await
    }

    /// The answer to a form, with a client's name and secret where it has one.
    pub async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        client: Option<(&str, &SecretString)>,
    ) -> Result<Bytes, WireError> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some((name, secret)) = client {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let both = format!("{}:{}", encode(name), encode(secret.expose_secret()));
            request = request.header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(both)));
        }
        self.exchange(url, request.body(Full::from(form))).await
    }

    async fn exchange(
        &self,
        url: &Url,
        request: Result<Request<Full<Bytes>>, axum::http::Error>,
    ) -> Result<Bytes, WireError> {
        let strange = || WireError::Address(url.origin().ascii_serialization());
        let request = request.ok().filter(|_| may_be_asked(url)).ok_or_else(strange)?;
        if self.breaker.as_ref().is_some_and(|breaker| !breaker.admits()) {
            return Err(WireError::LeftAlone);
        }
        let operation = if request.method() == Method::POST { "POST" } else { "GET" };
        let answer = self.answer(request).instrument(traces::outside("issuer", operation)).await;
        if let Some(breaker) = &self.breaker {
            breaker.learn(answer.as_ref().err().is_none_or(|error| !error.is_absence()));
        }
        answer
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Bytes, WireError> {
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| {
                tracing::debug!(%error, "the token issuer cannot be reached");
                WireError::Unreachable
            })?;
            if response.status() != StatusCode::OK {
                return Err(WireError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            body.map(|body| body.to_bytes()).map_err(|_| WireError::Body)
        };
        tokio::time::timeout(DEADLINE, answer).await.map_err(|_| WireError::Late)?
    }
}

/// Is this https, or http on loopback, without a user in it?
pub fn may_be_asked(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    plain
        && match url.scheme() {
            "https" => url.host().is_some(),
            "http" => loopback,
            _ => false,
        }
}

fn roots(ca_file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    anyhow::ensure!(!roots.is_empty(), "{} holds no certificate", file.display());
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_asked_but_on_loopback() {
        let may = |text: &str| may_be_asked(&Url::parse(text).expect("a URL"));
        for good in ["https://issuer.example/realm", "http://127.0.0.1:5556/", "http://[::1]:1/", "http://localhost/"] {
            assert!(may(good), "{good}");
        }
        for bad in ["http://issuer.example/", "http://127.0.0.1.example/", "https://u:p@issuer.example/", "file:///x"] {
            assert!(!may(bad), "{bad}");
        }
    }
}
