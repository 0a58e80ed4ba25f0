//! Several real Redis servers that stand in for each other: a primary with replicas under Sentinels, or a Cluster.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fred::prelude::*;
use tokio::time::timeout;

use super::process::{Running, Scratch, free_port, tail};
use super::waiting::eventually;

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Servers on ports of their own; dropped, all are killed and their data removed.
pub struct RedisFleet {
    servers: Vec<(u16, Running)>,
    url: String,
    scratch: Scratch,
}

impl RedisFleet {
    /// A primary, two replicas and three Sentinels that watch over a service named `main`.
    pub async fn with_sentinels() -> Self {
        let mut fleet = Self { servers: Vec::new(), url: String::new(), scratch: Scratch::new() };
        let primary = free_port();
        fleet.start(primary, "");
        for _ in 0..2 {
            fleet.start(free_port(), &format!("replicaof 127.0.0.1 {primary}"));
        }
        let sentinels: Vec<u16> = (0..3).map(|_| free_port()).collect();
        for port in &sentinels {
            fleet.start(*port, &format!("sentinel monitor main 127.0.0.1 {primary} 2\n{SENTINEL}"));
        }
        let [first, others @ ..] = &sentinels[..] else { unreachable!("there are three") };
        fleet.url = format!("redis-sentinel://127.0.0.1:{first}/0?sentinelServiceName=main");
        others.iter().for_each(|port| fleet.url.push_str(&format!("&node=127.0.0.1:{port}")));
        eventually(STARTS_WITHIN, || async {
            let seen = ask(*first, &["SENTINEL", "MASTER", "main"]).await?;
            let count = |name: &str| seen.iter().skip_while(|word| *word != name).nth(1).cloned();
            let all = [count("num-slaves"), count("num-other-sentinels")];
            if all.iter().all(|count| count.as_deref() == Some("2")) {
                Ok(())
            } else {
                Err(format!("{all:?}\n{}", tail(&fleet.servers[3].1.log())))
            }
        })
        .await;
        fleet
    }

    /// Three primaries with a replica each, in one Cluster.
    pub async fn cluster() -> Self {
        let mut fleet = Self { servers: Vec::new(), url: String::new(), scratch: Scratch::new() };
        let ports: Vec<u16> = (0..6).map(|_| free_port()).collect();
        for port in &ports {
            fleet.start(*port, &format!("{CLUSTERED}\ncluster-port {}", free_port()));
        }
        for port in &ports {
            eventually(STARTS_WITHIN, || ask(*port, &["PING"])).await;
        }
        let nodes = ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(nodes).args(["--cluster-replicas", "1", "--cluster-yes"]);
        let made = create.stdin(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        fleet.url = format!("redis-cluster://127.0.0.1:{}", ports[0]);
        ports[1..3].iter().enumerate().for_each(|(nth, port)| {
            fleet.url.push_str(&format!("{}node=127.0.0.1:{port}", if nth == 0 { '?' } else { '&' }));
        });
        for port in &ports {
            eventually(STARTS_WITHIN, || async {
                let info = ask(*port, &["CLUSTER", "INFO"]).await?.join("");
                let links = ask(*port, &["INFO", "replication"]).await?.join("");
                let followed = links.contains("connected_slaves:1") || links.contains("master_link_status:up");
                if info.contains("cluster_state:ok") && followed { Ok(()) } else { Err(format!("{info}\n{links}")) }
            })
            .await;
        }
        fleet
    }

    /// Where clients find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of its own kind, connected.
    pub async fn client(&self) -> Client {
        let mut builder = Builder::from_config(Config::from_url(&self.url).unwrap());
        builder.set_policy(ReconnectPolicy::new_constant(0, 100));
        let client = builder.build().unwrap();
        timeout(STARTS_WITHIN, client.init()).await.unwrap().unwrap();
        client
    }

    /// Port of the server in charge of the service (Sentinels), or of this key (Cluster).
    pub async fn in_charge(&self, key: &str) -> u16 {
        if self.url.starts_with("redis-cluster") {
            let slot = ask(self.servers[0].0, &["CLUSTER", "KEYSLOT", key]).await.unwrap().concat();
            let slot: u16 = slot.trim().parse().unwrap();
            let nodes = ask(self.servers[0].0, &["CLUSTER", "NODES"]).await.unwrap().concat();
            return nodes.lines().find_map(|line| primary_of(line, slot)).expect("every slot is covered");
        }
        let address = ask(self.servers[3].0, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]).await.unwrap();
        address[1].parse().unwrap()
    }

    /// SIGKILL for one server.
    pub fn kill(&mut self, port: u16) {
        let server = self.servers.iter_mut().find(|server| server.0 == port).expect("a server of this fleet");
        server.1.kill();
    }

    fn start(&mut self, port: u16, settings: &str) {
        let home = self.scratch.path().join(port.to_string());
        std::fs::create_dir_all(&home).unwrap();
        let common = format!("bind 127.0.0.1\nport {port}\ndir {}\n{settings}\n", home.display());
        let is_sentinel = settings.starts_with("sentinel");
        let storage = if is_sentinel { "" } else { "save \"\"\nrepl-diskless-sync-delay 0\n" };
        let file = home.join("redis.conf");
        std::fs::write(&file, format!("{common}{storage}")).unwrap();
        let running = Running::spawn(Path::new("redis-server"), None, &home.join("log"), |command| {
            command.arg(&file);
            if is_sentinel {
                command.arg("--sentinel");
            }
        });
        self.servers.push((port, running));
    }
}

const SENTINEL: &str = "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n\
    sentinel parallel-syncs main 2";
const CLUSTERED: &str = "cluster-enabled yes\ncluster-node-timeout 1500\ncluster-replica-validity-factor 0";

/// The port of a line of `CLUSTER NODES`, if that is the living primary of the slot.
fn primary_of(line: &str, slot: u16) -> Option<u16> {
    let words: Vec<&str> = line.split(' ').collect();
    if !words[2].contains("master") || words[2].contains("fail") {
        return None;
    }
    let covers = words[8..].iter().any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        from.parse::<u16>().is_ok_and(|from| from <= slot) && to.parse::<u16>().is_ok_and(|to| slot <= to)
    });
    covers.then(|| words[1].split(['@', ',']).next()?.rsplit(':').next()?.parse().ok()).flatten()
}

/// One command of `redis-cli`, answered as words or lines.
async fn ask(port: u16, words: &[&str]) -> Result<Vec<String>, String> {
    let mut command = tokio::process::Command::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(20), command.output()).await.map_err(|_| "silent".to_owned())?;
    let text = String::from_utf8_lossy(&output.map_err(|error| error.to_string())?.stdout).into_owned();
    if text.is_empty() || text.starts_with("Could not connect") {
        return Err(format!("no answer: {text}"));
    }
    Ok(text
        .lines()
        .map(|line| {
            format!("{}{}", line.trim_end(), if words[0] == "CLUSTER" || words[0] == "INFO" { "\n" } else { "" })
        })
        .collect())
}
