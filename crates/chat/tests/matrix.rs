//! The ownership matrix: every public function, with the ids of another user.
//!
//! [`case`] is the data. A public function without a case fails the tests.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::registry::{Access, FUNCTIONS, Function, Kind, Visibility, find};
use spool_chat::tables::credential::secret_hash;
use spool_protocol::{Code, Error};

use crate::stage::{Stage, text};

/// Ids to put into arguments.
pub struct Ids {
    pub thread: String,
    pub message: String,
    pub generation: String,
    pub artifact: String,
    pub approval: String,
    pub tool_call: String,
    pub upload: String,
    pub session: String,
    pub share: String,
    pub machine: String,
    pub worker: String,
    pub user: String,
    pub rule: String,
    pub push: String,
}

pub enum Case {
    /// Takes ids: these arguments.
    Takes(Value),
    /// Takes no id: these arguments, and nothing of another user in the result.
    NoIds(Value),
    /// Takes no id, and ends the caller's account if it is called in earnest: tests/account.rs.
    Ends(Value),
}

pub fn case(path: &str, ids: &Ids) -> Option<Case> {
    use Case::{Ends, NoIds, Takes};
    let page = json!({ "numItems": 10, "cursor": null });
    Some(match path {
        "account:deleteMyAccount" => Ends(json!({ "confirm": "not yet" })),
        "audit:mine" => NoIds(json!({ "paginationOpts": page })),
        "server:info"
        | "users:me"
        | "usage:me"
        | "threads:clearAll"
        | "threads:getOrCreateDefault"
        | "generations:active"
        | "sessions:list" => NoIds(json!({})),
        "memory:get" | "memory:clear" | "memory:clearAll" | "instructions:get" | "profile:get" => NoIds(json!({})),
        "memory:versions" | "instructions:versions" | "windows:page" => NoIds(json!({ "paginationOpts": page })),
        "memory:update" => NoIds(json!({ "entries": [] })),
        "instructions:set" => NoIds(json!({ "text": "Mine" })),
        "profile:set" => NoIds(json!({ "fields": { "city": "Mine" } })),
        "threads:getOrCreate" => NoIds(json!({ "app": "theirs" })),
        "summaries:get" => Takes(json!({ "threadId": ids.thread })),
        "sessions:revoke" | "sessions:revokeOthers" => Takes(json!({ "sessionId": ids.session })),
        "threads:create" => NoIds(json!({ "title": "Mine", "externalId": "theirs" })),
        "threads:find" => NoIds(json!({ "externalId": "theirs" })),
        "threads:page" => NoIds(json!({ "paginationOpts": page })),
        "threads:get" | "threads:remove" | "threads:clear" => Takes(json!({ "threadId": ids.thread })),
        "threads:update" => Takes(json!({ "threadId": ids.thread, "title": "Stolen" })),
        "messages:page" => Takes(json!({ "threadId": ids.thread, "paginationOpts": page })),
        "messages:listMessages" | "ai/streaming:listMessages" | "threads:listThreadMessages" => {
            let stream_args = json!({ "kind": "deltas", "cursors": [{ "streamId": ids.generation, "cursor": 0 }] });
            Takes(json!({ "threadId": ids.thread, "paginationOpts": page, "streamArgs": stream_args }))
        }
        "messages:get" => Takes(json!({ "messageId": ids.message })),
        "messages:append" => {
            Takes(json!({ "threadId": ids.thread, "role": "user", "text": "hello", "requestId": "r1" }))
        }
        "turns:send" | "turns:sendAndWait" => {
            Takes(json!({ "threadId": ids.thread, "text": "hello", "requestId": "r1" }))
        }
        "turns:retry" | "turns:regenerate" | "turns:withdraw" => Takes(json!({ "messageId": ids.message })),
        "generations:get" | "generations:stop" => Takes(json!({ "generationId": ids.generation })),
        "generations:deltas" => Takes(json!({ "generationId": ids.generation, "cursor": 0 })),
        "streams:readUrl" => Takes(json!({ "generationId": ids.generation, "ttlSeconds": 60 })),
        "uploads:list" => Takes(json!({ "threadId": ids.thread })),
        "uploads:get" | "uploads:remove" => Takes(json!({ "uploadId": ids.upload })),
        "uploads:readUrl" => Takes(json!({ "uploadId": ids.upload, "ttlSeconds": 60 })),
        "shares:create" => Takes(json!({ "threadId": ids.thread, "mode": "live" })),
        "shares:grant" => Takes(json!({ "threadId": ids.thread, "email": "ada@example.com" })),
        "shares:list" => Takes(json!({ "threadId": ids.thread })),
        "shares:get" | "shares:revoke" | "shares:view" | "shares:copy" => Takes(json!({ "shareId": ids.share })),
        "shares:messages" => Takes(json!({ "shareId": ids.share, "paginationOpts": page })),
        "shares:deltas" => Takes(json!({ "shareId": ids.share, "generationId": ids.generation })),
        "shares:fileUrl" => Takes(json!({ "shareId": ids.share, "seq": 0, "uploadId": ids.upload })),
        "shares:withMe" => NoIds(json!({})),
        "generations:open" => Takes(json!({ "threadId": ids.thread, "text": "hello" })),
        "generations:append" => {
            Takes(json!({ "generationId": ids.generation, "events": [{ "type": "text", "text": "x" }] }))
        }
        "generations:finish" => Takes(json!({ "generationId": ids.generation, "status": "complete", "text": "x" })),
        "logs:cleanUp" => Takes(json!({ "olderThanHours": 24 })),
        "artifacts:create" => {
            Takes(json!({ "threadId": ids.thread, "kind": "plan", "title": "Mine", "content": "x", "key": "k" }))
        }
        "artifacts:update" => Takes(json!({ "artifactId": ids.artifact, "baseVersion": 1, "content": "stolen" })),
        "artifacts:get" => Takes(json!({ "artifactId": ids.artifact })),
        "artifacts:versions" => Takes(json!({ "artifactId": ids.artifact, "paginationOpts": page })),
        "artifacts:diff" => Takes(json!({ "artifactId": ids.artifact, "from": 1, "to": 1 })),
        "artifacts:begin" => Takes(json!({ "artifactId": ids.artifact, "baseVersion": 1, "title": "Stolen" })),
        "artifacts:append" => Takes(json!({ "artifactId": ids.artifact, "version": 2, "offset": 0, "text": "stolen" })),
        "artifacts:finish" => Takes(json!({ "artifactId": ids.artifact, "version": 2 })),
        "artifacts:deltas" => Takes(json!({ "artifactId": ids.artifact, "version": 1, "cursor": 0 })),
        "todos:get" => Takes(json!({ "threadId": ids.thread })),
        "todos:update" => {
            let todos = json!([{ "text": "Stolen", "status": "pending" }]);
            Takes(json!({ "threadId": ids.thread, "baseVersion": 0, "todos": todos }))
        }
        "sessions:getByThread" => Takes(json!({ "threadId": ids.thread })),
        "sessions:open" => Takes(json!({ "threadId": ids.thread, "runtime": "theirs", "phases": true })),
        "sessions:update" => Takes(json!({ "threadId": ids.thread, "runtime": "theirs", "externalId": "stolen" })),
        "sessions:close" | "sessions:markLost" => Takes(json!({ "threadId": ids.thread, "runtime": "theirs" })),
        "artifacts:listByThread" | "approvals:listByThread" => {
            Takes(json!({ "threadId": ids.thread, "paginationOpts": page }))
        }
        "approvals:request" => {
            Takes(json!({ "generationId": ids.generation, "kind": "question", "question": "May I?" }))
        }
        "toolCalls:listByThread" => Takes(json!({ "threadId": ids.thread, "paginationOpts": page })),
        "toolCalls:get" => Takes(json!({ "id": ids.tool_call })),
        "toolCalls:output" => Takes(json!({ "id": ids.tool_call, "cursor": 0 })),
        "debug:prompt" => Takes(json!({ "generationId": ids.generation })),
        "approvals:ofAnswer" => Takes(json!({ "generationId": ids.generation })),
        "approvals:get" => Takes(json!({ "approvalId": ids.approval })),
        "approvals:list" => NoIds(json!({ "paginationOpts": page })),
        "approvals:decide" => Takes(json!({ "approvalId": ids.approval, "decision": "approve" })),
        // Each decision has its own outcome, so the call as a whole is answered.
        "approvals:decideMany" => {
            NoIds(json!({ "decisions": [{ "approvalId": ids.approval, "decision": "approve" }] }))
        }
        "approvals:markSeen" => NoIds(json!({ "upTo": 1 })),
        "rules:list" | "push:list" => NoIds(json!({})),
        "rules:create" => NoIds(json!({ "tool": "mine", "effect": "deny" })),
        "rules:remove" => Takes(json!({ "ruleId": ids.rule })),
        "push:subscribe" => NoIds(subscription("mine")),
        "push:unsubscribe" => Takes(json!({ "subscriptionId": ids.push })),
        "machines:create" => NoIds(json!({ "name": "Mine" })),
        "machines:list" | "workers:list" | "workers:listPending" => NoIds(json!({})),
        "machines:remove" => Takes(json!({ "machineId": ids.machine })),
        "workers:create" => Takes(json!({ "machineId": ids.machine, "name": "Mine" })),
        "workers:rotate" | "workers:approve" | "workers:reject" | "workers:revoke" | "workers:remove" => {
            Takes(json!({ "workerId": ids.worker }))
        }
        "workers:connect" => Takes(json!({})),
        "workers:heartbeat" | "workers:assigned" => Takes(json!({ "epoch": 1 })),
        "workers:claim" => Takes(json!({ "epoch": 1, "generationId": ids.generation })),
        "users:setRoles" => Takes(json!({ "userId": ids.user, "roles": [] })),
        "users:viewAs" => NoIds(json!({ "role": null })),
        _ => return None,
    })
}

