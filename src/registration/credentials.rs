//! Credentials of clusters: proven on the live cluster, stored with the event that tells of it, shown to the probes.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use fleetbeat_actors::{
    board::Entry,
    event::{EventDraft, EventType},
    health::{Cause, CheckReport, Endpoint, Failure, NotRun, Outcome},
    roll::{Cluster, ClusterId},
};
use secrecy::SecretString;
use serde_json::json;
use tracing::Instrument;

use super::{
    error::WriteError,
    invalid::{Detail, Invalid},
    upload::Upload,
    write::Registration,
};
use crate::{
    audit::Action,
    credentials::{Binding, Change, Credential, Lookup, Part},
    identity::Author,
    store::AuditEntry,
    traces,
};

/// What a proof may take beyond the cluster's own deadline: waiting for permits.
const PROOF_SLACK: Duration = Duration::from_secs(10);

/// What a proof found for one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint accepted the credential.
    Success,
    /// It did not, or could not be asked.
    Failed(Failure),
    /// The monitor could not ask.
    NotRun(NotRun),
    /// There is no credential for it.
    Skipped,
}

/// What is done to stored credentials, and for whom.
pub(super) struct Deed {
    pub(super) kind: DeedKind,
    /// Would it have been done even if the cluster had refused them?
    pub(super) forced: bool,
    pub(super) by: Author,
    /// Only if this version is still the stored one.
    pub(super) replaces: Option<u64>,
}

#[derive(Clone, Copy)]
pub(super) enum DeedKind {
    Upload(Upload),
    Renew,
    Delete,
}

impl DeedKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Upload(Upload::Whole) => "uploaded",
            Self::Upload(Upload::Rotation) => "rotated",
            Self::Renew => "renewed",
            Self::Delete => "deleted",
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::Upload(Upload::Whole) => Action::CredentialsUpload,
            Self::Upload(Upload::Rotation) | Self::Renew => Action::CredentialsRotate,
            Self::Delete => Action::CredentialsDelete,
        }
    }
}

impl Deed {
    /// What the audit log tells of it: which endpoints, nothing of what opens them.
    fn tell(&self, cluster: &Cluster, change: &Change, at: DateTime<Utc>) -> AuditEntry {
        let words = |kinds: &mut dyn Iterator<Item = Endpoint>| kinds.map(|kind| kind.as_str()).collect::<Vec<_>>();
        let put = words(&mut change.put.iter().map(|(kind, _)| *kind));
        let entry = self.by.origin.did(self.kind.action(), at).of_cluster(cluster.id).of_object(&cluster.name);
        let entry = entry.with("set", json!(put)).with("removed", json!(words(&mut change.gone.iter().copied())));
        entry.with("forced", json!(self.forced))
    }
}

/// Credentials with what their proof found.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The cluster.
    pub entry: Entry,
    /// The credentials.
    pub credential: Arc<Credential>,
    /// One for every endpoint of the cluster.
    pub verdicts: Vec<(Endpoint, Verdict)>,
}

/// Why credentials were not stored, or not found.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The write itself did not happen.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was given cannot be used.
    #[error(transparent)]
    Unusable(#[from] Invalid),
    /// The cluster refuses them; for each endpoint, why.
    #[error("the cluster refuses the credentials")]
    Refused(Vec<Detail>),
    /// The cluster could not be asked.
    #[error("the cluster cannot be reached")]
    Unreachable(Vec<(Endpoint, Verdict)>),
    /// The cluster has none.
    #[error("the cluster has no credentials")]
    NotFound(ClusterId),
}

impl Proven {
    /// Does every endpoint accept them?
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::Success | Verdict::Skipped))
    }
}

