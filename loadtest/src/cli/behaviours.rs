//! `fleetbeat-loadtest behaviours`.

use std::io::{Write, stdout};

use fleetbeat_loadtest::spokes::Behaviour;

/// Prints every behaviour with its meaning.
pub fn run() -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for (word, meaning) in Behaviour::WORDS {
        writeln!(out, "{word:24} {meaning}")?;
    }
    Ok(())
}
