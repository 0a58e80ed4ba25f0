//! `clusters import`: many clusters at once, from a file of clusters or the contexts of a kubeconfig.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::contexts::{Found, Kubeconfig};
use super::inline::{Conveyed, Inline, convey};
use super::list::{Filter, select};
use super::traits::Traits;
use super::{Desk, look};
use crate::cli::error::{CliError, Refusal};
use crate::cli::output::{self, Format};
use crate::cli::table::{self, Cell};
use crate::registration::Spec;

/// Clusters of one request. Small enough that the bar moves.
const BATCH: usize = 100;
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

A file is YAML or JSON: `clusters:` and a list, each item as for `POST /api/v1/clusters`:
  clusters:
  - name: prod-east-1
    api_server_url: https://api.prod-east-1.example.com:6443
    cluster_type: SPOKE
    endpoints: {prometheus_url: https://prometheus.prod-east-1.example.com}

Of a kubeconfig the contexts' names, servers, certificate-authority-data and tls-server-name are taken, and names are made fit
(`admin@Prod_1` becomes `admin-prod-1`). Inline tokens and client certificates are tried on their cluster and stored where it has
no credentials yet, which takes an administrator. Contexts that run programs or name files come without, and it is said why.")]
pub struct ImportArguments {
    /// File of clusters, or `-` for standard input
    #[arg(required_unless_present = "kubeconfig", conflicts_with = "kubeconfig")]
    file: Option<PathBuf>,
    /// Take the contexts of this kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Only this context; repeat it for several
    #[arg(long = "context", value_name = "NAME")]
    contexts: Vec<String>,
    /// Change nothing: say what would be registered and what is wrong
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    traits: Traits,
}

/// One item on its way.
pub(super) struct Item {
    /// What it was called.
    pub(super) name: String,
    /// What became of it, in a word or two.
    pub(super) result: String,
    /// Its id, where the server told it.
    pub(super) id: Option<String>,
    /// Why not, where it was refused.
    pub(super) refusal: Option<Refusal>,
    /// What became of its credentials, where it came with a kubeconfig.
    pub(super) credentials: Option<Conveyed>,
}

/// What a file holds, in its order: clusters to send, and what can be told without sending it.
struct Load {
    steps: Vec<Result<Value, Box<Item>>>,
    /// Credentials of the clusters to send, in their order; none at all of a file of clusters.
    credentials: Vec<Result<Value, String>>,
}

/// Does it.
pub async fn run(desk: &Desk, arguments: &ImportArguments) -> Result<(), CliError> {
    let load = read(arguments)?;
    let clusters: Vec<_> = load.steps.iter().filter_map(|step| step.as_ref().ok().cloned()).collect();
    let mut sent = if arguments.dry_run { rehearse(desk, &clusters).await? } else { send(desk, &clusters).await? };
    for (item, given) in sent.iter_mut().zip(load.credentials) {
        item.credentials = match (&item.id, given) {
            _ if item.result == "failed" => None,
            (_, Err(why)) => Some(Conveyed::Without(why)),
            (Some(id), given) if !arguments.dry_run => Some(convey(desk, id, given).await?),
            (_, Ok(_)) => Some(Conveyed::WouldBeTried),
        };
    }
    let mut sent = sent.into_iter();
    let settled = load.steps.into_iter().filter_map(|step| step.map_or_else(|told| Some(*told), |_| sent.next()));
    let items: Vec<Item> = settled.collect();
    let failed = items.iter().filter(|item| item.has_failed()).count();
    tell(desk, &items)?;
    if failed == 0 { Ok(()) } else { Err(CliError::Partly(format!("{failed} of {} failed", items.len()))) }
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

/// What would become of the clusters: judged by the same rules as the server's, and by the names it knows.
async fn rehearse(desk: &Desk, clusters: &[Value]) -> Result<Vec<Item>, CliError> {
    let known = select(&desk.client, &Filter::default(), None).await?.clusters;
    let known: std::collections::HashSet<_> = known.iter().map(|cluster| look::text(cluster, "/name")).collect();
    Ok(clusters.iter().map(|cluster| judge(cluster, &known)).collect())
}

fn judge(cluster: &Value, known: &std::collections::HashSet<String>) -> Item {
    let name = look::text(cluster, "/name");
    match Spec::read(cluster.as_object().cloned().unwrap_or_default()) {
        Ok(_) if known.contains(&name) => Item { result: "would change".to_owned(), ..Item::named(name) },
        Ok(_) => Item { result: "would be created".to_owned(), ..Item::named(name) },
        Err(invalid) => {
            let details = invalid.details.iter().map(|detail| (detail.field.clone(), detail.message.clone())).collect();
            let refusal = Refusal { code: "INVALID_REQUEST".to_owned(), message: invalid.to_string(), details };
            Item { result: "failed".to_owned(), refusal: Some(refusal), ..Item::named(name) }
        }
    }
}

/// Registers or changes clusters, in batches, with a bar on a terminal.
pub(super) async fn send(desk: &Desk, clusters: &[Value]) -> Result<Vec<Item>, CliError> {
    let bar = bar(clusters.len());
    let mut items = Vec::with_capacity(clusters.len());
    for batch in clusters.chunks(BATCH) {
        let body = json!({ "clusters": batch });
        let report = desk.client.post("/api/v1/clusters:import", Some(&body), desk.client.timeout()).await?;
        items.extend(report.json.get("items").and_then(Value::as_array).into_iter().flatten().map(Item::of));
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(items)
}

/// A bar for work on so many clusters; hidden for few, and where there is no terminal.
pub(super) fn bar(length: usize) -> ProgressBar {
    if length <= BATCH || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40.cyan} {pos} of {len} clusters, {eta} left");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Item {
    fn named(name: String) -> Self {
        Self { name, result: String::new(), id: None, refusal: None, credentials: None }
    }

    /// One whose end is known.
    pub(super) fn settled(name: &str, result: &str) -> Self {
        Self { result: result.to_owned(), ..Self::named(name.to_owned()) }
    }

    fn of(json: &Value) -> Self {
        Self {
            name: look::text(json, "/name"),
            result: look::text(json, "/result"),
            id: json.get("id").and_then(Value::as_str).map(str::to_owned),
            refusal: json.get("error").and_then(Refusal::read),
            credentials: None,
        }
    }

    fn skipped(name: String, message: String) -> Self {
        let refusal = Refusal { code: "SKIPPED".to_owned(), message, details: Vec::new() };
        Self { result: "skipped".to_owned(), refusal: Some(refusal), ..Self::named(name) }
    }

    fn failed(name: String, message: String) -> Self {
        Self { result: "failed".to_owned(), ..Self::skipped(name, message) }
    }

    fn has_failed(&self) -> bool {
        self.result == "failed" || matches!(self.credentials, Some(Conveyed::Failed(_)))
    }

    fn why(&self) -> String {
        let Some(refusal) = &self.refusal else {
            return self.credentials.as_ref().map(Conveyed::told).unwrap_or_default();
        };
        if refusal.details.is_empty() {
            return refusal.message.clone();
        }
        refusal.details.iter().map(|(field, message)| format!("{field}: {message}")).collect::<Vec<_>>().join("; ")
    }

    fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("name".to_owned(), self.name.as_str().into());
        json.insert("result".to_owned(), self.result.as_str().into());
        json.insert("id".to_owned(), self.id.as_deref().map_or(Value::Null, Value::from));
        let why = self.why();
        json.insert("message".to_owned(), if why.is_empty() { Value::Null } else { why.into() });
        if let Some(credentials) = &self.credentials {
            json.insert("credentials".to_owned(), credentials.as_str().into());
        }
        json.into()
    }
}

/// Writes what became of each.
pub(super) fn tell(desk: &Desk, items: &[Item]) -> Result<(), CliError> {
    let json = || json!({ "items": items.iter().map(Item::to_json).collect::<Vec<_>>() });
    match desk.format {
        Format::Json => return output::json(&json()),
        Format::Yaml => return output::yaml(&json()),
        Format::Name => {
            let done = items.iter().filter(|item| !matches!(item.result.as_str(), "failed" | "skipped"));
            return done.map(|item| item.name.as_str()).try_for_each(output::line);
        }
        Format::Table | Format::Wide => {}
    }
    let rows = items.iter().map(|item| {
        let result = Cell::verdict(&item.result, !item.has_failed());
        vec![Cell::text(&item.name), result, Cell::text(item.why())]
    });
    output::say(&table::render(&["NAME", "RESULT", "MESSAGE"], rows.collect(), desk.paint))?;
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for item in items {
        match counts.iter_mut().find(|(result, _)| *result == item.result) {
            Some((_, count)) => *count += 1,
            None => counts.push((&item.result, 1)),
        }
    }
    let counts: Vec<_> = counts.iter().map(|(result, count)| format!("{count} {result}")).collect();
    eprintln!("{}", if counts.is_empty() { "nothing to import".to_owned() } else { counts.join(", ") });
    Ok(())
}
