//! `fleetbeat watch`: the fleet as a live table on a terminal, every event as a line elsewhere.

use std::collections::HashSet;
use std::io::IsTerminal;

use clap::Args;
use fleetbeat_actors::event::EventType;

use super::client::Client;
use super::clusters::{self, Filter};
use super::connection::Connection;
use super::error::CliError;
use super::follow::{Follower, News};
use super::line::Event;
use super::output::{self, EventFormat};
use super::paint::Paint;
use super::{look, screen, words};
use crate::selector::Selector;

/// Follow the fleet: a live table on a terminal, elsewhere a line for every event
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat watch                          / filters, ? helps, q leaves
  fleetbeat watch -l team=core
  fleetbeat watch --lines                  a line for every event, on a terminal too
  fleetbeat watch --cluster prod-east-1
  fleetbeat watch -o json | jq -r 'select(.payload.new_state == \"OFFLINE\") | .payload.cluster_name'

The table is for the fleet as it is: with --cluster, --event, --after or -o json there are lines. When the connection is lost it is
made again, and no event is missed. Ends with Ctrl-C.")]
pub struct WatchArguments {
    /// Label selector as in Kubernetes
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "cluster")]
    selector: Option<String>,
    /// Only this cluster (name or id)
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Only events of this type; repeat it for several
    #[arg(long = "event", value_parser = words::event_type(), ignore_case = true, value_delimiter = ',', value_name = "TYPE")]
    event_types: Vec<String>,
    /// Begin after this position of the log instead of now; 0 is the beginning
    #[arg(long, value_name = "POSITION")]
    after: Option<i64>,
    /// A line for every event, on a terminal too
    #[arg(long)]
    lines: bool,
    /// How to write an event
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: EventFormat,
    #[command(flatten)]
    connection: Connection,
}

impl WatchArguments {
    fn wants_a_table(&self) -> bool {
        let of_events = self.lines || self.cluster.is_some() || !self.event_types.is_empty() || self.after.is_some();
        let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        terminal && !of_events && self.output == EventFormat::Table
    }
}

/// Does it, until killed.
///
/// # Errors
/// When the server does not answer at first, or refuses.
pub async fn run(arguments: WatchArguments, paint: Paint) -> Result<(), CliError> {
    let client = Client::new(&arguments.connection)?;
    if arguments.wants_a_table() {
        let filter = Filter { selector: arguments.selector, ..Filter::default() };
        return screen::run(&client, &filter, paint).await;
    }
    let mut chosen = Chosen::begin(&client, arguments.selector.clone()).await?;
    let id = match &arguments.cluster {
        Some(wanted) => Some(clusters::find_id(&client, wanted).await?),
        None => None,
    };
    let mut filter: Vec<_> = arguments.event_types.iter().map(|word| ("event_type", word.as_str())).collect();
    filter.extend(id.as_deref().map(|id| ("cluster_id", id)));
    let mut follower = Follower::open(&client, &filter, arguments.after).await?;
    loop {
        match follower.next().await? {
            News::Event(event) if !chosen.has(&event) => {}
            News::Event(event) => match arguments.output {
                EventFormat::Table => output::line(&event.line(paint))?,
                EventFormat::Json => output::line(&event.json.to_string())?,
            },
            News::Lost(why) => eprintln!("{}", paint.warn(&format!("connection lost ({why}); connecting again"))),
            News::Back => eprintln!("{}", paint.good("connected again; nothing was missed")),
        }
    }
}

/// Which clusters are watched: those that a selector lets through, kept up to date by what the events themselves tell.
struct Chosen {
    selector: Option<Selector>,
    ids: HashSet<String>,
}

impl Chosen {
    async fn begin(client: &Client, selector: Option<String>) -> Result<Self, CliError> {
        let Some(text) = selector else { return Ok(Self { selector: None, ids: HashSet::new() }) };
        let filter = Filter { selector: Some(text.clone()), ..Filter::default() };
        let found = clusters::select(client, &filter, None).await?.clusters;
        let ids = found.iter().map(|cluster| look::text(cluster, "/id")).collect();
        let selector = text.parse().map_err(|why| CliError::Usage(format!("--selector: {why}")))?;
        Ok(Self { selector: Some(selector), ids })
    }

    fn has(&mut self, event: &Event) -> bool {
        let Some(selector) = &self.selector else { return true };
        let before = self.ids.contains(&event.cluster_id);
        match event.event_type {
            Some(EventType::ClusterRegistered | EventType::ClusterUpdated) => {
                if selector.matches(&event.labels()) {
                    self.ids.insert(event.cluster_id.clone());
                } else {
                    self.ids.remove(&event.cluster_id);
                }
                before || self.ids.contains(&event.cluster_id)
            }
            Some(EventType::ClusterDeleted) => self.ids.remove(&event.cluster_id),
            _ => before,
        }
    }
}
