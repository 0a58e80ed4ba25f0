//! `fleetbeat apply` and `fleetbeat diff`: the fleet as files want it, and what is missing to that.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::super::list::{Filter, select};
use super::super::outcome::{self, Item};
use super::super::sending;
use super::super::{Desk, rm};
use super::files::{self, Wanted};
use super::in_full;
use super::plan::{Plan, Step, plan};
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use crate::cli::error::CliError;
use crate::cli::look;
use crate::cli::output::{self, Format, PlainFormat};
use crate::cli::paint::Paint;

/// Which files, and whether what they do not name counts too.
#[derive(Args)]
struct Sources {
    /// File or folder of clusters (YAML or JSON), or `-`; repeat it for several
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Clusters that no file names are to go
    #[arg(long)]
    prune: bool,
    /// With --prune: only clusters that this selector matches
    #[arg(short = 'l', long, value_name = "SELECTOR", requires = "prune")]
    selector: Option<String>,
}

/// Make the fleet what files say: register, change and, with --prune, remove clusters
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat apply -f fleet/ --dry-run
  fleetbeat apply -f fleet/
  fleetbeat apply -f fleet/ --prune -l managed-by=git --yes
  fleetbeat export | fleetbeat apply -f -        changes nothing

A file holds clusters as for `POST /api/v1/clusters`: one, several documents, a list, or `clusters:` and a list. Fields that it leaves
out stay as they are; `null` empties one. Nothing is done when anything in the files is wrong.")]
pub struct ApplyArguments {
    #[command(flatten)]
    sources: Sources,
    /// Change nothing: say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before clusters are removed
    #[arg(short, long)]
    yes: bool,
    /// How to write what was done
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Show how the fleet differs from files; ends with 1 when it does
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat diff -f fleet/
  fleetbeat diff -f fleet/ --prune || echo 'the fleet is not what git says'

Exit codes: 0 no difference, 1 differences, 2 and more when the comparison failed.")]
pub struct DiffArguments {
    #[command(flatten)]
    sources: Sources,
    /// How to write the differences
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: PlainFormat,
    #[command(flatten)]
    connection: Connection,
}

/// Does `apply`.
///
/// # Errors
/// Those of the files, of the client, and of single clusters.
pub async fn apply(arguments: ApplyArguments, paint: Paint) -> Result<(), CliError> {
    let desk = Desk { client: Client::new(&arguments.connection)?, paint, format: arguments.output };
    let wanted = files::read(&arguments.sources.files)?;
    let plan = draw(&desk.client, &wanted, &arguments.sources).await?;
    let wrong: Vec<Item> = plan.iter().filter_map(|(name, step)| wrong(name, step)).collect();
    if !wrong.is_empty() {
        outcome::tell(&desk, &wrong)?;
        return Err(CliError::Partly(format!("{} of {} are wrong; nothing was done", wrong.len(), plan.len())));
    }
    if arguments.dry_run {
        return outcome::tell(&desk, &plan.iter().map(|(name, step)| would(name, step)).collect::<Vec<_>>());
    }
    let surplus: Vec<(&str, &str)> = plan.iter().filter_map(|(name, step)| removed(name, step)).collect();
    rm::permitted(surplus.iter().map(|(name, _)| *name), arguments.yes)?;
    let changed =
        wanted.iter().filter(|wanted| plan[&wanted.name].differs()).map(|wanted| wanted.fields.clone().into());
    let mut items = sending::send(&desk, &changed.collect::<Vec<Value>>()).await?;
    items.extend(plan.iter().filter(|(_, step)| !step.differs()).map(|(name, _)| Item::settled(name, "unchanged")));
    for (name, id) in surplus {
        desk.client.delete(&format!("/api/v1/clusters/{id}")).await?;
        items.push(Item::settled(name, "removed"));
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    outcome::tell(&desk, &items)?;
    match items.iter().filter(|item| item.result == "failed").count() {
        0 => Ok(()),
        failed => Err(CliError::Partly(format!("{failed} of {} failed", items.len()))),
    }
}

/// Does `diff`.
///
/// # Errors
/// [`CliError::Differs`] when the fleet is not as the files want it; those of the files and of the client.
pub async fn diff(arguments: DiffArguments, paint: Paint) -> Result<(), CliError> {
    let compared = async {
        let client = Client::new(&arguments.connection)?;
        draw(&client, &files::read(&arguments.sources.files)?, &arguments.sources).await
    };
    // 1 is for differences.
    let plan = compared.await.map_err(|error| match error.exit_code() {
        1 => CliError::Usage(error.to_string()),
        _ => error,
    })?;
    let different = plan.iter().filter(|(_, step)| step.differs());
    match arguments.output {
        PlainFormat::Table => {
            for line in different.clone().flat_map(|(name, step)| step.lines(name, paint)) {
                output::line(&line)?;
            }
        }
        PlainFormat::Json => output::json(&json!({ "items": different.clone().map(told).collect::<Vec<_>>() }))?,
        PlainFormat::Yaml => output::yaml(&json!({ "items": different.clone().map(told).collect::<Vec<_>>() }))?,
    }
    if different.count() == 0 { Ok(()) } else { Err(CliError::Differs) }
}

fn told((name, step): (&String, &Step)) -> Value {
    let fields = step
        .differences()
        .iter()
        .map(|different| json!({ "field": different.field, "before": different.before, "after": different.after }));
    json!({ "name": name, "action": step.word(), "fields": fields.collect::<Vec<_>>() })
}

/// Reads the fleet and compares.
async fn draw(client: &Client, wanted: &[Wanted], sources: &Sources) -> Result<Plan, CliError> {
    if wanted.is_empty() && sources.prune {
        return Err(CliError::Usage("the files name no cluster: --prune would remove everything".to_owned()));
    }
    let listed = select(client, &Filter::default(), None).await?.clusters;
    let named = |cluster: Value| (look::text(&cluster, "/name"), cluster);
    let mut known: BTreeMap<String, Value> = listed.into_iter().map(named).collect();
    let bundled = wanted.iter().filter(|wanted| wanted.fields.contains_key("ca_bundle"));
    let ids: Vec<String> =
        bundled.filter_map(|wanted| known.get(&wanted.name)).map(|known| look::text(known, "/id")).collect();
    known.extend(in_full(client, &ids, &sending::bar(ids.len())).await?.into_iter().map(named));
    let prunable = match sources.prune {
        true => {
            let filter = Filter { selector: sources.selector.clone(), ..Filter::default() };
            let found = select(client, &filter, None).await?.clusters;
            Some(found.iter().map(|cluster| (look::text(cluster, "/name"), look::text(cluster, "/id"))).collect())
        }
        false => None,
    };
    Ok(plan(wanted, &known, prunable.as_ref()))
}

fn wrong(name: &str, step: &Step) -> Option<Item> {
    let Step::Wrong(refusal) = step else { return None };
    Some(Item { refusal: Some(refusal.clone()), ..Item::settled(name, "failed") })
}

fn would(name: &str, step: &Step) -> Item {
    Item::settled(
        name,
        match step {
            Step::Create => "would be created",
            Step::Change(_) => "would change",
            Step::Remove(_) => "would be removed",
            Step::Keep | Step::Wrong(_) => "unchanged",
        },
    )
}

fn removed<'a>(name: &'a str, step: &'a Step) -> Option<(&'a str, &'a str)> {
    if let Step::Remove(id) = step { Some((name, id)) } else { None }
}
