//! Erasing a row with everything that belongs to it, as [`crate::tables::ownership`] declares, in bounded
//! steps.
//!
//! What belongs to a row goes before it, so a step that was the last for a while leaves no orphans, and the
//! next goes on from the rows. Must never decide whether something may be erased: that is the caller's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spool_protocol::{Error, Result};
use spool_store::backend::Limit;
use spool_store::{Id, Part, Table, Tx};

use crate::functions::{remains, uploads};
use crate::tables::ownership::{OWNERSHIP, Owner, Ownership, Removal};
use crate::tables::{Upload, User, artifact};

/// Rows of one kind that are read at once, and their bytes.
const BATCH: Limit = Limit { rows: 100, bytes: 8 << 20 };

/// What a step has erased, and how much more it may.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Bytes of artifacts that went.
    pub freed: u64,
    pub left: usize,
}

impl Tally {
    pub fn new(limit: usize) -> Self {
        Self { rows: BTreeMap::new(), freed: 0, left: limit }
    }

    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }
}

/// Erases one row with all that belongs to it. Says whether it is gone; if not, the limit was reached.
pub(crate) fn erase(tx: &mut Tx<'_>, table: &'static Table, id: &str, tally: &mut Tally) -> Result<bool> {
    let mut path = vec![(declared(table)?, json!({ "_id": id }))];
    while let Some((top, row)) = path.last() {
        if tally.left == 0 {
            return Ok(false);
        }
        match belonging(tx, top, row, tally.left)? {
            Some((below, rows)) if has_nothing(below) => {
                for row in &rows {
                    remove(tx, below, row, tally)?;
                }
            }
            Some((below, rows)) => path.extend(rows.into_iter().next().map(|row| (below, row))),
            None => {
                remove(tx, top, row, tally)?;
                path.pop();
            }
        }
    }
    Ok(true)
}

/// Erases what belongs to a user, table by table, except what `skip` says. Says whether nothing is left.
pub(crate) fn erase_of(tx: &mut Tx<'_>, user: &Id<User>, skip: &'static Table, tally: &mut Tally) -> Result<bool> {
    for ownership in OWNERSHIP.iter().filter(|ownership| ownership.table != skip) {
        for owner in ownership.owners {
            let Owner::User(index) = owner else { continue };
            loop {
                if tally.left == 0 {
                    return Ok(false);
                }
                let rows = tx.rows_under(ownership.table, index, &prefix(ownership, user.as_str()), BATCH)?;
                if rows.is_empty() {
                    break;
                }
                for row in &rows {
                    // One of them may have taken this with it.
                    if !erase(tx, ownership.table, id_of(row)?, tally)? {
                        return Ok(false);
                    }
                }
            }
        }
    }
    Ok(true)
}

fn declared(table: &'static Table) -> Result<&'static Ownership> {
    let found = OWNERSHIP.iter().find(|ownership| ownership.table == table);
    found.ok_or_else(|| Error::internal(format!("{} declares no owner", table.name)))
}

/// Whether nothing can belong to rows of this table.
fn has_nothing(ownership: &Ownership) -> bool {
    !OWNERSHIP.iter().flat_map(|other| other.owners).any(|owner| match owner {
        Owner::Row(table, _) | Owner::Holder(table, _) => *table == ownership.table,
        Owner::User(_) | Owner::Log | Owner::Nothing => false,
    })
}

/// Some rows that belong to `row`, all of one table.
fn belonging(
    tx: &mut Tx<'_>, of: &Ownership, row: &Value, most: usize,
) -> Result<Option<(&'static Ownership, Vec<Value>)>> {
    for below in OWNERSHIP {
        for owner in below.owners {
            let rows = match owner {
                Owner::Row(table, index) if *table == of.table => {
                    let rows = if has_nothing(below) { BATCH.rows.min(most) } else { 1 };
                    tx.rows_under(below.table, index, &prefix(below, id_of(row)?), Limit { rows, ..BATCH })?
                }
                Owner::Holder(table, field) if *table == of.table => {
                    let held = row.get(field).and_then(Value::as_str);
                    held.map(|id| tx.row(below.table, id)).transpose()?.flatten().into_iter().collect()
                }
                _ => continue,
            };
            if !rows.is_empty() {
                return Ok(Some((below, rows)));
            }
        }
    }
    Ok(None)
}

/// Files that are marked already are the server's.
fn prefix(ownership: &Ownership, owner: &str) -> Vec<Part> {
    let mut prefix = vec![Part::from(owner)];
    if ownership.removal == Removal::File {
        prefix.push(Part::Null);
    }
    prefix
}

fn id_of(row: &Value) -> Result<&str> {
    row.get("_id").and_then(Value::as_str).ok_or_else(|| Error::internal("a row without an id"))
}

fn remove(tx: &mut Tx<'_>, ownership: &'static Ownership, row: &Value, tally: &mut Tally) -> Result<()> {
    let id = id_of(row)?;
    let gone = match ownership.removal {
        Removal::Row => tx.erase(ownership.table, id)?,
        Removal::Log => {
            let gone = tx.erase(ownership.table, id)?;
            if gone {
                remains::leave(tx, id, None)?;
            }
            gone
        }
        Removal::File => uploads::mark_one(tx, &Id::<Upload>::parse(id)?)?,
    };
    if gone {
        *tally.rows.entry(ownership.table.name).or_default() += 1;
        tally.left -= 1;
        if *ownership.table == artifact::VERSION_TABLE {
            tally.freed += row.get("contentBytes").and_then(Value::as_u64).unwrap_or_default();
        }
    }
    Ok(())
}
