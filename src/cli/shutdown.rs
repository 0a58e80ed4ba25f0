//! The signals that ask the process to end.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::CliError;

/// Code of a process that was told twice to end.
const IMPATIENT: i32 = 130;
/// Signals closer together than this are one.
const SAME_WISH: Duration = Duration::from_millis(300);

/// SIGINT (Ctrl-C), SIGTERM, and SIGHUP (the terminal was closed).
pub struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Shutdown {
    /// Begins to listen: from now on the signals no longer kill the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::failed("cannot listen for signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the first signal.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// From now on a further signal ends the process at once. One that follows at the heels of the first is the same wish,
    /// told twice: to the process and to its group.
    pub fn insist(self) {
        tokio::spawn(async move {
            tokio::time::sleep(SAME_WISH).await;
            drop(self);
            if let Ok(mut again) = Self::listen() {
                again.asked().await;
                std::process::exit(IMPATIENT);
            }
        });
    }
}
