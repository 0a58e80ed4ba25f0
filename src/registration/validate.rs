//! The rules for single values: names, URLs, labels, certificates. Pure; an error is a sentence that follows the field's name.

use std::net::{Ipv4Addr, Ipv6Addr};

use rustls_pki_types::{
    CertificateDer, DnsName,
    pem::{PemObject, SectionKind},
};
use url::Url;

/// Longest URL, in characters.
pub const MAX_URL: usize = 512;
/// Largest CA bundle, in bytes.
pub const MAX_CA_BUNDLE: usize = 64 * 1024;
/// Longest source, in characters.
pub const MAX_SOURCE: usize = 640;
/// The pattern of a source.
pub const SOURCE_PATTERN: &str = "^[a-z][a-z0-9-]{0,31}:[A-Za-z0-9._:/@-]+$";
/// Most labels of one cluster.
pub const MAX_LABELS: usize = 64;
/// The seed's pattern of a name.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$";

/// What a rule answers.
pub type Verdict = Result<(), String>;

/// A cluster's name: 3 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit.
pub fn name(value: &str) -> Verdict {
    let bytes = value.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    let fits = (3..=63).contains(&bytes.len()) && inner && edge(bytes.first()) && edge(bytes.last());
    if fits { Ok(()) } else { Err(format!("must match {NAME_PATTERN}")) }
}

/// A line of text for people: 1 to `max` characters, none of them a control character.
pub fn text(value: &str, max: usize) -> Verdict {
    let length = value.chars().count();
    if length == 0 {
        return Err("must not be empty; leave it out instead".to_owned());
    }
    if length > max {
        return Err(format!("must have at most {max} characters, has {length}"));
    }
    no_control(value)
}

/// Where a cluster was imported from: a kind of source, a colon, and what identifies the cluster there.
pub fn source(value: &str) -> Verdict {
    text(value, MAX_SOURCE)?;
    let (kind, rest) = value.split_once(':').unwrap_or_default();
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let kind_fits = kind.len() <= 32 && kind.starts_with(|c: char| c.is_ascii_lowercase()) && kind.bytes().all(word);
    let rest_fits = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
    if kind_fits && rest_fits { Ok(()) } else { Err(format!("must match {SOURCE_PATTERN}")) }
}

fn no_control(value: &str) -> Verdict {
    match value.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("must not contain control characters (found U+{:04X})", c as u32)),
        None => Ok(()),
    }
}

/// An endpoint: `http(s)://host[:port][/path]` without user, query or fragment, in plain ASCII.
pub fn url(value: &str) -> Verdict {
    text(value, MAX_URL)?;
    if !value.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b)) {
        return Err("must be plain ASCII without spaces or quotes (international host names as punycode)".to_owned());
    }
    let lower = value.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) else {
        return Err("must begin with http:// or https://".to_owned());
    };
    if rest.contains('?') || rest.contains('#') {
        return Err("must not carry a query or fragment".to_owned());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not carry a user or password".to_owned());
    }
    host_and_port(authority)?;
    Url::parse(value).map(|_| ()).map_err(|error| format!("is not a URL: {error}"))
}

fn host_and_port(authority: &str) -> Verdict {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let number = |port: &str| !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok();
    if port.is_some_and(|port| !number(port)) {
        return Err("must have a port from 1 to 65535, or none".to_owned());
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let fits = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None if numeric => host.parse::<Ipv4Addr>().is_ok(),
        None => is_dns_subdomain(host),
    };
    if fits { Ok(()) } else { Err("must name a host: a DNS name, an IPv4 address or an IPv6 address in []".to_owned()) }
}

/// A label's key, as Kubernetes has it: `[prefix/]name`.
pub fn label_key(key: &str) -> Verdict {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| !is_dns_subdomain(prefix)) {
        return Err("has a prefix that is not a DNS subdomain".to_owned());
    }
    if name.is_empty() || !is_label_word(name) {
        return Err("is not a label key: 1 to 63 of A-Z a-z 0-9 - _ . between letters or digits".to_owned());
    }
    Ok(())
}

/// A label's value: empty, or 1 to 63 of `A-Z a-z 0-9 - _ .` between letters or digits.
pub fn label_value(value: &str) -> Verdict {
    if value.is_empty() || is_label_word(value) {
        return Ok(());
    }
    Err("is not a label value: at most 63 of A-Z a-z 0-9 - _ . between letters or digits".to_owned())
}

