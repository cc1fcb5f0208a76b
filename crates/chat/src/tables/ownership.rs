//! To whom every row belongs: the graph by which things are removed with what they belong to.
//!
//! A table that is not here fails a test. Removing a thread, a stream or an account walks this graph
//! ([`crate::erasure`]), so a new table is removed with its owner as soon as it is declared.

use spool_store::{Index, Table};

use super::{
    approval, arrivals, artifact, audit, credential, departure, draft, generation, holdings, inbox, machine, message,
    notice, password, producer, prompt, push, remains, rule, runtime_session, share, stream, subscription, summary,
    thread, todos, tool_call, upload, usage, user, user_state, window, worker,
};

/// What a row belongs to. It may belong to more than one thing, and goes with the first that goes.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// A user; the index begins with the user's id.
    User(&'static Index),
    /// A row of this table; the index begins with that row's id.
    Row(&'static Table, &'static Index),
    /// The row of this table that has its id in this field.
    Holder(&'static Table, &'static str),
    /// A log: it is swept with the log of the row that it names ([`crate::functions::remains`]).
    Log,
    /// Nothing. It names no person, or it is the person.
    Nothing,
}

/// How a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Row,
    /// Its log is swept afterwards, in steps of its own.
    Log,
    /// It is marked: the server removes the bytes, and then the row. Its indexes have `deletedAt` behind the
    /// owner.
    File,
}

/// The declaration of one table.
#[derive(Debug)]
pub struct Ownership {
    pub table: &'static Table,
    pub owners: &'static [Owner],
    pub removal: Removal,
}

const fn rows(table: &'static Table, owners: &'static [Owner]) -> Ownership {
    Ownership { table, owners, removal: Removal::Row }
}

const fn logs(table: &'static Table, owners: &'static [Owner]) -> Ownership {
    Ownership { table, owners, removal: Removal::Log }
}

const fn files(table: &'static Table, owners: &'static [Owner]) -> Ownership {
    Ownership { table, owners, removal: Removal::File }
}

/// Every table. Of two that belong to the same thing, the first goes first.
pub static OWNERSHIP: &[Ownership] = &[
    rows(&user::TABLE, &[Owner::Nothing]),
    rows(&thread::TABLE, &[Owner::User(thread::BY_ACTIVITY)]),
    rows(&share::TABLE, &[Owner::Row(&thread::TABLE, share::BY_THREAD), Owner::User(share::BY_VIEWER)]),
    rows(
        &notice::TABLE,
        &[Owner::Row(&thread::TABLE, notice::BY_THREAD), Owner::Row(&push::TABLE, notice::BY_SUBSCRIPTION)],
    ),
    rows(&approval::TABLE, &[Owner::Row(&thread::TABLE, approval::BY_THREAD)]),
    logs(&tool_call::TABLE, &[Owner::Row(&thread::TABLE, tool_call::BY_THREAD)]),
    rows(&prompt::TABLE, &[Owner::Row(&thread::TABLE, prompt::BY_THREAD)]),
    logs(&generation::TABLE, &[Owner::Row(&thread::TABLE, generation::BY_THREAD)]),
    rows(&arrivals::TABLE, &[Owner::Log]),
    rows(&message::TABLE, &[Owner::Row(&thread::TABLE, message::BY_THREAD)]),
    logs(&draft::TABLE, &[Owner::Row(&thread::TABLE, draft::BY_THREAD)]),
    rows(&todos::TABLE, &[Owner::Row(&thread::TABLE, todos::BY_THREAD)]),
    rows(&runtime_session::TABLE, &[Owner::Row(&thread::TABLE, runtime_session::BY_THREAD)]),
    rows(&artifact::TABLE, &[Owner::Row(&thread::TABLE, artifact::BY_THREAD)]),
    rows(&artifact::VERSION_TABLE, &[Owner::Row(&artifact::TABLE, artifact::VERSION_BY_ARTIFACT)]),
    rows(&artifact::CONTENT_TABLE, &[Owner::Holder(&artifact::VERSION_TABLE, "contentId")]),
    files(&upload::TABLE, &[Owner::Row(&thread::TABLE, upload::BY_THREAD), Owner::User(upload::BY_USER)]),
    logs(&subscription::TABLE, &[Owner::User(subscription::BY_NAME)]),
    rows(&subscription::LINK_TABLE, &[Owner::Log]),
    logs(&stream::TABLE, &[Owner::User(stream::BY_PATH), Owner::Row(&stream::TABLE, stream::BY_SOURCE)]),
    rows(&producer::TABLE, &[Owner::Log]),
    rows(&rule::TABLE, &[Owner::User(rule::BY_USER)]),
    rows(&inbox::TABLE, &[Owner::User(inbox::BY_USER)]),
    rows(&push::TABLE, &[Owner::User(push::BY_USER)]),
    rows(&credential::TABLE, &[Owner::User(credential::BY_USER)]),
    rows(&password::TABLE, &[Owner::User(password::BY_USER)]),
    rows(&worker::TABLE, &[Owner::Row(&machine::TABLE, worker::BY_MACHINE)]),
    rows(&machine::TABLE, &[Owner::User(machine::BY_USER)]),
    rows(&usage::TABLE, &[Owner::User(usage::BY_MONTH)]),
    rows(&holdings::TABLE, &[Owner::User(holdings::BY_USER)]),
    rows(&audit::TABLE, &[Owner::User(audit::BY_USER), Owner::User(audit::BY_SUBJECT)]),
    rows(&remains::TABLE, &[Owner::Nothing]),
    rows(&departure::TABLE, &[Owner::Nothing]),
    rows(&window::TABLE, &[Owner::Row(&thread::TABLE, window::BY_THREAD), Owner::User(window::BY_USER)]),
    rows(&summary::TABLE, &[Owner::Row(&thread::TABLE, summary::BY_THREAD)]),
    rows(&user_state::VERSION_TABLE, &[Owner::Row(&user_state::TABLE, user_state::VERSION_BY_STATE)]),
    rows(&user_state::TABLE, &[Owner::User(user_state::BY_USER)]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::SCHEMA;

    #[test]
    fn ia_14_every_table_says_to_whom_its_rows_belong() {
        for table in SCHEMA.tables {
            let declared: Vec<_> = OWNERSHIP.iter().filter(|ownership| ownership.table == *table).collect();
            assert_eq!(declared.len(), 1, "{} must be declared in OWNERSHIP, once", table.name);
            assert!(!declared[0].owners.is_empty(), "{} names no owner", table.name);
            for owner in declared[0].owners {
                let index = match owner {
                    Owner::User(index) => *index,
                    Owner::Row(parent, index) => {
                        assert!(OWNERSHIP.iter().any(|o| o.table == *parent), "{} is no table", parent.name);
                        *index
                    }
                    Owner::Holder(..) | Owner::Log | Owner::Nothing => continue,
                };
                assert!(table.indexes.contains(index), "{} has no index {}", table.name, index.name);
                let marks = declared[0].removal == Removal::File;
                assert!(!marks || index.fields.get(1) == Some(&"deletedAt"), "{}.{}", table.name, index.name);
            }
        }
        assert_eq!(OWNERSHIP.len(), SCHEMA.tables.len());
    }
}
