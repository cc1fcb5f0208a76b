//! The store's promise, told once and run against a real backend (`Bench::at` opens it).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use spool_protocol::Code;
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::commit::MutationFn;
use spool_store::live::QueryFn;
use spool_store::{
    Document, Id, Index, LedgerKey, Order, PaginationOpts, Schema, Store, StoreOptions, Table, Tx, VirtualClock,
};
use tempfile::TempDir;
use tokio::sync::Notify;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    _id: Id<Note>,
    owner: String,
    rank: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
}

static NOTES: Table = Table {
    name: "notes",
    prefix: "note",
    indexes: &[Index::new("by_owner", &["owner", "rank"]), Index::unique("by_slug", &["slug"])],
};
static BY_OWNER: &Index = &NOTES.indexes[0];
static SCHEMA: Schema = Schema { tables: &[&NOTES] };

impl Document for Note {
    const TABLE: &'static Table = &NOTES;
    fn id(&self) -> &Id<Self> {
        &self._id
    }
}

struct Bench {
    store: Store,
    clock: Arc<VirtualClock>,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::at(TempDir::new().unwrap(), 1_000_000)
    }

    fn at(dir: TempDir, ms: u64) -> Self {
        let clock = Arc::new(VirtualClock::at_ms(ms));
        let backend = SqliteBackend::open(&dir.path().join("spool.db"), SCHEMA, Synchronous::Normal).unwrap();
        let store = Store::open(Arc::new(backend), StoreOptions { clock: clock.clone(), readers: 2 }).unwrap();
        Self { store, clock, dir }
    }

    async fn add(&self, owner: &str, rank: f64, slug: Option<&str>) -> Result<Id<Note>, spool_protocol::Error> {
        let (owner, slug) = (owner.to_owned(), slug.map(str::to_owned));
        let run: MutationFn = Arc::new(move |tx| {
            let note = Note { _id: tx.new_id(), owner: owner.clone(), rank, slug: slug.clone() };
            tx.put(&note)?;
            Ok(serde_json::to_string(&note._id).unwrap())
        });
        self.store.mutate(run, None).await.map(|done| serde_json::from_str(&done.value).unwrap())
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, run: QueryFn) -> T {
        serde_json::from_str(&self.store.query(run).await.unwrap().1).unwrap()
    }
}

fn ranks_of(owner: &str) -> QueryFn {
    let owner = owner.to_owned();
    Arc::new(move |tx| {
        let notes = tx.query::<Note>(BY_OWNER).eq(owner.as_str()).collect()?;
        Ok(serde_json::to_string(&notes.iter().map(|n| n.rank).collect::<Vec<_>>()).unwrap())
    })
}

