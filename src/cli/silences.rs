//! `fleetbeat silences`: makes, lists and ends silences and maintenance windows.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use fleetbeat_actors::ports::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, with_query};
use super::clusters::find_id;
use super::connection::Connection;
use super::error::CliError;
use super::look;
use super::output::PlainFormat;
use super::paint::Paint;
use super::table::{self, Cell};
use crate::clock::SystemClock;

/// Silence notifications about clusters, once or again and again; checks go on
#[derive(Args)]
#[command(after_help = "\
While a silence holds, nobody is notified about its clusters, their transitions are marked, and the time counts neither for
nor against their uptime. Checks, states and events go on.

Examples:
  fleetbeat silences create 'kernel updates' -l env=lab --for 2h
  fleetbeat silences create 'new switch' --cluster prod-east-1 --from 2027-01-09T22:00:00Z --for 4h
  fleetbeat silences create 'sunday maintenance' -l tier=edge --from 2027-01-10T02:00:00+01:00 --for 3h \\
      --rrule 'FREQ=WEEKLY;BYDAY=SU' --time-zone Europe/Berlin
  fleetbeat silences list
  fleetbeat silences end 0199b2c4-6f1e-7c2a-9d51-2f6f0f7f9b11")]
pub struct SilencesArguments {
    #[command(flatten)]
    connection: Connection,
    /// How to write the answer
    #[arg(short, long, value_enum, global = true, default_value_t, value_name = "FORMAT")]
    output: PlainFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(CreateArguments),
    List(ListArguments),
    /// End silences now, for good
    End {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
}

/// Make a silence
#[derive(Args)]
struct CreateArguments {
    /// Why
    comment: String,
    /// Clusters whose labels match, such as env=prod,team!=x
    #[arg(short, long, value_name = "SELECTOR", required_unless_present = "clusters")]
    labels: Option<String>,
    /// This cluster, by name or id; may be repeated
    #[arg(long = "cluster", value_name = "CLUSTER")]
    clusters: Vec<String>,
    /// When it begins; now without
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// How long it holds: 30m, 2h, 7d
    #[arg(long = "for", value_name = "LENGTH", value_parser = length, required_unless_present = "until", conflicts_with = "until")]
    length: Option<TimeDelta>,
    /// When it ends
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<DateTime<Utc>>,
    /// How it repeats (RFC 5545), such as FREQ=WEEKLY;BYDAY=SU
    #[arg(long, value_name = "RRULE")]
    rrule: Option<String>,
    /// By whose clocks it repeats, such as Europe/Berlin; UTC without
    #[arg(long, value_name = "ZONE", requires = "rrule")]
    time_zone: Option<String>,
}

/// List silences, the newest first
#[derive(Args)]
#[command(visible_alias = "ls")]
struct ListArguments {
    /// Only those that stand so; may be repeated
    #[arg(long, value_enum, value_name = "STATE")]
    state: Vec<Standing>,
    /// Only those that concern this cluster, by name or id
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Standing {
    Active,
    Upcoming,
    Expired,
}

impl Standing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Upcoming => "upcoming",
            Self::Expired => "expired",
        }
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| "must be a time like 2027-01-09T22:00:00Z".to_owned())
}

fn length(text: &str) -> Result<TimeDelta, String> {
    let wrong = || "must be a length like 30m, 2h or 7d".to_owned();
    let (at, unit) = text.char_indices().last().ok_or_else(wrong)?;
    let number: i64 = text[..at].parse().ok().filter(|number| (1..=600_000).contains(number)).ok_or_else(wrong)?;
    match unit {
        'm' => Ok(TimeDelta::minutes(number)),
        'h' => Ok(TimeDelta::hours(number)),
        'd' => Ok(TimeDelta::days(number)),
        _ => Err(wrong()),
    }
}

