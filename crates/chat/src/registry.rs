//! The closed table of functions: path, kind, who may call, argument and result shapes, and how to run.
//!
//! Everything that is generated (types, OpenAPI, the authorization matrix) and everything that is served
//! comes from this one table. Must never hold state.

mod path;
mod table;

pub use path::normalise;
pub use table::FUNCTIONS;

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;
use spool_protocol::{Code, Error, Result};
use spool_store::Tx;

use crate::context::CallContext;
use crate::functions::account;
use crate::principal::Principal;

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Query,
    Mutation,
    /// Not a transaction: the server carries it out by mutations and queries.
    Action,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Query => "query",
            Kind::Mutation => "mutation",
            Kind::Action => "action",
        }
    }
}

/// Who can see that a function exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    Public,
    Internal,
}

/// Which principals may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    Anyone,
    /// Signed-in users, and services whose scopes cover the path.
    User,
    /// Services whose scopes cover the path.
    Service,
    /// Workers.
    Worker,
    /// Whoever makes answers outside: workers, and services whose scopes cover the path.
    Runner,
    /// Signed-in users and services, as for `User`, and workers.
    Reader,
    /// The server itself.
    System,
}

/// Runs a function: decodes its arguments, encodes its result as JSON text.
pub type Run = fn(&mut Tx<'_>, &CallContext, Value) -> Result<String>;
/// The JSON Schema of arguments or results, shared types going to the generator's definitions.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One row of the table.
#[derive(Debug)]
pub struct Function {
    /// `module:name`.
    pub path: &'static str,
    pub kind: Kind,
    pub visibility: Visibility,
    pub access: Access,
    pub description: &'static str,
    pub args_schema: SchemaOf,
    pub returns_schema: SchemaOf,
    /// `None` for actions.
    pub run: Option<Run>,
}

impl Function {
    /// Whether `principal` may call this at all: `unauthenticated`, `forbidden`, or for internal functions
    /// the answer of one that does not exist.
    pub fn authorize(&self, principal: &Principal) -> Result<()> {
        match (self.access, principal) {
            (_, Principal::System)
            | (Access::Anyone, _)
            | (Access::User | Access::Reader, Principal::User { .. })
            | (Access::Worker | Access::Runner | Access::Reader, Principal::Worker { .. }) => Ok(()),
            (Access::System, _) => Err(path::not_found(self.path)),
            (_, Principal::Anonymous) => {
                Err(Error::new(Code::Unauthenticated, format!("{} needs a signed-in caller.", self.path)))
            }
            (_, Principal::Worker { .. }) => {
                Err(Error::new(Code::Forbidden, format!("{} is not for workers.", self.path)))
            }
            (Access::Worker, _) => Err(Error::new(Code::Forbidden, format!("{} is for workers.", self.path))),
            (_, Principal::Service { .. }) if principal.covers(self.path) => Ok(()),
            (_, Principal::Service { .. }) => {
                let message = format!("The scopes of this key do not cover {}.", self.path);
                Err(Error::new(Code::Forbidden, message).with("scope", self.path))
            }
            (Access::Service, Principal::User { .. }) => {
                Err(Error::new(Code::Forbidden, format!("{} is for backends with a service key.", self.path)))
            }
            (Access::Runner, Principal::User { .. }) => {
                let message = format!("{} is for backends with a service key and for workers.", self.path);
                Err(Error::new(Code::Forbidden, message))
            }
        }
    }

    /// `wrong_kind` unless this is called as what it is.
    pub fn expect_kind(&self, kind: Kind) -> Result<()> {
        if self.kind == kind {
            return Ok(());
        }
        let message = format!("{} is a {}, not a {}.", self.path, self.kind.as_str(), kind.as_str());
        Err(Error::new(Code::WrongKind, message).with("kind", self.kind.as_str()))
    }

    /// Whether the answer is kept for a caller who repeats the request. Where asking again changes nothing and the
    /// answer quotes a conversation it is not: it would be there when the conversation is gone.
    pub fn keeps_answer(&self) -> bool {
        self.path != "threads:getOrCreate"
    }

    /// Runs a query or mutation: access, then arguments, then the function. Returns JSON text.
    pub fn call(&self, tx: &mut Tx<'_>, ctx: &CallContext, args: Value) -> Result<String> {
        self.authorize(&ctx.principal)?;
        if self.kind == Kind::Mutation {
            account::check_here(tx, &ctx.principal)?;
        }
        let run = self.run.ok_or_else(|| Error::internal(format!("{} is not a transaction", self.path)))?;
        run(tx, ctx, args)
    }
}

/// The public function that clients call `path`. Accepts the forms that clients write ([`normalise`]);
/// fails with `function_not_found`, whose `data.nearest` is the closest public path.
pub fn find(path: &str) -> Result<&'static Function> {
    path::lookup(path, |function| function.visibility == Visibility::Public)
}

/// Like [`find`], for the server itself: internal functions, too.
pub fn find_internal(path: &str) -> Result<&'static Function> {
    path::lookup(path, |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ty_01_every_path_is_unique_and_internal_is_for_the_server() {
        let mut seen = HashSet::new();
        for function in FUNCTIONS {
            assert!(seen.insert(function.path), "{}", function.path);
            assert_eq!(
                function.access == Access::System,
                function.visibility == Visibility::Internal,
                "{}",
                function.path
            );
            assert_eq!(function.run.is_none(), function.kind == Kind::Action, "{}", function.path);
            assert!(!function.description.is_empty());
        }
    }

    #[test]
    fn ia_05_internal_functions_do_not_exist_for_anybody_else() {
        let unknown = find("driver:clam").unwrap_err();
        let internal = find("driver:claim").unwrap_err();
        assert_eq!(unknown.code, internal.code);
        let nearest = internal.data.unwrap()["nearest"].as_str().unwrap().to_owned();
        find(&nearest).unwrap();
        let claim = find_internal("driver:claim").unwrap();
        assert_eq!(claim.authorize(&Principal::Anonymous).unwrap_err().code, Code::FunctionNotFound);
        claim.authorize(&Principal::System).unwrap();
    }
}
