//! Subscriptions of one WebSocket: which events it wants to hear. Pure.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::{Event, EventType},
    roll::ClusterId,
};
use uuid::Uuid;

use super::{
    super::live::Watched,
    protocol::{Fault, Unwanted},
};

/// Most subscriptions of one socket.
pub const MAX_SUBSCRIPTIONS: usize = 16;

/// What a client wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Types, or beginnings of types with a star; all when empty.
    pub event_types: Vec<String>,
    /// Clusters; all in scope when empty.
    pub clusters: Vec<ClusterId>,
    /// Namespaces. What clusters tell belongs to none, so that these leave nothing out.
    pub namespaces: Vec<String>,
}

impl Wish {
    /// Is this event among it?
    pub fn matches(&self, event: &Event) -> bool {
        let word = event.event_type.as_str();
        let wanted = |pattern: &String| match pattern.strip_suffix('*') {
            Some(begin) => word.starts_with(begin),
            None => word == pattern,
        };
        (self.event_types.is_empty() || self.event_types.iter().any(wanted))
            && (self.clusters.is_empty() || self.clusters.contains(&event.cluster_id))
    }

    /// Types that fleetbeat never tells of: others of the platform's, or misspelt.
    pub fn unknown_event_types(&self) -> Vec<&str> {
        let known = |word: &str| match word.strip_suffix('*') {
            Some(begin) => EventType::ALL.iter().any(|known| known.as_str().starts_with(begin)),
            None => EventType::from_str(word).is_ok(),
        };
        self.event_types.iter().map(String::as_str).filter(|word| !known(word)).collect()
    }
}

/// A wish that was granted.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// What is wanted.
    pub wish: Wish,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// The subscriptions of one socket.
#[derive(Debug, Default)]
pub struct Subscriptions(Vec<Subscription>);

impl Subscriptions {
    /// Grants a wish.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn add(&mut self, wish: Wish, since: DateTime<Utc>) -> Result<Subscription, Fault> {
        if self.0.len() >= MAX_SUBSCRIPTIONS {
            let message = format!("there are {MAX_SUBSCRIPTIONS} subscriptions already");
            return Err(Fault { code: "TOO_MANY_SUBSCRIPTIONS", message });
        }
        let granted = Subscription { id: Uuid::now_v7(), wish, since };
        self.0.push(granted.clone());
        Ok(granted)
    }

    /// Ends what is not wanted any more: which subscriptions ended.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub fn remove(&mut self, unwanted: &Unwanted) -> Result<Vec<Uuid>, Fault> {
        let before: Vec<Uuid> = self.0.iter().map(|subscription| subscription.id).collect();
        match unwanted {
            Unwanted::Subscription(id) if !before.contains(id) => {
                return Err(Fault::subscription("no such subscription"));
            }
            Unwanted::Subscription(id) => self.0.retain(|subscription| subscription.id != *id),
            Unwanted::EventTypes(types) => self.0.retain_mut(|subscription| {
                let wanted = &mut subscription.wish.event_types;
                let had_some = !wanted.is_empty();
                wanted.retain(|word| !types.contains(word));
                !(had_some && wanted.is_empty())
            }),
        }
        let left = |id: &Uuid| self.0.iter().any(|subscription| subscription.id == *id);
        Ok(before.into_iter().filter(|id| !left(id)).collect())
    }

    /// Does any of them want this event?
    pub fn want(&self, event: &Event) -> bool {
        self.0.iter().any(|subscription| subscription.wish.matches(event))
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As administrators see them.
    pub fn watched(&self) -> Vec<Watched> {
        let watched = |subscription: &Subscription| Watched {
            id: subscription.id,
            event_types: subscription.wish.event_types.clone(),
            clusters: subscription.wish.clusters.iter().map(ToString::to_string).collect(),
            namespaces: subscription.wish.namespaces.clone(),
            since: subscription.since,
        };
        self.0.iter().map(watched).collect()
    }
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::event::EventDraft;
    use serde_json::json;

    use super::*;

    fn event(event_type: EventType) -> Event {
        let draft = EventDraft::new(event_type, ClusterId(Uuid::max()), DateTime::UNIX_EPOCH, json!({}));
        Event::place(draft, 1, 1)
    }

    fn wish(types: &[&str], clusters: &[ClusterId]) -> Wish {
        let event_types = types.iter().map(|word| (*word).to_owned()).collect();
        Wish { event_types, clusters: clusters.to_vec(), namespaces: Vec::new() }
    }

    #[test]
    fn types_match_whole_or_by_their_beginning() {
        let changed = event(EventType::ClusterStatusChanged);
        for good in [&[][..], &["CLUSTER_STATUS_CHANGED"], &["CLUSTER_*"], &["*"], &["ALERT_*", "CLUSTER_S*"]] {
            assert!(wish(good, &[]).matches(&changed), "{good:?}");
        }
        for bad in [&["CLUSTER_STATUS"][..], &["cluster_*"], &["ALERT_*"]] {
            assert!(!wish(bad, &[]).matches(&changed), "{bad:?}");
        }
        assert!(wish(&[], &[ClusterId(Uuid::max())]).matches(&changed));
        assert!(!wish(&[], &[ClusterId(Uuid::nil())]).matches(&changed));
        assert_eq!(wish(&["CLUSTER_DELETED", "GPU_*", "CLUSTER_*", "*"], &[]).unknown_event_types(), ["GPU_*"]);
    }

    #[test]
    fn subscriptions_end_by_id_and_by_type() {
        let mut all = Subscriptions::default();
        let both = all.add(wish(&["CLUSTER_DELETED", "CLUSTER_UPDATED"], &[]), DateTime::UNIX_EPOCH).unwrap().id;
        let one = all.add(wish(&["CLUSTER_UPDATED"], &[]), DateTime::UNIX_EPOCH).unwrap().id;
        let types = Unwanted::EventTypes(vec!["CLUSTER_UPDATED".to_owned()]);
        assert_eq!(all.remove(&types), Ok(vec![one]));
        assert!(all.want(&event(EventType::ClusterDeleted)) && !all.want(&event(EventType::ClusterUpdated)));
        assert_eq!(all.remove(&Unwanted::Subscription(one)).unwrap_err().code, "INVALID_SUBSCRIPTION");
        assert_eq!(all.remove(&Unwanted::Subscription(both)), Ok(vec![both]));
        assert!(all.is_empty());
    }

    #[test]
    fn there_are_not_too_many() {
        let mut all = Subscriptions::default();
        for _ in 0..MAX_SUBSCRIPTIONS {
            assert!(all.add(wish(&[], &[]), DateTime::UNIX_EPOCH).is_ok());
        }
        assert_eq!(all.add(wish(&[], &[]), DateTime::UNIX_EPOCH).unwrap_err().code, "TOO_MANY_SUBSCRIPTIONS");
    }
}
