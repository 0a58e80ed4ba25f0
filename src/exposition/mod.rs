//! Per-cluster series in the text format of Prometheus, straight from the board.
//!
//! The text is made chunk by chunk while it is sent: a fleet of 10,000 needs no string of 20 MB. A deleted cluster's
//! series are gone with the next scrape.

mod families;
mod text;

pub use text::Exposition;
