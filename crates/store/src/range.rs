//! Key ranges, the read sets that queries record, and the index that finds who read a key.
//! Pure: no clock, no lock, no database.

use std::collections::HashMap;
use std::sync::Arc;

/// Names an index of a table; `BY_ID` is the table itself.
pub type IndexName = (&'static str, &'static str);
/// Index name of a table's own key, the document id.
pub const BY_ID: &str = "_id";

/// The keys `lo <= key < hi` of one index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    pub index: IndexName,
    pub lo: Vec<u8>,
    pub hi: Vec<u8>,
}

impl KeyRange {
    pub fn point(index: IndexName, key: &[u8]) -> Self {
        Self { index, lo: key.to_vec(), hi: successor(key) }
    }

    pub fn contains(&self, index: IndexName, key: &[u8]) -> bool {
        self.index == index && self.lo.as_slice() <= key && key < self.hi.as_slice()
    }
}

/// The smallest key above `key`.
pub fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// Everything that a function run has read: what must not change for its result to stay true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSet {
    pub ranges: Vec<KeyRange>,
    pub logs: Vec<LogRead>,
}

/// A read of a log's tail. Appends make the result stale: at once if it was empty (`page_end` is `None`), and
/// only after a while if it already held something, because a subscriber is expected to go on from there (see
/// `limits::LOG_PAGE_LINGER_MS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRead {
    pub log: String,
    pub from: u64,
    pub page_end: Option<u64>,
}

/// A log in a commit that appended to it, sealed or deleted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChange {
    pub log: Arc<str>,
    /// Where it ends now; `None` if nothing will follow.
    pub end: Option<u64>,
}

/// What one commit changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// Index keys that the commit removed or added, those of changed documents included.
    pub keys: Vec<(IndexName, Vec<u8>)>,
    pub logs: Vec<LogChange>,
}

impl ChangeSet {
    /// How much it takes to remember.
    pub fn weight(&self) -> usize {
        1 + self.keys.len() + self.logs.len()
    }

    /// Whether a result with these reads is stale after this commit.
    pub fn touches(&self, reads: &ReadSet) -> bool {
        reads.ranges.iter().any(|range| self.keys.iter().any(|(index, key)| range.contains(*index, key)))
            || reads
                .logs
                .iter()
                .any(|read| read.page_end.is_none() && self.logs.iter().any(|change| *change.log == *read.log))
    }
}

/// Finds the owners whose ranges hold a key, in O(log n + hits) per key.
#[derive(Debug, Default)]
pub struct RangeIndex {
    trees: HashMap<IndexName, IntervalTree>,
}

impl RangeIndex {
    pub fn insert(&mut self, range: &KeyRange, owner: u64) {
        self.trees.entry(range.index).or_default().insert(range.lo.clone(), range.hi.clone(), owner);
    }

    pub fn remove(&mut self, range: &KeyRange, owner: u64) {
        if let Some(tree) = self.trees.get_mut(&range.index) {
            tree.remove(&range.lo, &range.hi, owner);
            if tree.root.is_none() {
                self.trees.remove(&range.index);
            }
        }
    }

    pub fn owners_of(&self, index: IndexName, key: &[u8], visit: &mut dyn FnMut(u64)) {
        if let Some(tree) = self.trees.get(&index) {
            stab(tree.root.as_deref(), key, visit);
        }
    }
}

/// A treap ordered by (lo, hi, owner) in which every node knows the largest `hi` below it.
/// Priorities are a hash of the owner and the range: balanced in expectation, and deterministic.
#[derive(Debug, Default)]
struct IntervalTree {
    root: Option<Box<Node>>,
}

#[derive(Debug)]
struct Node {
    lo: Vec<u8>,
    hi: Vec<u8>,
    owner: u64,
    max_hi: Vec<u8>,
    priority: u64,
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
}

impl Node {
    fn key(&self) -> (&[u8], &[u8], u64) {
        (&self.lo, &self.hi, self.owner)
    }

    fn update(&mut self) {
        let mut max = &self.hi;
        for child in [&self.left, &self.right].into_iter().flatten() {
            if child.max_hi > *max {
                max = &child.max_hi;
            }
        }
        if self.max_hi != *max {
            self.max_hi = max.clone();
        }
    }
}

