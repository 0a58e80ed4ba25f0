//! The entries of a kubeconfig: clusters, users and contexts, each read by itself.

use secrecy::SecretString;

use super::{Kubeconfig, Refused, Rules, fields::Fields, node::Node};
use crate::credentials::{ClientCertificate, material};

const FILE: &str = "names a file; only inline data is accepted";
const PROGRAM: &str = "runs a program; not accepted";
const IMPERSONATION: &str = "impersonates someone else; not accepted";
const PASSWORD: &str = "user names and passwords are not accepted";

/// Keys of a cluster that are refused.
const CLUSTER_FORBIDDEN: [(&str, &str); 2] =
    [("certificate-authority", FILE), ("proxy-url", "names a proxy; not accepted")];
/// Keys of a user that are refused.
const USER_FORBIDDEN: [(&str, &str); 11] = [
    ("exec", PROGRAM),
    ("auth-provider", PROGRAM),
    ("tokenFile", FILE),
    ("client-certificate", FILE),
    ("client-key", FILE),
    ("as", IMPERSONATION),
    ("as-uid", IMPERSONATION),
    ("as-groups", IMPERSONATION),
    ("as-user-extra", IMPERSONATION),
    ("username", PASSWORD),
    ("password", PASSWORD),
];
/// Longest name of an entry, in characters.
const MAX_NAME: usize = 512;

type Entry<T> = (String, Result<T, Refused>);

/// A kubeconfig taken apart.
pub(super) struct Document {
    current: Option<String>,
    clusters: Vec<Entry<Server>>,
    users: Vec<Entry<User>>,
    contexts: Vec<Entry<Pair>>,
}

#[derive(Clone)]
struct Server {
    path: String,
    url: String,
    ca_pem: Option<String>,
    tls_server_name: Option<String>,
    insecure: bool,
}

#[derive(Clone)]
struct User {
    token: Option<SecretString>,
    certificate: Option<ClientCertificate>,
}

/// The cluster and the user that a context names.
#[derive(Clone)]
struct Pair {
    path: String,
    cluster: String,
    user: String,
}

impl Document {
    pub(super) fn read(text: &str, rules: Rules) -> Result<Self, Refused> {
        let mut top = Fields::of("", Node::parse(text, rules.max_bytes)?)?;
        for (key, expected) in [("apiVersion", "v1"), ("kind", "Config")] {
            if top.text(key)?.is_some_and(|given| *given != expected) {
                return Err(Refused::at(key, format!("must be {expected}")));
            }
        }
        top.ignore(&["preferences", "extensions"]);
        let current = top.text("current-context")?.map(|name| name.to_string());
        let document = Self {
            current,
            clusters: entries(&mut top, "clusters", |fields| Server::read(fields, rules))?,
            users: entries(&mut top, "users", User::read)?,
            contexts: entries(&mut top, "contexts", Pair::read)?,
        };
        top.finish()?;
        Ok(document)
    }

    /// Is every entry acceptable, used or not?
    pub(super) fn all_acceptable(&self) -> Result<(), Refused> {
        let broken = |refused: &Option<&Refused>| refused.is_some();
        let mut refused = self
            .clusters
            .iter()
            .map(|(_, entry)| entry.as_ref().err())
            .chain(self.users.iter().map(|(_, entry)| entry.as_ref().err()))
            .chain(self.contexts.iter().map(|(_, entry)| entry.as_ref().err()));
        refused.find(broken).flatten().map_or(Ok(()), |refused| Err(refused.clone()))
    }

    /// The current context, or the only one.
    pub(super) fn current(&self) -> Result<Kubeconfig, Refused> {
        match (&self.current, self.contexts.as_slice()) {
            (Some(name), _) => {
                let missing = || Refused::at("current-context", "names no context of this file");
                self.contexts.iter().find(|(known, _)| known == name).ok_or_else(missing)
            }
            (None, [only]) => Ok(only),
            (None, []) => Err(Refused::at("contexts", "must have an entry")),
            (None, _) => Err(Refused::at("current-context", "is required where there are several contexts")),
        }
        .and_then(|context| self.resolve(context))
    }

    pub(super) fn contexts(&self) -> Vec<(String, Result<Kubeconfig, Refused>)> {
        self.contexts.iter().map(|context| (context.0.clone(), self.resolve(context))).collect()
    }

    fn resolve(&self, (name, pair): &Entry<Pair>) -> Result<Kubeconfig, Refused> {
        let pair = pair.clone()?;
        let server = find(&self.clusters, &pair.cluster, || format!("{}.cluster", pair.path))?;
        let user = find(&self.users, &pair.user, || format!("{}.user", pair.path))?;
        Ok(Kubeconfig {
            context: name.clone(),
            server_path: format!("{}.server", server.path),
            server: server.url,
            ca_pem: server.ca_pem,
            tls_server_name: server.tls_server_name,
            insecure: server.insecure,
            token: user.token,
            certificate: user.certificate,
        })
    }
}

