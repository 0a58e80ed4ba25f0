//! `clusters import --from`: what a hub knows of other clusters, read by its Kubernetes API. Nothing is written there.

mod argocd;
mod capi;
mod labels;
mod ocm;
mod reach;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::import::Load;
use super::outcome::Item;
use super::rehearsal::Known;
use super::safe_name::SafeNames;
use crate::cli::error::CliError;
use crate::hub::HubError;

/// Who keeps clusters on a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Keeper {
    /// Argo CD's cluster Secrets, with their credentials
    Argocd,
    /// Cluster API's kubeconfig Secrets, with their credentials
    Capi,
    /// ManagedClusters of Open Cluster Management, which keep no credentials
    Ocm,
}

impl Keeper {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Argocd => "argocd",
            Self::Capi => "capi",
            Self::Ocm => "ocm",
        }
    }
}

/// How the hub is found.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Hub")]
pub(super) struct HubArguments {
    /// Kubeconfig of the hub [default: $KUBECONFIG, else ~/.kube/config, else the pod's service account]
    #[arg(long, requires = "from", value_name = "FILE")]
    hub_kubeconfig: Option<PathBuf>,
    /// Read Secrets of this namespace only, in place of all
    #[arg(long, requires = "from", value_name = "NAMESPACE", value_parser = labels::dns_label)]
    hub_namespace: Option<String>,
    /// What the hub is called in the sources of its clusters [default: the UID of its namespace kube-system]
    #[arg(long, requires = "from", value_name = "NAME", value_parser = labels::hub_name)]
    hub_name: Option<String>,
}

/// One cluster as the hub tells of it.
pub(super) struct Seen {
    /// What people call it.
    called: String,
    /// What identifies it on the hub.
    place: String,
    found: Found,
}

enum Found {
    /// A cluster, and the body that uploads its credentials, or why there are none.
    Cluster(Map<String, Value>, Result<Value, String>),
    /// It is not to be registered, and why.
    Skipped(String),
    /// It cannot be registered, and why.
    Unfit(String),
}

/// Reads every cluster that a keeper has on the hub.
///
/// # Errors
/// When the hub cannot be asked.
pub(super) async fn read(
    keeper: Keeper,
    arguments: &HubArguments,
    context: Option<&str>,
    known: &Known,
    fill: impl Fn(&mut Map<String, Value>),
) -> Result<Load, CliError> {
    let hub = reach::open(arguments.hub_kubeconfig.as_deref(), context).await?;
    let name = match &arguments.hub_name {
        Some(name) => name.clone(),
        None => reach::identity(&hub).await?,
    };
    let namespace = arguments.hub_namespace.as_deref();
    let seen = match keeper {
        Keeper::Argocd => argocd::read(&hub, namespace).await,
        Keeper::Capi => capi::read(&hub, namespace).await,
        Keeper::Ocm => ocm::read(&hub).await,
    };
    let mut seen = seen.map_err(|error| refused(&error, keeper, namespace))?;
    seen.sort_by(|one, other| one.place.cmp(&other.place));
    let mut names = SafeNames::default();
    let mut load = Load::default();
    for one in seen {
        let source = format!("{}:{name}/{}", keeper.as_str(), one.place);
        load.take(one, source, &mut names, known, &fill);
    }
    Ok(load)
}

impl Load {
    fn take(
        &mut self,
        seen: Seen,
        source: String,
        names: &mut SafeNames,
        known: &Known,
        fill: impl Fn(&mut Map<String, Value>),
    ) {
        let (mut fields, credentials) = match seen.found {
            Found::Cluster(fields, credentials) => (fields, credentials),
            Found::Skipped(why) => return self.steps.push(Err(Item::skipped(seen.called, why).into())),
            Found::Unfit(why) => return self.steps.push(Err(Item::failed(seen.called, why).into())),
        };
        let Some(name) = names.make(&seen.called) else {
            let why = "no cluster name can be made of it".to_owned();
            return self.steps.push(Err(Item::failed(seen.called, why).into()));
        };
        fields.insert("name".to_owned(), name.into());
        fields.insert("display_name".to_owned(), seen.called.into());
        fill(&mut fields);
        labels::keep(&mut fields, known.of_source(&source));
        fields.insert("source".to_owned(), source.into());
        self.steps.push(Ok(fields.into()));
        self.credentials.push(credentials);
    }
}

/// What the hub's refusal means to who asked.
fn refused(error: &HubError, keeper: Keeper, namespace: Option<&str>) -> CliError {
    let words = match (error, keeper) {
        (HubError::NotFound, Keeper::Ocm) => {
            "the hub has no ManagedClusters: Open Cluster Management is not installed there".to_owned()
        }
        (HubError::Forbidden(_), Keeper::Argocd | Keeper::Capi) if namespace.is_none() => {
            format!("{error}; --hub-namespace reads the Secrets of one namespace only")
        }
        _ => error.to_string(),
    };
    match error {
        HubError::Unavailable(_) => CliError::Unreachable(words),
        _ => CliError::Failed(anyhow::anyhow!(words)),
    }
}
