//! The prober against real servers: every cause, every cap, and what connections and tokens do.
#![cfg(test)]

mod bench;
mod connections;
mod hostile;
mod rebinding;
mod secrets;
mod spoke;
mod suite;
mod verdicts;
