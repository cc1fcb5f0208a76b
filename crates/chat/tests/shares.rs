//! Sharing: what a link and a named person see of a thread, what they do not, and when it ends.

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::functions::shares::tokens::ShareKey;
use spool_chat::functions::streams::urls::UrlKey;
use spool_chat::tables::Share;
use spool_chat::{Principal, Settings};
use spool_protocol::{Code, Event};
use spool_store::{Id, Tx};

use crate::stage::{Stage, text, words};

const DAY: u64 = 86_400_000;

async fn stage() -> Stage {
    let keys = (Some(ShareKey([7; 32])), Some(UrlKey([8; 32])));
    Stage::with(Settings { share_key: keys.0, url_key: keys.1, ..Settings::default() }).await
}

/// A link of `owner`'s thread: the share's id and its token.
async fn link(stage: &Stage, owner: &Principal, thread: &str, more: Value) -> (String, String) {
    let mut args = json!({ "threadId": thread, "mode": "live" });
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = text(&stage.ok(owner, "shares:create", args).await);
    let path = text(&stage.ok(owner, "shares:get", json!({ "shareId": id })).await["path"]);
    (id, path.strip_prefix("/s/").unwrap().to_owned())
}

fn page(ticket: &Value) -> Value {
    let mut args = ticket.clone();
    args["paginationOpts"] = json!({ "numItems": 100, "cursor": null });
    args
}

async fn messages(stage: &Stage, who: &Principal, ticket: Value) -> Vec<Value> {
    stage.ok(who, "shares:messages", page(&ticket)).await["page"].as_array().unwrap().clone()
}

/// The thread with everything in it that a share leaves out.
async fn rich(stage: &Stage) -> (String, String) {
    let thread = stage.thread(&stage.u1).await;
    let upload = stage.upload(&stage.u1, &thread, "plan.pdf").await;
    let parts = json!([{ "type": "text", "text": "See this" }, { "type": "file", "uploadId": upload }]);
    stage.ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "parts": parts })).await;
    let service = stage.service(&["*"]).await;
    let secret = json!({ "threadId": thread, "role": "system", "text": "the secret instructions" });
    stage.ok(&service, "messages:append", secret).await;
    let answer = json!({
        "threadId": thread, "role": "assistant", "text": "An answer", "reasoningText": "a thought", "model": "m",
        "tools": [{ "name": "search", "args": { "q": "private" }, "result": "found" }],
        "citations": [{ "title": "Source", "url": "https://example.com", "snippet": "s" }],
    });
    stage.ok(&service, "messages:append", answer).await;
    (thread, upload)
}

#[tokio::test]
async fn sh_02_a_share_shows_exactly_the_allow_list() {
    let stage = stage().await;
    let (thread, upload) = rich(&stage).await;
    let (_, token) = link(&stage, &stage.u1, &thread, json!({})).await;
    let now = 1_700_000_000_000_u64;
    let nothing = json!({ "reasoning": false, "tools": false, "files": false });
    let head = stage.ok(&Principal::Anonymous, "shares:view", json!({ "token": token })).await;
    assert_eq!(head, json!({ "title": "See this", "mode": "live", "includes": nothing, "sharedAt": now }));
    let file = json!({ "type": "file", "mediaType": "text/plain", "name": "plan.pdf", "size": 3 });
    let source = json!({ "type": "source", "title": "Source", "url": "https://example.com", "snippet": "s" });
    let shown = messages(&stage, &Principal::Anonymous, json!({ "token": token })).await;
    let (said, answer) =
        (json!({ "type": "text", "text": "See this" }), json!({ "type": "text", "text": "An answer" }));
    let expected = json!([
        { "seq": 0, "role": "user", "status": "complete", "parts": [said, file], "text": "See this", "createdAt": now },
        { "seq": 2, "role": "assistant", "status": "complete", "parts": [answer, source], "text": "An answer", "createdAt": now },
    ]);
    assert_eq!(json!(shown), expected);

    let all = json!({ "includes": { "reasoning": true, "tools": true, "files": true } });
    let (_, open) = link(&stage, &stage.u1, &thread, all).await;
    let shown = messages(&stage, &Principal::Anonymous, json!({ "token": open })).await;
    let call = json!({
        "type": "tool_call", "toolCallId": "tool-0", "tool": "search", "state": "completed",
        "input": { "q": "private" }, "output": "found",
    });
    let thought = json!({ "type": "reasoning", "text": "a thought" });
    assert_eq!(shown[1]["parts"], json!([thought, call, answer, source]));
    assert_eq!(shown[0]["parts"][1]["uploadId"], json!(upload));
    assert_eq!(shown.len(), 2, "instructions are never shown");
    stage.healthy().await;
}

