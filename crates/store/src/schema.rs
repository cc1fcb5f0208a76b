//! What a table declares: its name, the prefix of its ids and its indexes.
//!
//! Declarations are `static`, so that a table is the same value everywhere and costs nothing to name.

/// One ordered index. Every index ends in the document's id, so its keys are unique and pages stable.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    pub name: &'static str,
    /// Document fields in key order; a missing field sorts first, as null.
    pub fields: &'static [&'static str],
    /// No two documents share the key, unless a field of it is null (as in SQL).
    pub unique: bool,
}

impl Index {
    pub const fn new(name: &'static str, fields: &'static [&'static str]) -> Self {
        Self { name, fields, unique: false }
    }

    pub const fn unique(name: &'static str, fields: &'static [&'static str]) -> Self {
        Self { name, fields, unique: true }
    }
}

/// One kind of document.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// `[a-z_]+`; also the SQL table's name.
    pub name: &'static str,
    /// `thr` for ids like `thr_…`.
    pub prefix: &'static str,
    pub indexes: &'static [Index],
}

/// All tables of an application.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    pub tables: &'static [&'static Table],
}
