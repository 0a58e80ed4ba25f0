//! Choosing spokes by what they are, and a seeded share of them.

use serde::{Deserialize, Serialize};

use super::dice::Dice;
use super::spoke::{ClusterType, Spoke};

/// Which spokes are meant; what is left out does not narrow the choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Only these names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Only this type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_type: Option<ClusterType>,
    /// Only this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only this region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A share (0 to 1) of those, chosen by `seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// At most so many of those, chosen by `seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Decides which ones `share` and `count` take.
    pub seed: u64,
}

impl Selector {
    /// The spokes meant, in the order of `spokes`.
    pub fn choose<'a>(&self, spokes: &'a [Spoke]) -> Vec<&'a Spoke> {
        let mut chosen: Vec<&Spoke> = spokes.iter().filter(|spoke| self.fits(spoke)).collect();
        let wanted = self.wanted(chosen.len());
        if wanted < chosen.len() {
            chosen.sort_by_cached_key(|spoke| Dice::new(self.seed, spoke.index as u64).bits());
            chosen.truncate(wanted);
            chosen.sort_by_key(|spoke| spoke.index);
        }
        chosen
    }

    fn fits(&self, spoke: &Spoke) -> bool {
        (self.names.is_empty() || self.names.contains(&spoke.name))
            && self.cluster_type.is_none_or(|kind| kind == spoke.cluster_type)
            && self.environment.as_deref().is_none_or(|environment| environment == spoke.environment)
            && self.region.as_deref().is_none_or(|region| region == spoke.region)
    }

    fn wanted(&self, available: usize) -> usize {
        let by_share =
            self.share.map_or(available, |share| (available as f64 * share.clamp(0.0, 1.0)).round() as usize);
        by_share.min(self.count.unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spokes::options::FleetOptions;

    #[test]
    fn a_share_is_exact_seeded_and_within_the_filter() {
        let spokes = Spoke::plan(&FleetOptions { count: 1_000, ..FleetOptions::default() }).unwrap();
        let third = Selector { share: Some(0.3), seed: 9, ..Selector::default() };
        assert_eq!(third.choose(&spokes).len(), 300);
        assert_eq!(third.choose(&spokes), third.choose(&spokes));
        let other = Selector { seed: 10, ..third.clone() };
        assert_ne!(third.choose(&spokes), other.choose(&spokes));
        let region = Selector { region: Some("eu-west-1".into()), count: Some(3), ..Selector::default() };
        assert!(region.choose(&spokes).iter().all(|spoke| spoke.region == "eu-west-1"));
        assert_eq!(region.choose(&spokes).len(), 3);
    }
}