/// A browser that could be told: its keys are the right size, and nobody is behind its endpoint.
pub fn subscription(name: &str) -> Value {
    let p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    json!({
        "endpoint": format!("https://push.invalid/{name}"),
        "keys": { "p256dh": p256dh, "auth": "BTBZMqHH6r4Tts7J_aSIgg" },
    })
}

/// An id of every kind, made of the prefix of its table and of its name in the cases.
fn every(id: impl Fn(&str, &str) -> String) -> Ids {
    Ids {
        thread: id("thr", "thread"),
        message: id("msg", "message"),
        generation: id("gen", "generation"),
        artifact: id("art", "artifact"),
        approval: id("apr", "approval"),
        tool_call: id("tc", "toolCall"),
        upload: id("upl", "upload"),
        session: id("crd", "session"),
        share: id("shr", "share"),
        machine: id("mch", "machine"),
        worker: id("wkr", "worker"),
        user: id("usr", "user"),
        rule: id("rul", "rule"),
        push: id("psh", "push"),
    }
}

/// Well formed ids of rows that never existed.
pub fn nowhere() -> Ids {
    every(|prefix, _| format!("{prefix}_{}", "0".repeat(26)))
}

/// The whole table, with `$thread` and the like in place of ids: what the tests over the wire and the fuzzer
/// read as `tests/matrix/cases.json`.
pub fn cases() -> Value {
    let ids = every(|_, name| format!("${name}"));
    let entry = |function: &Function| {
        let (takes_ids, args) = match case(function.path, &ids) {
            Some(Case::Takes(args)) => (true, args),
            Some(Case::NoIds(args) | Case::Ends(args)) => (false, args),
            // Nobody's credentials open an internal function, whatever it is given.
            None => (false, json!({})),
        };
        let access = format!("{:?}", function.access);
        json!({ "path": function.path, "kind": function.kind.as_str(), "access": access, "takesIds": takes_ids, "args": args })
    };
    FUNCTIONS.iter().map(entry).collect()
}

