//! Roles: given by administrators, worked out by the server, and no key to anybody's threads.

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::registry::{FUNCTIONS, Visibility};
use spool_chat::roles::{RoleChoice, Roles};
use spool_chat::tables::User;
use spool_chat::{Principal, Settings};
use spool_protocol::Code;
use spool_store::Id;

use crate::matrix::{Case, case, nowhere, outcome, rows_of};
use crate::stage::{OWNER, Stage, text};

async fn stage() -> Stage {
    let choice = |id: &str| RoleChoice { id: id.into(), name: id.to_uppercase() };
    let known = ["investor", "broker", "admin"].map(choice).to_vec();
    Stage::with(Settings { roles: Roles { known, default: Some("investor".into()) }, ..Settings::default() }).await
}

async fn make_admin(stage: &Stage, user: &Principal) {
    let id: Id<User> = user.user().unwrap().clone();
    let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| {
        let mut user = tx.get(&id)?.unwrap();
        user.is_admin = true;
        tx.put(&user)?;
        Ok("null".to_owned())
    });
    stage.store.mutate(run, None).await.unwrap();
}

async fn give(stage: &Stage, user: &Principal, roles: &[&str]) {
    stage.system("users:setRoles", json!({ "userId": user.user(), "roles": roles })).await;
}

/// Sends with a hint; returns (the generation's role, the thread's last role, the role that the runner is told).
async fn answered_as(stage: &Stage, user: &Principal, hint: Option<&str>) -> (Value, Value, Value) {
    let thread = stage.thread(user).await;
    let mut args = json!({ "threadId": thread, "text": "hello" });
    if let Some(hint) = hint {
        args["role"] = json!(hint);
    }
    let sent = stage.ok(user, "turns:send", args).await;
    let id = json!({ "generationId": sent["generationId"] });
    let generation = stage.ok(user, "generations:get", id).await;
    let thread = stage.ok(user, "threads:get", json!({ "threadId": thread })).await;
    let args = json!({ "generationId": sent["generationId"], "owner": OWNER });
    let claim = stage.system("driver:claim", args).await;
    (generation["effectiveRole"].clone(), thread["lastRole"].clone(), claim["effectiveRole"].clone())
}

fn all(role: &str) -> (Value, Value, Value) {
    (json!(role), json!(role), json!(role))
}

#[tokio::test]
async fn ia_07_a_hint_selects_only_a_role_that_the_user_has() {
    let stage = stage().await;
    assert_eq!(answered_as(&stage, &stage.u1, Some("admin")).await, all("investor"));
    give(&stage, &stage.u1, &["broker", "investor"]).await;
    assert_eq!(answered_as(&stage, &stage.u1, None).await, all("broker"));
    assert_eq!(answered_as(&stage, &stage.u1, Some("investor")).await, all("investor"));
    assert_eq!(answered_as(&stage, &stage.u1, Some("admin")).await, all("broker"));
    stage.healthy().await;
}

#[tokio::test]
async fn ia_07_an_administrator_is_answered_as_the_role_that_is_viewed() {
    let stage = stage().await;
    make_admin(&stage, &stage.u1).await;
    let viewing = stage.ok(&stage.u1, "users:viewAs", json!({ "role": "broker" })).await;
    assert_eq!((&viewing["viewingAsRole"], &viewing["effectiveRole"]), (&json!("broker"), &json!("broker")));
    assert_eq!(answered_as(&stage, &stage.u1, Some("investor")).await, all("broker"));
    assert_eq!(stage.code(&stage.u1, "users:viewAs", json!({ "role": "nothing" })).await, Code::Forbidden);
    stage.ok(&stage.u1, "users:viewAs", json!({ "role": null })).await;
    assert_eq!(answered_as(&stage, &stage.u1, None).await, all("investor"));
    // Others view as what they have, and as nothing else.
    assert_eq!(stage.code(&stage.u2, "users:viewAs", json!({ "role": "broker" })).await, Code::Forbidden);
    give(&stage, &stage.u2, &["investor", "broker"]).await;
    stage.ok(&stage.u2, "users:viewAs", json!({ "role": "broker" })).await;
    assert_eq!(answered_as(&stage, &stage.u2, None).await, all("broker"));
    // A role that was taken away is not viewed any more.
    give(&stage, &stage.u2, &["investor"]).await;
    assert_eq!(answered_as(&stage, &stage.u2, None).await, all("investor"));
    let service = stage.service(&["*"]).await;
    assert_eq!(stage.code(&service, "users:viewAs", json!({ "role": null })).await, Code::Forbidden);
}

