//! The roles in which people are answered, as `[roles]` says.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;
use spool_chat::roles::{RoleChoice, Roles as Known};

/// Longest id of a role.
const ID_BYTES: usize = 64;

/// Roles of this server. Without any, nobody has one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// The role of users who were given none.
    pub default: Option<String>,
    /// By id: small letters, digits, `_` and `-`.
    pub known: BTreeMap<String, Role>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What people call it.
    pub name: String,
    /// Stands behind the server's instructions in conversations of this role.
    pub instructions: Option<String>,
}

impl Roles {
    pub fn check(&self) -> Result<()> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        for (id, role) in &self.known {
            if id.is_empty() || id.len() > ID_BYTES || !id.bytes().all(plain) {
                bail!("roles.known: an id has 1 to {ID_BYTES} small letters, digits, _ and -, not \"{id}\"");
            }
            if role.name.trim().is_empty() {
                bail!("roles.known.{id}.name: must not be blank");
            }
        }
        match &self.default {
            Some(default) if !self.known.contains_key(default) => {
                bail!("roles.default: must be one of roles.known, not \"{default}\"")
            }
            _ => Ok(()),
        }
    }

    /// What functions know of it.
    pub fn settings(&self) -> Known {
        let known = self.known.iter().map(|(id, role)| RoleChoice { id: id.clone(), name: role.name.clone() });
        Known { known: known.collect(), default: self.default.clone() }
    }

    /// The instructions of a conversation: the server's, then those of the role.
    pub fn instructions(&self, general: Option<&str>, role: Option<&str>) -> Option<String> {
        let own = role.and_then(|role| self.known.get(role)?.instructions.as_deref());
        let both: Vec<&str> = general.into_iter().chain(own).filter(|text| !text.trim().is_empty()).collect();
        Some(both.join("\n\n")).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    const ROLES: &str = r#"
        [roles]
        default = "investor"
        [roles.known.investor]
        name = "Investor"
        [roles.known.broker]
        name = "Broker"
        instructions = "You help brokers."
    "#;

    #[test]
    fn ia_07_instructions_of_the_role_stand_behind_those_of_the_server() {
        let roles = load(ROLES, &[]).unwrap().roles;
        let of = |general, role| roles.instructions(general, role);
        assert_eq!(of(Some("Be kind."), Some("broker")).as_deref(), Some("Be kind.\n\nYou help brokers."));
        assert_eq!(of(None, Some("broker")).as_deref(), Some("You help brokers."));
        assert_eq!(of(Some("Be kind."), Some("investor")).as_deref(), Some("Be kind."));
        assert_eq!(of(None, None), None);
        assert_eq!(roles.settings().known.len(), 2);
    }

    #[test]
    fn op_09_a_mistake_in_roles_is_named_with_its_key() {
        for (text, names) in [
            ("[roles]\ndefault = \"nobody\"", "roles.default"),
            ("[roles.known.\"A B\"]\nname = \"x\"", "roles.known"),
            ("[roles.known.a]\nname = \" \"", "roles.known.a.name"),
            ("[roles.known.a]\nnaame = \"x\"", "naame"),
        ] {
            let error = format!("{:#}", load(text, &[]).unwrap_err());
            assert!(error.contains(names), "{error}");
        }
    }
}
