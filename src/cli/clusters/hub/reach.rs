//! The way to a hub from a user's desk, and its identity.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectList};

use crate::cli::error::CliError;
use crate::hub::{Hub, HubError, Limits, Source};

/// Objects listed at once.
const PAGE: u32 = 200;
/// Where a pod finds the files of its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Opens the hub that the flags, the environment or a pod's files name.
///
/// # Errors
/// When there is none, or how it is reached is not acceptable.
pub(super) async fn open(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Hub, CliError> {
    let file = kubeconfig.map(Path::to_owned).or_else(usual_kubeconfig);
    let source = match file {
        Some(file) => Source::Context { file, name: context.map(str::to_owned) },
        None => Source::of_pod(Path::new(ACCOUNT)).ok_or_else(|| {
            let why = "there is no kubeconfig: name the hub's by --hub-kubeconfig";
            CliError::Usage(why.to_owned())
        })?,
    };
    Hub::open(source, Limits::default()).await.map_err(|error| {
        CliError::Usage(format!(
            "{error}\n  Only inline data is accepted: `kubectl config view --raw --flatten --minify` makes files inline, and a \
             token (`kubectl create token`) stands in for a program"
        ))
    })
}

/// The first file of KUBECONFIG, else the one of the user's home, where they are there.
fn usual_kubeconfig() -> Option<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let first = named.and_then(|list| std::env::split_paths(&list).find(|path| !path.as_os_str().is_empty()));
    let of_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    first.or_else(|| of_home().filter(|file| file.exists()))
}

/// What identifies a hub, however it is reached: the UID of its namespace kube-system.
///
/// # Errors
/// When the hub does not tell.
pub(super) async fn identity(hub: &Hub) -> Result<String, CliError> {
    let namespaces: Api<Namespace> = Api::all(hub.client());
    let found = namespaces.get_metadata("kube-system").await.map_err(HubError::from);
    let uid = found.and_then(|namespace| namespace.metadata.uid.ok_or(HubError::Unreadable));
    uid.map_err(|error| match error {
        HubError::Unavailable(_) => CliError::Unreachable(error.to_string()),
        _ => CliError::Failed(anyhow::anyhow!("{error}; --hub-name names the hub without asking it")),
    })
}

/// The Secrets that selectors choose, of one namespace or of all.
///
/// # Errors
/// When the hub does not tell.
pub(super) async fn secrets(
    hub: &Hub,
    namespace: Option<&str>,
    labels: &str,
    fields: Option<&str>,
) -> Result<Vec<Secret>, HubError> {
    let api: Api<Secret> = match namespace {
        Some(namespace) => Api::namespaced(hub.client(), namespace),
        None => Api::all(hub.client()),
    };
    let page = ListParams::default().labels(labels);
    pages(fields.iter().fold(page, |page, fields| page.fields(fields)), async |page| api.list(page).await).await
}

/// A kind of custom objects.
pub(super) fn kind(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// The custom objects of a kind, of one namespace or of all.
///
/// # Errors
/// When the hub does not tell.
pub(super) async fn objects(
    hub: &Hub,
    namespace: Option<&str>,
    kind: &ApiResource,
) -> Result<Vec<DynamicObject>, HubError> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(hub.client(), namespace, kind),
        None => Api::all_with(hub.client(), kind),
    };
    pages(ListParams::default(), async |page| api.list(page).await).await
}

/// The labels of custom objects of a kind by `namespace/name`, in whichever version the hub prefers.
///
/// # Errors
/// When the hub does not tell.
pub(super) async fn labels_of(
    hub: &Hub,
    namespace: Option<&str>,
    group: &str,
    name: &str,
    plural: &str,
) -> Result<HashMap<String, BTreeMap<String, String>>, HubError> {
    let groups = hub.client().list_api_groups().await?.groups;
    let group = groups.into_iter().find(|known| known.name == group).ok_or(HubError::NotFound)?;
    let version = group.preferred_version.or_else(|| group.versions.first().cloned()).ok_or(HubError::NotFound)?;
    let objects = objects(hub, namespace, &kind(&group.name, &version.version, name, plural)).await?;
    let labelled = |object: DynamicObject| {
        let place = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        (place, object.metadata.labels.unwrap_or_default())
    };
    Ok(objects.into_iter().map(labelled).collect())
}

/// Every page of a list.
async fn pages<T: Clone>(
    mut page: ListParams,
    list: impl AsyncFn(&ListParams) -> Result<ObjectList<T>, kube::Error>,
) -> Result<Vec<T>, HubError> {
    page = page.limit(PAGE);
    let mut items = Vec::new();
    loop {
        let list = list(&page).await?;
        items.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(items),
        }
    }
}
