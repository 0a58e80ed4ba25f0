//! Grants: what the members of a group may do and see.

use super::{Role, Scope};

/// The group that everybody is in.
const EVERYBODY: &str = "*";

/// What one group may do and see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The group's name as the method tells it; `*` for everybody.
    pub group: String,
    /// What its members may do.
    pub role: Role,
    /// Which clusters they may see.
    pub scope: Scope,
}

/// What groups may do and see.
#[derive(Clone, Debug, Default)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// These.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// What a member of these groups may do and see; `None` when nothing.
    pub fn of<'a>(&self, groups: impl IntoIterator<Item = &'a str>) -> Option<(Role, Scope)> {
        let groups: Vec<_> = groups.into_iter().collect();
        let fits = |grant: &&Grant| grant.group == EVERYBODY || groups.contains(&grant.group.as_str());
        strongest(self.0.iter().filter(fits).map(|grant| (grant.role, &grant.scope)))
    }
}

/// What all that was granted to somebody comes to; `None` when nothing was. The highest role counts, and the scopes for which it
/// was granted add up: nobody gets a role over clusters for which it was not granted.
pub(super) fn strongest<'a>(granted: impl Iterator<Item = (Role, &'a Scope)> + Clone) -> Option<(Role, Scope)> {
    let highest = granted.clone().map(|(role, _)| role).max()?;
    let scopes = granted.filter(|(role, _)| *role == highest).map(|(_, scope)| scope.clone());
    Some((highest, Scope::any(scopes.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> Grants {
        let team = |team: &str| Scope::labels(format!("team={team}")).expect("a selector");
        let grant = |group: &str, role, scope| Grant { group: group.to_owned(), role, scope };
        Grants::new(vec![
            grant("all", Role::Viewer, Scope::Everything),
            grant("blue", Role::Operator, team("blue")),
            grant("red", Role::Operator, team("red")),
            grant("admins", Role::Admin, Scope::Everything),
        ])
    }

    #[test]
    fn nobody_gets_a_role_over_what_no_grant_gives_it_for() {
        let (role, scope) = grants().of(["all", "blue"]).expect("something");
        assert_eq!((role, scope), (Role::Operator, Scope::labels("team=blue".to_owned()).expect("a selector")));
    }

    #[test]
    fn scopes_of_one_role_add_up() {
        let (role, scope) = grants().of(["red", "blue", "unknown"]).expect("something");
        assert_eq!((role, matches!(scope, Scope::Any(parts) if parts.len() == 2)), (Role::Operator, true));
    }

    #[test]
    fn who_is_in_no_group_that_counts_may_nothing_unless_everybody_may() {
        assert_eq!(grants().of(["unknown", "*", ""]), None);
        let everybody = Grant { group: "*".to_owned(), role: Role::Viewer, scope: Scope::Everything };
        assert_eq!(Grants::new(vec![everybody]).of([]), Some((Role::Viewer, Scope::Everything)));
    }
}