impl Registration {
    /// Puts a new token of the same service account in place of the one in `old`, after proving it. False when others
    /// have replaced the credentials meanwhile.
    ///
    /// # Errors
    /// Any [`CredentialError`]; the old token stays then.
    pub async fn renew_token(
        self: &Arc<Self>,
        id: ClusterId,
        old: &Arc<Credential>,
        token: SecretString,
    ) -> Result<bool, CredentialError> {
        let entry = self.board.get(id).ok_or(WriteError::NotFound(id))?;
        let part = old.part(Endpoint::ApiServer).ok_or(CredentialError::NotFound(id))?;
        let part = Arc::new(Part { token: Some(token), ..(**part).clone() });
        let candidate = (**old).clone().with(Endpoint::ApiServer, Arc::clone(&part));
        self.prove(entry, Arc::new(candidate), &[Endpoint::ApiServer]).await.judge(self.now())?;
        let change = Change { put: vec![(Endpoint::ApiServer, part)], gone: Vec::new() };
        let (by, replaces) = (Author::system("renewal"), Some(old.version));
        let deed = Deed { kind: DeedKind::Renew, forced: false, by, replaces };
        match self.write_credentials(id, change, deed).await {
            Ok(()) => Ok(true),
            Err(WriteError::Changed) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Tries the stored credentials on the live cluster.
    ///
    /// # Errors
    /// [`CredentialError::NotFound`], [`WriteError::NotFound`], or [`WriteError::Unavailable`] when nobody knows.
    pub async fn validate_credentials(&self, id: ClusterId) -> Result<Proven, CredentialError> {
        let entry = self.board.get(id).ok_or(WriteError::NotFound(id))?;
        let stored = self.stored(id)?;
        let kinds: Vec<Endpoint> = stored.parts().map(|(kind, _)| kind).collect();
        Ok(self.prove(entry, stored, &kinds).await)
    }

    /// Removes a cluster's credentials.
    ///
    /// # Errors
    /// As for [`Registration::validate_credentials`].
    pub async fn delete_credentials(self: &Arc<Self>, id: ClusterId, by: Author) -> Result<(), CredentialError> {
        self.board.get(id).ok_or(WriteError::NotFound(id))?;
        if matches!(self.vault.get(id), Lookup::None) {
            return Err(CredentialError::NotFound(id));
        }
        let change = Change { put: Vec::new(), gone: Endpoint::ALL.to_vec() };
        let deed = Deed { kind: DeedKind::Delete, forced: false, by, replaces: None };
        Ok(self.write_credentials(id, change, deed).await?)
    }

    /// The stored credentials as they are now.
    ///
    /// # Errors
    /// As for [`Registration::validate_credentials`].
    pub fn stored(&self, id: ClusterId) -> Result<Arc<Credential>, CredentialError> {
        self.board.get(id).ok_or(WriteError::NotFound(id))?;
        match self.vault.get(id) {
            Lookup::Some(credential) => Ok(credential),
            Lookup::None => Err(CredentialError::NotFound(id)),
            Lookup::Unavailable => Err(WriteError::BUSY.into()),
        }
    }

    pub(super) async fn prove(&self, entry: Entry, credential: Arc<Credential>, kinds: &[Endpoint]) -> Proven {
        let target = Arc::new(self.policy.target(Arc::clone(&entry.cluster)));
        let patience = target.cadence.deadline + target.cadence.recheck_delay + PROOF_SLACK;
        let proof = self.vault.prove(target, Arc::clone(&credential)).instrument(traces::outside("cluster", "proof"));
        let report = tokio::time::timeout(patience, proof).await;
        let report = report.unwrap_or(CheckReport::not_run(NotRun::NoPermit));
        let asked = |kind: &Endpoint| *kind == Endpoint::ApiServer || report.outcome(*kind).is_some();
        let verdict =
            |kind| (kind, if kinds.contains(&kind) { Verdict::of(report.outcome(kind)) } else { Verdict::Skipped });
        let verdicts = Endpoint::ALL.into_iter().filter(|kind| asked(kind) || kinds.contains(kind)).map(verdict);
        Proven { entry, credential, verdicts: verdicts.collect() }
    }

    pub(super) async fn write_credentials(
        self: &Arc<Self>,
        id: ClusterId,
        change: Change,
        deed: Deed,
    ) -> Result<(), WriteError> {
        let this = Arc::clone(self);
        self.detached(async move { this.write_credentials_now(id, change, &deed).await }).await?;
        self.check_soon(id);
        Ok(())
    }

    /// A check with changed credentials. Nobody waits for it; the next check of its own would find them as well.
    pub(super) fn check_soon(self: &Arc<Self>, id: ClusterId) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let _ = this.engine.check_now(id, PROOF_SLACK).await;
        });
    }

    async fn write_credentials_now(&self, id: ClusterId, change: Change, deed: &Deed) -> Result<(), WriteError> {
        let turn = self.turn().await?;
        let entry = self.board.get(id).ok_or(WriteError::NotFound(id))?;
        let moved = |(kind, part): &(Endpoint, Arc<Part>)| part.bound_to != Binding::of_endpoint(&entry.cluster, *kind);
        if change.put.iter().any(moved) {
            return Err(WriteError::Changed);
        }
        if self.vault.memory().is_loading() {
            return Err(WriteError::BUSY);
        }
        let before = match self.vault.get(id) {
            Lookup::Some(credential) => (*credential).clone(),
            Lookup::None | Lookup::Unavailable => Credential::default(),
        };
        if deed.replaces.is_some_and(|version| version != before.version) {
            return Err(WriteError::Changed);
        }
        let kept = change.gone.iter().fold(before, |all, kind| all.without(*kind));
        let after = change.put.iter().fold(kept, |all, (kind, part)| all.with(*kind, Arc::clone(part)));
        let mut pen = self.outbox.pen(turn.left()).await?;
        let event = pen.write(self.told(&entry.cluster, &after, deed.kind.word()))?;
        let audit = [deed.tell(&entry.cluster, &change, self.now())];
        let done = turn.store(self.vault.store().write(id, &change, &[event], &audit)).await;
        self.settle(pen, done, &[id])?;
        self.vault.memory().put(id, after);
        Ok(())
    }

    /// The event that tells of changed credentials, without anything of them.
    pub(super) fn told(&self, cluster: &Cluster, after: &Credential, action: &str) -> EventDraft {
        let endpoints: Vec<_> = after.parts().map(|(kind, _)| kind.as_str()).collect();
        let payload = json!({
            "cluster_id": cluster.id,
            "cluster_name": cluster.name,
            "action": action,
            "auth_type": after.part(Endpoint::ApiServer).map(|part| part.auth_type.as_str()),
            "endpoints": endpoints,
            "expires_at": after.expires_at(),
        });
        EventDraft::new(EventType::ClusterCredentialsUpdated, cluster.id, self.now(), payload)
    }

    /// What a changed cluster leaves of its credentials: the endpoints whose place is another now, the rest, and the
    /// event that tells of it.
    pub(super) fn unbound_by(&self, cluster: &Cluster) -> Option<(Vec<Endpoint>, Credential, EventDraft)> {
        let Lookup::Some(stored) = self.vault.get(cluster.id) else { return None };
        let moved = |(kind, part): &(Endpoint, &Arc<Part>)| part.bound_to != Binding::of_endpoint(cluster, *kind);
        let gone: Vec<Endpoint> = stored.parts().filter(moved).map(|(kind, _)| kind).collect();
        if gone.is_empty() {
            return None;
        }
        let rest = gone.iter().fold((*stored).clone(), |all, kind| all.without(*kind));
        let mut draft = self.told(cluster, &rest, "invalidated");
        draft.payload["invalidated"] = json!(gone.iter().map(|kind| kind.as_str()).collect::<Vec<_>>());
        Some((gone, rest, draft))
    }
}

