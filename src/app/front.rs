//! The runtime that answers callers, apart from the one that watches clusters: a request does not wait for the checks that
//! begin together, nor a check for a page of the fleet.

use anyhow::Context;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads of their own for connections to the API, as many as there are cores. What the handlers begin runs there too.
pub(super) struct Front {
    /// Where what answers callers is spawned.
    pub(super) handle: Handle,
    runtime: Option<Runtime>,
}

impl Front {
    /// # Errors
    /// When threads cannot be started.
    pub(super) fn open() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().thread_name("api").enable_all().build();
        let runtime = runtime.context("cannot start the threads of the API")?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Front {
    /// Waits for nothing: it may be dropped where waiting is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
