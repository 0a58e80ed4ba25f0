//! The scenarios that come with the harness.

/// A scenario of the library.
pub struct Named {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its text.
    pub yaml: &'static str,
}

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        /// Every scenario of the library.
        pub const LIBRARY: &[Named] =
            &[$(Named { name: $name, yaml: include_str!(concat!("../../scenarios/", $name, ".yaml")) }),*];
    };
}

library![
    "steady",
    "cost-5000",
    "growth-1000",
    "growth-10000",
    "many-30000",
    "first-start",
    "restart",
    "single-deaths",
    "third-dies",
    "blackholed-30",
    "region-outage",
    "flapping",
    "slow-spokes",
    "certificate-expiry",
    "churn",
    "api-readers",
    "listeners",
    "hostile-tenth",
    "hostile-100",
    "hostile-1000",
    "soak",
    "transitions-10min",
    "sigstop-60",
    "uplink-gone",
    "kill9-loop",
    "redis-killed",
    "redis-stopped",
    "redis-hour",
    "redis-blackholed",
    "postgres-killed",
    "postgres-stopped",
    "both-gone",
    "consumer-killed",
    "fault-cycles",
];

/// The scenario of this name.
pub fn find(name: &str) -> Option<&'static Named> {
    LIBRARY.iter().find(|one| one.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn every_scenario_can_be_read_in_both_forms() {
        for Named { name, yaml } in LIBRARY {
            for short in [false, true] {
                Scenario::parse(yaml, short).unwrap_or_else(|error| panic!("{name}, short {short}: {error}"));
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_library() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(find(&name).is_some(), "{name}");
        }
    }
}
