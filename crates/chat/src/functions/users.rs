//! Users: who a token speaks of.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::{Id, Tx};

use super::{Nothing, account};
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::tables::{User, UserKind, UserView, user};

/// `users:me`
pub fn me(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Option<UserView>> {
    let Some(id) = ctx.principal.user() else { return Ok(None) };
    Ok(tx.get(id)?.as_ref().map(|user| UserView::new(user, &ctx.settings.roles)))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provision {
    pub issuer: String,
    pub subject: String,
    pub kind: UserKind,
    pub email: Option<String>,
    pub name: Option<String>,
    pub picture: Option<String>,
    /// When the token was issued that says so, in milliseconds since the Unix epoch; 0 if it does not say.
    #[serde(default)]
    pub issued_ms: u64,
}

/// `users:provision`: the row of a verified identity, made by its first call. Claims that changed are
/// kept, claims that are missing change nothing.
pub fn provision(tx: &mut Tx<'_>, ctx: &CallContext, args: Provision) -> Result<Id<User>> {
    for (field, text) in [("issuer", &args.issuer), ("subject", &args.subject)] {
        check_bytes(field, text, limits::TITLE_BYTES)?;
    }
    let now = tx.now();
    let found = tx.query::<User>(user::BY_IDENTITY).eq(args.issuer.as_str()).eq(args.subject.as_str()).first()?;
    if found.as_ref().is_some_and(|user| user.leaving_at.is_some())
        || account::has_left(tx, &args.issuer, &args.subject, args.issued_ms)?
    {
        return Err(account::departed());
    }
    let Some(mut user) = found else {
        let user = User {
            email: args.email,
            name: args.name,
            picture: args.picture,
            ..User::new(tx, args.issuer, args.subject, args.kind)
        };
        tx.put(&user)?;
        audit::record_for(tx, ctx, &user.id, "user.join", user.id.as_str())?;
        return Ok(user.id);
    };
    let before = user.clone();
    (user.email, user.name) = (args.email.or(user.email), args.name.or(user.name));
    (user.picture, user.kind) = (args.picture.or(user.picture), args.kind);
    if user != before {
        user.updated_at = now;
        tx.put(&user)?;
    }
    Ok(user.id)
}
