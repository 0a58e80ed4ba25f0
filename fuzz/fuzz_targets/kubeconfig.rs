//! Reading a kubeconfig never panics, whatever the bytes.
#![no_main]

use fleetbeat::credentials::kubeconfig::{Rules, contexts, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = read(text, Rules::default());
    let _ = contexts(text, Rules { allow_insecure: true, ..Rules::default() });
});
