//! Reading a kubeconfig never panics and never tells a value, whatever the bytes.
#![no_main]

mod entry;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = entry::feed(text);
});
