//! Black-box tests of the spoke simulator: real sockets, real TLS, the real control API.
#![cfg(test)]

mod behaviours;
mod cli;
mod client;
mod fleet;
