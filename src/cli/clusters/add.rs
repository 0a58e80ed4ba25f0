//! `clusters add`: registers one cluster.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::Desk;
use super::traits::Traits;
use crate::cli::error::CliError;
use crate::cli::look;

/// Register a cluster; it is checked at once
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat clusters add prod-east-1 --api-server https://api.prod-east-1.example.com:6443 \\
      --type spoke --environment production --region us-east-1 --label team=core
  fleetbeat clusters add lab-1 --api-server https://10.0.0.7:6443 --ca-file ca.pem --tls-server-name kubernetes
  fleetbeat clusters add edge-7 --api-server https://edge-7:6443 --prometheus-url https://prom.edge-7 --interval 10")]
pub struct AddArguments {
    /// Unique in the fleet: 3 to 63 of a-z, 0-9 and -
    name: String,
    /// URL of its API server
    #[arg(long, value_name = "URL")]
    api_server: String,
    #[command(flatten)]
    traits: Traits,
    /// Name for people
    #[arg(long)]
    display_name: Option<String>,
    /// Version of the distribution
    #[arg(long)]
    platform_version: Option<String>,
    /// Prometheus, or a Thanos querier, to watch as well
    #[arg(long, value_name = "URL")]
    prometheus_url: Option<String>,
    /// Tempo, to watch as well
    #[arg(long, value_name = "URL")]
    tempo_url: Option<String>,
    /// Loki, to watch as well
    #[arg(long, value_name = "URL")]
    loki_url: Option<String>,
    /// PEM file of the authorities that alone are trusted for its API server
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Name to verify in place of the URL's host
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Seconds between its checks, in place of its type's
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u32>,
    /// Seconds that a check may take, in place of its type's
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u32>,
    /// Failures in a row before its state worsens
    #[arg(long, value_name = "COUNT")]
    failure_threshold: Option<u8>,
    /// Successes in a row before its state improves
    #[arg(long, value_name = "COUNT")]
    success_threshold: Option<u8>,
}

/// Does it.
pub async fn run(desk: &Desk, arguments: &AddArguments) -> Result<(), CliError> {
    let body = arguments.body()?;
    let added = desk.client.post("/api/v1/clusters", Some(&body), desk.client.timeout()).await?;
    desk.show(&added.json, || {
        let (name, id) = (look::text(&added.json, "/name"), look::text(&added.json, "/id"));
        let hint = desk.paint.faint(&format!("see it with: fleetbeat clusters get {name}"));
        format!("{} {}  {id}\n{hint}\n", desk.paint.good("registered"), desk.paint.strong(&name))
    })
}

impl AddArguments {
    fn body(&self) -> Result<Value, CliError> {
        let mut body = Map::new();
        body.insert("name".to_owned(), self.name.as_str().into());
        body.insert("api_server_url".to_owned(), self.api_server.as_str().into());
        self.traits.fill(&mut body);
        put(&mut body, "display_name", self.display_name.as_deref());
        put(&mut body, "platform_version", self.platform_version.as_deref());
        put(&mut body, "tls_server_name", self.tls_server_name.as_deref());
        put(&mut body, "ca_bundle", self.ca_file.as_deref().map(read_pem).transpose()?);
        let mut endpoints = Map::new();
        put(&mut endpoints, "prometheus_url", self.prometheus_url.as_deref());
        put(&mut endpoints, "tempo_url", self.tempo_url.as_deref());
        put(&mut endpoints, "loki_url", self.loki_url.as_deref());
        let mut health_check = Map::new();
        put(&mut health_check, "interval_seconds", self.interval);
        put(&mut health_check, "timeout_seconds", self.deadline);
        put(&mut health_check, "failure_threshold", self.failure_threshold);
        put(&mut health_check, "success_threshold", self.success_threshold);
        put(&mut body, "endpoints", (!endpoints.is_empty()).then_some(endpoints));
        put(&mut body, "health_check", (!health_check.is_empty()).then_some(health_check));
        Ok(body.into())
    }
}

fn put(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

fn read_pem(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(CliError::failed(format!("--ca-file {}", path.display())))
}
