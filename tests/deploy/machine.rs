//! The unit for systemd and the recipe of the image.

use crate::outside::{content, path, text};
use crate::support::Scratch;

#[test]
fn systemd_understands_the_unit_and_finds_it_well_confined() {
    let unit =
        text("deploy/systemd/fleetbeat.service").replace("/usr/local/bin/fleetbeat", env!("CARGO_BIN_EXE_fleetbeat"));
    let scratch = Scratch::new();
    let file = scratch.write("fleetbeat.service", &unit, None);
    let file = file.to_str().unwrap();
    // It complains of the machine's own units too: only what it says of this one counts.
    if let Some(said) = content("systemd-analyze", &["verify", "--man=no", file]) {
        assert!(!said.contains("fleetbeat.service"), "{said}");
    }
    // 0 is confined in every way that systemd knows, 10 in none; a threshold is in tenths.
    content("systemd-analyze", &["security", "--offline=true", "--threshold=20", "--no-pager", file]);
}

#[test]
fn the_image_holds_one_static_binary_and_nobody_is_root_in_it() {
    let recipe = text("Containerfile");
    let last = recipe.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n") && last.contains("\nUSER 65532:65532\n"), "{last}");
    assert!(last.contains("\nENTRYPOINT [\"/usr/bin/fleetbeat\"]\n"), "{last}");
    let wanted = text("Cargo.toml");
    let rust = wanted.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_end_matches('"');
    assert!(recipe.contains(&format!("ARG RUST={rust}\n")), "the image is built with another Rust than {rust}");
    let (ignored, docker) =
        (std::fs::read(path(".containerignore")).unwrap(), std::fs::read(path(".dockerignore")).unwrap());
    assert_eq!(ignored, docker);
}
