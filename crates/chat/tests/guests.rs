//! Guests: isolated and limited, removed after a time without activity, and claimed by an account exactly once.

use serde_json::{Value, json};
use spool_chat::{GuestLimits, Principal, Settings};
use spool_protocol::Code;
use spool_store::Id;

use crate::stage::{Stage, text};
use crate::users::join_all;

const SYSTEM: Principal = Principal::System;
const DAY: u64 = 86_400_000;

fn limits(max_threads: u64, max_messages: u64, retention_days: u64) -> Settings {
    let some = |limit: u64| Some(limit).filter(|limit| *limit > 0);
    let guests = GuestLimits {
        max_threads: some(max_threads),
        max_messages_per_day: some(max_messages),
        retention_ms: some(retention_days * DAY),
    };
    Settings { guests, ..Settings::default() }
}

fn id_of(principal: &Principal) -> Value {
    json!(principal.user().unwrap())
}

fn identity(subject: &str) -> Value {
    json!({ "issuer": "spool:test", "subject": subject })
}

impl Stage {
    /// What `POST /api/auth/guest` does with the rows.
    async fn guest(&self, subject: &str) -> Principal {
        let id = self.system("guests:admit", identity(subject)).await;
        Principal::User { user: Id::parse(id.as_str().unwrap()).unwrap() }
    }

    async fn claim_guest(&self, guest: &Principal, into: &Principal) -> Result<Value, spool_protocol::Error> {
        let args = json!({ "guest": id_of(guest), "into": id_of(into) });
        self.call(&SYSTEM, "users:claim", args).await
    }

    /// Carries claims on, `limit` rows at a time. Returns the steps it took.
    async fn finish_claims(&self, limit: usize) -> usize {
        let mut steps = 0;
        while self.system("users:moving", json!({})).await == true {
            self.system("users:move", json!({ "limit": limit })).await;
            steps += 1;
            assert!(steps < 1_000, "a claim that never ends");
        }
        steps
    }

    async fn titles(&self, principal: &Principal) -> Vec<String> {
        let args = json!({ "paginationOpts": { "numItems": 100, "cursor": null } });
        let page = self.ok(principal, "threads:page", args).await;
        let mut titles: Vec<_> = page["page"].as_array().unwrap().iter().map(|thread| text(&thread["title"])).collect();
        titles.sort();
        titles
    }

    async fn titled(&self, principal: &Principal, title: &str) -> String {
        text(&self.ok(principal, "threads:create", json!({ "title": title })).await)
    }

    /// What the server's round of cleaning does.
    async fn clean(&self) {
        for (look, step) in [
            ("guests:idle", "guests:expire"),
            ("threads:purgeable", "threads:purge"),
            ("remains:waiting", "remains:sweep"),
        ] {
            let mut more = self.system(look, json!({})).await == true;
            while more {
                more = self.system(step, json!({ "limit": 100 })).await["hasMore"] == true;
            }
        }
        let gone = self.system("uploads:unwanted", json!({ "limit": 100 })).await;
        self.system("uploads:forget", json!({ "ids": gone })).await;
    }

    async fn stream_of(&self, owner: &Value, path: &str, says: &str) -> Result<Value, spool_protocol::Error> {
        let pieces = json!([{ "units": says.len(), "data": format!("t{says}") }]);
        let args = json!({ "owner": owner, "path": path, "contentType": "text/plain", "pieces": pieces });
        self.call(&SYSTEM, "streams:create", args).await
    }
}

#[tokio::test]
async fn gu_02_a_guest_has_its_threads_and_no_more_than_the_quota() {
    let stage = Stage::with(limits(2, 0, 0)).await;
    let (g1, g2) = (stage.guest("one").await, stage.guest("two").await);
    let thread = stage.thread(&g1).await;
    assert!(stage.ok(&g2, "threads:get", json!({ "threadId": thread })).await.is_null(), "guests are isolated");
    stage.ok(&g1, "threads:getOrCreateDefault", json!({})).await;
    let refused = stage.refused(&g1, "threads:create", json!({})).await;
    assert_eq!(refused.code, Code::QuotaExceeded);
    assert_eq!(refused.data.unwrap(), json!({ "quota": "guest_threads", "limit": 2, "used": 2 }));
    // What exists is given again; a removed thread makes room; others are not concerned.
    stage.ok(&g1, "threads:getOrCreateDefault", json!({})).await;
    stage.ok(&g1, "threads:remove", json!({ "threadId": thread })).await;
    stage.thread(&g1).await;
    for _ in 0..3 {
        stage.thread(&stage.u1).await;
    }
    stage.thread(&g2).await;
}

