//! `spool admin`: the first administrator, and links for people who have no password yet or forgot it.
//!
//! Whoever may read the data directory may do this. Nothing is ever made with a password that was not
//! chosen for it.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use spool_chat::tables::credential::secret_hash;
use spool_server::auth::passwords::{LINK_MS, Passwords, check, link};
use spool_server::auth::random_token;
use spool_server::config::Config;
use spool_store::{Clock as _, SystemClock};

use crate::{Operator, Place, print};

/// How long a link for a new person works, in milliseconds: it may be sent on a Friday.
const INVITATION_MS: u64 = 3 * 86_400_000;

#[derive(Subcommand)]
pub enum AdminCommand {
    /// Make an administrator and print a link to choose a password; an account that exists becomes one.
    Create {
        #[command(flatten)]
        account: Account,
        /// Take the password from standard input instead.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Make an account that is no administrator and print a link to choose a password.
    Invite {
        #[command(flatten)]
        account: Account,
    },
    /// Print a link to choose another password. It works once, for an hour.
    Reset {
        #[command(flatten)]
        account: Account,
    },
    /// Print the administrators.
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
pub struct Account {
    #[arg(long)]
    email: String,
    #[command(flatten)]
    place: Place,
}

pub async fn run(command: AdminCommand) -> Result<ExitCode> {
    match command {
        AdminCommand::Create { account, password_stdin } => create(&account, true, password_stdin).await,
        AdminCommand::Invite { account } => create(&account, false, false).await,
        AdminCommand::Reset { account } => reset(&account).await,
        AdminCommand::List { place } => list(&place).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn create(account: &Account, is_admin: bool, password_stdin: bool) -> Result<()> {
    let config = account.place.config()?;
    let operator = Operator::of(&config)?;
    let known = !operator.query("passwords:find", json!({ "email": account.email })).await?.is_null();
    if known && (password_stdin || !is_admin) {
        bail!("{} has an account; spool admin reset gives a link to set its password", account.email);
    }
    if known {
        operator.mutate("passwords:promote", json!({ "email": account.email })).await?;
        return print(&format!("{} is an administrator now, with the same password.\n", account.email));
    }
    let mut args = json!({ "email": account.email, "isAdmin": is_admin });
    if password_stdin {
        let password = password_from_stdin()?;
        check(&password, &account.email).map_err(|error| anyhow::anyhow!(error.message))?;
        args["hash"] = Passwords::default().hash(password).await?.into();
        operator.mutate("passwords:create", args).await?;
        return print(&format!("{} can sign in.\n", account.email));
    }
    let (token, reset) = one_time(INVITATION_MS);
    args["reset"] = reset;
    operator.mutate("passwords:create", args).await?;
    print(&format!("{}\n", link(&address(&config, &operator), &token)))
}

/// One line; the end of the line is not part of the password.
fn password_from_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().take(10_000).read_to_string(&mut text).context("reading the password")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn reset(account: &Account) -> Result<()> {
    let config = account.place.config()?;
    let operator = Operator::of(&config)?;
    let (token, reset) = one_time(LINK_MS);
    let args = json!({ "email": account.email, "reset": reset });
    if operator.mutate("passwords:allowReset", args).await?.is_null() {
        bail!("no account has the address {}", account.email);
    }
    print(&format!("{}\n", link(&address(&config, &operator), &token)))
}

async fn list(place: &Place) -> Result<()> {
    let operator = Operator::of(&place.config()?)?;
    let admins = operator.query("passwords:admins", json!({})).await?;
    for admin in admins.as_array().into_iter().flatten() {
        let email = admin["email"].as_str().or(admin["userId"].as_str()).unwrap_or_default();
        let note = if admin["hasPassword"] == true { "" } else { "  (has not chosen a password yet)" };
        print(&format!("{email}{note}\n"))?;
    }
    Ok(())
}

/// A token that is shown once, and what is stored of it.
fn one_time(lasts_ms: u64) -> (String, Value) {
    let expires_at = SystemClock.now_ms() + lasts_ms;
    let token = random_token();
    let reset = json!({ "hash": secret_hash(&token), "expiresAt": expires_at });
    (token, reset)
}

/// Where the person will reach the server.
fn address(config: &Config, operator: &Operator) -> String {
    match (config.public_url(), operator) {
        (Some(url), _) => url.to_owned(),
        (None, Operator::There(access, _)) => format!("http://{}", access.address),
        (None, Operator::Here(_)) => format!("http://{}", config.listen),
    }
}