/// Rows of `owner` in every state that matters: a thread with an answer that failed and one that is made.
pub async fn rows_of(stage: &Stage, owner: &Principal) -> Ids {
    let args = json!({ "title": "Theirs", "externalId": "theirs" });
    let thread = text(&stage.ok(owner, "threads:create", args).await);
    let first = stage.send(owner, &thread, "one").await;
    stage.answer(&first.generation, "partial", "error").await;
    let artifact = json!({ "threadId": thread, "kind": "plan", "title": "Theirs", "content": "Theirs", "key": "k" });
    let artifact = text(&stage.ok(owner, "artifacts:create", artifact).await["artifactId"]);
    let service = stage.service(&["*"]).await;
    let asking = stage.ok(&service, "generations:open", json!({ "threadId": thread })).await;
    let plan = json!({ "generationId": asking["generationId"], "kind": "plan", "artifactId": artifact });
    let approval = text(&stage.ok(&service, "approvals:request", plan).await["_id"]);
    let done = json!({ "generationId": asking["generationId"], "status": "complete" });
    stage.ok(&service, "generations:finish", done).await;
    let tool_call = stage.tool_call(owner, &thread).await;
    let args = json!({ "threadId": thread, "text": "two", "requestId": "r1" });
    let second = stage.ok(owner, "turns:send", args).await;
    let upload = stage.upload(owner, &thread, "Theirs").await;
    stage.ok(owner, "threads:getOrCreate", json!({ "app": "theirs" })).await;
    stage.ok(owner, "instructions:set", json!({ "text": "Theirs" })).await;
    stage.ok(owner, "profile:set", json!({ "fields": { "of": "Theirs" } })).await;
    stage.ok(owner, "memory:update", json!({ "baseVersion": 0, "entries": [{ "text": "Theirs" }] })).await;
    let generation = text(&second["generationId"]);
    let third = stage.user("three").await;
    let grant = json!({ "threadId": thread, "userId": third.user() });
    let share = text(&stage.ok(owner, "shares:grant", grant).await);
    let session = stage.session(owner, "Theirs").await;
    let (machine, worker) = stage.pending_worker(owner, "Theirs").await;
    let (message, user) = (first.message, text(&json!(owner.user().unwrap())));
    let made = json!({ "tool": "theirs", "effect": "allow" });
    let rule = text(&stage.ok(owner, "rules:create", made).await["_id"]);
    let push = text(&stage.ok(owner, "push:subscribe", subscription("theirs")).await);
    Ids {
        thread,
        message,
        generation,
        artifact,
        approval,
        tool_call,
        upload,
        session,
        share,
        machine,
        worker,
        user,
        rule,
        push,
    }
}

