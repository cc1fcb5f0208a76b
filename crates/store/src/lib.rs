//! The reactive heart: documents, logs, transactions, live queries.
//!
//! Two primitives. **Documents** live in tables with declared indexes and change only inside named
//! functions run by [`Store::mutate`]. **Logs** are append-only and addressed by offset. Everything that
//! reacts does so through a [`live`] query or a log [`logs::Tail`].
//!
//! Must never know HTTP, sockets, models or a particular kind of document.

pub mod backend;
pub mod clock;
pub mod commit;
pub mod id;
pub mod key;
pub mod limits;
pub mod live;
pub mod logs;
mod pins;
pub mod range;
pub mod scan;
pub mod schema;
pub mod store;
pub mod threads;
pub mod tx;

pub use clock::{Clock, SystemClock, VirtualClock};
pub use commit::{Committed, LedgerKey};
pub use id::{Document, Id};
pub use key::Part;
pub use logs::{Chunk, Encoded, Published, Tail};
pub use scan::{Order, Page, PaginationOpts};
pub use schema::{Index, Schema, Table};
pub use store::{Appending, Store, StoreOptions};
pub use tx::Tx;

/// A commit's place in the one order of all commits: nanoseconds, strictly increasing, never backwards
/// over a restart. At most `i64::MAX`, because the Rust client of the sync protocol refuses more.
pub type Timestamp = u64;
