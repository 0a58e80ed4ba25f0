//! How much the simulator carries: one kept connection to every spoke of a fleet in this process, asking as fast as
//! it is answered. `cargo run --release -p fleetbeat-loadtest --example hammer -- SPOKES SECONDS`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use fleetbeat_loadtest::spokes::{Endpoints, Fleet, FleetOptions, Ports, Role, Spoke};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let options = FleetOptions { count, ports: Ports::ANY, endpoints: Endpoints::none(), ..FleetOptions::default() };
    let fleet = Fleet::start_on_own_threads(&options, 1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rss_before = resident_kib();
    let connections = runtime.block_on(connect(&fleet))?;
    let handshakes_us = serving_cpu_us()?;
    let rss = resident_kib().saturating_sub(rss_before);
    runtime.block_on(hammer(connections, Duration::from_secs(seconds)))?;
    let requests = fleet.served().requests;
    let rate = requests / seconds.max(1);
    println!(
        "{count} connections, {} KiB each (both ends); a handshake {:.0} µs",
        rss / count as u64,
        handshakes_us / count as f64
    );
    println!(
        "{rate} requests/s, {:.1} µs of the serving thread each",
        (serving_cpu_us()? - handshakes_us) / requests as f64
    );
    Ok(())
}

async fn connect(fleet: &Fleet) -> Result<Vec<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(fleet.ca_pem().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let connector = TlsConnector::from(Arc::new(config));
    let mut connections = Vec::new();
    for spoke in fleet.spokes() {
        connections.push(connect_to(&connector, spoke).await?);
    }
    Ok(connections)
}

async fn connect_to(connector: &TlsConnector, spoke: &Spoke) -> Result<TlsStream<TcpStream>> {
    let address = spoke.socket(Role::Api).context("every spoke has an API server")?;
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(connector.connect(ServerName::IpAddress(address.ip().into()), tcp).await?)
}

async fn hammer(connections: Vec<TlsStream<TcpStream>>, duration: Duration) -> Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = connections.into_iter().map(|stream| tokio::spawn(ask(stream, Arc::clone(&over)))).collect();
    tokio::time::sleep(duration).await;
    over.store(true, Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn ask(mut stream: TlsStream<TcpStream>, over: Arc<AtomicBool>) -> Result<()> {
    let mut buffer = [0; 2048];
    while !over.load(Relaxed) {
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: spoke\r\n\r\n").await?;
        stream.flush().await?;
        anyhow::ensure!(stream.read(&mut buffer).await? > 0, "closed");
    }
    Ok(())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// CPU time of the threads called `spokes`, in microseconds (10 ms precise).
fn serving_cpu_us() -> Result<f64> {
    let mut ticks = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        if let Some((_, fields)) = stat.split_once("(spokes) ") {
            let fields: Vec<&str> = fields.split_whitespace().collect();
            ticks += fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        }
    }
    Ok(ticks * 10_000.0)
}
