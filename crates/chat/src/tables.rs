//! The tables: what is stored, under which indexes, and the views that clients see of it.
//!
//! A row is internal: it may carry marks of deletion, leases and uniqueness. Only a view leaves the
//! server. Must never contain behaviour beyond making and viewing rows.

pub mod approval;
pub mod artifact;
pub mod audit;
pub mod credential;
pub mod departure;
pub mod generation;
pub mod holdings;
pub mod message;
pub mod ownership;
pub mod producer;
pub mod remains;
pub mod stream;
pub mod subscription;
pub mod thread;
pub mod upload;
pub mod usage;
pub mod user;

pub use approval::{Approval, ApprovalView};
pub use artifact::{Artifact, ArtifactContent, ArtifactSummary, ArtifactVersion, Author, VersionView};
pub use credential::{Credential, CredentialKind, KeyView};
pub use departure::Departure;
pub use generation::{Generation, GenerationView, Runner};
pub use holdings::Holdings;
pub use message::{Message, MessageView, Origin, Role};
pub use producer::Producer;
pub use remains::Remains;
pub use stream::{Fork, Stream};
pub use subscription::{Link, Subscription, Wake, Wakes};
pub use thread::{Thread, ThreadView, TitleSource};
pub use upload::{Upload, UploadView};
pub use usage::Usage;
pub use user::{User, UserKind, UserView};

use spool_store::Schema;

/// All tables of the product.
pub static SCHEMA: Schema = Schema {
    tables: &[
        &user::TABLE,
        &credential::TABLE,
        &thread::TABLE,
        &message::TABLE,
        &generation::TABLE,
        &artifact::TABLE,
        &artifact::VERSION_TABLE,
        &artifact::CONTENT_TABLE,
        &approval::TABLE,
        &stream::TABLE,
        &producer::TABLE,
        &subscription::TABLE,
        &subscription::LINK_TABLE,
        &upload::TABLE,
        &remains::TABLE,
        &usage::TABLE,
        &holdings::TABLE,
        &audit::TABLE,
        &departure::TABLE,
    ],
};