#[tokio::test]
async fn gu_02_a_guest_sends_so_many_messages_a_day_and_repeats_cost_nothing() {
    let stage = Stage::with(limits(0, 3, 0)).await;
    let guest = stage.guest("one").await;
    let thread = stage.thread(&guest).await;
    let first = json!({ "threadId": thread, "text": "one", "requestId": "r1" });
    let sent = stage.ok(&guest, "turns:send", first.clone()).await;
    assert_eq!(stage.ok(&guest, "turns:send", first).await, sent);
    stage.answer(&text(&sent["generationId"]), "x", "error").await;
    // An answer made again costs a model as much as a new one.
    let again = stage.ok(&guest, "turns:retry", json!({ "messageId": sent["messageId"] })).await;
    stage.answer(&text(&again["generationId"]), "x", "complete").await;
    stage.ok(&guest, "messages:append", json!({ "threadId": thread, "role": "user", "text": "two" })).await;
    for (path, args) in [
        ("turns:send", json!({ "threadId": thread, "text": "three" })),
        ("turns:regenerate", json!({ "messageId": sent["messageId"] })),
        ("messages:append", json!({ "threadId": thread, "role": "user", "text": "three" })),
    ] {
        let refused = stage.refused(&guest, path, args).await;
        // Regenerating fails before: the answer is not the newest message.
        if path != "turns:regenerate" {
            assert_eq!(refused.code, Code::QuotaExceeded, "{path}");
            let midnight = (1_700_000_000_000 / DAY + 1) * DAY;
            let data = json!({ "quota": "messages_per_day", "limit": 3, "used": 3, "resetsAt": midnight, "retryAfterMs": midnight - 1_700_000_000_000 });
            assert_eq!(refused.data.unwrap(), data, "{path}");
        }
    }
    assert_eq!(stage.messages(&guest, &thread).await.len(), 3, "a refused message is not stored");
    stage.clock.set_ms((1_700_000_000_000 / DAY + 1) * DAY);
    stage.ok(&guest, "messages:append", json!({ "threadId": thread, "role": "user", "text": "three" })).await;
    // People with an account have no such quota.
    let theirs = stage.thread(&stage.u1).await;
    for at in 0..5 {
        let args = json!({ "threadId": theirs, "role": "user", "text": format!("{at}") });
        stage.ok(&stage.u1, "messages:append", args).await;
    }
}

#[tokio::test]
async fn gu_02_concurrent_requests_do_not_share_the_last_place() {
    let stage = Stage::with(limits(5, 0, 0)).await;
    let guest = stage.guest("one").await;
    let made = join_all((0..20).map(|_| stage.call(&guest, "threads:create", json!({}))).collect()).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 5);
}

