//! Typed, prefixed, time-sortable ids. A wrong kind is refused before any lookup.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spool_protocol::{Code, Error};

use crate::schema::Table;

/// A kind of document. Implementors carry `_id` and `_creationTime` among their fields.
pub trait Document: Serialize + DeserializeOwned + Send + Sync + 'static {
    const TABLE: &'static Table;
    fn id(&self) -> &Id<Self>;
}

/// The id of a `T`: the table's prefix, `_`, and 26 characters that sort by creation time.
///
/// Ids of different kinds are different types:
///
/// ```compile_fail
/// # use spool_store::{Document, Id, Table};
/// # use serde::{Serialize, Deserialize};
/// # #[derive(Serialize, Deserialize)] struct A { _id: Id<A> }
/// # #[derive(Serialize, Deserialize)] struct B { _id: Id<B> }
/// # static TA: Table = Table { name: "a", prefix: "a", indexes: &[] };
/// # static TB: Table = Table { name: "b", prefix: "b", indexes: &[] };
/// # impl Document for A { const TABLE: &'static Table = &TA; fn id(&self) -> &Id<A> { &self._id } }
/// # impl Document for B { const TABLE: &'static Table = &TB; fn id(&self) -> &Id<B> { &self._id } }
/// fn takes_a(_: &Id<A>) {}
/// fn gives_b(b: &B) { takes_a(b.id()) }
/// ```
pub struct Id<T: ?Sized>(String, PhantomData<fn() -> T>);

impl<T: Document> Id<T> {
    /// Checks prefix and alphabet, not existence. Fails with `bad_id` naming the expected kind.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let prefix = T::TABLE.prefix;
        let valid = text
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('_'))
            .is_some_and(|rest| rest.len() == 26 && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
        if valid {
            Ok(Self(text.to_owned(), PhantomData))
        } else {
            let shown: String = text.chars().take(64).collect();
            Err(Error::new(
                Code::BadId,
                format!("expected an id of {} like \"{prefix}_…\", got \"{shown}\"", T::TABLE.name),
            )
            .with("expected", prefix))
        }
    }

    /// A fresh id for something that has to lie beside the rows before there is a row.
    pub fn fresh(now_ms: u64) -> Self {
        Self::trusted(IdSource::new().next(T::TABLE.prefix, now_ms))
    }

    pub(crate) fn trusted(text: String) -> Self {
        Self(text, PhantomData)
    }
}

impl<T: ?Sized> Id<T> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: ?Sized> Clone for Id<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}
impl<T: ?Sized> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T: ?Sized> Eq for Id<T> {}
impl<T: ?Sized> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T: ?Sized> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<T: ?Sized> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<T: ?Sized> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de, T: Document> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Id::parse(&text).map_err(|error| D::Error::custom(format_args!("bad_id: {}", error.message)))
    }
}
impl<T: Document> JsonSchema for Id<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Id_{}", T::TABLE.name).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{}_[0-9a-z]{{26}}$", T::TABLE.prefix) })
    }
}

/// Makes ids: a UUIDv7 (RFC 9562: 48 bits of milliseconds, then a counter and randomness) in 26
/// lowercase Crockford base-32 characters, so that text order is creation order within one process.
pub(crate) struct IdSource {
    context: std::sync::Mutex<uuid::ContextV7>,
}

impl IdSource {
    pub fn new() -> Self {
        Self { context: std::sync::Mutex::new(uuid::ContextV7::new()) }
    }

    pub fn next(&self, prefix: &str, now_ms: u64) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let nanos = u32::try_from(now_ms % 1000).unwrap_or(0) * 1_000_000;
        let context = self.context.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let uuid = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(&*context, now_ms / 1000, nanos));
        let mut value = uuid.as_u128();
        let mut text = [0u8; 26];
        for slot in text.iter_mut().rev() {
            *slot = ALPHABET[(value & 31) as usize];
            value >>= 5;
        }
        let mut id = String::with_capacity(prefix.len() + 27);
        id.push_str(prefix);
        id.push('_');
        id.extend(text.iter().map(|&byte| char::from(byte)));
        id
    }
}
