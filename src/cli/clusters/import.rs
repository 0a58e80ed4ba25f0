//! `clusters import`: many clusters at once, from a file of clusters, the contexts of a kubeconfig, or a hub.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::Desk;
use super::contexts::{Found, Kubeconfig};
use super::hub::{self, HubArguments, Keeper};
use super::inline::{Conveyed, Inline, convey};
use super::outcome::{Item, tell};
use super::rehearsal::{Known, rehearse};
use super::sending::{bar, send};
use super::traits::Traits;
use crate::cli::error::CliError;

/// Credentials that are uploaded at once.
const UPLOADS_AT_ONCE: usize = 8;
/// Largest file read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Register or change many clusters; doing it again changes nothing
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat clusters import clusters.yaml
  fleetbeat clusters import --kubeconfig ~/.kube/config --dry-run
  fleetbeat clusters import --kubeconfig ~/.kube/config --context admin@prod --environment production
  generate-clusters | fleetbeat clusters import -
  fleetbeat clusters import --from argocd --dry-run
  fleetbeat clusters import --from capi --hub-kubeconfig hub.yaml --hub-namespace clusters

A file is YAML or JSON: `clusters:` and a list, each item as for `POST /api/v1/clusters`:
  clusters:
  - name: prod-east-1
    api_server_url: https://api.prod-east-1.example.com:6443
    cluster_type: SPOKE
    endpoints: {prometheus_url: https://prometheus.prod-east-1.example.com}

Of a kubeconfig the contexts' names, servers, certificate-authority-data and tls-server-name are taken, and names are made fit
(`admin@Prod_1` becomes `admin-prod-1`). Inline tokens and client certificates are tried on their cluster, then stored in place of
those that it has, unless they are the same; it takes an administrator. What the cluster does not accept changes nothing, and neither
does a token older than one of the same account. Contexts that run programs or name files come without, and it is said why.

--from reads a hub by its Kubernetes API and writes nothing there. Clusters are remembered by where they come from (`source`): one
that was renamed on the hub is found again and keeps its name here, and one whose name is that of a cluster from elsewhere is
refused. Labels of the hub's objects are carried over; labels given here stay.

Exit codes: 0 all is well, 1 something was refused, 2 the command line or the hub's kubeconfig is wrong, 4 nobody answers.")]
pub struct ImportArguments {
    /// File of clusters, or `-` for standard input
    #[arg(required_unless_present_any = ["kubeconfig", "from"], conflicts_with_all = ["kubeconfig", "from"])]
    file: Option<PathBuf>,
    /// Take the contexts of this kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Take the clusters that a hub keeps
    #[arg(long, value_enum, value_name = "KEEPER", conflicts_with = "kubeconfig")]
    from: Option<Keeper>,
    #[command(flatten)]
    hub: HubArguments,
    /// Only this context; repeat it for several. With --from: the context of the hub
    #[arg(long = "context", value_name = "NAME")]
    contexts: Vec<String>,
    /// Change nothing: say what would be registered and what is wrong
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    traits: Traits,
}

/// What there is to import, in its order: clusters to send, and what can be told without sending it.
#[derive(Default)]
pub(super) struct Load {
    pub(super) steps: Vec<Result<Value, Box<Item>>>,
    /// Credentials of the clusters to send, in their order; none at all of a file of clusters.
    pub(super) credentials: Vec<Result<Value, String>>,
}

/// Does it.
pub async fn run(desk: &Desk, arguments: &ImportArguments) -> Result<(), CliError> {
    let known = match arguments.from.is_some() || arguments.dry_run {
        true => Known::read(desk).await?,
        false => Known::default(),
    };
    let load = match arguments.from {
        Some(keeper) => read_hub(keeper, arguments, &known).await?,
        None => read(arguments)?,
    };
    let clusters: Vec<_> = load.steps.iter().filter_map(|step| step.as_ref().ok().cloned()).collect();
    let mut sent = match arguments.dry_run {
        true => rehearse(desk, &clusters, &known).await?,
        false => send(desk, &clusters).await?,
    };
    convey_all(desk, &mut sent, load.credentials, arguments.dry_run).await?;
    let mut sent = sent.into_iter();
    let settled = load.steps.into_iter().filter_map(|step| step.map_or_else(|told| Some(*told), |_| sent.next()));
    let items: Vec<Item> = settled.collect();
    let failed = items.iter().filter(|item| item.has_failed()).count();
    tell(desk, &items)?;
    if failed == 0 { Ok(()) } else { Err(CliError::Partly(format!("{failed} of {} failed", items.len()))) }
}

/// Uploads the credentials of what was registered, several at once: each is tried on its cluster, which may take its time.
async fn convey_all(
    desk: &Desk,
    sent: &mut [Item],
    given: Vec<Result<Value, String>>,
    rehearsed: bool,
) -> Result<(), CliError> {
    let bar = bar(given.len());
    let becomes = sent.iter().zip(given).map(|(item, given)| {
        let bar = &bar;
        async move {
            let became = match (&item.id, given) {
                _ if item.result == "failed" => None,
                (_, Err(why)) => Some(Conveyed::Without(why)),
                (Some(id), given) => Some(convey(desk, id, given, rehearsed).await?),
                (None, Ok(_)) => Some(Conveyed::WouldBeTried),
            };
            bar.inc(1);
            Ok::<_, CliError>(became)
        }
    });
    let became: Vec<_> = stream::iter(becomes).buffered(UPLOADS_AT_ONCE).try_collect().await?;
    bar.finish_and_clear();
    sent.iter_mut().zip(became).for_each(|(item, became)| item.credentials = became);
    Ok(())
}

async fn read_hub(keeper: Keeper, arguments: &ImportArguments, known: &Known) -> Result<Load, CliError> {
    let context = match arguments.contexts.as_slice() {
        [] => None,
        [one] => Some(one.as_str()),
        _ => return Err(CliError::Usage("--context: there is one hub".to_owned())),
    };
    hub::read(keeper, &arguments.hub, context, known, |fields| arguments.traits.fill(fields)).await
}

fn read(arguments: &ImportArguments) -> Result<Load, CliError> {
    let path = arguments.kubeconfig.as_deref().or(arguments.file.as_deref()).unwrap_or(Path::new("-"));
    let text = text(path)?;
    let content = parse(&text).map_err(|why| CliError::Failed(anyhow::anyhow!("{}: {why}", path.display())))?;
    let is_kubeconfig = content.get("contexts").is_some() || content.get("kind").is_some_and(|kind| kind == "Config");
    if arguments.kubeconfig.is_some() || is_kubeconfig {
        return read_contexts(content, &Inline::read(&text), arguments);
    }
    if !arguments.contexts.is_empty() {
        return Err(CliError::Usage(format!("--context: {} is not a kubeconfig", path.display())));
    }
    let list = match content {
        Value::Array(list) => list,
        Value::Object(mut map) => match map.remove("clusters") {
            Some(Value::Array(list)) => list,
            _ => return Err(CliError::Failed(anyhow::anyhow!("{}: there is no list `clusters`", path.display()))),
        },
        _ => return Err(CliError::Failed(anyhow::anyhow!("{}: there is no list `clusters`", path.display()))),
    };
    let filled = list.into_iter().map(|mut cluster| {
        if let Value::Object(fields) = &mut cluster {
            arguments.traits.fill(fields);
        }
        cluster
    });
    Ok(Load { steps: filled.map(Ok).collect(), credentials: Vec::new() })
}

fn read_contexts(content: Value, inline: &Inline, arguments: &ImportArguments) -> Result<Load, CliError> {
    let config: Kubeconfig = serde_json::from_value(content).map_err(CliError::failed("this is no kubeconfig"))?;
    let found = config.contexts(&arguments.contexts).map_err(CliError::Usage)?;
    let mut credentials = Vec::new();
    let steps = found.into_iter().map(|(context, found)| match found {
        Found::Cluster(mut fields) => {
            credentials.push(inline.of(&context));
            arguments.traits.fill(&mut fields);
            Ok(fields.into())
        }
        Found::SameAs(other) => Err(Item::skipped(context, format!("the same cluster as context {other}")).into()),
        Found::Unfit(why) => Err(Item::failed(context, why).into()),
    });
    let steps = steps.collect();
    Ok(Load { steps, credentials })
}

/// The text of a file, or of standard input for `-`.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().take(MAX_FILE).read_to_string(&mut text),
        _ => std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)),
    };
    read.map_err(CliError::failed(path.display().to_string()))?;
    Ok(text)
}

fn parse(text: &str) -> Result<Value, String> {
    match text.trim_start().starts_with(['{', '[']) {
        true => serde_json::from_str(text).map_err(|error| format!("is not valid JSON: {error}")),
        false => serde_saphyr::from_str(text).map_err(|error| format!("is not valid YAML: {error}")),
    }
}
