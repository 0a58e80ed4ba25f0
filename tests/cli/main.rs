//! The command line as its users meet it: the real binary, asked by hand, in front of a real server.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod busy;
mod clusters;
mod contexts;
mod declared;
mod demo;
mod desk;
mod doctor;
mod events;
mod from_hub;
mod import;
mod serving;
mod silences;
mod steady;
mod terminal;
mod watching;
mod webhooks;
