//! What the fuzzer calls with every text, and the tests with the seeds: reading never panics and never tells a value.

use fleetbeat::credentials::kubeconfig::{Refused, Rules, context, contexts, read};

/// Stands in the seeds wherever a value could be.
pub const CANARY: &str = "canary4d1f";

/// Reads a text in every way that kubeconfigs are read. Why it is refused, where it is.
///
/// # Panics
/// When a refusal tells the canary.
pub fn feed(text: &str) -> Option<Refused> {
    let rules = Rules { allow_insecure: true, ..Rules::default() };
    let strict = read(text, Rules::default()).err();
    let others = [read(text, rules).err(), context(text, rules, None).err(), context(text, rules, Some("one")).err()];
    let (each, whole) = match contexts(text, rules) {
        Ok(each) => (each.into_iter().filter_map(|(_, read)| read.err()).collect(), None),
        Err(refused) => (Vec::new(), Some(refused)),
    };
    let told = strict.iter().chain(others.iter().flatten()).chain(&each).chain(&whole);
    for refused in told {
        assert!(!format!("{refused} {refused:?}").contains(CANARY), "a refusal tells a value");
    }
    strict
}
