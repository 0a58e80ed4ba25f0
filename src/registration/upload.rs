//! Credentials that somebody gives: tried on the live cluster, then stored as their terms say.

use std::sync::Arc;

use fleetbeat_actors::{
    health::Endpoint,
    roll::{Cluster, ClusterId},
};

use super::{
    credentials::{CredentialError, Deed, DeedKind, Proven, Verdict},
    error::WriteError,
    given::Given,
    write::Registration,
};
use crate::{
    credentials::{Account, Change, Credential, Part},
    identity::Author,
};

/// How an upload meets what is stored already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// It replaces everything.
    Whole,
    /// It replaces the parts it carries, of credentials that there are.
    Rotation,
}

/// What an upload may do, and what it may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// It is stored even if the cluster refuses it.
    pub force: bool,
    /// What is stored already is neither tried nor written again, and stays where it is a newer token of the same account.
    pub if_changed: bool,
    /// It is tried, and nothing is stored.
    pub dry_run: bool,
}

/// What an upload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It is stored, or would be.
    Stored,
    /// The very same was stored already.
    Same,
    /// What is stored is a newer token of the same service account, and stays.
    Older,
}

impl Registration {
    /// Tries what was given on the live cluster and stores it. What is refused is stored with `force` only.
    ///
    /// # Errors
    /// Any [`CredentialError`]; nothing was stored then.
    pub async fn upload(
        self: &Arc<Self>,
        id: ClusterId,
        given: Given,
        upload: Upload,
        terms: Terms,
        by: Author,
    ) -> Result<(Proven, Became), CredentialError> {
        let entry = self.board.get(id).ok_or(WriteError::NotFound(id))?;
        let stored = match upload {
            Upload::Whole => Arc::default(),
            Upload::Rotation => self.stored(id)?,
        };
        let parts = given.bind(&entry.cluster, terms.force)?;
        if terms.if_changed
            && let Some(became) = no_news(&stored, &parts, &entry.cluster)
        {
            return Ok((Proven::untried(entry, stored), became));
        }
        let candidate = parts.iter().fold((*stored).clone(), |all, (kind, part)| all.with(*kind, Arc::clone(part)));
        let new: Vec<Endpoint> = parts.iter().map(|(kind, _)| *kind).collect();
        let proven = self.prove(entry, Arc::new(candidate), &new).await;
        if !terms.force {
            proven.judge(self.now())?;
        }
        if terms.dry_run {
            return Ok((proven, Became::Stored));
        }
        let gone = match upload {
            Upload::Whole => Endpoint::ALL.into_iter().filter(|kind| !new.contains(kind)).collect(),
            Upload::Rotation => Vec::new(),
        };
        let replaces = terms.if_changed.then_some(stored.version);
        let deed = Deed { kind: DeedKind::Upload(upload), forced: terms.force, by, replaces };
        self.write_credentials(id, Change { put: parts, gone }, deed).await?;
        Ok((proven, Became::Stored))
    }
}

impl Proven {
    /// Credentials that nobody tried.
    fn untried(entry: fleetbeat_actors::board::Entry, credential: Arc<Credential>) -> Self {
        let verdicts = credential.parts().map(|(kind, _)| (kind, Verdict::Skipped)).collect();
        Self { entry, credential, verdicts }
    }
}

/// Why nothing of what was given has to be stored, if so.
fn no_news(stored: &Credential, given: &[(Endpoint, Arc<Part>)], cluster: &Cluster) -> Option<Became> {
    let mut became = Became::Same;
    for (kind, part) in given {
        let known = stored.part(*kind)?;
        if is_newer(known, part) {
            became = Became::Older;
        } else if !bare(known, *kind, cluster).same_as(&bare(part, *kind, cluster)) {
            return None;
        }
    }
    Some(became)
}

/// Is `stored` a later token of the service account that `given` is a token of?
fn is_newer(stored: &Part, given: &Part) -> bool {
    match (Account::of(stored), Account::of(given)) {
        (Some(stored), Some(given)) => {
            (&stored.namespace, &stored.name) == (&given.namespace, &given.name) && stored.issued > given.issued
        }
        (None, _) | (_, None) => false,
    }
}

/// A part without what its cluster says itself: a store may leave that out.
fn bare(part: &Part, kind: Endpoint, cluster: &Cluster) -> Part {
    let mut bare = part.clone();
    if kind == Endpoint::ApiServer {
        bare.ca_pem = bare.ca_pem.filter(|_| cluster.ca_bundle.is_none());
        bare.tls_server_name = bare.tls_server_name.filter(|_| cluster.tls_server_name.is_none());
    }
    bare
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use serde_json::{Map, json};

    use super::*;
    use crate::registration::Spec;

    fn cluster(bundle: bool) -> Cluster {
        let mut fields = Map::from_iter([
            ("name".to_owned(), json!("spoke")),
            ("api_server_url".to_owned(), json!("https://spoke.example:6443")),
        ]);
        if bundle {
            let signed = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
            fields.insert("ca_bundle".to_owned(), json!(signed.cert.pem()));
        }
        Spec::read(fields).unwrap().enrol(chrono::DateTime::UNIX_EPOCH, None)
    }

    fn token(account: &str, issued: i64) -> Part {
        let claims =
            json!({ "sub": format!("system:serviceaccount:fleetbeat:{account}"), "iat": issued, "exp": issued + 900 });
        Part::of_token(format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())))
    }

    fn judged(stored: Part, given: Part) -> Option<Became> {
        let stored = Credential::default().with(Endpoint::ApiServer, stored).with(Endpoint::Loki, Part::of_token("l"));
        no_news(&stored, &[(Endpoint::ApiServer, Arc::new(given))], &cluster(true))
    }

    #[test]
    fn the_same_is_no_news_and_another_token_is() {
        assert_eq!(judged(Part::of_token("a"), Part::of_token("a")), Some(Became::Same));
        assert_eq!(judged(Part::of_token("a"), Part::of_token("b")), None);
        let authorities = Part { ca_pem: Some("not used: the cluster has its own".to_owned()), ..Part::of_token("a") };
        assert_eq!(judged(Part::of_token("a"), authorities), Some(Became::Same));
    }

    #[test]
    fn a_newer_token_of_the_same_account_stays() {
        assert_eq!(judged(token("spoke", 500), token("spoke", 100)), Some(Became::Older));
        assert_eq!(judged(token("spoke", 100), token("spoke", 500)), None);
        assert_eq!(judged(token("spoke", 500), token("other", 100)), None);
    }

    #[test]
    fn an_endpoint_that_had_none_is_news() {
        let given = [(Endpoint::Tempo, Arc::new(Part::of_token("t")))];
        assert_eq!(
            no_news(&Credential::default().with(Endpoint::ApiServer, Part::of_token("a")), &given, &cluster(false)),
            None
        );
    }
}