#[tokio::test]
async fn sh_01_whatever_is_over_is_answered_like_what_never_was() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let unknown = "A".repeat(43);
    let nobody = Principal::Anonymous;
    let refused = |token: String| {
        let stage = &stage;
        let nobody = &nobody;
        async move {
            let mut all = Vec::new();
            let generation = format!("gen_{}", "0".repeat(26));
            let upload = format!("upl_{}", "0".repeat(26));
            for (path, args) in [
                ("shares:view", json!({ "token": token })),
                ("shares:messages", page(&json!({ "token": token }))),
                ("shares:deltas", json!({ "token": token, "generationId": generation })),
                ("shares:fileUrl", json!({ "token": token, "seq": 0, "uploadId": upload })),
            ] {
                all.push(stage.refused(nobody, path, args).await);
            }
            all.push(stage.refused(&stage.u2, "shares:copy", json!({ "token": token })).await);
            all
        }
    };
    let never = refused(unknown).await;
    assert!(never.iter().all(|error| error == &never[0] && error.code == Code::NotFound), "{never:?}");

    let (revoked, token) = link(&stage, &stage.u1, &thread, json!({})).await;
    stage.ok(&nobody, "shares:view", json!({ "token": token })).await;
    stage.ok(&stage.u1, "shares:revoke", json!({ "shareId": revoked })).await;
    stage.ok(&stage.u1, "shares:revoke", json!({ "shareId": revoked })).await;
    assert_eq!(refused(token).await, never);
    let row = stage.ok(&stage.u1, "shares:get", json!({ "shareId": revoked })).await;
    assert_eq!((&row["open"], row.get("path")), (&json!(false), None));

    let expires = 1_700_000_000_000 + DAY;
    let (_, token) = link(&stage, &stage.u1, &thread, json!({ "expiresAt": expires })).await;
    assert_eq!(stage.system("shares:nextExpiry", json!({})).await, json!(expires));
    stage.clock.advance_ms(DAY);
    assert_eq!(refused(token.clone()).await, never, "before the mark is made");
    assert_eq!(stage.ok(&stage.u1, "shares:list", json!({ "threadId": thread })).await, json!([]));
    assert_eq!(stage.system("shares:expire", json!({})).await["deleted"], json!(1));
    assert_eq!(stage.system("shares:nextExpiry", json!({})).await, Value::Null);
    assert_eq!(refused(token).await, never);

    let (_, token) = link(&stage, &stage.u1, &thread, json!({})).await;
    let mut off = Stage::with(Settings::default()).await;
    off.store = stage.store.clone();
    off.settings = Arc::new(Settings { share_links: false, ..Settings::clone(&stage.settings) });
    assert_eq!(off.refused(&nobody, "shares:view", json!({ "token": token })).await, never[0]);
    let create = json!({ "threadId": thread, "mode": "live" });
    assert_eq!(off.code(&stage.u1, "shares:create", create).await, Code::Forbidden);

    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": thread })).await;
    assert_eq!(refused(token).await, never);
    while stage.system("threads:purge", json!({ "limit": 1 })).await["hasMore"] == json!(true) {}
    let rows = |tx: &mut Tx<'_>| {
        let left = tx.query::<Share>(spool_chat::tables::share::BY_THREAD).take(9)?;
        Ok(left.len().to_string())
    };
    assert_eq!(stage.store.query(Arc::new(rows)).await.unwrap().1, "0");
    stage.healthy().await;
}

