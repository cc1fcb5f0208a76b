//! Files of threads: rows, ownership, and what becomes of them.

use serde_json::{Value, json};
use spool_chat::limits;
use spool_protocol::Code;

use crate::stage::{Stage, text};

async fn unwanted(stage: &Stage) -> Vec<String> {
    let ids = stage.system("uploads:unwanted", json!({ "limit": 100 })).await;
    let mut ids: Vec<String> = ids.as_array().unwrap().iter().map(text).collect();
    ids.sort();
    ids
}

async fn message(stage: &Stage, id: &Value) -> Value {
    stage.ok(&stage.u1, "messages:get", json!({ "messageId": id })).await
}

#[tokio::test]
async fn ht_06_a_file_is_its_owner_s_and_its_name_is_text() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let id = stage.upload(&stage.u1, &thread, "../../x").await;
    let view = stage.ok(&stage.u1, "uploads:get", json!({ "uploadId": id })).await;
    assert_eq!((&view["fileName"], &view["mediaType"], &view["size"]), (&json!("x"), &json!("text/plain"), &json!(3)));
    assert_eq!(stage.ok(&stage.u1, "uploads:list", json!({ "threadId": thread })).await, json!([view]));
    assert_eq!(stage.code(&stage.u2, "uploads:get", json!({ "uploadId": id })).await, Code::NotFound);
    let foreign = stage.upload_args(&stage.u2, &thread, "y");
    assert_eq!(stage.refused(&spool_chat::Principal::System, "uploads:create", foreign).await.code, Code::NotFound);
    stage.healthy().await;
}

#[tokio::test]
async fn a_repeated_request_is_the_same_file_and_another_file_is_refused() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let args = |hash: &str| {
        let mut args = stage.upload_args(&stage.u1, &thread, "a");
        (args["requestId"], args["sha256"]) = (json!("r"), json!(hash));
        args
    };
    let first = stage.system("uploads:create", args("one")).await;
    let again = stage.system("uploads:create", args("one")).await;
    assert_eq!((&first["created"], &again["created"]), (&json!(true), &json!(false)));
    assert_eq!(first["upload"], again["upload"]);
    let other = stage.refused(&spool_chat::Principal::System, "uploads:create", args("two")).await;
    assert_eq!(other.code, Code::AlreadyExists);
    stage.ok(&stage.u1, "uploads:remove", json!({ "uploadId": first["upload"]["_id"] })).await;
    assert_eq!(stage.system("uploads:create", args("two")).await["created"], json!(true));
}

#[tokio::test]
async fn ms_07_messages_show_files_of_their_own_thread_as_their_rows_describe_them() {
    let stage = Stage::new().await;
    let (here, there) = (stage.thread(&stage.u1).await, stage.thread(&stage.u1).await);
    let mine = stage.upload(&stage.u1, &here, "a.txt").await;
    let elsewhere = stage.upload(&stage.u1, &there, "b.txt").await;
    let part = json!({ "type": "file", "uploadId": mine, "mediaType": "text/plain", "name": "a.txt", "size": 3 });

    let sent = stage.ok(&stage.u1, "turns:send", json!({ "threadId": here, "text": " ", "files": [mine] })).await;
    let view = message(&stage, &sent["userMessageId"]).await;
    assert_eq!((&view["parts"], &view["text"]), (&json!([part]), &json!("")));
    let titled = stage.ok(&stage.u1, "threads:get", json!({ "threadId": here })).await;
    assert_eq!(titled["title"], json!("a.txt"));
    let claim = stage.system("driver:claim", json!({ "generationId": sent["generationId"], "owner": "d" })).await;
    let file = json!({ "uploadId": mine, "name": "a.txt", "mediaType": "text/plain", "size": 3 });
    assert_eq!(claim["history"][0]["files"], json!([file]));

    let lies = json!([{ "type": "file", "uploadId": mine, "mediaType": "text/html", "name": "../x", "size": 0 }]);
    let append = |parts: Value| json!({ "threadId": here, "role": "user", "parts": parts });
    let id = stage.ok(&stage.u1, "messages:append", append(lies)).await;
    assert_eq!(message(&stage, &id).await["parts"], json!([part]));

    for wrong in [&elsewhere, &format!("upl_{}", "0".repeat(26))] {
        let args = json!({ "threadId": there, "text": "x", "files": [wrong] });
        let args = if *wrong == elsewhere {
            json!({ "threadId": here, "text": "x", "files": [wrong], "ifBusy": "queue" })
        } else {
            args
        };
        assert_eq!(stage.code(&stage.u1, "turns:send", args).await, Code::NotFound);
        let parts = json!([{ "type": "text", "text": "x" }, { "type": "file", "uploadId": wrong }]);
        let error = stage.refused(&stage.u1, "messages:append", append(parts)).await;
        assert_eq!((error.code, &error.data.unwrap()["path"]), (Code::NotFound, &json!("parts[1].uploadId")));
    }
    stage.healthy().await;
}

