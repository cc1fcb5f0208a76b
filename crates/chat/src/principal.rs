//! Who asks, as verified credentials say. Must never be made from an argument of a function.

use spool_store::Id;

use crate::tables::{Credential, Machine, User, Worker};

/// The caller of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// No credentials.
    Anonymous,
    /// A person, full or guest.
    User { user: Id<User> },
    /// A backend with a scoped key. Acts on any thread, within its scopes.
    Service { key: Id<Credential>, user: Id<User>, scopes: Vec<String> },
    /// A worker on a machine of a user. Reaches what is assigned to it, and nothing else of that user.
    Worker { worker: Id<Worker>, machine: Id<Machine>, user: Id<User> },
    /// The server itself: turn driver, clean-up, command line.
    System,
}

impl Principal {
    /// A stable name for caches and the request ledger. Two callers who may see different things never
    /// share it.
    pub fn key(&self) -> String {
        match self {
            Principal::Anonymous => "anonymous".to_owned(),
            Principal::User { user } => format!("user:{user}"),
            Principal::Service { key, .. } => format!("service:{key}"),
            Principal::Worker { worker, .. } => format!("worker:{worker}"),
            Principal::System => "system".to_owned(),
        }
    }

    /// The user that new rows belong to.
    pub fn user(&self) -> Option<&Id<User>> {
        match self {
            Principal::User { user } | Principal::Service { user, .. } => Some(user),
            // What a worker makes belongs to threads, and those have their owner.
            Principal::Anonymous | Principal::Worker { .. } | Principal::System => None,
        }
    }

    /// Whether the scopes of a service cover a function. Everybody else has none and needs none.
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Principal::Service { scopes, .. } => scopes.iter().any(|scope| scope_covers(scope, path)),
            Principal::Anonymous | Principal::User { .. } | Principal::Worker { .. } | Principal::System => true,
        }
    }
}

/// Whether `scope` (`*`, `artifacts:*`, or a path as it is) covers the function at `path`.
pub fn scope_covers(scope: &str, path: &str) -> bool {
    scope.strip_suffix('*').map_or(scope == path, |start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::scope_covers;

    #[test]
    fn ia_10_a_scope_covers_its_own_functions_and_no_others() {
        assert!(scope_covers("*", "threads:remove"));
        assert!(scope_covers("artifacts:*", "artifacts:create"));
        assert!(!scope_covers("artifacts:*", "threads:remove"));
        assert!(!scope_covers("artifacts:*", "artifactsX:create"));
        assert!(scope_covers("threads:get", "threads:get"));
        assert!(!scope_covers("threads:get", "threads:getOrCreateDefault"));
        assert!(!scope_covers("", "threads:get"));
    }
}