#[tokio::test]
async fn sh_01_a_token_is_stored_as_its_hash_and_shown_to_the_owner_again() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let made = stage.ok(&stage.u1, "shares:create", json!({ "threadId": thread, "mode": "live" })).await;
    let one = json!({ "shareId": made });
    let path = text(&stage.ok(&stage.u1, "shares:get", one.clone()).await["path"]);
    let token = path.strip_prefix("/s/").unwrap();
    assert!(!made.to_string().contains(token), "what a mutation answers is remembered");
    assert_eq!(stage.ok(&stage.u1, "shares:list", json!({ "threadId": thread })).await[0]["path"], json!(path));
    for file in std::fs::read_dir(stage.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));
    }
    // With another key the link still opens, but nobody can be shown it again.
    let mut other = Stage::with(Settings::default()).await;
    other.store = stage.store.clone();
    other.settings = Arc::new(Settings { share_key: Some(ShareKey([9; 32])), ..Settings::clone(&stage.settings) });
    assert_eq!(other.ok(&stage.u1, "shares:get", one).await.get("path"), None);
    other.ok(&Principal::Anonymous, "shares:view", json!({ "token": token })).await;
}

#[tokio::test]
async fn sh_01_a_snapshot_never_shows_more_than_there_was() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let first = stage.send(&stage.u1, &thread, "one").await;
    stage.answer(&first.generation, "first", "complete").await;
    let running = stage.send(&stage.u1, &thread, "two").await;
    let (_, token) = link(&stage, &stage.u1, &thread, json!({ "mode": "snapshot" })).await;
    let ticket = json!({ "token": token });
    let texts = async || {
        let shown = messages(&stage, &Principal::Anonymous, json!({ "token": token })).await;
        shown.iter().map(|message| text(&message["text"])).collect::<Vec<_>>()
    };
    assert_eq!(texts().await, ["one", "first", "two"], "an answer that is being made is left out");
    let deltas = json!({ "token": token, "generationId": running.generation });
    assert_eq!(stage.code(&Principal::Anonymous, "shares:deltas", deltas).await, Code::NotFound);

    stage.clock.advance_ms(1);
    stage.answer(&running.generation, "second", "complete").await;
    let more = json!({ "threadId": thread, "role": "user", "text": "later" });
    stage.ok(&stage.u1, "messages:append", more).await;
    stage.ok(&stage.u1, "threads:update", json!({ "threadId": thread, "title": "Renamed" })).await;
    assert_eq!(texts().await, ["one", "first", "two"]);
    assert_eq!(stage.ok(&Principal::Anonymous, "shares:view", ticket).await["title"], json!("One"));

    // What is removed is gone, and what takes its place is not shown.
    while stage.ok(&stage.u1, "threads:clear", json!({ "threadId": thread })).await["hasMore"] == json!(true) {}
    for said in ["new one", "new two"] {
        let args = json!({ "threadId": thread, "role": "user", "text": said });
        stage.ok(&stage.u1, "messages:append", args).await;
    }
    assert_eq!(texts().await, Vec::<String>::new());
    stage.healthy().await;
}

#[tokio::test]
async fn sh_01_an_answer_that_is_made_anew_leaves_the_snapshot() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "one").await;
    stage.answer(&turn.generation, "first", "complete").await;
    let (_, token) = link(&stage, &stage.u1, &thread, json!({ "mode": "snapshot" })).await;
    assert_eq!(messages(&stage, &Principal::Anonymous, json!({ "token": token })).await.len(), 2);
    stage.clock.advance_ms(1);
    let again = stage.ok(&stage.u1, "turns:regenerate", json!({ "messageId": turn.message })).await;
    stage.answer(&text(&again["generationId"]), "other", "complete").await;
    let shown = messages(&stage, &Principal::Anonymous, json!({ "token": token })).await;
    assert_eq!((shown.len(), &shown[0]["text"]), (1, &json!("one")));
}

#[tokio::test]
async fn sh_02_a_live_share_follows_the_answer_as_far_as_it_is_shown() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "go").await;
    let (id, token) = link(&stage, &stage.u1, &thread, json!({})).await;
    stage.start(&turn.generation).await;
    let events = [
        Event::Reasoning { text: "hidden".into() },
        words("Hello "),
        Event::ToolStart { tool_call_id: "t".into(), tool: "search".into(), input: json!({ "q": 1 }) },
        words("world"),
    ];
    stage.append(&turn.generation, 0, &events).await;
    let shown = messages(&stage, &Principal::Anonymous, json!({ "token": token })).await;
    assert_eq!((&shown[1]["generationId"], &shown[1]["parts"]), (&json!(turn.generation), &json!([])));
    let args = json!({ "token": token, "generationId": turn.generation, "cursor": 0 });
    let read = stage.ok(&Principal::Anonymous, "shares:deltas", args.clone()).await;
    let seen = json!([{ "type": "text", "text": "Hello " }, { "type": "text", "text": "world" }]);
    assert_eq!(read, json!({ "events": seen, "cursor": 18, "status": "streaming" }));

    // The generation of another thread is none of this share.
    let other = stage.thread(&stage.u1).await;
    let elsewhere = stage.send(&stage.u1, &other, "secret").await;
    let args_elsewhere = json!({ "token": token, "generationId": elsewhere.generation });
    assert_eq!(stage.code(&Principal::Anonymous, "shares:deltas", args_elsewhere).await, Code::NotFound);
    stage.ok(&stage.u1, "shares:revoke", json!({ "shareId": id })).await;
    assert_eq!(stage.code(&Principal::Anonymous, "shares:deltas", args).await, Code::NotFound);
}