#[tokio::test]
async fn gu_02_a_guest_without_activity_is_removed_with_all_its_rows() {
    let stage = Stage::with(limits(0, 0, 30)).await;
    let (idle, active, back) = (stage.guest("idle").await, stage.guest("active").await, stage.guest("back").await);
    let thread = stage.titled(&idle, "Idle").await;
    stage.ok(&idle, "threads:getOrCreateDefault", json!({})).await;
    let turn = stage.send(&idle, &thread, "hello").await;
    stage.answer(&turn.generation, "hi", "complete").await;
    stage.upload(&idle, &thread, "a.txt").await;
    for path in ["a", "b"] {
        stage.stream_of(&id_of(&idle), path, "x").await.unwrap();
    }
    let fork = json!({ "owner": id_of(&idle), "path": "0-fork", "fork": { "path": "a" } });
    stage.system("streams:create", fork).await;
    let hook = json!({
        "owner": id_of(&idle), "name": "s", "pattern": "*", "webhookUrl": "https://example.com", "leaseTtlMs": 1000,
        "origin": "http://here",
    });
    stage.system("subscriptions:create", hook).await;
    let theirs = stage.titled(&active, "Active").await;
    let users = stage.titled(&stage.u1, "Account").await;

    stage.clock.advance_ms(29 * DAY);
    assert_eq!(stage.system("guests:idle", json!({})).await, json!(false));
    stage.guest("back").await;
    stage.ok(&active, "messages:append", json!({ "threadId": theirs, "role": "user", "text": "still here" })).await;
    stage.clock.advance_ms(2 * DAY);
    stage.clean().await;
    stage.clean().await;
    let found = |subject: &str| stage.system("guests:find", identity(subject));
    assert!(found("idle").await.is_null());
    assert_eq!(found("active").await["user"], id_of(&active), "a message is activity");
    assert_eq!(found("back").await["user"], id_of(&back), "a visit is activity");
    assert_eq!(
        (stage.titles(&active).await, stage.titles(&stage.u1).await),
        (vec!["Active".into()], vec!["Account".into()])
    );
    assert!(!stage.ok(&stage.u1, "threads:get", json!({ "threadId": users })).await.is_null());
    stage.healthy().await;
    // Nothing of the guest is left in the database, under any name.
    let id = idle.user().unwrap().to_string();
    assert_eq!(stage.rows_that_name(&[&id, &thread, &turn.generation]), Vec::<String>::new());
    // Who was active ends 30 days after that.
    stage.clock.advance_ms(29 * DAY);
    stage.clean().await;
    stage.clean().await;
    assert!(found("active").await.is_null() && found("back").await.is_null());
    assert_eq!(stage.system("guests:idle", json!({})).await, json!(false), "nothing is left to look at");
    stage.healthy().await;
}

#[tokio::test]
async fn gu_02_many_idle_guests_are_removed_in_bounded_steps() {
    let stage = Stage::with(limits(0, 0, 1)).await;
    for at in 0..7 {
        let guest = stage.guest(&format!("g{at}")).await;
        stage.thread(&guest).await;
    }
    stage.clock.advance_ms(2 * DAY);
    let mut rounds = 0;
    while stage.system("guests:idle", json!({})).await == true {
        let mut steps = 0;
        while stage.system("guests:expire", json!({ "limit": 2 })).await["hasMore"] == true {
            steps += 1;
            assert!(steps < 20, "a step without progress must not ask for another");
        }
        stage.system("threads:purge", json!({ "limit": 100 })).await;
        rounds += 1;
        assert!(rounds < 20);
    }
    for at in 0..7 {
        assert!(stage.system("guests:find", identity(&format!("g{at}"))).await.is_null());
    }
    stage.healthy().await;
}

impl Stage {
    /// Tables with a row that holds one of `texts`, read behind the store's back.
    fn rows_that_name(&self, texts: &[&str]) -> Vec<String> {
        let database = rusqlite::Connection::open(self.dir.path().join("spool.db")).unwrap();
        let tables = spool_chat::SCHEMA.tables.iter().filter(|table| {
            texts.iter().any(|text| {
                let sql = format!("select count(*) from {} where instr(document, ?1) > 0 or _id = ?1", table.name);
                database.query_row(&sql, [text], |row| row.get::<_, i64>(0)).unwrap() > 0
            })
        });
        tables.map(|table| table.name.to_owned()).collect()
    }
}

/// Everything that a guest can have, in every state that matters.
async fn furnish(stage: &Stage, guest: &Principal) -> (String, Value) {
    let service = stage.service(&["*"]).await;
    let args = json!({ "title": "Plan", "externalId": "chat-1", "context": "work" });
    let thread = text(&stage.ok(guest, "threads:create", args).await);
    let turn = stage.send(guest, &thread, "hello").await;
    stage.answer(&turn.generation, "hi", "complete").await;
    stage.upload(guest, &thread, "a.txt").await;
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "pay" })).await;
    for key in ["decided", "pending"] {
        let ask = json!({ "generationId": opened["generationId"], "kind": "question", "question": key, "key": key });
        let approval = stage.ok(&service, "approvals:request", ask).await;
        if key == "decided" {
            let decision = json!({ "approvalId": approval["_id"], "decision": "approve" });
            stage.ok(guest, "approvals:decide", decision).await;
        }
    }
    stage.ok(guest, "threads:getOrCreateDefault", json!({})).await;
    let removed = stage.titled(guest, "Removed").await;
    stage.ok(guest, "threads:remove", json!({ "threadId": removed })).await;
    stage.stream_of(&id_of(guest), "notes", "guest").await.unwrap();
    stage.stream_of(&id_of(guest), "mine", "guest").await.unwrap();
    let pull = json!({
        "owner": id_of(guest), "name": "s", "streams": ["notes"], "wakeStream": "wakes", "leaseTtlMs": 1000,
        "origin": "http://here",
    });
    stage.system("subscriptions:create", pull).await;
    (thread, opened["generationId"].clone())
}

