//! The hub's client: against a real kube-apiserver where the machine has one, and against servers that misbehave.
#![cfg(test)]

#[path = "../probes/spoke.rs"]
#[allow(dead_code, reason = "the probes' tests use the rest")]
mod spoke;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod internal;
mod kubectl;
mod limits;
mod refused;
mod reviews;
mod secrets;
mod untold;