#[tokio::test]
async fn sh_02_why_an_answer_failed_is_not_shown() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "go").await;
    let (_, token) = link(&stage, &stage.u1, &thread, json!({})).await;
    stage.answer(&turn.generation, "partial", "error").await;
    let args = json!({ "token": token, "generationId": turn.generation });
    let read = stage.ok(&Principal::Anonymous, "shares:deltas", args).await;
    assert_eq!(read["events"][1], json!({ "type": "status", "status": "error" }));
    let shown = messages(&stage, &Principal::Anonymous, json!({ "token": token })).await;
    assert_eq!((&shown[1]["status"], shown[1].get("error")), (&json!("error"), None));
}

#[tokio::test]
async fn sh_03_a_named_person_reads_cannot_write_and_copies() {
    let stage = stage().await;
    let (thread, _) = rich(&stage).await;
    let grant = json!({ "threadId": thread, "userId": stage.u2.user() });
    let share = text(&stage.ok(&stage.u1, "shares:grant", grant.clone()).await);
    assert_eq!(text(&stage.ok(&stage.u1, "shares:grant", grant).await), share, "the same person again");
    let ticket = json!({ "shareId": share });
    assert_eq!(messages(&stage, &stage.u2, ticket.clone()).await.len(), 2);
    let with_me = stage.ok(&stage.u2, "shares:withMe", json!({})).await;
    assert_eq!(
        (&with_me[0]["shareId"], &with_me[0]["title"], &with_me[0]["from"]),
        (&json!(share), &json!("See this"), &json!("one"))
    );
    assert_eq!(stage.ok(&stage.u1, "shares:withMe", json!({})).await, json!([]));

    // To everything else the reader is a stranger.
    for (path, args) in [
        ("messages:append", json!({ "threadId": thread, "role": "user", "text": "mine" })),
        ("turns:send", json!({ "threadId": thread, "text": "mine" })),
        ("threads:update", json!({ "threadId": thread, "title": "mine" })),
        ("threads:remove", json!({ "threadId": thread })),
        ("messages:page", page(&json!({ "threadId": thread }))),
        ("shares:create", json!({ "threadId": thread, "mode": "live" })),
        ("shares:list", json!({ "threadId": thread })),
        ("shares:get", ticket.clone()),
        ("shares:revoke", ticket.clone()),
    ] {
        assert_eq!(stage.code(&stage.u2, path, args).await, Code::NotFound, "{path}");
    }
    let third = stage.user("three").await;
    let narrow = stage.service(&["keys:*"]).await;
    for who in [&third, &narrow, &stage.service(&["shares:*"]).await, &Principal::Anonymous] {
        assert_eq!(stage.code(who, "shares:view", ticket.clone()).await, Code::NotFound);
    }
    assert_eq!(messages(&stage, &stage.u1, ticket.clone()).await.len(), 2, "the owner sees what they see");

    let copied = stage.ok(&stage.u2, "shares:copy", ticket.clone()).await;
    assert_eq!((&copied["messages"], &copied["complete"]), (&json!(2), &json!(true)));
    let copy = text(&copied["threadId"]);
    let own = stage.messages(&stage.u2, &copy).await;
    let parts: Vec<&Value> = own.iter().map(|message| &message["parts"]).collect();
    let file = json!({ "type": "text", "text": "[File: plan.pdf]\n\n" });
    let source = json!({ "type": "source", "title": "Source", "url": "https://example.com", "snippet": "s" });
    let said = json!({ "type": "text", "text": "See this" });
    assert_eq!(json!(parts), json!([[said, file], [{ "type": "text", "text": "An answer" }, source]]));
    assert!(own.iter().all(|message| message["origin"] == "import" && message.get("model").is_none()));
    assert_eq!(stage.code(&stage.u1, "messages:page", page(&json!({ "threadId": copy }))).await, Code::NotFound);
    stage.send(&stage.u2, &copy, "and on").await;

    stage.ok(&stage.u1, "shares:revoke", ticket.clone()).await;
    assert_eq!(stage.code(&stage.u2, "shares:view", ticket).await, Code::NotFound);
    assert_eq!(stage.ok(&stage.u2, "shares:withMe", json!({})).await, json!([]));
    assert_eq!(stage.messages(&stage.u2, &copy).await.len(), 4, "the copy stays");
    stage.healthy().await;
}