fn mutation(run: impl Fn(&mut Tx<'_>) -> Result<String, spool_protocol::Error> + Send + Sync + 'static) -> MutationFn {
    Arc::new(run)
}

#[tokio::test]
async fn documents_are_read_in_index_order_and_survive_a_restart() {
    let bench = Bench::new();
    for rank in [3.0, 1.0, 2.0] {
        bench.add("a", rank, None).await.unwrap();
    }
    bench.add("b", 9.0, None).await.unwrap();
    assert_eq!(bench.read::<Vec<f64>>(ranks_of("a")).await, [1.0, 2.0, 3.0]);
    let before = bench.store.timestamp();
    let Bench { store, dir, .. } = bench;
    drop(store);
    // The clock of the new process is behind: commits must go forward all the same.
    let again = Bench::at(dir, 1);
    assert_eq!(again.read::<Vec<f64>>(ranks_of("a")).await, [1.0, 2.0, 3.0]);
    again.add("a", 4.0, None).await.unwrap();
    assert!(again.store.timestamp() > before);
}

#[tokio::test]
async fn a_failing_mutation_leaves_nothing_and_harms_no_neighbour() {
    let bench = Bench::new();
    let failing = mutation(|tx| {
        let note = Note { _id: tx.new_id(), owner: "a".into(), rank: 1.0, slug: None };
        tx.put(&note)?;
        Err(spool_protocol::Error::bad_request("no"))
    });
    let panicking = mutation(|_| panic!("on purpose"));
    let (failed, panicked, good) =
        tokio::join!(bench.store.mutate(failing, None), bench.store.mutate(panicking, None), bench.add("a", 2.0, None));
    assert_eq!(failed.unwrap_err().code, Code::BadRequest);
    assert_eq!(panicked.unwrap_err().code, Code::Internal);
    good.unwrap();
    assert_eq!(bench.read::<Vec<f64>>(ranks_of("a")).await, [2.0]);
}

#[tokio::test]
async fn a_unique_index_refuses_a_second_document_but_not_a_second_null() {
    let bench = Bench::new();
    bench.add("a", 1.0, Some("x")).await.unwrap();
    let error = bench.add("a", 2.0, Some("x")).await.unwrap_err();
    assert_eq!(error.code, Code::AlreadyExists);
    assert!(error.message.contains("notes.by_slug"), "{}", error.message);
    bench.add("a", 3.0, None).await.unwrap();
    bench.add("a", 4.0, None).await.unwrap();
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_ended_and_nobody_waits_for_ever() {
    let bench = Bench::new();
    bench.add("a", 1.0, None).await.unwrap();
    let endless: QueryFn = Arc::new(|tx| {
        loop {
            tx.query::<Note>(BY_OWNER).eq("b").first()?;
        }
    });
    assert_eq!(bench.store.query(endless).await.unwrap_err().code, Code::TooLarge);
    assert_eq!(bench.read::<Vec<f64>>(ranks_of("a")).await, [1.0]);
}

#[tokio::test]
async fn ids_of_another_kind_are_refused_by_name() {
    let error = Id::<Note>::parse("thr_00000000000000000000000000").unwrap_err();
    assert_eq!(error.code, Code::BadId);
    assert!(error.message.contains("note_"), "{}", error.message);
}

#[tokio::test]
async fn the_same_request_is_executed_once_even_in_parallel_and_after_a_restart() {
    let bench = Bench::new();
    let key = || Some(LedgerKey { session: "s".into(), request: "1".into(), principal: "p".into() });
    let add = mutation(|tx| {
        let note = Note { _id: tx.new_id(), owner: "a".into(), rank: 1.0, slug: None };
        tx.put(&note)?;
        Ok(serde_json::to_string(&note._id).unwrap())
    });
    let (first, second) = tokio::join!(bench.store.mutate(add.clone(), key()), bench.store.mutate(add.clone(), key()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.ts, &first.value), (second.ts, &second.value));
    let Bench { store, dir, .. } = bench;
    drop(store);
    let again = Bench::at(dir, 1_000_000);
    let third = again.store.mutate(add.clone(), key()).await.unwrap();
    assert_eq!((third.ts, third.value, third.replayed), (first.ts, first.value, true));
    assert_eq!(again.read::<Vec<f64>>(ranks_of("a")).await, [1.0]);
    let foreign = LedgerKey { principal: "q".into(), ..key().unwrap() };
    assert_eq!(again.store.mutate(add, Some(foreign)).await.unwrap_err().code, Code::Forbidden);
}

/// More answers than one step looks at, of two principals in turns.
#[tokio::test]
async fn ia_14_every_answer_of_a_principal_is_forgotten_and_no_other() {
    let bench = Bench::new();
    let key = |n: usize| LedgerKey {
        session: format!("s{}", n % 7),
        request: n.to_string(),
        principal: if n.is_multiple_of(2) { "p" } else { "q" }.into(),
    };
    // Only answers of what changed something are kept.
    let add = mutation(|tx| {
        let note = Note { _id: tx.new_id(), owner: "a".into(), rank: 1.0, slug: None };
        tx.put(&note)?;
        Ok("null".to_owned())
    });
    let all = spool_store::limits::LEDGER_STEP * 2 + 3;
    let mut answers = Vec::new();
    for n in 0..all {
        answers.push(bench.store.submit_mutation(add.clone(), Some(key(n))).await.unwrap());
    }
    for answer in answers {
        assert!(!answer.await.unwrap().unwrap().replayed);
    }
    bench.store.forget_answers("p").await.unwrap();
    for n in (0..all).step_by(97).chain(all - 3..all) {
        let done = bench.store.mutate(add.clone(), Some(key(n))).await.unwrap();
        assert_eq!(done.replayed, n % 2 == 1, "{n}");
    }
}

/// What changed nothing may be executed again, and its answer may be a secret (a signed URL): it is not kept.
#[tokio::test]
async fn the_answer_of_a_request_that_changed_nothing_is_not_kept() {
    let bench = Bench::new();
    let key = || Some(LedgerKey { session: "s".into(), request: "1".into(), principal: "p".into() });
    let sign = mutation(|_| Ok("\"a-secret\"".into()));
    for _ in 0..2 {
        let answer = bench.store.mutate(sign.clone(), key()).await.unwrap();
        assert_eq!((&*answer.value, answer.replayed), ("\"a-secret\"", false));
    }
    for entry in std::fs::read_dir(bench.dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|piece| piece == b"a-secret"));
    }
}

