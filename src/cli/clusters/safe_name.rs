//! Names of contexts made fit for clusters: `admin@Prod_East.1` becomes `admin-prod-east-1`. Pure.

use std::collections::HashSet;

const LONGEST: usize = 63;
const SHORTEST: usize = 3;

/// Makes names that are fit and unique.
#[derive(Default)]
pub struct SafeNames {
    taken: HashSet<String>,
}

impl SafeNames {
    /// A fit name like the one given, taken by nobody so far; `None` when nothing fit is left of it.
    pub fn make(&mut self, given: &str) -> Option<String> {
        let base = fit(given)?;
        let numbered = (2..).map(|number| {
            let ending = format!("-{number}");
            let kept = base[..base.len().min(LONGEST - ending.len())].trim_end_matches('-');
            format!("{kept}{ending}")
        });
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !self.taken.contains(name))?;
        self.taken.insert(name.clone());
        Some(name)
    }
}

fn fit(given: &str) -> Option<String> {
    let mut name = String::with_capacity(given.len());
    for letter in given.chars() {
        match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => name.push(letter),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.truncate(LONGEST);
    let mut name = name.trim_end_matches('-').to_owned();
    if name.is_empty() {
        return None;
    }
    if name.len() < SHORTEST {
        name.push_str("-cluster");
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_s_name_becomes_a_cluster_s_name() {
        let mut names = SafeNames::default();
        for (given, made) in [
            ("admin@Prod_East.1", "admin-prod-east-1"),
            ("default/api-crc-testing:6443/kubeadmin", "default-api-crc-testing-6443-kubeadmin"),
            ("k8", "k8-cluster"),
            ("--x--", "x-cluster"),
        ] {
            assert_eq!(names.make(given).as_deref(), Some(made), "{given}");
            assert_eq!(crate::registration::validate::name(made), Ok(()), "{made}");
        }
        assert_eq!(names.make("@@@"), None);
    }

    #[test]
    fn the_same_name_twice_gets_a_number() {
        let mut names = SafeNames::default();
        let made = ["a@b", "a-b", "A_B"].map(|given| names.make(given).unwrap());
        assert_eq!(made, ["a-b", "a-b-2", "a-b-3"]);
        let long = "x".repeat(80);
        let made = [names.make(&long).unwrap(), names.make(&long).unwrap()];
        assert!(made.iter().all(|name| name.len() == 63) && made[1].ends_with("x-2"), "{made:?}");
    }
}
