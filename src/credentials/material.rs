//! What credentials are made of, checked: tokens, certificates, keys, base64. Pure; an error is a sentence that follows
//! the field's name and never contains the value.

use std::sync::Arc;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{
    CertificateDer, DnsName, PrivateKeyDer,
    pem::{PemObject, SectionKind},
};
use secrecy::{SecretString, zeroize::Zeroizing};
use url::Url;

use super::ClientCertificate;

/// Longest token, in bytes: a header of a request must hold it.
pub const MAX_TOKEN: usize = 12 * 1024;
/// Most certificates of one bundle or chain.
pub const MAX_CERTIFICATES: usize = 64;

/// With padding or without, as people paste it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 (spaces and line ends allowed) of a UTF-8 text.
pub fn base64_text(data: &str) -> Result<Zeroizing<String>, String> {
    let compact: Zeroizing<String> = Zeroizing::new(data.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = BASE64.decode(compact.as_bytes()).map_err(|_| "is not base64".to_owned())?;
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| "is not base64 of a text".to_owned())
}

/// A bearer token: printable ASCII without spaces. White space around it is cut off.
pub fn token(value: &str) -> Result<SecretString, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if value.len() > MAX_TOKEN {
        return Err(format!("must have at most {MAX_TOKEN} bytes, has {}", value.len()));
    }
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be printable ASCII without spaces".to_owned());
    }
    Ok(SecretString::from(value))
}

/// A chain of client certificates, PEM.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
        let (kind, der) = section.map_err(|_| "is not valid PEM".to_owned())?;
        if kind != SectionKind::Certificate {
            return Err("must contain certificates only".to_owned());
        }
        if chain.len() == MAX_CERTIFICATES {
            return Err(format!("must have at most {MAX_CERTIFICATES} certificates"));
        }
        x509_parser::parse_x509_certificate(&der)
            .map_err(|_| format!("has a certificate that cannot be read (number {})", chain.len() + 1))?;
        chain.push(CertificateDer::from(der));
    }
    if chain.is_empty() { Err("contains no certificate".to_owned()) } else { Ok(chain) }
}

/// A bundle of authorities, PEM, every one of them usable as a trust anchor.
pub fn authorities(pem: &str) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in chain(pem)? {
        roots.add(certificate).map_err(|_| "has a certificate that cannot be an authority".to_owned())?;
    }
    Ok(())
}

/// A client certificate with the key that belongs to it. `pem` is known to be a chain.
pub fn certificate(chain_pem: &str, key_pem: &str) -> Result<ClientCertificate, String> {
    let chain = chain(chain_pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| "is not a private key, PEM".to_owned())?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| "is a key of an unknown kind".to_owned())?;
    let pair = CertifiedKey::new(chain, Arc::clone(&key));
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(ClientCertificate { chain_pem: chain_pem.to_owned(), key_pem: SecretString::from(key_pem) })
        }
        Err(_) => Err("does not belong to the certificate".to_owned()),
    }
}

/// A name to verify a certificate against.
pub fn dns_name(value: &str) -> Result<(), String> {
    DnsName::try_from(value).map(|_| ()).map_err(|_| "is not a DNS name".to_owned())
}

/// The URL of a server that credentials may be sent to.
pub fn https_url(value: &str) -> Result<(), String> {
    let url = Url::parse(value).map_err(|_| "is not a URL".to_owned())?;
    if url.scheme() != "https" {
        return Err("must begin with https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not carry a user or password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not carry a query or fragment".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) { Err("must name a host".to_owned()) } else { Ok(()) }
}
