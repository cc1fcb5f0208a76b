//! Workers get their secrets here: made, hashed, stored as the hash, and shown once.
//!
//! The result of an action is kept nowhere, that of a mutation is: so a secret is only ever in this answer.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::{Code, Error};

use crate::auth::workers::{new_secret, token};
use crate::functions::Functions;

/// `workers:create` by `workers:insert`, `workers:rotate` by `workers:renew`: `{worker, token}`.
pub async fn with_secret(
    functions: &Functions, internal: &str, principal: &Principal, args: Value,
) -> Result<String, Error> {
    let unsigned = || Error::new(Code::Unauthenticated, "This needs a signed-in user.");
    let user = principal.user().ok_or_else(unsigned)?;
    let Value::Object(mut args) = args else {
        return Err(Error::bad_request("arguments are one JSON object").with("path", ""));
    };
    for reserved in ["user", "secretHash"] {
        if args.contains_key(reserved) {
            return Err(Error::bad_request(format!("unknown field `{reserved}`")).with("path", reserved));
        }
    }
    let (secret, hash) = new_secret();
    args.insert("user".into(), json!(user));
    args.insert("secretHash".into(), hash.into());
    let worker = functions.mutate_as_system(internal, Value::Object(args)).await?;
    let worker: Value = serde_json::from_str(&worker).map_err(|e| Error::internal(format!("{internal}: {e}")))?;
    let (Some(machine_id), Some(worker_id)) = (worker["machineId"].as_str(), worker["_id"].as_str()) else {
        return Err(Error::internal(format!("{internal}: the row has no ids")));
    };
    let token = token(machine_id, worker_id, &secret);
    Ok(json!({ "worker": worker, "token": token }).to_string())
}