#[tokio::test]
async fn one_run_serves_all_subscribers_and_only_a_touching_commit_makes_another() {
    let bench = Bench::new();
    let runs = Arc::new(AtomicU64::new(0));
    let counted: QueryFn = {
        let (runs, inner) = (runs.clone(), ranks_of("a"));
        Arc::new(move |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            inner(tx)
        })
    };
    let wakes: Vec<_> = (0..1000).map(|_| Arc::new(Notify::new())).collect();
    let subscriptions: Vec<_> =
        wakes.iter().map(|wake| bench.store.subscribe("k".into(), None, counted.clone(), wake.clone())).collect();
    let mut outputs = Vec::new();
    for subscription in &subscriptions {
        outputs.push(bench.store.evaluate(&[subscription]).await.unwrap().1.remove(0));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    bench.add("b", 1.0, None).await.unwrap();
    for subscription in &subscriptions {
        assert!(Arc::ptr_eq(&bench.store.evaluate(&[subscription]).await.unwrap().1[0], &outputs[0]));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1, "a commit outside the read set re-runs nothing");
    bench.add("a", 1.0, None).await.unwrap();
    for (subscription, wake) in subscriptions.iter().zip(&wakes) {
        wake.notified().await;
        assert_eq!(bench.store.evaluate(&[subscription]).await.unwrap().1[0].value.as_deref().unwrap(), "[1.0]");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2, "one run per commit, not one per subscriber");
    drop(subscriptions);
    assert_eq!(bench.store.live_queries(), 0);
}

#[tokio::test]
async fn logs_append_at_their_end_only_and_followers_see_every_chunk_once() {
    let bench = Bench::new();
    assert_eq!(bench.store.append("l", 0, 2, "ab".into()).await.unwrap(), 2);
    let wrong = bench.store.append("l", 0, 2, "ab".into()).await.unwrap_err();
    assert_eq!((wrong.code, wrong.data.unwrap()["end"].as_u64()), (Code::OffsetMismatch, Some(2)));
    let mut tail = bench.store.tail("l", 1).await.unwrap();
    let first = tail.next().await.unwrap().unwrap();
    assert_eq!((first[0].start, &*first[0].data), (0, "ab"));
    let (next, _) = tokio::join!(tail.next(), bench.store.append("l", 2, 1, "c".into()));
    assert_eq!(&*next.unwrap().unwrap()[0].data, "c");
    let seal = mutation(|tx| tx.log_append("l", 1, "d".into()).and_then(|_| tx.log_seal("l")).map(|()| "null".into()));
    bench.store.mutate(seal, None).await.unwrap();
    assert_eq!(&*tail.next().await.unwrap().unwrap()[0].data, "d");
    assert!(tail.next().await.unwrap().is_none());
    assert_eq!(bench.store.append("l", 4, 1, "e".into()).await.unwrap_err().code, Code::LogSealed);
    let mut late = bench.store.tail("l", 0).await.unwrap();
    assert_eq!(late.next().await.unwrap().unwrap().len(), 3);
}

