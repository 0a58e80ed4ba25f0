//! What is in `deploy/`, tried: the rules and the dashboard on a real Prometheus, the manifests and the chart on what
//! judges them, the unit on systemd's own tools.
#![cfg(test)]

#[path = "../promises/house.rs"]
#[allow(dead_code, reason = "the promises use the rest")]
mod house;
#[path = "../support/mod.rs"]
mod support;

mod dashboard;
mod firing;
mod machine;
mod manifests;
mod outside;
mod rules;
