//! Scripts of troubles: an ordered list of changes with times, read, written and checked here;
//! generated in [`generate`], played in [`play`].

pub mod generate;
pub mod play;

use serde::{Deserialize, Serialize};

use super::behaviour::Behaviour;
use super::fleet::Change;
use super::role::Scope;
use super::spoke::Spoke;

pub use generate::ScriptOptions;
pub use play::Playback;

/// What happens to a fleet, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The seed it was generated from, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seed: Option<u64>,
    /// How long it lasts, including the quiet after the last change; 0 = until the last change.
    #[serde(default)]
    pub duration_ms: u64,
    /// The changes, ordered by time.
    pub changes: Vec<Timed>,
}

/// A change and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Milliseconds since the script began.
    pub at_ms: u64,
    /// The spoke's name.
    pub spoke: String,
    /// What of it; all of it unless told otherwise.
    #[serde(default)]
    pub role: Scope,
    /// How it behaves from then on.
    pub behaviour: Behaviour,
}

impl Timed {
    pub(super) fn change(&self) -> Change {
        Change { spoke: self.spoke.clone(), role: self.role, behaviour: self.behaviour }
    }
}

/// A script that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is neither YAML nor JSON of the right shape.
    #[error("cannot read the script: {0}")]
    Unreadable(String),
    /// It names a spoke the fleet does not have.
    #[error("the change at {at_ms} ms names `{spoke}`, which the fleet does not have")]
    NoSuchSpoke {
        /// When.
        at_ms: u64,
        /// The name.
        spoke: String,
    },
    /// It names a role the spoke does not have.
    #[error("the change at {at_ms} ms is about {role} of `{spoke}`, which has none")]
    NoSuchRole {
        /// When.
        at_ms: u64,
        /// The spoke.
        spoke: String,
        /// What it lacks.
        role: Scope,
    },
}

impl Script {
    /// Reads YAML or JSON and puts the changes in order.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let parsed: Result<Script, _> = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())
        } else {
            serde_saphyr::from_str(text).map_err(|error| error.to_string())
        };
        let mut script = parsed.map_err(ScriptError::Unreadable)?;
        script.changes.sort_by_key(|change| change.at_ms);
        Ok(script)
    }

    /// Writes it as YAML.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_default()
    }

    /// When everything is over, in milliseconds since its begin.
    pub fn end_ms(&self) -> u64 {
        self.duration_ms.max(self.changes.last().map_or(0, |change| change.at_ms))
    }

    /// Whether every change can be made to these spokes.
    pub fn check(&self, spokes: &[Spoke]) -> Result<(), ScriptError> {
        let by_name: std::collections::HashMap<&str, &Spoke> =
            spokes.iter().map(|spoke| (spoke.name.as_str(), spoke)).collect();
        for Timed { at_ms, spoke, role, .. } in &self.changes {
            let (at_ms, role) = (*at_ms, *role);
            let found = by_name.get(spoke.as_str());
            let found = found.ok_or_else(|| ScriptError::NoSuchSpoke { at_ms, spoke: spoke.clone() })?;
            if !found.has(role) {
                return Err(ScriptError::NoSuchRole { at_ms, spoke: spoke.clone(), role });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spokes::options::FleetOptions;
    use crate::spokes::role::Role;

    #[test]
    fn a_script_is_read_from_yaml_and_json_and_put_in_order() {
        let yaml = "changes:\n- {at_ms: 20, spoke: hub-00001, behaviour: healthy}\n\
                    - {at_ms: 10, spoke: hub-00001, role: api, behaviour: 'slow:300'}\n";
        let script = Script::parse(yaml).unwrap();
        assert_eq!(script.changes[0].role, Scope::One(Role::Api));
        assert_eq!(script.changes[1].role, Scope::All);
        assert_eq!(script.end_ms(), 20);
        let json = serde_json::to_string(&script).unwrap();
        assert_eq!(Script::parse(&json).unwrap(), script);
        assert_eq!(Script::parse(&script.to_yaml()).unwrap(), script);
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        assert!(matches!(Script::parse("changes: 5"), Err(ScriptError::Unreadable(_))));
        let spokes = Spoke::plan(&FleetOptions::default()).unwrap();
        let script = Script::parse("changes: [{at_ms: 7, spoke: nobody, behaviour: dead}]").unwrap();
        let error = script.check(&spokes).unwrap_err().to_string();
        assert!(error.contains("7 ms") && error.contains("nobody"), "{error}");
    }
}
