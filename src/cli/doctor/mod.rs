//! `fleetbeat doctor`: everything that fleetbeat needs on this machine, looked at one by one.

mod looks;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::connection::Connection;
use super::error::CliError;
use super::output::PlainFormat;
use super::paint::Paint;
use super::settings::SettingsArguments;
use super::table::{self, Cell};

/// Look at everything that fleetbeat needs here: settings, database, Redis, hub, descriptors, clock, and one cluster
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat doctor --config fleetbeat.yaml
  fleetbeat doctor prod-east-1                          probes it from here, phase by phase
  fleetbeat doctor --url https://10.0.0.7:6443 --ca-file ca.pem
  fleetbeat doctor -o json | jq '.items[] | select(.verdict == \"bad\")'

It changes nothing and may run beside a server. A cluster is probed without credentials. Ends with 1 when anything is bad.")]
pub struct DoctorArguments {
    /// Probe this registered cluster (name or id)
    #[arg(conflicts_with = "url")]
    cluster: Option<String>,
    /// Probe the API server at this URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// With --url: PEM file of the authorities that alone are trusted for it
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// How to write what was found
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: PlainFormat,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    connection: Connection,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Deserves a look.
    Odd,
    Bad,
    /// There is nothing to look at.
    Absent,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Odd => "odd",
            Self::Bad => "bad",
            Self::Absent => "absent",
        }
    }
}

/// Something that was looked at.
struct Finding {
    what: String,
    verdict: Verdict,
    told: String,
}

impl Finding {
    fn new(what: impl Into<String>, verdict: Verdict, told: impl Into<String>) -> Self {
        Self { what: what.into(), verdict, told: told.into() }
    }

    fn of(what: &str, looked: Result<String, String>) -> Self {
        match looked {
            Ok(told) => Self::new(what, Verdict::Good, told),
            Err(why) => Self::new(what, Verdict::Bad, why),
        }
    }

    fn json(&self) -> Value {
        json!({ "what": self.what, "verdict": self.verdict.word(), "told": self.told })
    }
}

/// Does it.
///
/// # Errors
/// [`CliError::Partly`] when anything is bad; those of finding the cluster.
pub async fn run(arguments: DoctorArguments, paint: Paint) -> Result<(), CliError> {
    let mut found = looks::machine(&arguments).await;
    found.extend(looks::cluster(&arguments).await?);
    let items = json!({ "items": found.iter().map(Finding::json).collect::<Vec<_>>() });
    arguments.output.tell(&items, || {
        let rows = found.iter().map(|finding| {
            let verdict = Cell::verdict(finding.verdict.word(), finding.verdict != Verdict::Bad);
            vec![verdict, Cell::text(&finding.what), Cell::text(&finding.told)]
        });
        table::render(&["", "WHAT", "FOUND"], rows.collect(), paint)
    })?;
    match found.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        bad => Err(CliError::Partly(format!("{bad} of {} are bad", found.len()))),
    }
}