#[tokio::test]
async fn a_runner_shows_a_file_of_the_thread_and_of_no_other() {
    let stage = Stage::new().await;
    let (here, there) = (stage.thread(&stage.u1).await, stage.thread(&stage.u2).await);
    let made = stage.upload(&stage.u1, &here, "chart.txt").await;
    let foreign = stage.upload(&stage.u2, &there, "b.txt").await;
    let service = stage.service(&["generations:*"]).await;
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": here, "text": "draw" })).await;
    let id = &opened["generationId"];
    let append = |upload: &str| json!({ "generationId": id, "events": [{ "type": "text", "text": "see" }, { "type": "file", "uploadId": upload }] });
    assert_eq!(stage.code(&service, "generations:append", append(&foreign)).await, Code::NotFound);
    let appended = stage.ok(&service, "generations:append", append(&made)).await;
    assert_eq!(appended["cursor"], json!(4), "a file is one unit");
    let page = stage.ok(&stage.u1, "generations:deltas", json!({ "generationId": id, "cursor": 3 })).await;
    let event = json!({ "type": "file", "uploadId": made, "mediaType": "text/plain", "name": "chart.txt", "size": 3 });
    assert_eq!(page["events"], json!([event]));
    stage.ok(&service, "generations:finish", json!({ "generationId": id, "status": "complete" })).await;
    assert_eq!(message(&stage, &opened["messageId"]).await["parts"][1], event);
    let args = json!({ "threadId": here, "paginationOpts": { "numItems": 9, "cursor": null } });
    let listed = stage.ok(&stage.u1, "messages:listMessages", args).await;
    let ui = json!({ "type": "file", "url": format!("/api/uploads/{made}"), "mediaType": "text/plain", "filename": "chart.txt" });
    assert_eq!(listed["page"][0]["parts"][1], ui);
    stage.healthy().await;
}

#[tokio::test]
async fn th_05_files_go_with_their_thread_their_messages_or_alone() {
    let stage = Stage::new().await;
    let (a, b) = (stage.thread(&stage.u1).await, stage.thread(&stage.u1).await);
    let shown = stage.upload(&stage.u1, &a, "shown").await;
    let kept = stage.upload(&stage.u1, &a, "kept").await;
    let mut gone = [stage.upload(&stage.u1, &b, "1").await, stage.upload(&stage.u1, &b, "2").await];
    gone.sort();

    let part = json!([{ "type": "file", "uploadId": shown }]);
    stage.ok(&stage.u1, "messages:append", json!({ "threadId": a, "role": "user", "parts": part })).await;
    stage.ok(&stage.u1, "threads:clear", json!({ "threadId": a })).await;
    assert_eq!(unwanted(&stage).await, std::slice::from_ref(&shown));
    stage.system("uploads:forget", json!({ "ids": [shown, kept] })).await;
    let left = stage.ok(&stage.u1, "uploads:list", json!({ "threadId": a })).await;
    assert_eq!(
        (left.as_array().unwrap().len(), &left[0]["_id"]),
        (1, &json!(kept)),
        "only what is marked is forgotten"
    );

    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": b })).await;
    assert_eq!(stage.code(&stage.u1, "uploads:get", json!({ "uploadId": gone[0] })).await, Code::NotFound);
    while stage.system("threads:purge", json!({ "limit": 1 })).await["hasMore"] == json!(true) {
        stage.healthy().await;
    }
    assert_eq!(unwanted(&stage).await, gone);
    assert_eq!(stage.system("uploads:known", json!({ "ids": gone })).await, json!([]));
    stage.healthy().await;
    stage.system("uploads:forget", json!({ "ids": gone })).await;
    assert!(unwanted(&stage).await.is_empty());

    stage.ok(&stage.u1, "uploads:remove", json!({ "uploadId": kept })).await;
    assert_eq!(stage.ok(&stage.u1, "uploads:list", json!({ "threadId": a })).await, json!([]));
    assert_eq!(unwanted(&stage).await, [kept]);
}

#[tokio::test]
async fn a_thread_has_a_bounded_number_of_files() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for _ in 0..limits::THREAD_UPLOADS {
        stage.upload(&stage.u1, &thread, "x").await;
    }
    let args = stage.upload_args(&stage.u1, &thread, "x");
    let error = stage.refused(&spool_chat::Principal::System, "uploads:create", args).await;
    assert_eq!((error.code, &error.data.unwrap()["limit"]), (Code::TooLarge, &json!(limits::THREAD_UPLOADS)));
}
