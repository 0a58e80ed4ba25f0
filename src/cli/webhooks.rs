//! `fleetbeat webhooks`: makes, lists, changes, tries and removes webhooks, and what they gave up.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::connection::Connection;
use super::error::CliError;
use super::look;
use super::output::PlainFormat;
use super::paint::Paint;
use super::table::{self, Cell};

/// A test waits for its destination: as long as `webhooks.timeout_seconds` may be, and a little more.
const PATIENCE: Duration = Duration::from_secs(320);

/// Tell others what happens: make, try and remove webhooks
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat webhooks add ops https://hooks.example.com/fleet --event CLUSTER_STATUS_CHANGED --labels env=prod
  fleetbeat webhooks add chat https://hooks.slack.com/services/T000/B000/XXXX --format slack
  fleetbeat webhooks test ops
  fleetbeat webhooks deliveries ops
  fleetbeat webhooks dead-letters ops
  fleetbeat webhooks retry ops")]
pub struct WebhooksArguments {
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
    /// List webhooks and how far each is
    #[command(visible_alias = "ls")]
    List,
    /// Make a webhook. A secret that the server makes for it is written once, to standard output
    Add {
        /// What to call it
        name: String,
        /// Where to
        url: String,
        #[command(flatten)]
        fields: FieldArguments,
    },
    /// Change a webhook
    Set {
        /// Its name or id
        webhook: String,
        /// Where to
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        fields: FieldArguments,
    },
    /// Tell a webhook nothing more
    Pause {
        /// Its name or id
        webhook: String,
    },
    /// Tell a paused webhook what happens from now on
    Resume {
        /// Its name or id
        webhook: String,
    },
    /// Remove a webhook with its dead letters
    #[command(visible_alias = "delete")]
    Rm {
        /// Its name or id
        webhook: String,
    },
    /// Send a message that says it is a test, and tell how that went
    Test {
        /// Its name or id
        webhook: String,
    },
    /// List the latest tries to deliver, the newest first
    Deliveries {
        /// Its name or id
        webhook: String,
    },
    /// List events that were given up
    DeadLetters {
        /// Its name or id
        webhook: String,
    },
    /// Try dead letters once more, the oldest first, until one fails
    Retry {
        /// Its name or id
        webhook: String,
        /// Only this event
        event: Option<uuid::Uuid>,
    },
}

#[derive(Args)]
struct FieldArguments {
    /// How messages are written: cloudevents or slack
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Tell only of events of this type, such as CLUSTER_STATUS_CHANGED; may be repeated
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<String>,
    /// Tell only of clusters whose labels match, such as env=prod,team!=x
    #[arg(short, long, value_name = "SELECTOR")]
    labels: Option<String>,
    /// File with the secret that signs messages
    #[arg(long, value_name = "FILE", conflicts_with = "unsigned")]
    secret_file: Option<PathBuf>,
    /// Do not sign messages
    #[arg(long)]
    unsigned: bool,
}

impl FieldArguments {
    fn body(&self) -> Result<Map<String, Value>, CliError> {
        let mut body = Map::new();
        if let Some(format) = &self.format {
            body.insert("format".into(), json!(format));
        }
        if !self.events.is_empty() {
            body.insert("event_types".into(), json!(self.events));
        }
        if let Some(labels) = &self.labels {
            body.insert("label_selector".into(), json!(labels));
        }
        if let Some(file) = &self.secret_file {
            let text = std::fs::read_to_string(file);
            let text =
                text.map_err(|error| CliError::Usage(format!("the secret's file {}: {error}", file.display())))?;
            body.insert("secret".into(), json!(text.trim()));
        }
        if self.unsigned {
            body.insert("secret".into(), Value::Null);
        }
        Ok(body)
    }
}

/// Does one of the commands.
///
/// # Errors
/// Those of the server; a test or a retry that was not taken is one, too.
pub async fn run(arguments: WebhooksArguments, paint: Paint) -> Result<(), CliError> {
    let desk = Desk { client: Client::new(&arguments.connection)?, format: arguments.output, paint };
    match arguments.command {
        Command::List => desk.list().await,
        Command::Add { name, url, fields } => desk.add(&name, &url, &fields).await,
        Command::Set { webhook, url, fields } => {
            let mut body = fields.body()?;
            body.extend(url.map(|url| ("url".to_owned(), json!(url))));
            if body.is_empty() {
                return Err(CliError::Usage("nothing to change was given".to_owned()));
            }
            desk.set(&webhook, &Value::Object(body)).await
        }
        Command::Pause { webhook } => desk.set(&webhook, &json!({ "enabled": false })).await,
        Command::Resume { webhook } => desk.set(&webhook, &json!({ "enabled": true })).await,
        Command::Rm { webhook } => desk.client.delete(&desk.path(&webhook, "").await?).await,
        Command::Test { webhook } => desk.attempt(&desk.path(&webhook, "/test").await?).await,
        Command::Deliveries { webhook } => desk.deliveries(&webhook).await,
        Command::DeadLetters { webhook } => desk.dead_letters(&webhook).await,
        Command::Retry { webhook, event: Some(event) } => {
            desk.attempt(&desk.path(&webhook, &format!("/dead-letters/{event}/retry")).await?).await
        }
        Command::Retry { webhook, event: None } => desk.retry_all(&webhook).await,
    }
}

struct Desk {
    client: Client,
    format: PlainFormat,
    paint: Paint,
}