#[tokio::test]
async fn ia_07_roles_are_given_by_administrators_and_by_no_key() {
    let stage = stage().await;
    let args = json!({ "userId": stage.u2.user(), "roles": ["broker"] });
    let service = stage.service(&["*"]).await;
    for caller in [&stage.u1, &stage.u2, &service] {
        assert_eq!(stage.code(caller, "users:setRoles", args.clone()).await, Code::Forbidden);
    }
    make_admin(&stage, &stage.u1).await;
    let given = stage.ok(&stage.u1, "users:setRoles", args).await;
    assert_eq!((&given["_id"], &given["roles"]), (&json!(stage.u2.user()), &json!(["broker"])));
    assert_eq!(stage.ok(&stage.u2, "users:me", json!({})).await["roles"], json!(["broker"]));
    let unknown = json!({ "userId": stage.u2.user(), "roles": ["broker", "emperor"] });
    let refused = stage.refused(&stage.u1, "users:setRoles", unknown).await;
    assert_eq!((refused.code, &refused.data.unwrap()["path"]), (Code::BadRequest, &json!("roles[1]")));
    let nobody = json!({ "userId": nowhere().thread.replace("thr_", "usr_"), "roles": [] });
    assert_eq!(stage.code(&stage.u1, "users:setRoles", nobody).await, Code::NotFound);
}

#[tokio::test]
async fn ia_07_a_turn_that_waited_and_one_made_again_are_answered_in_the_role_of_then() {
    let stage = stage().await;
    give(&stage, &stage.u1, &["investor", "broker"]).await;
    let thread = stage.thread(&stage.u1).await;
    let first = stage.send(&stage.u1, &thread, "one").await;
    let waiting = json!({ "threadId": thread, "text": "two", "role": "broker", "ifBusy": "queue" });
    stage.ok(&stage.u1, "turns:send", waiting).await;
    stage.answer(&first.generation, "done", "error").await;
    let role = || async {
        let running = stage.ok(&stage.u1, "generations:active", json!({})).await;
        (text(&running[0]["_id"]), running[0]["effectiveRole"].clone())
    };
    let (second, of_second) = role().await;
    assert_eq!(of_second, json!("broker"));
    stage.answer(&second, "done", "error").await;
    let again = json!({ "messageId": first.message, "role": "broker" });
    stage.ok(&stage.u1, "turns:retry", again).await;
    assert_eq!(role().await.1, json!("broker"));
    stage.healthy().await;
}

/// Rights to keep a server are none to read in it: for an administrator every id of another user is an id of
/// nothing, whatever is viewed.
#[tokio::test]
async fn ia_05_an_administrator_reads_nothing_of_others() {
    let stage = stage().await;
    let theirs = rows_of(&stage, &stage.u2).await;
    make_admin(&stage, &stage.u1).await;
    stage.ok(&stage.u1, "users:viewAs", json!({ "role": "broker" })).await;
    for function in FUNCTIONS.iter().filter(|function| function.visibility == Visibility::Public) {
        let path = function.path;
        // What an administrator is for: the roles of others.
        if path == "users:setRoles" {
            continue;
        }
        match (case(path, &theirs), case(path, &nowhere())) {
            (Some(Case::Takes(foreign)), Some(Case::Takes(missing))) => {
                let foreign = outcome(&stage, &stage.u1, path, function.kind, foreign).await;
                assert_eq!(foreign, outcome(&stage, &stage.u1, path, function.kind, missing).await, "{path}");
            }
            (Some(Case::NoIds(args)), _) => {
                let result = outcome(&stage, &stage.u1, path, function.kind, args).await.unwrap().to_string();
                assert!(!result.contains("Theirs") && !result.contains(&theirs.thread), "{path}: {result}");
            }
            (Some(Case::Ends(_)), _) => {}
            _ => panic!("{path} has no case in the matrix"),
        }
    }
}
