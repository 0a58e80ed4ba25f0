//! The contexts of a kubeconfig as registrations: name, server, inline CA, TLS server name. Users and their credentials are
//! not even looked at; no file that the kubeconfig names is opened.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::safe_name::SafeNames;

/// A kubeconfig, as far as it is looked at.
#[derive(Deserialize)]
pub struct Kubeconfig {
    #[serde(default)]
    contexts: Vec<Named<Context>>,
    #[serde(default)]
    clusters: Vec<Named<Cluster>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster")]
    inner: Option<T>,
}

#[derive(Deserialize)]
struct Context {
    cluster: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    certificate_authority_data: Option<String>,
    certificate_authority: Option<String>,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

/// What becomes of one context.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// A cluster to register.
    Cluster(Map<String, Value>),
    /// The cluster of a context before it, which has this name.
    SameAs(String),
    /// It cannot be registered, and why.
    Unfit(String),
}

impl Kubeconfig {
    /// The chosen contexts (all, when none are) in their order, each with what becomes of it.
    ///
    /// # Errors
    /// When a chosen context is not there.
    pub fn contexts(&self, chosen: &[String]) -> Result<Vec<(String, Found)>, String> {
        let known = |name: &String| self.contexts.iter().any(|context| context.name == *name);
        if let Some(missing) = chosen.iter().find(|name| !known(name)) {
            let names: Vec<_> = self.contexts.iter().map(|context| context.name.as_str()).collect();
            return Err(format!("no context `{missing}` in the kubeconfig; there are: {}", names.join(", ")));
        }
        let (mut names, mut seen) = (SafeNames::default(), HashMap::new());
        let wanted = self.contexts.iter().filter(|context| chosen.is_empty() || chosen.contains(&context.name));
        Ok(wanted.map(|context| (context.name.clone(), self.read(context, &mut names, &mut seen))).collect())
    }

    fn read<'a>(
        &'a self,
        context: &'a Named<Context>,
        names: &mut SafeNames,
        seen: &mut HashMap<&'a str, String>,
    ) -> Found {
        let Some(reference) = context.inner.as_ref().and_then(|inner| inner.cluster.as_deref()) else {
            return Found::Unfit("the context names no cluster".to_owned());
        };
        if let Some(before) = seen.get(reference) {
            return Found::SameAs(before.clone());
        }
        let entry =
            self.clusters.iter().find(|cluster| cluster.name == reference).and_then(|entry| entry.inner.as_ref());
        let fields = entry
            .ok_or_else(|| format!("there is no cluster `{reference}` in the kubeconfig"))
            .and_then(Cluster::fields);
        let (mut fields, name) = match (fields, names.make(&context.name)) {
            (Ok(fields), Some(name)) => (fields, name),
            (Err(why), _) => return Found::Unfit(why),
            (_, None) => return Found::Unfit("no cluster name can be made of the context's name".to_owned()),
        };
        seen.insert(reference, context.name.clone());
        fields.insert("name".to_owned(), name.into());
        Found::Cluster(fields)
    }
}

impl Cluster {
    fn fields(&self) -> Result<Map<String, Value>, String> {
        if self.insecure_skip_tls_verify {
            return Err(
                "insecure-skip-tls-verify is not supported: give the authority's certificate instead".to_owned()
            );
        }
        if self.proxy_url.is_some() {
            return Err("proxy-url is not supported".to_owned());
        }
        if self.certificate_authority.is_some() && self.certificate_authority_data.is_none() {
            return Err(
                "certificate-authority names a file, which is not read: use certificate-authority-data".to_owned()
            );
        }
        let mut fields = Map::new();
        let server = self.server.as_deref().ok_or("the cluster has no server")?;
        fields.insert("api_server_url".to_owned(), server.into());
        if let Some(data) = &self.certificate_authority_data {
            fields.insert("ca_bundle".to_owned(), decoded(data)?.into());
        }
        if let Some(name) = &self.tls_server_name {
            fields.insert("tls_server_name".to_owned(), name.as_str().into());
        }
        Ok(fields)
    }
}

fn decoded(data: &str) -> Result<String, String> {
    let wrong = || "certificate-authority-data is not base64 of PEM".to_owned();
    let bytes = base64(data).ok_or_else(wrong)?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Standard base64 with padding, white space ignored.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let content = digits.len() - digits.iter().rev().take_while(|byte| **byte == b'=').count();
    if !digits.len().is_multiple_of(4) || digits.len() - content > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(content);
    let (mut held, mut bits) = (0u32, 0);
    for digit in &digits[..content] {
        held = (held << 6) | sextet(*digit)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: admin@prod
users:
- name: admin
  user: {token: not-looked-at, exec: {command: rm}}
clusters:
- name: prod
  cluster: {server: "https://api.prod:6443", certificate-authority-data: aGVsbG8=, tls-server-name: kubernetes}
- name: by-file
  cluster: {server: "https://api.file:6443", certificate-authority: /etc/ca.pem}
- name: blind
  cluster: {server: "https://api.blind:6443", insecure-skip-tls-verify: true}
contexts:
- name: admin@prod
  context: {cluster: prod, user: admin, namespace: default}
- name: viewer@prod
  context: {cluster: prod, user: viewer}
- name: file
  context: {cluster: by-file, user: admin}
- name: blind
  context: {cluster: blind, user: admin}
- name: lost
  context: {cluster: nowhere, user: admin}
"#;

    fn read(chosen: &[&str]) -> Result<Vec<(String, Found)>, String> {
        let config: Kubeconfig = serde_saphyr::from_str(CONFIG).unwrap();
        config.contexts(&chosen.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_context_becomes_a_cluster_and_a_second_one_of_the_same_cluster_does_not() {
        let found = read(&[]).unwrap();
        let Found::Cluster(fields) = &found[0].1 else { panic!("{found:?}") };
        let expected = serde_json::json!({"name": "admin-prod", "api_server_url": "https://api.prod:6443",
            "ca_bundle": "hello", "tls_server_name": "kubernetes"});
        assert_eq!(Value::from(fields.clone()), expected);
        assert_eq!(found[1].1, Found::SameAs("admin@prod".to_owned()));
    }

    #[test]
    fn what_cannot_be_watched_safely_is_refused_by_name() {
        let found = read(&["file", "blind", "lost"]).unwrap();
        let why = |at: usize| match &found[at].1 {
            Found::Unfit(why) => why.clone(),
            other => panic!("{other:?}"),
        };
        assert!(why(0).contains("certificate-authority names a file"));
        assert!(why(1).contains("insecure-skip-tls-verify"));
        assert!(why(2).contains("no cluster `nowhere`"));
        assert!(read(&["nobody"]).unwrap_err().contains("no context `nobody`"));
    }

    #[test]
    fn base64_is_read_strictly() {
        assert_eq!(base64("aGVs\nbG8="), Some(b"hello".to_vec()));
        assert_eq!(base64(""), Some(Vec::new()));
        for wrong in ["aGVsbG8", "a===", "aGV$", "=aGV"] {
            assert_eq!(base64(wrong), None, "{wrong}");
        }
    }
}
