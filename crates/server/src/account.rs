//! Carrying out the deletion of accounts: the steps of `account:erase` one after another, with the answers
//! in the ledger and the bytes on disk, and telling everything that is open for somebody who is gone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::functions::account::{AccountDeleted, Erased};
use spool_chat::tables::User;
use spool_protocol::{Code, Error};
use spool_store::Id;
use tokio::sync::Notify;

use crate::app::App;
use crate::functions::Functions;

/// Rows erased in one transaction, so that others never wait long.
const STEP_ROWS: u64 = 500;
/// How often somebody who waits for an answer to stop, or for bytes to go, looks again.
const LOOK: Duration = Duration::from_millis(50);

/// `account:deleteMyAccount`. `hurry` wakes the jobs, which remove the bytes of files.
pub async fn delete(
    functions: &Functions, hurry: &Notify, principal: &Principal, args: Value,
) -> Result<String, Error> {
    let Principal::User { user } = principal else {
        return Err(Error::new(Code::Forbidden, "Only a person deletes an account, with a token of theirs."));
    };
    let given: spool_chat::functions::account::DeleteMyAccount = spool_chat::args::decode(args)?;
    let mark = json!({ "userId": user, "confirm": given.confirm });
    functions.mutate_as_system("account:leave", mark).await?;
    forget_answers(functions, user).await?;
    let mut deleted = BTreeMap::new();
    loop {
        let step = step(functions, user, &mut deleted).await?;
        if step.done {
            let result = AccountDeleted { deleted };
            return serde_json::to_string(&result).map_err(|e| Error::internal(format!("account: {e}")));
        }
        if step.waits {
            hurry.notify_one();
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn step(functions: &Functions, user: &Id<User>, into: &mut BTreeMap<String, u64>) -> Result<Erased, Error> {
    let args = json!({ "userId": user, "limit": STEP_ROWS });
    let erased: Erased = parsed(&functions.mutate_as_system("account:erase", args).await?)?;
    for (table, rows) in &erased.deleted {
        *into.entry(table.clone()).or_default() += rows;
    }
    Ok(erased)
}

/// Nothing is added to them: from the mark on the user's mutations are refused.
async fn forget_answers(functions: &Functions, user: &Id<User>) -> Result<(), Error> {
    functions.store().forget_answers(&Principal::User { user: user.clone() }.key()).await
}

/// Goes on with an erasure that its caller, or a process before this one, did not end.
pub async fn carry_on(app: &App) -> Result<(), Error> {
    let (_, found) = app.functions.query_as_system("account:abandoned", json!({})).await?;
    let Some(user) = parsed::<Option<Id<User>>>(&found)? else { return Ok(()) };
    forget_answers(&app.functions, &user).await?;
    let mut deleted = BTreeMap::new();
    while !app.shutdown.is_cancelled() {
        let step = step(&app.functions, &user, &mut deleted).await?;
        // What it waits for happens in another part of this round, or elsewhere.
        if step.done || step.waits {
            break;
        }
    }
    Ok(())
}

/// Tells everything open whose user has left, as long as the process lives.
pub async fn watch(app: Arc<App>) {
    let (wake, system) = (Arc::new(Notify::new()), Arc::new(Principal::System));
    let subscription = match app.functions.subscribe("account:departed", &system, json!({}), None, &wake) {
        Ok(subscription) => subscription,
        Err(error) => return tracing::error!(%error, "departures are not watched"),
    };
    let mut last = None;
    loop {
        let Ok(output) = app.functions.store().changed(&subscription, &wake, last.clone()).await else { return };
        match output.value.as_ref().map_err(Clone::clone).and_then(|value| parsed::<HashSet<String>>(value)) {
            Ok(departed) => app.auth.note_departed(departed),
            Err(error) => tracing::error!(%error, "departures cannot be read"),
        }
        last = Some(output);
    }
}

fn parsed<T: DeserializeOwned>(value: &str) -> Result<T, Error> {
    serde_json::from_str(value).map_err(|e| Error::internal(format!("account: {e}")))
}