pub type Outcome = Result<Value, Error>;

/// Actions have no transaction of their own: the mutation they begin with stands for them. Where that is
/// internal, the server names the user for whom it acts.
pub async fn outcome(stage: &Stage, principal: &Principal, path: &str, kind: Kind, args: Value) -> Outcome {
    let internal = match path {
        "workers:create" => "workers:insert",
        "workers:rotate" => "workers:renew",
        _ => {
            let path = if kind == Kind::Action { "turns:send" } else { path };
            return stage.call(principal, path, args).await;
        }
    };
    find(path)?.authorize(principal)?;
    let mut args = args;
    args["user"] = json!(principal.user());
    args["secretHash"] = json!(secret_hash(path));
    stage.call(&Principal::System, internal, args).await
}

#[tokio::test]
async fn ia_05_foreign_ids_are_answered_like_ids_of_nothing() {
    let stage = Stage::new().await;
    let theirs = rows_of(&stage, &stage.u2).await;
    let before = stage.messages(&stage.u2, &theirs.thread).await;
    for function in FUNCTIONS.iter().filter(|function| function.visibility == Visibility::Public) {
        let path = function.path;
        let foreign = case(path, &theirs).unwrap_or_else(|| panic!("{path} has no case in the matrix"));
        match (foreign, case(path, &nowhere())) {
            (Case::Takes(foreign), Some(Case::Takes(missing))) => {
                let foreign = outcome(&stage, &stage.u1, path, function.kind, foreign).await;
                let missing = outcome(&stage, &stage.u1, path, function.kind, missing).await;
                assert_eq!(foreign, missing, "{path}");
                let allowed = match &foreign {
                    Err(error) => matches!(error.code, Code::NotFound | Code::Forbidden),
                    Ok(value) => value.is_null(),
                };
                assert!(allowed, "{path}: {foreign:?}");
            }
            (Case::NoIds(args), _) => {
                let result = outcome(&stage, &stage.u1, path, function.kind, args).await.unwrap().to_string();
                for id in [
                    &theirs.thread,
                    &theirs.message,
                    &theirs.generation,
                    &theirs.artifact,
                    &theirs.approval,
                    &theirs.share,
                    &theirs.rule,
                    &theirs.push,
                ] {
                    assert!(!result.contains(id.as_str()), "{path}: {result}");
                }
                assert!(!result.contains("Theirs"), "{path}: {result}");
            }
            (Case::Ends(_), _) => {}
            _ => panic!("{path}: the case must not depend on the ids"),
        }
    }
    assert_eq!(stage.messages(&stage.u2, &theirs.thread).await, before);
    stage.healthy().await;
}