fn is_label_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn is_dns_subdomain(name: &str) -> bool {
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        bytes.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// A DNS name to verify a certificate against.
pub fn dns_name(value: &str) -> Verdict {
    text(value, 253)?;
    DnsName::try_from(value).map(|_| ()).map_err(|_| "is not a DNS name".to_owned())
}

/// A PEM bundle of one or more certificates and nothing else.
pub fn ca_bundle(value: &str) -> Verdict {
    if value.len() > MAX_CA_BUNDLE {
        return Err(format!("must have at most {MAX_CA_BUNDLE} bytes, has {}", value.len()));
    }
    if let Some(c) = value.chars().find(|c| c.is_control() && !"\n\r\t".contains(*c)) {
        return Err(format!("must not contain control characters (found U+{:04X})", c as u32));
    }
    let mut certificates = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(value.as_bytes()) {
        let (kind, der) = section.map_err(|_| "is not valid PEM".to_owned())?;
        if kind != SectionKind::Certificate {
            return Err("must contain certificates only".to_owned());
        }
        certificates += 1;
        certificate(&CertificateDer::from(der))
            .map_err(|()| format!("has a certificate that cannot be read (number {certificates})"))?;
    }
    if value.contains("PRIVATE KEY-----") {
        return Err("must contain certificates only".to_owned());
    }
    if certificates == 0 { Err("contains no certificate".to_owned()) } else { Ok(()) }
}

fn certificate(der: &CertificateDer<'_>) -> Result<(), ()> {
    x509_parser::parse_x509_certificate(der).map(|_| ()).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_seed() {
        for good in ["abc", "a-b", "prod-east-1", "0ab", &"a".repeat(63)] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["", "ab", "-ab", "ab-", "Abc", "a_b", "a.b", "ab\n", "äbc", &"a".repeat(64)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn urls_are_http_with_a_host_and_nothing_hidden() {
        for good in [
            "https://api.example.com:6443",
            "http://127.0.0.1:9090/prometheus",
            "https://[::1]:6443/",
            "HTTPS://API.example.com",
        ] {
            assert_eq!(url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "ftp://x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "https:///path",
            "https:api.example.com",
            "https:\\\\evil",
            "https://user@host",
            "https://user:pw@host",
            "https://@host",
            "https://host?x=1",
            "https://host/#f",
            "https://host/a b",
            " https://host",
            "https://ho\tst",
            "https://host:99999",
            "https://host:0",
            "https://hóst",
            "https://[::1",
            "https://host*",
            "https://-host",
            "https://host:080",
            "https://host:",
            "https://1.2.3",
            "https://1.2.3.999",
            "https://a..b",
        ] {
            assert!(url(bad).is_err(), "{bad:?}");
        }
        assert!(url(&format!("https://h/{}", "x".repeat(512))).is_err());
    }

    #[test]
    fn labels_follow_kubernetes() {
        for good in ["team", "app.kubernetes.io/name", "a", "A_b-c.d", "x/y"] {
            assert_eq!(label_key(good), Ok(()), "{good}");
        }
        for bad in ["", "/x", "x/", "a/b/c", "-a", "a b", "UPPER/x", "ä", "a\n"] {
            assert!(label_key(bad).is_err(), "{bad:?}");
        }
        assert!(label_value("").is_ok() && label_value("eng-001").is_ok());
        assert!(label_value("-x").is_err() && label_value("a b").is_err() && label_value(&"x".repeat(64)).is_err());
    }

    #[test]
    fn a_bundle_holds_certificates_only() {
        let signed = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate");
        let (cert, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
        assert_eq!(ca_bundle(&cert), Ok(()));
        assert_eq!(ca_bundle(&format!("# ours\n{cert}\n{cert}")), Ok(()));
        assert!(ca_bundle("").is_err() && ca_bundle("hello").is_err());
        assert!(ca_bundle(&key).is_err() && ca_bundle(&format!("{cert}{key}")).is_err());
        assert!(ca_bundle("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
        assert!(ca_bundle(&cert.repeat(200)).is_err());
    }

    #[test]
    fn a_server_name_is_a_dns_name() {
        assert!(dns_name("api.example.com").is_ok() && dns_name("kubernetes").is_ok());
        assert!(dns_name("127.0.0.1:80").is_err() && dns_name("a b").is_err() && dns_name("").is_err());
    }
}