impl Proven {
    /// May they be stored?
    pub(super) fn judge(&self, now: DateTime<Utc>) -> Result<(), CredentialError> {
        let failed = self.verdicts.iter().filter_map(|(kind, verdict)| match verdict {
            Verdict::Failed(failure) => Some((*kind, *failure)),
            Verdict::Success | Verdict::NotRun(_) | Verdict::Skipped => None,
        });
        let failed: Vec<(Endpoint, Failure)> = failed.collect();
        let refused: Vec<_> = failed.iter().copied().filter(|(_, failure)| refuses(failure.cause)).collect();
        if !refused.is_empty() {
            let detail =
                |(kind, failure): (Endpoint, Failure)| Detail::new(kind.as_str(), self.told(kind, failure, now));
            return Err(CredentialError::Refused(refused.into_iter().map(detail).collect()));
        }
        if self.holds() { Ok(()) } else { Err(CredentialError::Unreachable(self.verdicts.clone())) }
    }
}

impl Proven {
    /// Why an endpoint refuses, with what would help.
    fn told(&self, kind: Endpoint, failure: Failure, now: DateTime<Utc>) -> String {
        let end = self.credential.part(kind).and_then(|part| part.expiries().identity()).filter(|end| *end <= now);
        match (failure.cause, kind, end) {
            (Cause::Unauthorized, _, Some(end)) => {
                format!("{failure}: they ended at {}", end.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            (Cause::Forbidden, Endpoint::ApiServer, _) => format!("{failure}: checks list namespaces"),
            _ => failure.to_string(),
        }
    }
}

/// Is the credential to blame, or the trust that came with it?
fn refuses(cause: Cause) -> bool {
    match cause {
        Cause::Unauthorized | Cause::Forbidden | Cause::Credentials | Cause::Tls | Cause::CertificateExpired => true,
        Cause::Dns
        | Cause::Refused
        | Cause::ConnectTimeout
        | Cause::Timeout
        | Cause::Throttled
        | Cause::HttpStatus
        | Cause::Protocol
        | Cause::TooLarge
        | Cause::Blocked => false,
    }
}

impl Verdict {
    fn of(outcome: Option<Outcome>) -> Self {
        match outcome {
            Some(Outcome::Healthy { .. }) => Self::Success,
            Some(Outcome::Failed { failure, .. }) => Self::Failed(failure),
            Some(Outcome::NotRun(reason)) => Self::NotRun(reason),
            None => Self::Skipped,
        }
    }
}