#[tokio::test]
async fn sh_03_an_address_is_whoever_signs_in_with_it() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let grant = json!({ "threadId": thread, "email": "Ada@Example.com" });
    let share = text(&stage.ok(&stage.u1, "shares:grant", grant).await);
    let args = json!({ "issuer": "test", "subject": "ada", "kind": "full", "email": "ada@example.COM" });
    let id = stage.system("users:provision", args).await;
    let ada = Principal::User { user: Id::parse(id.as_str().unwrap()).unwrap() };
    assert_eq!(stage.ok(&ada, "shares:withMe", json!({})).await[0]["shareId"], json!(share));
    stage.ok(&ada, "shares:view", json!({ "shareId": share })).await;
    assert_eq!(stage.code(&stage.u2, "shares:view", json!({ "shareId": share })).await, Code::NotFound);
    let args = json!({ "issuer": "test", "subject": "guest", "kind": "anonymous", "email": "ada@example.com" });
    let guest = Principal::User { user: Id::parse(&text(&stage.system("users:provision", args).await)).unwrap() };
    assert_eq!(stage.code(&guest, "shares:view", json!({ "shareId": share })).await, Code::NotFound);
    assert_eq!(stage.ok(&guest, "shares:withMe", json!({})).await, json!([]));
    // An account of our own, before anybody vouches for its address and after it was used for a reset.
    let own = json!({ "email": "ada@example.com", "reset": { "hash": "0".repeat(64), "expiresAt": 9e15 } });
    let own = Principal::User { user: Id::parse(&text(&stage.system("passwords:create", own).await)).unwrap() };
    assert_eq!(stage.code(&own, "shares:view", json!({ "shareId": share })).await, Code::NotFound);
    stage.system("passwords:reset", json!({ "resetHash": "0".repeat(64), "hash": "$argon2id$x" })).await;
    stage.ok(&own, "shares:view", json!({ "shareId": share })).await;
    let listed = stage.ok(&stage.u1, "shares:list", json!({ "threadId": thread })).await;
    assert_eq!((&listed[0]["viewerEmail"], listed[0].get("path")), (&json!("ada@example.com"), None));
    for bad in [json!({}), json!({ "email": "nobody" }), json!({ "userId": stage.u1.user() })] {
        let mut args = json!({ "threadId": thread });
        args.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        assert_eq!(stage.code(&stage.u1, "shares:grant", args).await, Code::BadRequest, "{bad}");
    }
    stage.healthy().await;
}

#[tokio::test]
async fn sh_02_files_open_only_if_the_share_includes_them() {
    let stage = stage().await;
    let (thread, upload) = rich(&stage).await;
    let hidden = stage.upload(&stage.u1, &thread, "hidden.pdf").await;
    let (_, names) = link(&stage, &stage.u1, &thread, json!({})).await;
    let (id, files) = link(&stage, &stage.u1, &thread, json!({ "includes": { "files": true } })).await;
    let args = |token: &str, upload: &str| json!({ "token": token, "seq": 0, "uploadId": upload });
    let nobody = Principal::Anonymous;
    assert_eq!(stage.code(&nobody, "shares:fileUrl", args(&names, &upload)).await, Code::NotFound);
    assert_eq!(
        stage.code(&nobody, "shares:fileUrl", args(&files, &hidden)).await,
        Code::NotFound,
        "no message shows it"
    );
    let url = stage.ok(&nobody, "shares:fileUrl", args(&files, &upload)).await;
    assert!(url["url"].as_str().unwrap().contains(&format!("signature={id}.")));
    let file = json!({ "shareId": id, "uploadId": upload });
    assert_eq!(stage.system("shares:file", file.clone()).await["fileName"], json!("plan.pdf"));
    stage.ok(&stage.u1, "shares:revoke", json!({ "shareId": id })).await;
    assert_eq!(stage.code(&Principal::System, "shares:file", file).await, Code::NotFound);
}