fn find<T: Clone>(entries: &[Entry<T>], name: &str, path: impl FnOnce() -> String) -> Result<T, Refused> {
    match entries.iter().find(|(known, _)| known == name) {
        Some((_, entry)) => entry.clone(),
        None => Err(Refused::at(path(), "names no entry of this file")),
    }
}

/// The entries of a list by name. A list that is no list of named objects is an error of the whole file.
fn entries<T>(
    top: &mut Fields,
    key: &str,
    read: impl Fn(&mut Fields) -> Result<T, Refused>,
) -> Result<Vec<Entry<T>>, Refused> {
    let mut entries: Vec<Entry<T>> = Vec::new();
    for mut fields in top.list(key)? {
        let name = fields.required("name")?;
        let path = fields.path("name");
        if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(Refused::at(
                path,
                format!("must have at most {MAX_NAME} characters, none a control character"),
            ));
        }
        if entries.iter().any(|(known, _)| *known == *name) {
            return Err(Refused::at(path, "occurs twice"));
        }
        let entry = read(&mut fields).and_then(|entry| fields.finish().map(|()| entry));
        entries.push((name.to_string(), entry));
    }
    Ok(entries)
}

impl Server {
    fn read(entry: &mut Fields, rules: Rules) -> Result<Self, Refused> {
        let mut fields = entry.object("cluster")?;
        fields.forbid(&CLUSTER_FORBIDDEN)?;
        let path = fields.path("server");
        let url = fields.required("server")?;
        material::https_url(&url).map_err(|reason| Refused::at(&path, reason))?;
        let insecure = fields.flag("insecure-skip-tls-verify")?;
        if insecure && !rules.allow_insecure {
            let reason = "switches TLS verification off; not accepted, give certificate-authority-data instead";
            return Err(Refused::at(fields.path("insecure-skip-tls-verify"), reason));
        }
        let ca_path = fields.path("certificate-authority-data");
        let ca_pem = match fields.text("certificate-authority-data")? {
            None => None,
            Some(data) => Some(ca(&data).map_err(|reason| Refused::at(&ca_path, reason))?),
        };
        if insecure && ca_pem.is_some() {
            return Err(Refused::at(ca_path, "makes no sense with insecure-skip-tls-verify"));
        }
        let tls_server_name = fields.text("tls-server-name")?.map(|name| name.to_string());
        if let Some(name) = &tls_server_name {
            material::dns_name(name).map_err(|reason| Refused::at(fields.path("tls-server-name"), reason))?;
        }
        fields.flag("disable-compression")?;
        fields.ignore(&["extensions"]);
        let place = fields.place();
        fields.finish()?;
        Ok(Self { path: place, url: url.to_string(), ca_pem, tls_server_name, insecure })
    }
}

fn ca(data: &str) -> Result<String, String> {
    let pem = material::base64_text(data)?;
    material::authorities(&pem)?;
    Ok(pem.to_string())
}

impl User {
    fn read(entry: &mut Fields) -> Result<Self, Refused> {
        let mut fields = entry.object("user")?;
        fields.forbid(&USER_FORBIDDEN)?;
        let refused = |path: String| move |reason: String| Refused::at(path, reason);
        let token = match fields.text("token")? {
            None => None,
            Some(token) => Some(material::token(&token).map_err(refused(fields.path("token")))?),
        };
        let (chain_path, key_path) = (fields.path("client-certificate-data"), fields.path("client-key-data"));
        let (chain, key) = (fields.text("client-certificate-data")?, fields.text("client-key-data")?);
        let certificate = match (chain, key) {
            (None, None) => None,
            (Some(_), None) => return Err(Refused::at(key_path, "is required with client-certificate-data")),
            (None, Some(_)) => return Err(Refused::at(chain_path, "is required with client-key-data")),
            (Some(chain), Some(key)) => {
                let chain = material::base64_text(&chain).map_err(refused(chain_path.clone()))?;
                let key = material::base64_text(&key).map_err(refused(key_path.clone()))?;
                material::chain(&chain).map_err(refused(chain_path))?;
                Some(material::certificate(&chain, &key).map_err(refused(key_path))?)
            }
        };
        if token.is_none() && certificate.is_none() {
            return Err(Refused::at(fields.path("token"), "a token or a client certificate with its key is required"));
        }
        fields.ignore(&["extensions"]);
        fields.finish()?;
        Ok(Self { token, certificate })
    }
}

impl Pair {
    fn read(entry: &mut Fields) -> Result<Self, Refused> {
        let mut fields = entry.object("context")?;
        let path = fields.place();
        let (cluster, user) = (fields.required("cluster")?, fields.required("user")?);
        fields.ignore(&["namespace", "extensions"]);
        fields.finish()?;
        Ok(Self { path, cluster: cluster.to_string(), user: user.to_string() })
    }
}