/// A follower that joins a long sealed log reads it all from the database, in bounded pieces.
#[tokio::test]
async fn a_late_follower_reads_from_storage_in_bounded_pieces() {
    let bench = Bench::new();
    let piece = "x".repeat(100 << 10);
    for n in 0..10u64 {
        bench.store.append("l", n, 1, piece.clone()).await.unwrap();
    }
    let mut tail = bench.store.tail("l", 0).await.unwrap();
    let (mut chunks, mut reads) = (0, 0);
    while chunks < 10 {
        let read = tail.next().await.unwrap().unwrap();
        assert!(read.len() <= 3, "one read stays near the read limit");
        chunks += read.len();
        reads += 1;
    }
    assert!(reads >= 4);
}

/// Logs that nobody ends are forgotten once there are very many and nobody follows them; nobody notices.
#[tokio::test]
async fn many_open_logs_are_appended_to_and_followed_as_if_each_were_the_only_one() {
    let bench = Bench::new();
    let name = |n: usize| format!("l{n}");
    let mut followed = bench.store.tail("l0", 0).await.unwrap();
    let mut appending = Vec::new();
    for n in 0..spool_store::limits::LOG_ENDS + 2 {
        appending.push(bench.store.submit_append(&name(n), 0, 1, "a".into()).await.unwrap());
    }
    for append in appending {
        append.await.unwrap();
    }
    for n in [0, 1, 500] {
        assert_eq!(bench.store.append(&name(n), 1, 1, "b".into()).await.unwrap(), 2, "{n}");
        let mut tail = bench.store.tail(&name(n), 0).await.unwrap();
        assert_eq!(tail.next().await.unwrap().unwrap().len(), 2, "{n}");
    }
    assert_eq!(followed.next().await.unwrap().unwrap().len(), 2);
    let (next, _) = tokio::join!(followed.next(), bench.store.append("l0", 2, 1, "c".into()));
    assert_eq!(&*next.unwrap().unwrap()[0].data, "c");
}

#[tokio::test]
async fn an_empty_log_page_wakes_at_once_and_a_full_one_only_after_its_rest() {
    let bench = Bench::new();
    let page: QueryFn = Arc::new(|tx| {
        let chunks = tx.log_read("l", 0)?;
        Ok(serde_json::to_string(&chunks.iter().map(|c| c.data.to_string()).collect::<String>()).unwrap())
    });
    let wake = Arc::new(Notify::new());
    let subscription = bench.store.subscribe("p".into(), None, page, wake.clone());
    let value = async || bench.store.evaluate(&[&subscription]).await.unwrap().1[0].value.clone().unwrap().to_string();
    assert_eq!(value().await, "\"\"");
    bench.store.append("l", 0, 1, "a".into()).await.unwrap();
    wake.notified().await;
    assert_eq!(value().await, "\"a\"");
    bench.store.append("l", 1, 1, "b".into()).await.unwrap();
    assert_eq!(value().await, "\"a\"", "the page rests: its reader is expected to go on from offset 1");
    wake.notified().await;
    assert_eq!(value().await, "\"ab\"", "a reader that does not go on gets the grown page after a while");
}

#[tokio::test]
async fn a_query_at_a_handed_out_timestamp_is_exact_or_refused() {
    let bench = Bench::new();
    bench.add("a", 1.0, None).await.unwrap();
    let ts = bench.store.timestamp();
    bench.add("b", 2.0, None).await.unwrap();
    assert_eq!(bench.store.query_at(ts, ranks_of("a")).await.unwrap(), "[1.0]");
    bench.clock.advance_ms(5);
    let pinned = bench.store.pin().await.unwrap();
    bench.add("a", 3.0, None).await.unwrap();
    assert_eq!(bench.store.query_at(ts, ranks_of("a")).await.unwrap_err().code, Code::Overloaded);
    assert_eq!(bench.store.query_at(pinned, ranks_of("a")).await.unwrap(), "[1.0]");
    bench.clock.advance_ms(31_000);
    assert_eq!(bench.store.query_at(pinned, ranks_of("a")).await.unwrap_err().code, Code::Overloaded);
}

