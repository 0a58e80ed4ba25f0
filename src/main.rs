//! The `fleetbeat` binary.

use fleetbeat::{
    app,
    config::{Inputs, Settings},
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).init();
    let settings = Settings::load(&Inputs::from_process(None))?;
    let mut terminate = signal(SignalKind::terminate())?;
    app::run(settings, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
    .await
}
