//! Who listens to live events, for administrators of the whole fleet.

use std::sync::{Arc, atomic::Ordering};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::Routes,
    live::{Door, Listener, Watched},
    query::NoQuery,
    schema::Always,
};

/// How live events may be reached.
#[derive(Clone, Debug)]
pub struct StreamingRules {
    /// Origins of pages that may open a WebSocket, besides the API's own.
    pub allowed_origins: Vec<String>,
    /// Most listeners at once, both doors together.
    pub max_listeners: usize,
    /// …of which one caller may have so many.
    pub max_listeners_per_caller: usize,
}

impl Default for StreamingRules {
    fn default() -> Self {
        Self { allowed_origins: Vec::new(), max_listeners: 1_024, max_listeners_per_caller: 256 }
    }
}

/// The routes.
pub fn routes() -> Routes {
    Routes::new()
        .fleet_admin(routes!(streaming_status))
        .fleet_admin(routes!(streaming_clients))
        .fleet_admin(routes!(streaming_subscriptions))
}

/// How live events flow.
#[derive(Serialize, ToSchema)]
struct StreamingStatus {
    /// Listeners over WebSocket.
    websocket_clients: usize,
    /// Listeners of the stream of server-sent events.
    sse_clients: usize,
    /// WebSockets that did not say yet who they are.
    unauthenticated: usize,
    /// Most listeners at once.
    max_clients: usize,
    /// Subscriptions of all of them.
    subscriptions: usize,
    /// Events sent to anybody since the start.
    events_sent: u64,
    /// Listeners that were too slow, since the start.
    clients_dropped: u64,
    /// Position of the newest event.
    position: i64,
}

/// How live events flow.
#[utoipa::path(get, path = "/api/v1/streaming/status", tag = "events", responses(
    (status = 200, description = "How they flow", body = StreamingStatus), Always))]
async fn streaming_status(State(api): State<ApiState>, _query: NoQuery) -> Json<StreamingStatus> {
    let all = &api.listeners;
    Json(StreamingStatus {
        websocket_clients: all.count(Door::WebSocket),
        sse_clients: all.count(Door::Sse),
        unauthenticated: all.strangers(),
        max_clients: all.most(),
        subscriptions: all.list().iter().map(|listener| listener.watched.lock().len()).sum(),
        events_sent: all.sent(),
        clients_dropped: all.dropped(),
        position: api.broadcaster.newest(),
    })
}

/// Somebody who listens.
#[derive(Serialize, ToSchema)]
struct StreamingClient {
    /// Its id.
    client_id: Uuid,
    /// `websocket` or `sse`.
    #[schema(value_type = String)]
    transport: &'static str,
    /// Who it is.
    actor: String,
    /// What people call them.
    actor_name: Option<String>,
    /// From which address and port.
    address: Option<String>,
    /// Since when.
    connected_at: DateTime<Utc>,
    /// Events sent.
    events_sent: u64,
    /// Everything up to this position was looked at for it.
    position: i64,
    /// How many subscriptions it has.
    subscriptions: usize,
}

impl From<&Arc<Listener>> for StreamingClient {
    fn from(listener: &Arc<Listener>) -> Self {
        let origin = &listener.origin;
        Self {
            client_id: listener.id,
            transport: listener.door.as_str(),
            actor: origin.actor.to_string(),
            actor_name: origin.name.as_deref().map(str::to_owned),
            address: origin.address.map(|address| address.to_string()),
            connected_at: listener.since,
            events_sent: listener.sent.load(Ordering::Relaxed),
            position: listener.position.load(Ordering::Relaxed),
            subscriptions: listener.watched.lock().len(),
        }
    }
}

/// Everybody who listens.
#[derive(Serialize, ToSchema)]
struct StreamingClients {
    /// The longest first.
    items: Vec<StreamingClient>,
}

/// Everybody who listens to live events.
#[utoipa::path(get, path = "/api/v1/streaming/clients", tag = "events", responses(
    (status = 200, description = "The listeners", body = StreamingClients), Always))]
async fn streaming_clients(State(api): State<ApiState>, _query: NoQuery) -> Json<StreamingClients> {
    Json(StreamingClients { items: api.listeners.list().iter().map(StreamingClient::from).collect() })
}

/// What somebody listens to.
#[derive(Serialize, ToSchema)]
struct StreamingSubscription {
    /// Its id.
    subscription_id: Uuid,
    /// Whose it is.
    client_id: Uuid,
    /// Types, or beginnings of types with a star; empty for all.
    event_types: Vec<String>,
    /// Clusters; empty for all in the listener's scope.
    cluster_filter: Vec<String>,
    /// Namespaces, as given.
    namespace_filter: Vec<String>,
    /// Since when.
    created_at: DateTime<Utc>,
}

impl StreamingSubscription {
    fn of(client_id: Uuid, watched: Watched) -> Self {
        Self {
            subscription_id: watched.id,
            client_id,
            event_types: watched.event_types,
            cluster_filter: watched.clusters,
            namespace_filter: watched.namespaces,
            created_at: watched.since,
        }
    }
}

/// What everybody listens to.
#[derive(Serialize, ToSchema)]
struct StreamingSubscriptions {
    /// In the order of the listeners.
    items: Vec<StreamingSubscription>,
}

/// What everybody listens to.
#[utoipa::path(get, path = "/api/v1/streaming/subscriptions", tag = "events", responses(
    (status = 200, description = "The subscriptions", body = StreamingSubscriptions), Always))]
async fn streaming_subscriptions(State(api): State<ApiState>, _query: NoQuery) -> Json<StreamingSubscriptions> {
    let all = api.listeners.list();
    let of = |listener: &Arc<Listener>| {
        let (id, watched) = (listener.id, listener.watched.lock().clone());
        watched.into_iter().map(move |watched| StreamingSubscription::of(id, watched)).collect::<Vec<_>>()
    };
    Json(StreamingSubscriptions { items: all.iter().flat_map(of).collect() })
}