/// Does one of the commands.
///
/// # Errors
/// Those of the server.
pub async fn run(arguments: SilencesArguments, paint: Paint) -> Result<(), CliError> {
    let client = Client::new(&arguments.connection)?;
    match &arguments.command {
        Command::Create(create) => {
            let body = create.body(&client).await?;
            let made = client.post("/api/v1/silences", Some(&body), client.timeout()).await?.json;
            arguments.output.tell(&made, || format!("{}\n", look::text(&made, "/id")))
        }
        Command::List(list) => {
            let found = client.get(&list.path(&client).await?).await?.json;
            arguments.output.tell(&found, || listed(&found, paint))
        }
        Command::End { ids } => {
            for id in ids {
                let ended = client.post(&format!("/api/v1/silences/{id}/end"), None, client.timeout()).await?.json;
                arguments.output.tell(&ended, || format!("{} {id}\n", paint.warn("ended")))?;
            }
            Ok(())
        }
    }
}

impl CreateArguments {
    async fn body(&self, client: &Client) -> Result<Value, CliError> {
        let mut ids = Vec::with_capacity(self.clusters.len());
        for cluster in &self.clusters {
            ids.push(find_id(client, cluster).await?);
        }
        let begin = self.from.unwrap_or_else(|| SystemClock.wall());
        let end = self.until.or_else(|| begin.checked_add_signed(self.length?)).unwrap_or(begin);
        let written = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        Ok(json!({
            "comment": self.comment,
            "label_selector": self.labels,
            "cluster_ids": ids,
            "starts_at": self.from.map(written),
            "ends_at": written(end),
            "rrule": self.rrule,
            "time_zone": self.time_zone,
        }))
    }
}

impl ListArguments {
    async fn path(&self, client: &Client) -> Result<String, CliError> {
        let limit = self.limit.to_string();
        let mut query = vec![("limit", limit)];
        query.extend(self.state.iter().map(|state| ("state", state.as_str().to_owned())));
        if let Some(cluster) = &self.cluster {
            query.push(("cluster_id", find_id(client, cluster).await?));
        }
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(with_query("/api/v1/silences", &query))
    }
}

fn listed(answer: &Value, paint: Paint) -> String {
    let header = ["ID", "STATE", "CLUSTERS", "WHICH", "FROM", "TO", "REPEATS", "BY", "COMMENT"];
    table::of_items(answer, &header, row, paint)
}

/// A text as it fits a column.
fn shown(text: &str, most: usize) -> String {
    look::printable(text).chars().take(most).collect()
}

fn row(silence: &Value) -> Vec<Cell> {
    let text = |place: &str| silence.pointer(place).and_then(Value::as_str).unwrap_or("-");
    let window = ["current", "next"].into_iter().find(|window| silence[*window].is_object());
    let (from, to) = match window {
        Some(window) => (text(&format!("/{window}/from")).to_owned(), text(&format!("/{window}/to")).to_owned()),
        None => (text("/starts_at").to_owned(), text("/ended_at").to_owned()),
    };
    let to = if to == "-" { text("/ends_at").to_owned() } else { to };
    let listed = silence["cluster_ids"].as_array().map_or(0, Vec::len);
    let which = match (silence["label_selector"].as_str(), listed) {
        (Some(selector), 0) => selector.to_owned(),
        (Some(selector), listed) => format!("{selector} +{listed}"),
        (None, listed) => format!("{listed} by id"),
    };
    vec![
        Cell::text(text("/id")),
        Cell::text(text("/state")),
        Cell::number(silence["clusters"].as_u64().unwrap_or_default()),
        Cell::text(shown(&which, 60)),
        Cell::text(from),
        Cell::text(to),
        Cell::text(text("/rrule")),
        Cell::text(shown(text("/created_by"), 40)),
        Cell::text(shown(text("/comment"), 60)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_times_are_read_as_people_write_them() {
        assert_eq!(length("90m"), Ok(TimeDelta::minutes(90)));
        assert_eq!(length("7d"), Ok(TimeDelta::days(7)));
        for bad in ["", "h", "2", "-2h", "0h", "2y", "2ü", "99999999999999h"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        assert_eq!(time("2027-01-10T02:00:00+01:00"), time("2027-01-10T01:00:00Z"));
        assert!(time("tomorrow").is_err());
    }
}