#[tokio::test]
async fn gu_03_everything_that_a_guest_has_becomes_the_account_s() {
    // In one step, and in as many as there are rows.
    for limit in [500, 1] {
        let stage = Stage::new().await;
        let (guest, into) = (stage.guest("one").await, stage.u1.clone());
        let (thread, running) = furnish(&stage, &guest).await;
        let before = stage.messages(&guest, &thread).await;
        if limit == 1 {
            for at in 0..600 {
                stage.titled(&guest, &format!("more {at}")).await;
            }
        }
        let moved = stage.claim_guest(&guest, &into).await.unwrap();
        assert_eq!(moved["hasMore"], json!(limit == 1));
        let steps = stage.finish_claims(limit).await;
        assert!(limit == 500 || steps > 50, "{steps}");
        stage.healthy().await;

        assert_eq!(stage.messages(&into, &thread).await, before);
        let args = json!({ "externalId": "chat-1" });
        assert_eq!(stage.ok(&into, "threads:find", args).await["_id"], json!(thread));
        let default = stage.ok(&into, "threads:getOrCreateDefault", json!({})).await;
        let view = stage.ok(&into, "threads:get", json!({ "threadId": default })).await;
        assert_eq!(view["isDefault"], json!(true));
        let running_now = stage.ok(&into, "generations:active", json!({})).await;
        assert_eq!(running_now[0]["_id"], running, "the running answer is the account's, and goes on");
        let inbox = json!({ "paginationOpts": { "numItems": 10, "cursor": null } });
        let inbox = stage.ok(&into, "approvals:list", inbox).await;
        assert_eq!((inbox["pendingCount"].clone(), inbox["page"].as_array().unwrap().len()), (json!(1), 2));
        let uploads = stage.ok(&into, "uploads:list", json!({ "threadId": thread })).await;
        assert_eq!(uploads.as_array().unwrap().len(), 1);
        for path in ["notes", "mine"] {
            stage.system("streams:read", json!({ "owner": id_of(&into), "path": path, "offset": 0 })).await;
        }
        // Only the row of the guest itself, which says who has it, still names the guest, and the trail of what
        // it did.
        let id = guest.user().unwrap().to_string();
        assert_eq!(stage.rows_that_name(&[&id]), ["users", "audit"]);
    }
}

