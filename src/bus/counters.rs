//! Counters that several processes share: small scripts run by the server, at once or not at all.

use std::{path::Path, time::Duration};

use fred::{
    prelude::*,
    types::{ClusterHash, CustomCommand},
};
use secrecy::SecretString;
use tracing::Instrument;

use super::{
    PATIENCE,
    address::{self, BusAddressError},
    hurried,
    link::{self, Link},
};
use crate::traces;

/// Runs scripts. It connects in the background, and again whenever it must; it ends when dropped.
pub struct Counters {
    client: Client,
    link: Link,
}

impl Counters {
    /// Begins to connect to this database of the server (a cluster has only one). Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the URL or the file of authorities cannot be used. An absent server is no error.
    pub fn start(url: &SecretString, ca_file: Option<&Path>, database: u8) -> Result<Self, BusAddressError> {
        let client = address::client_of(url, ca_file, Some(database))?;
        Ok(Self { link: Link::start(client.clone(), PATIENCE), client })
    }

    /// Runs a script over one key; its answer is a number.
    ///
    /// # Errors
    /// In a word or two, without content.
    pub async fn eval(
        &self,
        script: &'static str,
        key: String,
        arguments: [String; 2],
        patience: Duration,
    ) -> Result<i64, String> {
        let [first, second] = arguments;
        let arguments = vec![script.to_owned(), "1".to_owned(), key, first, second];
        let command = CustomCommand::new_static("EVAL", ClusterHash::Offset(2), false);
        let client = self.client.with_options(&hurried(patience));
        let answer = client.custom::<i64, _>(command, arguments).instrument(traces::redis("EVAL"));
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "silent")));
        self.link.learn(answer.as_ref().err());
        answer.map_err(|error| link::word(&error))
    }
}
