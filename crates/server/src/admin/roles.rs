//! `spool admin roles`: what a person is answered as.

use anyhow::{Result, bail};
use serde_json::json;

use crate::{Operator, Place, print};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
    /// The roles from now on, as `broker,lawyer`; the first is the usual one. Empty takes all away.
    #[arg(long, required = true)]
    roles: String,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// The address of an account of this server.
    #[arg(long)]
    email: Option<String>,
    /// The id of a user, for people who sign in elsewhere.
    #[arg(long)]
    user: Option<String>,
}

pub async fn give(args: Args) -> Result<()> {
    let operator = Operator::of(&args.place.config()?)?;
    let user = match (args.whom.user, &args.whom.email) {
        (Some(user), _) => json!(user),
        (None, email) => operator.query("passwords:find", json!({ "email": email })).await?["userId"].take(),
    };
    if user.is_null() {
        bail!("no account has the address {}", args.whom.email.unwrap_or_default());
    }
    let roles: Vec<&str> = args.roles.split(',').map(str::trim).filter(|role| !role.is_empty()).collect();
    let given = operator.mutate("users:setRoles", json!({ "userId": user, "roles": roles })).await?;
    let effective = given["effectiveRole"].as_str().unwrap_or("nobody in particular");
    print(&format!("{} is answered as {effective}\n", given["_id"].as_str().unwrap_or_default()))
}
