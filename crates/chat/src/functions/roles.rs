//! Roles of users: given by administrators, and looked at things as.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_count};
use crate::principal::Principal;
use crate::tables::audit::Outcome;
use crate::tables::{User, UserView};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetRoles {
    pub user_id: Id<User>,
    /// All roles of the user from now on; the first is the usual one.
    pub roles: Vec<String>,
}

/// `users:setRoles`: for administrators. The answer is what the user sees of itself.
pub fn set_roles(tx: &mut Tx<'_>, ctx: &CallContext, args: SetRoles) -> Result<UserView> {
    if ctx.principal != Principal::System {
        check_admin(tx, ctx)?;
    }
    check_count("roles", args.roles.len(), limits::USER_ROLES)?;
    let roles = &ctx.settings.roles;
    if let Some(at) = args.roles.iter().position(|role| !roles.knows(role)) {
        let path = format!("roles[{at}]");
        let known: Vec<&str> = roles.known.iter().map(|known| known.id.as_str()).collect();
        let message = format!("{path}: this server has no such role; it has: {}", known.join(", "));
        return Err(Error::bad_request(message).with("path", path));
    }
    let mut user = tx.get(&args.user_id)?.ok_or_else(|| Error::not_found("user"))?;
    user.roles = args.roles;
    user.updated_at = tx.now();
    tx.put(&user)?;
    audit::record(tx, ctx, "roles.set", user.id.as_str(), Outcome::Done)?;
    Ok(UserView::new(&user, roles))
}

/// Refuses everybody but an administrator who signed in as a person: a key has no say over people.
fn check_admin(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<()> {
    let caller = match &ctx.principal {
        Principal::User { user } => tx.get(user)?,
        _ => None,
    };
    if caller.is_some_and(|user| user.is_admin) {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden, "This is for administrators.").with("reason", "not_admin"))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ViewAs {
    /// Null or absent ends it.
    pub role: Option<String>,
}

/// `users:viewAs`: an administrator looks at things as any role of this server, others as one of their own.
/// It changes how the caller is answered, and nobody's rights.
pub fn view_as(tx: &mut Tx<'_>, ctx: &CallContext, args: ViewAs) -> Result<UserView> {
    let Principal::User { user } = &ctx.principal else {
        return Err(Error::new(Code::Forbidden, "Only people look at things as a role."));
    };
    let mut user = tx.get(user)?.ok_or_else(|| Error::not_found("user"))?;
    let roles = &ctx.settings.roles;
    if let Some(role) = &args.role
        && !roles.may_view_as(&user, role)
    {
        let message = "You do not have this role, or this server has no such role.";
        return Err(Error::new(Code::Forbidden, message).with("reason", "role_not_yours"));
    }
    user.viewing_as_role = args.role;
    user.updated_at = tx.now();
    tx.put(&user)?;
    audit::record(tx, ctx, "role.view", user.viewing_as_role.as_deref().unwrap_or("-"), Outcome::Done)?;
    Ok(UserView::new(&user, roles))
}
