//! The Redis stream and the clusters' own channels, as two separate consumers would read them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Arrivals, Notes};
use crate::clock::{WallMs, wall_ms};
use crate::resp::{Connection, RedisError, Value};

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// The server is asked to answer an empty read after this long.
const BLOCK_MS: &str = "1000";
/// It may take this much longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A quiet subscription is asked after this long whether it lives.
const QUIET: Duration = Duration::from_secs(1);

/// Reads the stream for ever, from its begin, through every outage. While `away` holds true it is not connected.
pub async fn follow_stream(address: SocketAddr, stream: String, away: watch::Receiver<bool>, arrivals: Arrivals) {
    let mut last = "0-0".to_owned();
    loop {
        if !*away.borrow() {
            let _ = read_stream(address, &stream, &mut last, &away, &arrivals).await;
        }
        sleep(PAUSE).await;
    }
}

async fn read_stream(
    address: SocketAddr,
    stream: &str,
    last: &mut String,
    away: &watch::Receiver<bool>,
    arrivals: &Arrivals,
) -> Result<(), RedisError> {
    let mut connection = Connection::open(address).await?;
    while !*away.borrow() {
        let command = ["XREAD", "COUNT", "500", "BLOCK", BLOCK_MS, "STREAMS", stream, last.as_str()];
        let answer = connection.ask(&command, PATIENCE).await?;
        for entry in answer.items().first().map(|found| &found.items()[1..]).unwrap_or_default() {
            for entry in entry.items() {
                note_entry(entry, last, arrivals);
            }
        }
    }
    Ok(())
}

fn note_entry(entry: &Value, last: &mut String, arrivals: &Arrivals) {
    let [id, fields] = entry.items() else { return };
    let Some(id) = id.text() else { return };
    let taken = id.split('-').next().and_then(|ms| ms.parse().ok());
    let mut pairs = fields.items().chunks_exact(2);
    let json = pairs.find(|pair| pair[0].text().as_deref() == Some("json")).and_then(|pair| pair[1].text());
    match json {
        Some(json) => arrivals.note(&json, taken),
        None => arrivals.misshapen.push(format!("stream entry {id} has no field `json`")),
    }
    *last = id;
}

/// Listens to `{prefix}:*` for ever and notes when it was subscribed.
pub async fn follow_channels(
    address: SocketAddr,
    prefix: String,
    arrivals: Arrivals,
    subscribed: Notes<(WallMs, WallMs)>,
) {
    loop {
        let _ = listen(address, &prefix, &arrivals, &subscribed).await;
        sleep(PAUSE).await;
    }
}

/// Listens until the connection ends; the note holds the begin of the subscription and its last sign of life.
async fn listen(
    address: SocketAddr,
    prefix: &str,
    arrivals: &Arrivals,
    subscribed: &Notes<(WallMs, WallMs)>,
) -> Result<(), RedisError> {
    let mut connection = Connection::open(address).await?;
    connection.ask(&["PSUBSCRIBE", &format!("{prefix}:*")], PATIENCE).await?;
    subscribed.push((wall_ms(), wall_ms()));
    loop {
        let value = match connection.next(QUIET).await {
            Err(RedisError::Silent) => connection.ask(&["PING"], PATIENCE).await?,
            other => other?,
        };
        subscribed.change_last(|(_, alive)| *alive = wall_ms());
        if let [kind, _, channel, json] = value.items()
            && kind.text().as_deref() == Some("pmessage")
        {
            note_message(prefix, &channel.text().unwrap_or_default(), &json.text().unwrap_or_default(), arrivals);
        }
    }
}

fn note_message(prefix: &str, channel: &str, json: &str, arrivals: &Arrivals) {
    let before = arrivals.events.len();
    arrivals.note(json, None);
    let own = channel.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(':')).unwrap_or_default();
    let wrong = arrivals.events.len() > before
        && arrivals.events.with_last(|last| last.is_some_and(|last| last.record.cluster_id != own));
    if wrong {
        arrivals.misshapen.push(format!("an event of another cluster came on {channel}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn an_entry_without_its_event_is_noted_as_misshapen() {
        let (arrivals, mut last) = (Arrivals::default(), String::new());
        let entry = Value::Array(vec![bulk("17-0"), Value::Array(vec![bulk("event_id"), bulk("x")])]);
        note_entry(&entry, &mut last, &arrivals);
        assert_eq!((last.as_str(), arrivals.misshapen.len(), arrivals.events.len()), ("17-0", 1, 0));
    }

    #[test]
    fn an_event_on_the_wrong_channel_is_noted() {
        let arrivals = Arrivals::default();
        let id = "0190b5a0-0000-7000-8000-000000000002";
        let json = format!(
            r#"{{"event_id":"{id}","event_type":"CLUSTER_UPDATED","source":"cluster-registry","cluster_id":"{id}",
            "timestamp":"2026-01-31T09:16:29.265Z","sequence":3,"position":17,"payload":{{"generation":2}}}}"#
        );
        note_message("p:cluster", &format!("p:cluster:{id}"), &json, &arrivals);
        assert_eq!(arrivals.misshapen.len(), 0);
        note_message("p:cluster", "p:cluster:other", &json, &arrivals);
        assert_eq!((arrivals.events.len(), arrivals.misshapen.len()), (2, 1));
    }
}
