//! Passwords: what may be one, and how it is hashed and compared. Argon2id, off the threads that serve
//! others, as many at a time as there are cores. Must never keep or log a password.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use spool_protocol::{Code, Error};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::throttle::Throttle;

/// Characters of a password. NIST SP 800-63B, 3.1.1.2: a length, and no rules of composition.
const SHORTEST: usize = 10;
const LONGEST: usize = 256;
/// OWASP's second choice for Argon2id: KiB of memory, passes, lanes.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How long a caller waits for its turn. Longer, and the server is under attack.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a link to set another password works, in milliseconds.
pub const LINK_MS: u64 = 3_600_000;
/// What is compared where there is no account, so that its absence takes as long: of random bytes that
/// nobody kept, with the parameters above.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$kq0Jr4S5mL0q2mDqWfZ1Sg$5bQkVw0y7m1x0bZC8b0o2m7w7Jx3oY4d3c0b8G7n1pE";

pub struct Passwords {
    room: Arc<Semaphore>,
    pub throttle: Throttle,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { room: Arc::new(Semaphore::new(cores)), throttle: Throttle::default() }
    }
}

impl Passwords {
    /// The PHC string of a password, with a fresh salt.
    pub async fn hash(&self, password: String) -> Result<String, Error> {
        self.on_a_core(move || {
            let hash = argon2()?.hash_password(password.as_bytes()).map_err(fault)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password is the one of `hash`. Without a hash it never is, and takes as long to say.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        self.on_a_core(move || {
            let hash = PasswordHash::new(&hash).map_err(fault)?;
            // The hash brings its own parameters, so older ones stay good when ours change.
            Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok() && known)
        })
        .await
    }

    async fn on_a_core<T: Send + 'static>(
        &self, work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let full = || Error::new(Code::Overloaded, "too many people sign in at once; try again soon");
        let turn = timeout(PATIENCE, Arc::clone(&self.room).acquire_owned()).await.map_err(|_| full())?;
        let turn = turn.map_err(|_| full())?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            // Held until the memory is free again, also where the caller has hung up.
            drop(turn);
            result
        });
        done.await.map_err(|e| Error::internal(format!("hashing a password: {e}")))?
    }
}

/// The page that sets a password. The token is in the fragment, which no browser sends to any server.
pub fn link(url: &str, token: &str) -> String {
    format!("{url}/set-password#{token}")
}

/// Refuses what is too short, too long, or the address itself.
pub fn check(password: &str, email: &str) -> Result<(), Error> {
    let length = password.chars().count();
    let bad = |message: String| Err(Error::bad_request(message).with("path", "password"));
    if !(SHORTEST..=LONGEST).contains(&length) {
        return bad(format!("The password must have {SHORTEST} to {LONGEST} characters; this one has {length}."));
    }
    if password.trim().eq_ignore_ascii_case(email.trim()) {
        return bad("The password must not be the e-mail address.".to_owned());
    }
    Ok(())
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(fault)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn fault(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("Argon2: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ia_02_a_password_is_stored_as_argon2id_and_found_again() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".into()).await.unwrap(), "salted");
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct hors".into(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn ia_02_nobody_has_no_password_and_takes_as_long() {
        let stored = PasswordHash::new(NOBODY).unwrap();
        let ours = Passwords::default().hash("correct horse".into()).await.unwrap();
        let ours = PasswordHash::new(&ours).unwrap();
        assert_eq!(stored.params.to_string(), ours.params.to_string());
        assert_eq!(stored.hash.map(|hash| hash.len()), ours.hash.map(|hash| hash.len()));
        assert!(!Passwords::default().verify("correct horse".into(), None).await.unwrap());
    }

    #[test]
    fn ia_02_a_password_has_a_length_and_no_other_rule() {
        assert!(check("ten chars!", "a@b.c").is_ok());
        assert!(check(&"ä".repeat(256), "a@b.c").is_ok());
        assert!(check("nine char", "a@b.c").is_err());
        assert!(check(&"x".repeat(257), "a@b.c").is_err());
        assert!(check("Ada@example.com", "ada@example.com").is_err());
    }
}
