//! Credentials and sessions: what opens, what ends, who may end it.

use serde_json::{Value, json};
use spool_chat::tables::credential::secret_hash;
use spool_protocol::Code;

use crate::stage::{Stage, text};

/// The session that the secret of `Stage::session` opens, or null.
async fn opened(stage: &Stage, principal: &spool_chat::Principal, method: &str) -> Value {
    let hash = secret_hash(&format!("{} {method}", principal.user().unwrap()));
    stage.system("credentials:session", json!({ "secretHash": hash })).await
}

#[tokio::test]
async fn ia_13_a_session_is_opened_by_its_secret_until_it_is_revoked() {
    let stage = Stage::new().await;
    let id = stage.session(&stage.u1, "password").await;
    let found = opened(&stage, &stage.u1, "password").await;
    assert_eq!((&found["credential"], &found["user"]), (&json!(id), &json!(stage.u1.user())));
    assert_eq!(stage.system("credentials:revoked", json!({})).await["credentials"], json!([]));
    stage.ok(&stage.u1, "sessions:revoke", json!({ "sessionId": id })).await;
    assert_eq!(opened(&stage, &stage.u1, "password").await, Value::Null);
    assert_eq!(stage.system("credentials:revoked", json!({})).await["credentials"], json!([id]));
    stage.clock.advance_ms(20 * 60_000 + 1);
    assert_eq!(
        stage.system("credentials:revoked", json!({})).await["credentials"],
        json!([]),
        "told for twice a token's life"
    );
    stage.healthy().await;
}

#[tokio::test]
async fn ia_13_a_session_ends_by_itself_and_its_row_goes() {
    let stage = Stage::new().await;
    stage.session(&stage.u1, "password").await;
    let sweepable = || stage.system("credentials:sweepable", json!({}));
    stage.clock.advance_ms(3_600_000);
    assert_eq!(opened(&stage, &stage.u1, "password").await, Value::Null);
    assert_eq!(stage.ok(&stage.u1, "sessions:list", json!({})).await, json!([]));
    assert_eq!(sweepable().await, json!(false), "a token of it may still be open");
    stage.clock.advance_ms(30 * 60_000);
    assert_eq!(sweepable().await, json!(true));
    let swept = stage.system("credentials:sweep", json!({ "limit": 10 })).await;
    assert_eq!(swept["deleted"], json!(1));
    assert_eq!(sweepable().await, json!(false));
}

#[tokio::test]
async fn ia_13_others_are_signed_out_and_this_one_stays() {
    let stage = Stage::new().await;
    let [here, _, _] =
        [stage.session(&stage.u1, "a").await, stage.session(&stage.u1, "b").await, stage.session(&stage.u1, "c").await];
    let theirs = stage.session(&stage.u2, "a").await;
    let foreign = stage.code(&stage.u1, "sessions:revokeOthers", json!({ "sessionId": theirs })).await;
    assert_eq!(foreign, Code::NotFound);
    stage.ok(&stage.u1, "sessions:revokeOthers", json!({ "sessionId": here })).await;
    let left = stage.ok(&stage.u1, "sessions:list", json!({})).await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(text(&left[0]["_id"]), here);
    assert_ne!(opened(&stage, &stage.u2, "a").await, Value::Null, "another user's stay");
    assert!(!left.to_string().contains("secretHash"));
}

#[tokio::test]
async fn ia_08_a_session_is_no_key_and_a_key_is_no_session() {
    let stage = Stage::new().await;
    let session = stage.session(&stage.u1, "password").await;
    let service = stage.service(&["*"]).await;
    let session_hash = secret_hash(&format!("{} password", stage.u1.user().unwrap()));
    assert_eq!(stage.system("credentials:find", json!({ "secretHash": session_hash })).await, Value::Null);
    assert_eq!(stage.system("credentials:session", json!({ "secretHash": secret_hash("*") })).await, Value::Null);
    assert_eq!(stage.system("keys:list", json!({})).await.as_array().unwrap().len(), 1);
    let refused = stage.refused(&spool_chat::Principal::System, "keys:revoke", json!({ "keyId": session })).await;
    assert_eq!(refused.code, Code::NotFound);
    let args = json!({ "userId": service.user(), "secretHash": secret_hash("x"), "expiresAt": 9e12, "method": "x" });
    let refused = stage.refused(&spool_chat::Principal::System, "credentials:openSession", args).await;
    assert_eq!(refused.code, Code::NotFound, "the account of a key cannot sign in");
}

#[tokio::test]
async fn ia_13_the_last_use_is_noted_once_a_minute() {
    let stage = Stage::new().await;
    let id = stage.session(&stage.u1, "password").await;
    let last = || async {
        let list = stage.ok(&stage.u1, "sessions:list", json!({})).await;
        (list[0]["lastUsedAt"].as_u64().unwrap(), list[0]["address"].clone())
    };
    let (opened_at, _) = last().await;
    let touch = json!({ "credentialId": id, "address": "192.0.2.0/24" });
    stage.clock.advance_ms(59_000);
    stage.system("credentials:touch", touch.clone()).await;
    assert_eq!(last().await.0, opened_at);
    stage.clock.advance_ms(2_000);
    stage.system("credentials:touch", touch).await;
    let (used_at, address) = last().await;
    assert!(used_at >= opened_at + 61_000);
    assert_eq!(address, json!("192.0.2.0/24"));
}

#[tokio::test]
async fn ia_14_everything_that_stands_for_a_user_ends_at_once() {
    let stage = Stage::new().await;
    stage.session(&stage.u1, "a").await;
    stage.session(&stage.u1, "b").await;
    stage.session(&stage.u2, "a").await;
    stage.system("credentials:revokeAll", json!({ "userId": stage.u1.user() })).await;
    assert_eq!(stage.ok(&stage.u1, "sessions:list", json!({})).await, json!([]));
    assert_eq!(stage.ok(&stage.u2, "sessions:list", json!({})).await.as_array().unwrap().len(), 1);
}
