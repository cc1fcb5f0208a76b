//! Accounts with e-mail and password: one per address, links that work once, sessions that end.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::tables::credential::secret_hash;
use spool_protocol::Code;

use crate::stage::{Stage, text};

const OLD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$b2xk";
const NEW: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$bmV3";

async fn account(stage: &Stage, email: &str) -> String {
    text(&stage.system("passwords:create", json!({ "email": email, "hash": OLD })).await)
}

async fn sign_in(stage: &Stage, user: &str, hash: &str, secret: &str) -> Value {
    let expires_at = 1_700_000_000_000_u64 + 86_400_000;
    let session =
        json!({ "userId": user, "secretHash": secret_hash(secret), "expiresAt": expires_at, "method": "password" });
    stage.system("passwords:signIn", json!({ "hash": hash, "session": session })).await
}

async fn is_open(stage: &Stage, secret: &str) -> bool {
    !stage.system("credentials:session", json!({ "secretHash": secret_hash(secret) })).await.is_null()
}

#[tokio::test]
async fn ia_02_an_address_has_one_account_whatever_its_case() {
    let stage = Stage::new().await;
    let user = account(&stage, "Ada@Example.com").await;
    let again = json!({ "email": " ada@example.COM", "hash": NEW });
    assert_eq!(stage.refused(&Principal::System, "passwords:create", again).await.code, Code::AlreadyExists);
    let found = stage.system("passwords:find", json!({ "email": "ADA@example.com" })).await;
    assert_eq!(found, json!({ "userId": user, "email": "ada@example.com", "hash": OLD }));
    assert_eq!(stage.system("passwords:find", json!({ "email": "bob@example.com" })).await, Value::Null);
    let bad = stage.refused(&Principal::System, "passwords:create", json!({ "email": "nobody" })).await;
    assert_eq!((bad.code, bad.data.unwrap()["path"].clone()), (Code::BadRequest, json!("email")));
    let clear = json!({ "email": "eve@example.com", "hash": "in clear" });
    assert_eq!(stage.refused(&Principal::System, "passwords:create", clear).await.code, Code::BadRequest);
    stage.healthy().await;
}

#[tokio::test]
async fn ia_13_a_changed_password_ends_the_other_sessions_and_opens_none() {
    let stage = Stage::new().await;
    let user = account(&stage, "ada@example.com").await;
    let here = sign_in(&stage, &user, OLD, "here").await;
    sign_in(&stage, &user, OLD, "there").await;
    let args = json!({ "userId": user, "oldHash": OLD, "hash": NEW, "sessionId": here });
    assert_eq!(stage.system("passwords:change", args.clone()).await, json!(true));
    assert!(is_open(&stage, "here").await);
    assert!(!is_open(&stage, "there").await);
    // Compared before the change, opened after it.
    assert_eq!(sign_in(&stage, &user, OLD, "late").await, Value::Null);
    assert_eq!(stage.system("passwords:change", args).await, json!(false));
    stage.healthy().await;
}

#[tokio::test]
async fn ia_13_a_reset_works_once_within_its_time_and_ends_every_session() {
    let stage = Stage::new().await;
    let user = account(&stage, "ada@example.com").await;
    sign_in(&stage, &user, OLD, "here").await;
    let allow = |token: &str, ms: u64| {
        let reset = json!({ "hash": secret_hash(token), "expiresAt": 1_700_000_000_000_u64 + ms });
        stage.system("passwords:allowReset", json!({ "email": "Ada@example.com", "reset": reset }))
    };
    let reset = |token: &str| stage.system("passwords:reset", json!({ "resetHash": secret_hash(token), "hash": NEW }));
    assert_eq!(allow("first", 3_600_000).await, json!("ada@example.com"));
    assert_eq!(allow("second", 3_600_000).await, json!("ada@example.com"));
    assert_eq!(reset("first").await, Value::Null, "a newer link makes the older worthless");
    let whose = stage.system("passwords:forReset", json!({ "resetHash": secret_hash("second") })).await;
    assert_eq!(whose["email"], json!("ada@example.com"));
    assert!(is_open(&stage, "here").await);
    assert_eq!(reset("second").await["userId"], json!(user));
    assert!(!is_open(&stage, "here").await);
    assert_eq!(reset("second").await, Value::Null, "once");
    allow("third", 60_000).await;
    stage.clock.advance_ms(60_001);
    assert_eq!(reset("third").await, Value::Null, "too late");
    let nobody = json!({ "email": "bob@example.com", "reset": { "hash": secret_hash("x"), "expiresAt": 9e12 } });
    assert_eq!(stage.system("passwords:allowReset", nobody).await, Value::Null);
    stage.healthy().await;
}

#[tokio::test]
async fn ia_07_administrators_are_made_by_the_server_alone() {
    let stage = Stage::new().await;
    assert_eq!(stage.system("passwords:admins", json!({})).await, json!([]));
    let reset = json!({ "hash": secret_hash("link"), "expiresAt": 1_700_003_600_000_u64 });
    let args = json!({ "email": "root@example.com", "isAdmin": true, "reset": reset });
    let root = text(&stage.system("passwords:create", args).await);
    account(&stage, "ada@example.com").await;
    let admins = stage.system("passwords:admins", json!({})).await;
    assert_eq!((admins.as_array().unwrap().len(), &admins[0]["userId"]), (1, &json!(root)));
    assert_eq!(admins[0]["hasPassword"], json!(false));
    // Anybody could have made that account.
    let ada = json!({ "email": "ada@example.com" });
    assert_eq!(
        stage.call(&Principal::System, "passwords:promote", ada.clone()).await.unwrap_err().code,
        Code::Forbidden
    );
    let reset = json!({ "hash": secret_hash("mailed"), "expiresAt": 1_700_003_600_000_u64 });
    stage.system("passwords:allowReset", json!({ "email": "ada@example.com", "reset": reset })).await;
    stage.system("passwords:reset", json!({ "resetHash": secret_hash("mailed"), "hash": "$argon2id$new" })).await;
    assert_eq!(stage.system("passwords:promote", ada).await, json!(true));
    assert_eq!(stage.system("passwords:promote", json!({ "email": "bob@example.com" })).await, json!(false));
    assert_eq!(stage.system("passwords:admins", json!({})).await.as_array().unwrap().len(), 2);
    let me = stage.ok(&Principal::User { user: spool_store::Id::parse(&root).unwrap() }, "users:me", json!({})).await;
    assert_eq!(me["isAdmin"], json!(true));
    for path in ["passwords:create", "passwords:promote", "passwords:allowReset"] {
        assert_eq!(stage.code(&stage.u1, path, json!({})).await, Code::FunctionNotFound);
    }
}
