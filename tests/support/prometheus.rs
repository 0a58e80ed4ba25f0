//! A real Prometheus server, and its own judgement of a metrics page.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::http::Client;
use super::process::{Running, Scratch, at_the_mercy_of_tests, free_port, tail};
use super::waiting::eventually;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A server; dropped, it is killed and its data removed.
pub struct Prometheus {
    port: u16,
    running: Option<Running>,
    scratch: Scratch,
}

impl Prometheus {
    /// A server that scrapes nothing.
    pub async fn start_new() -> Self {
        Self::scraping(&[]).await
    }

    /// A server that scrapes `/metrics` of the given `host:port` every second.
    pub async fn scraping(targets: &[&str]) -> Self {
        Self::judging("test", targets, "groups: []\n").await
    }

    /// The same under the name of a job, evaluating the text of a file of rules every second.
    pub async fn judging(job: &str, targets: &[&str], rules: &str) -> Self {
        let scratch = Scratch::new();
        let targets = serde_json::to_string(targets).unwrap();
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: {job}, static_configs: [{{targets: {targets}}}]}}]\n"
        );
        scratch.write("prometheus.yml", &configuration, None);
        scratch.write("rules.yml", rules, None);
        let mut server = Self { port: free_port(), running: None, scratch };
        server.start().await;
        server
    }

    /// Starts it again on the same port and data.
    pub async fn start(&mut self) {
        let (directory, log) = (self.scratch.path(), self.scratch.path().join("log"));
        self.running = Some(Running::spawn(Path::new("prometheus"), None, &log, |command| {
            command.arg(format!("--config.file={}", directory.join("prometheus.yml").display()));
            command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
            command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        }));
        let client = Client::new(&self.url());
        eventually(STARTS_WITHIN, || async {
            let answer = client.try_get("/-/ready").await.map_err(|error| format!("{error}\n{}", tail(&self.log())))?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        })
        .await;
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The result of an instant query.
    pub async fn query(&self, expression: &str) -> Value {
        self.try_query(expression).await.unwrap()
    }

    /// The same, or what the server says against the expression.
    pub async fn try_query(&self, expression: &str) -> Result<Value, String> {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let answer = Client::new(&self.url()).get(&format!("/api/v1/query?{query}")).await;
        if answer.status == 200 { Ok(answer.json()["data"]["result"].clone()) } else { Err(answer.text()) }
    }

    /// Every alert that is firing now, by its labels.
    pub async fn firing(&self) -> Vec<Value> {
        let answer = Client::new(&self.url()).get("/api/v1/alerts").await.expect(200).json();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        alerts.into_iter().filter(|alert| alert["state"] == "firing").map(|alert| alert["labels"].clone()).collect()
    }
}

at_the_mercy_of_tests!(Prometheus, TERM, 20);

/// What `promtool check metrics` finds wrong with a metrics page; empty when it finds nothing.
pub fn check_metrics(page: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let page = page.to_owned();
    let writer = std::thread::spawn(move || input.write_all(page.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let written = writer.join().unwrap();
    let found = [output.stdout, output.stderr].concat();
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    match (output.status.success(), written) {
        (true, Ok(())) => found,
        (_, written) => format!("{}: {found} {written:?}", output.status),
    }
}
