//! The bucket in Redis that all processes share, at `ratelimit:user:{user_id}:api`. It gives way: while Redis does not answer, the
//! bucket of this process alone decides.

use std::{path::Path, sync::Arc, time::Duration};

use metrics::counter;

use super::bucket::Rate;
use crate::{
    breaker::Breaker,
    bus::{BusAddressError, Counters},
};

/// Takes one token, by the server's own clock: answers 0, or the milliseconds until there is one.
const SCRIPT: &str = "\
    local time = redis.call('TIME') \
    local now = time[1] * 1000 + math.floor(time[2] / 1000) \
    local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]) \
    local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at') \
    local tokens, at = tonumber(kept[1]) or burst, tonumber(kept[2]) or now \
    tokens = math.min(burst, tokens + math.max(0, now - at) * rate / 1000) \
    local wait = 0 \
    if tokens >= 1 then tokens = tokens - 1 else wait = math.ceil((1 - tokens) * 1000 / rate) end \
    redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', math.max(at, now)) \
    redis.call('PEXPIRE', KEYS[1], math.ceil(burst * 1000 / rate) + 1000) \
    return wait";
/// How long Redis may take.
const PATIENCE: Duration = Duration::from_millis(50);

/// The shared bucket.
pub struct Shared {
    counters: Counters,
    breaker: Arc<Breaker>,
    patience: Duration,
}

impl Shared {
    /// Buckets in this database of the server at the URL, whose authorities may be in a file. Connects in the background.
    ///
    /// # Errors
    /// When the URL or the file cannot be used.
    pub fn start(
        url: &secrecy::SecretString,
        ca_file: Option<&Path>,
        database: u8,
        breaker: Arc<Breaker>,
    ) -> Result<Self, BusAddressError> {
        Ok(Self { counters: Counters::start(url, ca_file, database)?, breaker, patience: PATIENCE })
    }

    /// The same with another time that Redis may take.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Takes one of this caller's tokens; passes when Redis does not answer in time.
    pub(super) async fn take(&self, id: &str, rate: Rate) -> Result<(), Duration> {
        if !self.breaker.admits() {
            return Ok(());
        }
        let key = format!("ratelimit:user:{id}:api");
        let arguments = [rate.per_second.to_string(), rate.burst.max(1.0).to_string()];
        let answer = self.counters.eval(SCRIPT, key, arguments, self.patience).await;
        self.breaker.learn(answer.is_ok());
        match answer {
            Ok(0) => Ok(()),
            Ok(wait) => Err(Duration::from_millis(u64::try_from(wait).unwrap_or(1))),
            Err(_) => {
                counter!("fleetbeat_api_shared_limit_errors_total").increment(1);
                Ok(())
            }
        }
    }
}
