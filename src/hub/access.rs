//! Where the hub is and who asks: read from files, again and again, because tokens and authorities rotate.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::Source;
use crate::credentials::{
    ClientCertificate,
    kubeconfig::{self, Kubeconfig, Refused, Rules},
    material,
};

/// Largest file read, in bytes.
const MAX_FILE: usize = 256 * 1024;

/// One reading of how the hub is reached.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) server: String,
    pub(super) ca_pem: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) token: Option<SecretString>,
    pub(super) certificate: Option<ClientCertificate>,
}

impl Access {
    /// Reads the files of a source. Blocking. An error says which file, and nothing of its content.
    pub(super) fn read(source: &Source) -> Result<Self, String> {
        match source {
            Source::InCluster { server, folder } => Self::of_pod(server, folder),
            Source::Kubeconfig(path) => Self::of(path, |text| kubeconfig::read(text, Rules::default())),
            Source::Context { file, name } => {
                let rules = Rules { max_bytes: MAX_FILE, ..Rules::default() };
                Self::of(file, |text| kubeconfig::context(text, rules, name.as_deref()))
            }
        }
    }

    fn of_pod(server: &str, folder: &Path) -> Result<Self, String> {
        material::https_url(server).map_err(|why| format!("the hub's address {why}"))?;
        let (token_file, ca_file) = (folder.join("token"), folder.join("ca.crt"));
        let token = text(&token_file)?;
        let token = material::token(&token).map_err(|why| format!("{}: {why}", token_file.display()))?;
        let ca_pem = text(&ca_file)?.to_string();
        material::authorities(&ca_pem).map_err(|why| format!("{}: {why}", ca_file.display()))?;
        Ok(Self {
            server: server.to_owned(),
            ca_pem: Some(ca_pem),
            tls_server_name: None,
            token: Some(token),
            certificate: None,
        })
    }

    fn of(path: &Path, read: impl FnOnce(&str) -> Result<Kubeconfig, Refused>) -> Result<Self, String> {
        let config = read(&text(path)?).map_err(|refused| format!("{}: {refused}", path.display()))?;
        Ok(Self {
            server: config.server,
            ca_pem: config.ca_pem,
            tls_server_name: config.tls_server_name,
            token: config.token,
            certificate: config.certificate,
        })
    }

    /// Can connections made for `other` go on serving this?
    pub(super) fn shares_connections_with(&self, other: &Self) -> bool {
        let key = |access: &Self| access.certificate.as_ref().map(|own| own.key_pem.expose_secret().to_owned());
        let chain = |access: &Self| access.certificate.as_ref().map(|own| own.chain_pem.clone());
        self.server == other.server
            && self.ca_pem == other.ca_pem
            && self.tls_server_name == other.tls_server_name
            && chain(self) == chain(other)
            && key(self) == key(other)
    }
}

fn text(path: &Path) -> Result<Zeroizing<String>, String> {
    let read = || -> io::Result<Zeroizing<String>> {
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(MAX_FILE as u64 + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| format!("{}: {}", path.display(), error.kind()))?;
    if text.len() > MAX_FILE { Err(format!("{}: is larger than {MAX_FILE} bytes", path.display())) } else { Ok(text) }
}