/// Large documents end a page early, and following the cursors still gives every one, once.
#[tokio::test]
async fn a_page_ends_by_bytes_before_it_ends_by_rows() {
    let bench = Bench::new();
    for rank in 0..7 {
        bench.add("a", f64::from(rank), Some(&format!("{rank}{}", "x".repeat(1_500_000)))).await.unwrap();
    }
    let (mut cursor, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let options = PaginationOpts { num_items: 100, cursor: cursor.clone(), end_cursor: None };
        let page: PageBack = bench.read(page_query(options, Order::Asc)).await;
        assert!((1..=3).contains(&page.page.len()), "{} rows of 1.5 MB", page.page.len());
        seen.extend(page.page.iter().map(|note| note.rank));
        pages += 1;
        if page.is_done {
            break;
        }
        cursor = Some(page.continue_cursor);
    }
    assert_eq!(seen, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert!(pages >= 3);
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Remove(u8),
    LoadMore,
    Reload,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..60).prop_map(Step::Add),
        2 => (0u8..60).prop_map(Step::Remove),
        2 => Just(Step::LoadMore),
        2 => Just(Step::Reload),
    ];
    prop::collection::vec(step, 1..40)
}

fn page_query(options: PaginationOpts, order: Order) -> QueryFn {
    Arc::new(move |tx| {
        let page = tx.query::<Note>(BY_OWNER).eq("a").order(order).paginate(&options)?;
        Ok(serde_json::to_string(&page).unwrap())
    })
}

/// Serialized as a page, read back without the optional parts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageBack {
    page: Vec<Note>,
    is_done: bool,
    continue_cursor: String,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// MS-12: live pages cut at different times never overlap and never leave a gap, in both directions,
    /// and every live result equals a fresh run at the same moment (a random history against a model).
    #[test]
    fn live_pages_stay_gapless_over_random_histories(steps in steps(), descending in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let order = if descending { Order::Desc } else { Order::Asc };
            let bench = Bench::new();
            let wake = Arc::new(Notify::new());
            let mut model: BTreeMap<u8, Id<Note>> = BTreeMap::new();
            let mut pages = Vec::new();
            let open = |cursor: Option<String>, n: usize| {
                let options = PaginationOpts { num_items: 3, cursor, end_cursor: None };
                bench.store.subscribe(format!("page {n}"), None, page_query(options, order), wake.clone())
            };
            pages.push(open(None, 0));
            for step in steps {
                match step {
                    Step::Add(rank) if !model.contains_key(&rank) => {
                        model.insert(rank, bench.add("a", f64::from(rank), None).await.unwrap());
                    }
                    Step::Remove(rank) => if let Some(id) = model.remove(&rank) {
                        let run = mutation(move |tx| tx.delete(&id).map(|_| "null".into()));
                        bench.store.mutate(run, None).await.unwrap();
                    },
                    Step::Add(_) | Step::Reload => {}
                    Step::LoadMore => {
                        let all: Vec<_> = pages.iter().collect();
                        let (_, outputs) = bench.store.evaluate(&all).await.unwrap();
                        let last: PageBack = serde_json::from_str(outputs.last().unwrap().value.as_ref().unwrap()).unwrap();
                        if !last.is_done {
                            pages.push(open(Some(last.continue_cursor), pages.len()));
                        }
                    }
                }
                let all: Vec<_> = pages.iter().collect();
                let (_, outputs) = bench.store.evaluate(&all).await.unwrap();
                let mut seen = Vec::new();
                let mut done = false;
                for output in &outputs {
                    let page: PageBack = serde_json::from_str(output.value.as_ref().unwrap()).unwrap();
                    seen.extend(page.page.iter().map(|note| note.rank as u8));
                    done = page.is_done;
                }
                let mut expected: Vec<u8> = model.keys().copied().collect();
                if descending { expected.reverse(); }
                if !done { expected.truncate(seen.len()); }
                assert_eq!(seen, expected, "joined pages are a gapless prefix of the model");
            }
        });
    }
}
