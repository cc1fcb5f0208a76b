//! In which role somebody is answered. Pure.
//!
//! The server decides, from the user's row and its configuration. What a client or a model says is a hint,
//! which selects among roles that the user has and never gives one.

use schemars::JsonSchema;
use serde::Serialize;

use crate::tables::User;

/// The roles of this server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    pub known: Vec<RoleChoice>,
    /// The role of users who were given none.
    pub default: Option<String>,
}

/// A role, and what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoleChoice {
    pub id: String,
    pub name: String,
}

/// What a turn is answered as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EffectiveRole {
    /// None on a server without roles, or for a user without one.
    pub role: Option<String>,
    /// The hint that was not followed, because the user has no such role.
    pub refused_hint: Option<String>,
}

impl Roles {
    pub fn knows(&self, role: &str) -> bool {
        self.known.iter().any(|known| known.id == role)
    }

    /// Whether `user` may look at things as `role`: an administrator as any, others as one of their own.
    pub fn may_view_as(&self, user: &User, role: &str) -> bool {
        self.knows(role) && (user.is_admin || self.own(user).contains(&role))
    }

    /// The roles that a user was given and this server still has; without any, the default.
    fn own<'a>(&'a self, user: &'a User) -> Vec<&'a str> {
        let given: Vec<&str> = user.roles.iter().map(String::as_str).filter(|role| self.knows(role)).collect();
        if given.is_empty() { self.default.as_deref().into_iter().collect() } else { given }
    }
}

/// The role in which `user` is answered. Whoever views as a role has that one alone until they stop; else
/// the hint chooses among the user's own, of which the first is the usual one.
pub fn effective_role(user: &User, hint: Option<&str>, roles: &Roles) -> EffectiveRole {
    let viewed = user.viewing_as_role.as_deref().filter(|role| roles.may_view_as(user, role));
    let has = viewed.map_or_else(|| roles.own(user), |role| vec![role]);
    let chosen = hint.filter(|hint| has.contains(hint));
    EffectiveRole {
        role: chosen.or_else(|| has.first().copied()).map(str::to_owned),
        refused_hint: hint.filter(|_| chosen.is_none()).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spool_store::Id;

    fn user(roles: &[&str], is_admin: bool, viewing: Option<&str>) -> User {
        let row = serde_json::json!({
            "_id": Id::<User>::fresh(0), "_creationTime": 0.0, "issuer": "test", "subject": "one", "kind": "full",
            "roles": roles, "viewingAsRole": viewing, "isAdmin": is_admin, "createdAt": 0, "updatedAt": 0,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn ia_07_the_role_is_the_servers_and_the_hint_only_chooses() {
        let choice = |id: &str| RoleChoice { id: id.into(), name: id.to_uppercase() };
        let roles = Roles {
            known: ["investor", "broker", "lawyer", "admin"].map(choice).to_vec(),
            default: Some("investor".into()),
        };
        // (roles, administrator, views as, hint) → (role, refused hint)
        type Case<'a> = (&'a [&'a str], bool, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);
        let cases: &[Case] = &[
            // Without a hint: the first of one's own, or the default.
            (&["broker", "lawyer"], false, None, None, Some("broker"), None),
            (&[], false, None, None, Some("investor"), None),
            // A hint chooses what one has …
            (&["broker", "lawyer"], false, None, Some("lawyer"), Some("lawyer"), None),
            (&[], false, None, Some("investor"), Some("investor"), None),
            // … and nothing else.
            (&["investor"], false, None, Some("admin"), Some("investor"), Some("admin")),
            (&["broker"], false, None, Some("investor"), Some("broker"), Some("investor")),
            (&[], false, None, Some("nothing"), Some("investor"), Some("nothing")),
            // Viewing narrows to one.
            (&["broker", "lawyer"], false, Some("lawyer"), None, Some("lawyer"), None),
            (&["broker", "lawyer"], false, Some("lawyer"), Some("broker"), Some("lawyer"), Some("broker")),
            // Nobody views as what they do not have, or have no more.
            (&["broker"], false, Some("lawyer"), None, Some("broker"), None),
            (&["broker"], false, Some("lawyer"), Some("lawyer"), Some("broker"), Some("lawyer")),
            // An administrator views as any role that the server has, and hints at no other.
            (&[], true, Some("lawyer"), None, Some("lawyer"), None),
            (&["admin"], true, Some("broker"), Some("admin"), Some("broker"), Some("admin")),
            (&["admin"], true, Some("gone"), None, Some("admin"), None),
            (&[], true, None, Some("broker"), Some("investor"), Some("broker")),
            // A role that the configuration lost counts for nothing.
            (&["gone", "broker"], false, None, Some("gone"), Some("broker"), Some("gone")),
        ];
        for (given, is_admin, viewing, hint, role, refused) in cases {
            let effective = effective_role(&user(given, *is_admin, *viewing), *hint, &roles);
            let found = (effective.role.as_deref(), effective.refused_hint.as_deref());
            assert_eq!(found, (*role, *refused), "{given:?} {is_admin} {viewing:?} {hint:?}");
        }
    }

    #[test]
    fn ia_07_a_server_without_roles_gives_none_to_anybody() {
        let effective = effective_role(&user(&["admin"], true, Some("admin")), Some("admin"), &Roles::default());
        assert_eq!(effective, EffectiveRole { role: None, refused_hint: Some("admin".into()) });
    }
}
