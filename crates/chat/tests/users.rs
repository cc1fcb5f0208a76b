//! Users and keys.

use serde_json::json;
use spool_chat::Principal;
use spool_chat::tables::credential::secret_hash;
use spool_protocol::Code;

use crate::stage::{Stage, text};

#[tokio::test]
async fn ia_03_first_calls_in_parallel_make_one_user() {
    let stage = Stage::new().await;
    let first =
        || stage.system("users:provision", json!({ "issuer": "a", "subject": "s", "kind": "full", "email": "e@x" }));
    let calls: Vec<_> = (0..20).map(|_| first()).collect();
    let mut ids = Vec::new();
    for id in join_all(calls).await {
        ids.push(text(&id));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let other = stage.system("users:provision", json!({ "issuer": "b", "subject": "s", "kind": "full" })).await;
    assert_ne!(text(&other), ids[0]);
}

/// Polls all futures together, so that their mutations are submitted in one batch.
pub async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test]
async fn ia_03_me_is_the_caller_and_nothing_internal() {
    let stage = Stage::new().await;
    let me = stage.ok(&stage.u1, "users:me", json!({})).await;
    assert_eq!(me, json!({ "_id": stage.u1.user().unwrap().as_str(), "kind": "full", "name": "one" }));
    assert!(stage.ok(&Principal::Anonymous, "users:me", json!({})).await.is_null());
}

#[tokio::test]
async fn ia_01_a_user_id_is_no_argument() {
    let stage = Stage::new().await;
    let args =
        json!({ "paginationOpts": { "numItems": 1, "cursor": null }, "userId": stage.u2.user().unwrap().as_str() });
    assert_eq!(stage.code(&stage.u1, "threads:page", args).await, Code::BadRequest);
}

#[tokio::test]
async fn ia_12_an_id_of_another_kind_is_refused_by_kind() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let error = stage.refused(&stage.u1, "generations:get", json!({ "generationId": thread })).await;
    assert_eq!(error.code, Code::BadId);
    assert!(error.message.contains("gen_"), "{}", error.message);
}

#[tokio::test]
async fn ia_08_a_key_is_found_by_its_hash_until_it_is_revoked_or_expires() {
    let stage = Stage::new().await;
    let now = stage.store.clock().now_ms();
    let hash = secret_hash("s1");
    let args = json!({ "scopes": ["threads:*"], "label": "backend", "secretHash": hash, "expiresAt": now + 1_000 });
    let key = stage.system("keys:create", args).await;
    assert!(!key.to_string().contains(&hash));
    let find = || stage.system("credentials:find", json!({ "secretHash": hash }));
    let found = find().await;
    assert_eq!((&found["key"], &found["user"], &found["scopes"]), (&key["_id"], &key["userId"], &json!(["threads:*"])));
    assert!(!stage.system("keys:list", json!({})).await.to_string().contains(&hash));
    stage.clock.advance_ms(1_000);
    assert!(find().await.is_null(), "expired");

    let forever = stage.system("keys:create", json!({ "scopes": ["*"], "secretHash": secret_hash("s2") })).await;
    stage.system("keys:revoke", json!({ "keyId": forever["_id"] })).await;
    assert!(stage.system("credentials:find", json!({ "secretHash": secret_hash("s2") })).await.is_null());
    let again = json!({ "scopes": ["*"], "secretHash": hash });
    assert_eq!(stage.code(&Principal::System, "keys:create", again).await, Code::AlreadyExists);
    for (scopes, hash) in
        [(json!(["a b"]), secret_hash("x")), (json!(["a*b"]), secret_hash("x")), (json!(["*"]), "short".into())]
    {
        let args = json!({ "scopes": scopes, "secretHash": hash });
        assert_eq!(stage.code(&Principal::System, "keys:create", args).await, Code::BadRequest);
    }
}