impl IntervalTree {
    fn insert(&mut self, lo: Vec<u8>, hi: Vec<u8>, owner: u64) {
        let priority = priority(&lo, &hi, owner);
        let max_hi = hi.clone();
        let node = Box::new(Node { lo, hi, owner, max_hi, priority, left: None, right: None });
        let (left, right) = split(self.root.take(), node.key());
        self.root = merge(merge(left, Some(node)), right);
    }

    fn remove(&mut self, lo: &[u8], hi: &[u8], owner: u64) {
        self.root = remove(self.root.take(), (lo, hi, owner));
    }
}

fn priority(lo: &[u8], hi: &[u8], owner: u64) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (lo, hi, owner).hash(&mut hasher);
    hasher.finish()
}

type Link = Option<Box<Node>>;

/// Nodes below `key`, and the others.
fn split(link: Link, key: (&[u8], &[u8], u64)) -> (Link, Link) {
    let Some(mut node) = link else { return (None, None) };
    if node.key() < key {
        let (left, right) = split(node.right.take(), key);
        node.right = left;
        node.update();
        (Some(node), right)
    } else {
        let (left, right) = split(node.left.take(), key);
        node.left = right;
        node.update();
        (left, Some(node))
    }
}

fn merge(left: Link, right: Link) -> Link {
    match (left, right) {
        (None, link) | (link, None) => link,
        (Some(mut left), Some(mut right)) => {
            if left.priority > right.priority {
                left.right = merge(left.right.take(), Some(right));
                left.update();
                Some(left)
            } else {
                right.left = merge(Some(left), right.left.take());
                right.update();
                Some(right)
            }
        }
    }
}

fn remove(link: Link, key: (&[u8], &[u8], u64)) -> Link {
    let mut node = link?;
    match key.cmp(&node.key()) {
        std::cmp::Ordering::Equal => return merge(node.left.take(), node.right.take()),
        std::cmp::Ordering::Less => node.left = remove(node.left.take(), key),
        std::cmp::Ordering::Greater => node.right = remove(node.right.take(), key),
    }
    node.update();
    Some(node)
}

fn stab(node: Option<&Node>, key: &[u8], visit: &mut dyn FnMut(u64)) {
    let Some(node) = node else { return };
    if node.max_hi.as_slice() <= key {
        return;
    }
    stab(node.left.as_deref(), key, visit);
    if node.lo.as_slice() <= key {
        if key < node.hi.as_slice() {
            visit(node.owner);
        }
        stab(node.right.as_deref(), key, visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INDEX: IndexName = ("t", "by_x");

    proptest! {
        /// Random inserts and removes: stabbing finds exactly what a linear search finds.
        #[test]
        fn stabbing_equals_a_linear_search(
            ops in prop::collection::vec((any::<bool>(), 0u8..12, 0u8..12, 0u64..4), 1..80),
            keys in prop::collection::vec(0u8..14, 1..10),
        ) {
            let mut index = RangeIndex::default();
            let mut model: Vec<(KeyRange, u64)> = Vec::new();
            for (add, a, b, owner) in ops {
                let range = KeyRange { index: INDEX, lo: vec![a.min(b)], hi: vec![a.max(b) + 1] };
                let known = model.iter().position(|(r, o)| *r == range && *o == owner);
                match (add, known) {
                    (true, None) => { index.insert(&range, owner); model.push((range, owner)); }
                    (false, Some(at)) => { index.remove(&range, owner); model.swap_remove(at); }
                    _ => {}
                }
            }
            for key in keys {
                let mut found = Vec::new();
                index.owners_of(INDEX, &[key], &mut |owner| found.push(owner));
                found.sort_unstable();
                let mut expected: Vec<u64> =
                    model.iter().filter(|(r, _)| r.contains(INDEX, &[key])).map(|(_, o)| *o).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn the_search_visits_few_nodes_of_many() {
        let mut index = RangeIndex::default();
        for n in 0u32..10_000 {
            let key = n.to_be_bytes();
            index.insert(&KeyRange::point(INDEX, &key), u64::from(n));
        }
        fn depth(node: Option<&Node>) -> usize {
            node.map_or(0, |n| 1 + depth(n.left.as_deref()).max(depth(n.right.as_deref())))
        }
        let tree = &index.trees[&INDEX];
        assert!(depth(tree.root.as_deref()) < 60, "a balanced tree of 10,000 is far shallower than 10,000");
    }
}
