//! Tokens of workers: `machine_<id>:worker_<id>:secret_<secret>`. Made here, and judged here.
//!
//! Only the hash of a secret is ever stored or looked up, so no comparison takes longer for a guess that is
//! nearly right. Must never log a token.

use std::sync::Arc;

use serde_json::json;
use spool_chat::Principal;
use spool_chat::functions::workers::Admission;
use spool_chat::tables::credential::secret_hash;
use spool_chat::tables::{Machine, Worker};
use spool_protocol::Error;
use spool_store::Id;

use super::jwt::Reason;
use super::{Identity, random_token};
use crate::functions::Functions;

/// What every worker's token begins with.
pub const PREFIX: &str = "machine_";

/// A new secret of 256 random bits, and the hash under which it is stored.
pub fn new_secret() -> (String, String) {
    let secret = random_token();
    let stored = secret_hash(&secret);
    (secret, stored)
}

pub fn token(machine: &str, worker: &str, secret: &str) -> String {
    format!("{PREFIX}{machine}:worker_{worker}:secret_{secret}")
}

/// The parts of a token, if it looks like one.
fn parts(token: &str) -> Option<(Id<Machine>, Id<Worker>, &str)> {
    let (machine, rest) = token.strip_prefix(PREFIX)?.split_once(":worker_")?;
    let (worker, secret) = rest.split_once(":secret_")?;
    Some((Id::parse(machine).ok()?, Id::parse(worker).ok()?, secret))
}

pub async fn identify(functions: &Functions, token: &str) -> Result<Identity, Error> {
    let (machine, worker, secret) = parts(token).ok_or_else(|| Reason::InvalidWorkerSecret.error())?;
    let args = json!({ "machineId": machine, "workerId": worker, "secretHash": secret_hash(secret) });
    let (_, found) = functions.query_as_system("workers:authenticate", args).await?;
    let admission: Admission =
        serde_json::from_str(&found).map_err(|e| Error::internal(format!("workers:authenticate: {e}")))?;
    match admission {
        Admission::Worker { credential, user } => {
            let principal = Arc::new(Principal::Worker { worker, machine, user });
            Ok(Identity { principal, credential: Some(credential), ..Identity::anonymous() })
        }
        Admission::InvalidSecret => Err(Reason::InvalidWorkerSecret.error()),
        Admission::Pending => Err(Reason::WorkerPending.error()),
        Admission::Revoked => Err(Reason::WorkerRevoked.error()),
        Admission::Removed => Err(Reason::WorkerRemoved.error()),
    }
}

#[cfg(test)]
mod tests {
    use super::{new_secret, parts, token};

    #[test]
    fn ia_08_a_token_is_read_as_it_was_made() {
        let (machine, worker) = (format!("mch_{}", "0".repeat(26)), format!("wkr_{}", "0".repeat(26)));
        let (secret, _) = new_secret();
        assert!(secret.len() >= 43, "256 bits");
        let made = token(&machine, &worker, &secret);
        let (read_machine, read_worker, read_secret) = parts(&made).unwrap();
        assert_eq!((read_machine.as_str(), read_worker.as_str()), (machine.as_str(), worker.as_str()));
        assert_eq!(read_secret, secret);
        for wrong in [
            token(&worker, &machine, &secret),
            token("", "", ""),
            format!("machine_{machine}"),
            made.replace(":secret_", ":"),
            made.replace("machine_", "worker_"),
        ] {
            assert!(parts(&wrong).is_none(), "{wrong}");
        }
    }
}
