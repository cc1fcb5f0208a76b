//! Reading ranges of an index: equality on leading fields, an optional bound on the next, order, limit,
//! and gapless pages.
//!
//! A page is the range `(cursor, end]` of an index prefix. Once cut, its end is kept in the query's
//! journal and every re-run uses it, so pages that are live at the same time neither overlap nor leave
//! gaps while rows come, go and move (the rule of the Convex sync protocol).

use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error};

use crate::backend::Limit;
use crate::id::Document;
use crate::key::{self, Part};
use crate::limits;
use crate::range::{KeyRange, successor};
use crate::schema::Index;
use crate::tx::{ScanRows, Tx};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Asc,
    Desc,
}

/// What clients send to ask for a page. Unknown keys are ignored: hooks add their own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaginationOpts {
    /// Rows wanted, 0 to 1,000. No bound for a page whose end is already fixed.
    pub num_items: u32,
    /// Where the page begins: the `continueCursor` before it, or null for the first page.
    pub cursor: Option<String>,
    #[serde(default)]
    pub end_cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum PageStatus {
    SplitRecommended,
    SplitRequired,
}

/// One page, in the form that `usePaginatedQuery` expects.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub page: Vec<T>,
    pub is_done: bool,
    pub continue_cursor: String,
    pub split_cursor: Option<String>,
    pub page_status: Option<PageStatus>,
}

impl<T> Page<T> {
    pub fn empty() -> Self {
        Self { page: Vec::new(), is_done: true, continue_cursor: String::new(), split_cursor: None, page_status: None }
    }

    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            page: self.page.into_iter().map(f).collect(),
            is_done: self.is_done,
            continue_cursor: self.continue_cursor,
            split_cursor: self.split_cursor,
            page_status: self.page_status,
        }
    }
}

/// A range of one index being described. Nothing is read until a terminal method.
pub struct Scan<'tx, 'conn, T> {
    tx: &'tx mut Tx<'conn>,
    index: &'static Index,
    prefix: Vec<u8>,
    lo: Option<Vec<u8>>,
    hi: Option<Vec<u8>>,
    order: Order,
    kind: PhantomData<T>,
}

impl<'tx, 'conn, T: Document> Scan<'tx, 'conn, T> {
    pub(crate) fn new(tx: &'tx mut Tx<'conn>, index: &'static Index) -> Self {
        Self { tx, index, prefix: Vec::new(), lo: None, hi: None, order: Order::Asc, kind: PhantomData }
    }

    /// The next field of the index equals `value`.
    #[must_use]
    pub fn eq(mut self, value: impl Into<Part>) -> Self {
        key::push(&mut self.prefix, &value.into());
        self
    }

    /// The next field is at least `value`.
    #[must_use]
    pub fn ge(mut self, value: impl Into<Part>) -> Self {
        self.lo = Some(self.bound(value));
        self
    }

    /// The next field is above `value`.
    #[must_use]
    pub fn gt(mut self, value: impl Into<Part>) -> Self {
        let mut bound = self.bound(value);
        bound.push(key::END);
        self.lo = Some(bound);
        self
    }

    /// The next field is below `value`.
    #[must_use]
    pub fn lt(mut self, value: impl Into<Part>) -> Self {
        self.hi = Some(self.bound(value));
        self
    }

    /// The next field is at most `value`.
    #[must_use]
    pub fn le(mut self, value: impl Into<Part>) -> Self {
        let mut bound = self.bound(value);
        bound.push(key::END);
        self.hi = Some(bound);
        self
    }

    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    fn bound(&self, value: impl Into<Part>) -> Vec<u8> {
        let mut bound = self.prefix.clone();
        key::push(&mut bound, &value.into());
        bound
    }

    fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let lo = self.lo.clone().unwrap_or_else(|| self.prefix.clone());
        let hi = self.hi.clone().unwrap_or_else(|| {
            let mut hi = self.prefix.clone();
            hi.push(key::END);
            hi
        });
        (lo, hi)
    }

    /// Up to `limit` documents. The recorded read ends at the last row seen if the limit was reached.
    pub fn take(self, limit: usize) -> Result<Vec<T>, Error> {
        let (lo, hi) = self.range();
        let found = self.tx.scan_range::<T>(self.index, &lo, &hi, self.order, Limit::rows(limit))?;
        Ok(found.rows.into_iter().map(|(_, document)| document).collect())
    }

    /// Up to `limit` documents, but no more behind the one with which they have over `bytes` bytes together.
    pub fn take_within(self, limit: usize, bytes: usize) -> Result<Vec<T>, Error> {
        let (lo, hi) = self.range();
        let found = self.tx.scan_range::<T>(self.index, &lo, &hi, self.order, Limit { rows: limit, bytes })?;
        Ok(found.rows.into_iter().map(|(_, document)| document).collect())
    }

    /// All documents of the range, which must be few: more than the scan limit is an error.
    pub fn collect(self) -> Result<Vec<T>, Error> {
        let rows = self.take(limits::SCAN_ROWS + 1)?;
        if rows.len() > limits::SCAN_ROWS {
            return Err(Error::new(Code::TooLarge, "the query reads too many rows: ask for a page")
                .with("limit", limits::SCAN_ROWS));
        }
        Ok(rows)
    }

    pub fn first(self) -> Result<Option<T>, Error> {
        Ok(self.take(1)?.into_iter().next())
    }

    /// How many documents the range holds. Reads (and depends on) the whole range.
    pub fn count(self) -> Result<u64, Error> {
        let (lo, hi) = self.range();
        self.tx.count_range::<T>(self.index, &lo, &hi, usize::MAX)
    }

    /// How many documents the range holds, counting no further than `most`. Depends on the whole range.
    pub fn count_up_to(self, most: usize) -> Result<u64, Error> {
        let (lo, hi) = self.range();
        self.tx.count_range::<T>(self.index, &lo, &hi, most)
    }

    /// One page of the range. At most one per function run, because a run has one journal.
    pub fn paginate(self, options: &PaginationOpts) -> Result<Page<T>, Error> {
        let (lo, hi) = self.range();
        let (index, order) = (self.index, self.order);
        let scope = Cursors { index, prefix: self.prefix };
        let fixed_end = options.end_cursor.clone().or_else(|| self.tx.journal().map(str::to_owned));
        let start = options.cursor.as_deref().map(|c| scope.decode(c)).transpose()?.unwrap_or(Position::Start);
        let end = fixed_end.as_deref().map(|c| scope.decode(c)).transpose()?;

        let (lo, hi) = narrow(lo, hi, order, &start, end.as_ref());
        let wanted = match &end {
            Some(_) => limits::PAGE_ROWS,
            None if options.num_items == 0 => {
                return Ok(Page { continue_cursor: scope.encode(&start), is_done: false, ..Page::empty() });
            }
            None => (options.num_items as usize).min(limits::PAGE_ROWS),
        };
        // One row more than wanted tells whether there is more; bytes end a page the same way.
        let limit = Limit { rows: wanted + 1, bytes: limits::PAGE_BYTES };
        let found = if lo < hi {
            self.tx.scan_range::<T>(index, &lo, &hi, order, limit)?
        } else {
            ScanRows { rows: Vec::new(), cut: false }
        };
        let (mut rows, more) = (found.rows, found.cut);
        if more {
            rows.pop();
        }
        let last = rows.last().map(|(key, _)| Position::At(key.clone()));
        let middle = rows.get(rows.len().saturating_sub(1) / 2).filter(|_| more || rows.len() >= 2);
        let split = middle.map(|(key, _)| scope.encode(&Position::At(key.clone())));
        let (end, page_status) = match end {
            Some(end) if more => (end, Some(PageStatus::SplitRequired)),
            Some(end) => (end, (rows.len() > limits::PAGE_ROWS * 3 / 4).then_some(PageStatus::SplitRecommended)),
            None if more => (last.unwrap_or(Position::End), None),
            None => (Position::End, None),
        };
        let continue_cursor = scope.encode(&end);
        self.tx.set_journal(&continue_cursor)?;
        Ok(Page {
            page: rows.into_iter().map(|(_, document)| document).collect(),
            is_done: end == Position::End,
            continue_cursor,
            split_cursor: split,
            page_status,
        })
    }
}

/// A place between two rows of an index range.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    Start,
    /// Just after the row with this key, in scan order.
    At(Vec<u8>),
    End,
}

fn narrow(lo: Vec<u8>, hi: Vec<u8>, order: Order, start: &Position, end: Option<&Position>) -> (Vec<u8>, Vec<u8>) {
    let (mut lo, mut hi) = (lo, hi);
    match (order, start) {
        (_, Position::Start) => {}
        (_, Position::End) => hi = lo.clone(),
        (Order::Asc, Position::At(key)) => lo = lo.max(successor(key)),
        (Order::Desc, Position::At(key)) => hi = hi.min(key.clone()),
    }
    match (order, end) {
        (Order::Asc, Some(Position::At(key))) => hi = hi.min(successor(key)),
        (Order::Desc, Some(Position::At(key))) => lo = lo.max(key.clone()),
        (_, Some(Position::Start)) => hi = lo.clone(),
        (_, Some(Position::End) | None) => {}
    }
    (lo, hi)
}

/// Cursors of one scan: they carry a digest of what they belong to, and the key below the prefix, so a
/// cursor of another query is refused and none can reach outside its prefix.
struct Cursors {
    index: &'static Index,
    prefix: Vec<u8>,
}

impl Cursors {
    fn digest(&self) -> [u8; 4] {
        // FNV-1a: a tag against mix-ups, not a signature. Deterministic, since cursors are cache keys.
        let bytes = self.index.name.bytes().chain([0]).chain(self.prefix.iter().copied());
        bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)).to_be_bytes()
    }

    fn encode(&self, position: &Position) -> String {
        let mut bytes = self.digest().to_vec();
        match position {
            Position::Start => bytes.push(b's'),
            Position::End => bytes.push(b'e'),
            Position::At(key) => {
                bytes.push(b'a');
                bytes.extend_from_slice(key.strip_prefix(self.prefix.as_slice()).unwrap_or(key));
            }
        }
        BASE64.encode(bytes)
    }

    fn decode(&self, cursor: &str) -> Result<Position, Error> {
        let decoded = BASE64.decode(cursor).ok();
        let rest = decoded.as_deref().and_then(|bytes| bytes.strip_prefix(self.digest().as_slice()));
        match rest {
            Some([b's']) => Ok(Position::Start),
            Some([b'e']) => Ok(Position::End),
            Some([b'a', key @ ..]) => Ok(Position::At([self.prefix.as_slice(), key].concat())),
            // The wording and the two data fields are what Convex's pagination hook looks for.
            _ => Err(Error::new(Code::InvalidCursor, "InvalidCursor: the cursor belongs to another query; start over")
                .with("isConvexSystemError", true)
                .with("paginationError", "InvalidCursor")),
        }
    }
}

/// The part of an index that a scan has really seen.
pub(crate) fn seen(range: KeyRange, order: Order, last: Option<&[u8]>) -> KeyRange {
    match (order, last) {
        (_, None) => range,
        (Order::Asc, Some(key)) => KeyRange { hi: successor(key), ..range },
        (Order::Desc, Some(key)) => KeyRange { lo: key.to_vec(), ..range },
    }
}