impl Desk {
    async fn list(&self) -> Result<(), CliError> {
        let answer = self.client.get("/api/v1/webhooks").await?.json;
        let header = ["NAME", "STATE", "URL", "FORMAT", "EVENTS", "LABELS", "DELIVERED", "DEAD", "ERROR"];
        self.tell(&answer, &header, |hook| {
            let status = &hook["status"];
            let state = text(status, "state");
            let well = ["delivering", "paused"].contains(&state.as_str());
            vec![
                Cell::text(text(hook, "name")),
                Cell::verdict(&state, well),
                Cell::text(text(hook, "url")),
                Cell::text(text(hook, "format")),
                Cell::text(words(&hook["event_types"])),
                Cell::text(text(hook, "label_selector")),
                Cell::text(text(status, "last_delivered_at")),
                Cell::number(&status["dead_letters"]),
                Cell::text(text(status, "last_error")),
            ]
        })
    }

    async fn add(&self, name: &str, url: &str, fields: &FieldArguments) -> Result<(), CliError> {
        let mut body = fields.body()?;
        body.insert("name".into(), json!(name));
        body.insert("url".into(), json!(url));
        let body = Value::Object(body);
        let made = self.client.post("/api/v1/webhooks", Some(&body), self.client.timeout()).await?.json;
        self.format.tell(&made, || match made["secret"].as_str() {
            Some(secret) => {
                eprintln!("{name} is told from now on; what signs its messages is written this once:");
                format!("{secret}\n")
            }
            None => String::new(),
        })
    }

    async fn set(&self, webhook: &str, body: &Value) -> Result<(), CliError> {
        let path = self.path(webhook, "").await?;
        let changed = self.client.put(&path, body).await?.json;
        self.format.tell(&changed, String::new)
    }

    async fn deliveries(&self, webhook: &str) -> Result<(), CliError> {
        let answer = self.client.get(&self.path(webhook, "/deliveries").await?).await?.json;
        let header = ["AT", "OUTCOME", "STATUS", "ERROR", "TRY", "MS", "TYPE", "EVENT"];
        self.tell(&answer, &header, |attempt| {
            let outcome = text(attempt, "outcome");
            vec![
                Cell::text(text(attempt, "at")),
                Cell::verdict(&outcome, outcome == "delivered"),
                Cell::text(text(attempt, "status")),
                Cell::text(text(attempt, "error")),
                Cell::number(&attempt["attempt"]),
                Cell::number(&attempt["duration_ms"]),
                Cell::text(text(attempt, "event_type")),
                Cell::text(text(attempt, "event_id")),
            ]
        })
    }

    async fn dead_letters(&self, webhook: &str) -> Result<(), CliError> {
        let answer = self.client.get(&self.path(webhook, "/dead-letters?limit=1000").await?).await?.json;
        let header = ["EVENT", "TYPE", "HAPPENED", "GIVEN UP", "REASON", "TRIES", "ERROR"];
        self.tell(&answer, &header, |letter| {
            vec![
                Cell::text(text(letter, "event_id")),
                Cell::text(text(letter, "event_type")),
                Cell::text(text(letter, "timestamp")),
                Cell::text(text(letter, "buried_at")),
                Cell::text(text(letter, "reason")),
                Cell::number(&letter["attempts"]),
                Cell::text(text(letter, "last_error")),
            ]
        })
    }

    async fn retry_all(&self, webhook: &str) -> Result<(), CliError> {
        let (letters, mut after) = (self.path(webhook, "/dead-letters").await?, 0);
        loop {
            let page = self.client.get(&format!("{letters}?after={after}")).await?.json;
            for letter in page["items"].as_array().into_iter().flatten() {
                self.attempt(&format!("{letters}/{}/retry", text(letter, "event_id"))).await?;
            }
            after = page["next_after"].as_i64().unwrap_or(i64::MAX);
            if page["has_more"] != json!(true) {
                return Ok(());
            }
        }
    }

    /// One try by hand; an error when it was not taken.
    async fn attempt(&self, path: &str) -> Result<(), CliError> {
        let attempt = self.client.post(path, None, PATIENCE).await?.json;
        let (event, status) = (text(&attempt, "event_id"), text(&attempt, "status"));
        let delivered = attempt["outcome"] == "delivered";
        self.format.tell(&attempt, || match delivered {
            true => format!("{event} delivered: {status} after {} ms\n", attempt["duration_ms"]),
            false => String::new(),
        })?;
        if delivered {
            return Ok(());
        }
        let what = if attempt["event_type"] == "WEBHOOK_TEST" { "the test" } else { event.as_str() };
        let why = match attempt["status"].as_u64() {
            Some(status) => format!("{} ({status})", text(&attempt, "error")),
            None => text(&attempt, "error"),
        };
        Err(CliError::Partly(format!("{what} was not taken: {why}")))
    }

    /// The path of a webhook that is named by its name or id.
    async fn path(&self, webhook: &str, rest: &str) -> Result<String, CliError> {
        let all = self.client.get("/api/v1/webhooks").await?.json;
        let found =
            all["items"].as_array().into_iter().flatten().find(|hook| hook["name"] == webhook || hook["id"] == webhook);
        let found = found.ok_or_else(|| CliError::NotFound(format!("no webhook is called '{webhook}'")))?;
        Ok(format!("/api/v1/webhooks/{}{rest}", text(found, "id")))
    }

    fn tell(&self, answer: &Value, header: &[&str], row: impl Fn(&Value) -> Vec<Cell>) -> Result<(), CliError> {
        self.format.tell(answer, || table::of_items(answer, header, row, self.paint))
    }
}

/// A field as people read it.
fn text(of: &Value, field: &str) -> String {
    look::text(of, &format!("/{field}"))
}

fn words(list: &Value) -> String {
    let words: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() { "all".to_owned() } else { words.join(",") }
}
