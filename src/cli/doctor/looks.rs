//! The looks that `doctor` takes.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetbeat_actors::ports::Clock;
use serde_json::Value;

use super::{DoctorArguments, Finding, Verdict};
use crate::app::look;
use crate::cli::client::Client;
use crate::cli::clusters;
use crate::cli::error::CliError;
use crate::cli::look as field;
use crate::cli::output;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::probes::{Asked, descriptors_for_probes, raise_descriptor_limit};

/// Longest time for each look.
const WITHIN: Duration = Duration::from_secs(5);
/// Fewer descriptors than this keep few connections.
const FEW: usize = 4_096;
/// Clocks that differ by more than this confuse readers of logs, in seconds.
const APART: i64 = 2;

/// Everything but a cluster.
pub(super) async fn machine(arguments: &DoctorArguments) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut clocks: Vec<(&str, DateTime<Utc>)> = Vec::new();
    let settings = arguments.settings.load();
    match &settings {
        Err(error) => found.push(Finding::new("settings", Verdict::Bad, error.to_string())),
        Ok(settings) => {
            found.push(Finding::new("settings", Verdict::Good, "every key is known and makes sense"));
            found.push(Finding::of("data directory", data_directory(&settings.data_dir)));
            let database = look::database(settings, WITHIN).await;
            clocks.extend(database.as_ref().ok().and_then(|seen| seen.clock).map(|clock| ("the database", clock)));
            found.push(Finding::of("database", database.map(|seen| seen.told)));
            found.push(absent_or(
                "Redis",
                look::redis(settings, WITHIN)
                    .await
                    .map(|answered| answered.map(|took| format!("answers in {:.1} ms", millis(took)))),
            ));
            found.push(absent_or(
                "hub",
                look::hub(settings, WITHIN).await.map(|version| version.map(|v| format!("Kubernetes {v}"))),
            ));
        }
    }
    found.push(descriptors(settings.as_ref().ok()));
    let (server, clock) = server(arguments).await;
    found.push(server);
    clocks.extend(clock.map(|clock| ("the server", clock)));
    found.push(clock_beside(&clocks));
    found
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

fn absent_or(what: &str, looked: Result<Option<String>, String>) -> Finding {
    match looked {
        Ok(None) => Finding::new(what, Verdict::Absent, "not configured"),
        Ok(Some(told)) => Finding::new(what, Verdict::Good, told),
        Err(why) => Finding::new(what, Verdict::Bad, why),
    }
}

fn data_directory(path: &Path) -> Result<String, String> {
    let shown = path.display();
    if !path.exists() {
        return Ok(format!("{shown} is made at the first start"));
    }
    tempfile::NamedTempFile::new_in(path)
        .map(|_| format!("{shown} can be written"))
        .map_err(|error| format!("{shown}: {error}"))
}

fn descriptors(settings: Option<&Settings>) -> Finding {
    let limit = raise_descriptor_limit();
    let probes = descriptors_for_probes(limit, settings.map_or(0, Settings::promised_descriptors));
    let told = format!("{limit} may be opened, {probes} of them for connections to clusters");
    Finding::new("descriptors", if limit < FEW { Verdict::Odd } else { Verdict::Good }, told)
}

async fn server(arguments: &DoctorArguments) -> (Finding, Option<DateTime<Utc>>) {
    let client = match Client::new(&arguments.connection) {
        Ok(client) => client,
        Err(error) => return (Finding::new("server", Verdict::Bad, error.to_string()), None),
    };
    match client.get("/health/detailed").await {
        Ok(answer) => {
            let health = field::text(&answer.json, "/status");
            let away = answer.json["dependencies"].as_object().into_iter().flatten();
            let away = away.filter(|(_, dependency)| dependency["status"] != "healthy").map(|(name, _)| name.as_str());
            let away: Vec<&str> = away.collect();
            let verdict = if health == "healthy" && away.is_empty() { Verdict::Good } else { Verdict::Bad };
            let clusters = output::clusters(&field::text(&answer.json, "/engine/clusters"));
            let away = if away.is_empty() { String::new() } else { format!("; away: {}", away.join(", ")) };
            (Finding::new("server", verdict, format!("{}: {health}, {clusters}{away}", client.base())), answer.now)
        }
        Err(CliError::Unreachable(why)) => (Finding::new("server", Verdict::Absent, why), None),
        Err(error) => (Finding::new("server", Verdict::Odd, format!("{}: {error}", client.base())), None),
    }
}

fn clock_beside(clocks: &[(&str, DateTime<Utc>)]) -> Finding {
    let now = SystemClock.wall();
    let told = |(name, clock): &(&str, DateTime<Utc>)| {
        format!("{} s from {name}", now.signed_duration_since(clock).num_seconds())
    };
    let apart = clocks.iter().any(|(_, clock)| now.signed_duration_since(clock).num_seconds().abs() > APART);
    let words: Vec<String> = clocks.iter().map(told).collect();
    match words.is_empty() {
        true => Finding::new("clock", Verdict::Absent, "no other clock to compare with"),
        false => Finding::new("clock", if apart { Verdict::Bad } else { Verdict::Good }, words.join(", ")),
    }
}

/// One cluster, phase by phase; nothing where none was named.
pub(super) async fn cluster(arguments: &DoctorArguments) -> Result<Vec<Finding>, CliError> {
    let Some(asked) = asked(arguments).await? else { return Ok(Vec::new()) };
    let settings: Settings = arguments.settings.load()?;
    let legs = look::cluster(&settings, &asked, WITHIN).await.map_err(CliError::Usage)?;
    let done = legs.done.iter().map(|leg| {
        let told = format!("{:.1} ms, {}", millis(leg.took), field::printable(&leg.told));
        Finding::new(format!("cluster: {}", leg.name), Verdict::Good, told)
    });
    let failed =
        legs.failed.iter().map(|(name, why)| Finding::new(format!("cluster: {name}"), Verdict::Bad, why.clone()));
    Ok(done.chain(failed).collect())
}

async fn asked(arguments: &DoctorArguments) -> Result<Option<Asked>, CliError> {
    if let Some(url) = &arguments.url {
        let read = |path: &std::path::PathBuf| {
            std::fs::read_to_string(path).map_err(CliError::failed(format!("--ca-file {}", path.display())))
        };
        let ca_bundle = arguments.ca_file.as_ref().map(read).transpose()?;
        return Ok(Some(Asked { url: url.clone(), ca_bundle, server_name: None }));
    }
    let Some(wanted) = &arguments.cluster else { return Ok(None) };
    let client = Client::new(&arguments.connection)?;
    let found = clusters::find(&client, wanted).await?.json;
    let text = |key: &str| found.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(Some(Asked {
        url: text("api_server_url").unwrap_or_default(),
        ca_bundle: text("ca_bundle"),
        server_name: text("tls_server_name"),
    }))
}