#[tokio::test]
async fn ia_05_removed_rows_are_answered_like_ids_of_nothing() {
    let stage = Stage::new().await;
    let gone = rows_of(&stage, &stage.u1).await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": gone.thread })).await;
    stage.ok(&stage.u1, "machines:remove", json!({ "machineId": gone.machine })).await;
    stage.system("credentials:revoke", json!({ "credentialId": gone.session })).await;
    stage.ok(&stage.u1, "rules:remove", json!({ "ruleId": gone.rule })).await;
    stage.ok(&stage.u1, "push:unsubscribe", json!({ "subscriptionId": gone.push })).await;
    for function in FUNCTIONS.iter().filter(|function| function.visibility == Visibility::Public) {
        if let (Some(Case::Takes(removed)), Some(Case::Takes(missing))) =
            (case(function.path, &gone), case(function.path, &nowhere()))
        {
            let removed = outcome(&stage, &stage.u1, function.path, function.kind, removed).await;
            let missing = outcome(&stage, &stage.u1, function.path, function.kind, missing).await;
            assert_eq!(removed, missing, "{}", function.path);
        }
    }
}

#[tokio::test]
async fn ia_04_without_credentials_nothing_but_the_open_functions_answers() {
    let stage = Stage::new().await;
    let ids = nowhere();
    for function in FUNCTIONS {
        let args = match case(function.path, &ids) {
            Some(Case::Takes(args) | Case::NoIds(args) | Case::Ends(args)) => args,
            None => json!({}),
        };
        let answer = stage.call(&Principal::Anonymous, function.path, args).await;
        match function.access {
            // A share of nothing is open to nobody, and says so as to everybody.
            Access::Anyone if function.path.starts_with("shares:") => {
                assert_eq!(answer.unwrap_err().code, Code::NotFound, "{}", function.path)
            }
            Access::Anyone => assert!(answer.is_ok(), "{}", function.path),
            Access::User | Access::Service | Access::Worker | Access::Runner | Access::Reader => {
                assert_eq!(answer.unwrap_err().code, Code::Unauthenticated, "{}", function.path)
            }
            Access::System => assert_eq!(answer.unwrap_err().code, Code::FunctionNotFound, "{}", function.path),
        }
    }
}

#[tokio::test]
async fn ia_10_a_key_reaches_no_function_outside_its_scopes() {
    let stage = Stage::new().await;
    let narrow = stage.service(&["keys:*"]).await;
    let ids = rows_of(&stage, &stage.u2).await;
    for function in FUNCTIONS
        .iter()
        .filter(|function| function.visibility == Visibility::Public && function.access != Access::Anyone)
    {
        let Some(Case::Takes(args) | Case::NoIds(args) | Case::Ends(args)) = case(function.path, &ids) else {
            continue;
        };
        let refused = outcome(&stage, &narrow, function.path, function.kind, args).await.unwrap_err();
        assert_eq!(refused.code, Code::Forbidden, "{}", function.path);
    }
    let reader = stage.service(&["threads:get"]).await;
    let seen = stage.ok(&reader, "threads:get", json!({ "threadId": ids.thread })).await;
    assert_eq!(seen["_id"], json!(ids.thread));
    assert_eq!(stage.code(&reader, "threads:remove", json!({ "threadId": ids.thread })).await, Code::Forbidden);
}