#[tokio::test]
async fn gu_03_the_account_s_own_names_come_first() {
    let stage = Stage::new().await;
    let (guest, into) = (stage.guest("one").await, stage.u1.clone());
    let own = stage.ok(&into, "threads:create", json!({ "title": "Own", "externalId": "chat-1" })).await;
    let own_default = stage.ok(&into, "threads:getOrCreateDefault", json!({})).await;
    stage.stream_of(&id_of(&into), "notes", "account").await.unwrap();
    let hook = json!({
        "owner": id_of(&into), "name": "s", "streams": ["notes"], "webhookUrl": "https://example.com",
        "leaseTtlMs": 1000, "origin": "http://here",
    });
    stage.system("subscriptions:create", hook).await;
    let (thread, _) = furnish(&stage, &guest).await;
    stage.claim_guest(&guest, &into).await.unwrap();
    assert_eq!(stage.finish_claims(500).await, 0);
    stage.healthy().await;

    assert_eq!(stage.ok(&into, "threads:find", json!({ "externalId": "chat-1" })).await["_id"], own);
    assert_eq!(stage.ok(&into, "threads:getOrCreateDefault", json!({})).await, own_default);
    let moved = stage.ok(&into, "threads:get", json!({ "threadId": thread })).await;
    assert_eq!((moved.get("externalId"), &moved["context"]), (None, &json!("work")));
    let read = |path: String| {
        let args = json!({ "owner": id_of(&into), "path": path, "offset": 0 });
        async { text(&stage.system("streams:read", args).await["slices"][0]["data"]) }
    };
    assert!(read("notes".into()).await.contains("account"), "the account's stream keeps its path");
    let database = rusqlite::Connection::open(stage.dir.path().join("spool.db")).unwrap();
    let other: String = database
        .query_row("select json_extract(document, '$.path') from streams where json_extract(document, '$.path') like 'notes~%'", [], |row| row.get(0))
        .unwrap();
    assert!(read(other.clone()).await.contains("guest"));
    let links: Vec<String> = {
        let mut rows =
            database.prepare("select json_extract(document, '$.path') from stream_links order by 1").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(links, ["notes".to_owned(), other], "each subscription watches the stream that it watched");
}

#[tokio::test]
async fn gu_03_a_claim_happens_once_however_often_and_at_the_same_time_it_is_asked_for() {
    let stage = Stage::new().await;
    let guest = stage.guest("one").await;
    for title in ["a", "b", "c"] {
        stage.titled(&guest, title).await;
    }
    let both = [stage.u1.clone(), stage.u2.clone()];
    let claims = join_all((0..20).map(|at| stage.claim_guest(&guest, &both[at % 2])).collect()).await;
    let moved: u64 = claims.iter().filter_map(|claim| Some(claim.as_ref().ok()?["threads"].as_u64().unwrap())).sum();
    assert_eq!(moved, 3, "each thread moved once");
    let mut owners = [stage.titles(&stage.u1).await, stage.titles(&stage.u2).await];
    owners.sort();
    assert_eq!(owners, [vec![], vec!["a".to_owned(), "b".into(), "c".into()]], "all of them to one account");
    for claim in claims.iter().filter_map(|claim| claim.as_ref().err()) {
        assert_eq!(
            (claim.code, &claim.data.as_ref().unwrap()["reason"]),
            (Code::InvalidToken, &json!("guest_claimed"))
        );
    }
    stage.healthy().await;
}

#[tokio::test]
async fn gu_03_nothing_is_made_for_a_guest_that_was_claimed() {
    let stage = Stage::new().await;
    let guest = stage.guest("one").await;
    let thread = stage.thread(&guest).await;
    stage.claim_guest(&guest, &stage.u1).await.unwrap();
    // A request may have been let in before the claim: it is refused in its own transaction.
    for path in ["threads:create", "threads:getOrCreateDefault"] {
        assert_eq!(stage.code(&guest, path, json!({})).await, Code::InvalidToken, "{path}");
    }
    assert_eq!(stage.code(&guest, "turns:send", json!({ "threadId": thread, "text": "x" })).await, Code::InvalidToken);
    assert_eq!(stage.stream_of(&id_of(&guest), "late", "x").await.unwrap_err().code, Code::InvalidToken);
    let late = json!({
        "owner": id_of(&guest), "name": "s", "pattern": "*", "webhookUrl": "https://example.com", "leaseTtlMs": 1000,
        "origin": "http://here",
    });
    assert_eq!(stage.code(&SYSTEM, "subscriptions:create", late).await, Code::InvalidToken);
    assert_eq!(stage.code(&SYSTEM, "guests:admit", identity("one")).await, Code::InvalidToken);
    assert_eq!(stage.system("guests:find", identity("one")).await["claimedInto"], id_of(&stage.u1));
    stage.healthy().await;
}

#[tokio::test]
async fn gu_03_only_guests_are_claimed_and_only_by_accounts() {
    let stage = Stage::new().await;
    let (g1, g2) = (stage.guest("one").await, stage.guest("two").await);
    for (guest, into) in [(&stage.u2, &stage.u1), (&g1, &g2), (&stage.u1, &stage.u1), (&g1, &g1)] {
        assert_eq!(stage.claim_guest(guest, into).await.unwrap_err().code, Code::NotFound);
    }
    assert_eq!(stage.code(&stage.u1, "users:claim", json!({})).await, Code::FunctionNotFound);
}

#[tokio::test]
async fn gu_03_the_trace_of_a_claimed_guest_goes_when_its_tokens_are_over() {
    let stage = Stage::with(limits(0, 0, 30)).await;
    let guest = stage.guest("one").await;
    stage.titled(&guest, "Kept").await;
    stage.claim_guest(&guest, &stage.u1).await.unwrap();
    stage.clock.advance_ms(31 * DAY);
    stage.clean().await;
    assert!(stage.system("guests:find", identity("one")).await.is_null());
    assert_eq!(stage.titles(&stage.u1).await, ["Kept"], "what was claimed has no retention of guests");
    stage.healthy().await;
}
