//! fleetbeat: how the engine touches the world.

pub mod api;
pub mod app;
pub mod audit;
pub mod breaker;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod discovery;
pub mod exposition;
pub mod history;
pub mod hub;
pub mod identity;
pub mod limits;
pub mod listener;
pub mod probes;
pub mod registration;
pub mod renewal;
pub mod secrets;
pub mod selector;
pub mod silences;
pub mod store;
pub mod traces;
pub mod web;
pub mod webhooks;