#[tokio::test]
async fn sh_01_shares_are_bounded_in_number_and_time() {
    let mut stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let args = json!({ "threadId": thread, "mode": "live" });
    for _ in 0..spool_chat::limits::SHARES {
        stage.ok(&stage.u1, "shares:create", args.clone()).await;
    }
    assert_eq!(stage.code(&stage.u1, "shares:create", args.clone()).await, Code::TooLarge);
    let grant = json!({ "threadId": thread, "email": "a@b" });
    assert_eq!(stage.code(&stage.u1, "shares:grant", grant).await, Code::TooLarge);

    let thread = stage.thread(&stage.u1).await;
    let now = 1_700_000_000_000_u64;
    stage.settings = Arc::new(Settings { share_ms: Some(DAY), ..Settings::clone(&stage.settings) });
    for at in [now, now + DAY + 1] {
        let args = json!({ "threadId": thread, "mode": "live", "expiresAt": at });
        assert_eq!(stage.code(&stage.u1, "shares:create", args).await, Code::BadRequest);
    }
    let made = stage.ok(&stage.u1, "shares:create", json!({ "threadId": thread, "mode": "live" })).await;
    let view = stage.ok(&stage.u1, "shares:get", json!({ "shareId": made })).await;
    assert_eq!(view["expiresAt"], json!(now + DAY), "absent is the longest that is allowed");
}

#[tokio::test]
async fn sh_03_a_copy_of_a_long_thread_takes_the_newest() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let many = u64::from(spool_chat::limits::COPIED_MESSAGES) + 1;
    for n in 0..many {
        let args = json!({ "threadId": thread, "role": "user", "text": format!("{n}") });
        stage.ok(&stage.u1, "messages:append", args).await;
    }
    let (_, token) = link(&stage, &stage.u1, &thread, json!({})).await;
    let copied = stage.ok(&stage.u2, "shares:copy", json!({ "token": token })).await;
    assert_eq!((&copied["messages"], &copied["complete"]), (&json!(many - 1), &json!(false)));
    let own = stage.messages(&stage.u2, &text(&copied["threadId"])).await;
    assert_eq!((&own[0]["text"], &own[0]["seq"]), (&json!("1"), &json!(0)));
    stage.healthy().await;
}

#[tokio::test]
async fn the_doctor_looks_at_shares() {
    let stage = stage().await;
    let thread = stage.thread(&stage.u1).await;
    let (id, _) = link(&stage, &stage.u1, &thread, json!({ "expiresAt": 1_700_000_000_000 + DAY })).await;
    type Damage = fn(&mut Share);
    let damages: [(Damage, &str); 4] = [
        (|share| share.token_hash = None, "share_audience"),
        (|share| share.revoked_at = Some(1), "share_closed"),
        (|share| share.due_at = None, "share_due"),
        (|share| share.title = Some("x".into()), "share_snapshot"),
    ];
    for (damage, invariant) in damages {
        let key = Id::<Share>::parse(&id).unwrap();
        let change = move |tx: &mut Tx<'_>| {
            let whole = tx.get(&key)?.unwrap();
            let mut row = whole.clone();
            damage(&mut row);
            tx.put(&row)?;
            serde_json::to_string(&whole).map_err(|e| spool_protocol::Error::internal(e.to_string()))
        };
        let whole = stage.store.mutate(Arc::new(change), None).await.unwrap().value;
        let found: Vec<Value> = stage.violations().await.iter().map(|one| one["invariant"].clone()).collect();
        assert_eq!(found, [json!(invariant)]);
        let whole: Share = serde_json::from_str(&whole).unwrap();
        let mend = move |tx: &mut Tx<'_>| tx.put(&whole).map(|()| "null".to_owned());
        stage.store.mutate(Arc::new(mend), None).await.unwrap();
    }
    stage.healthy().await;
}
