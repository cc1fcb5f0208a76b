//! Machines and workers: who may work, at what, and until when.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::registry::{Access, FUNCTIONS, Visibility};
use spool_chat::tables::credential::secret_hash;
use spool_protocol::Code;

use crate::matrix::{Case, case, nowhere};
use crate::stage::{Stage, text};

fn id_of(worker: &Principal) -> String {
    let Principal::Worker { worker, .. } = worker else { panic!("no worker") };
    worker.to_string()
}

async fn connect(stage: &Stage, worker: &Principal) -> u64 {
    stage.ok(worker, "workers:connect", json!({})).await["epoch"].as_u64().unwrap()
}

/// A thread of `owner` that this worker answers in.
async fn thread_of(stage: &Stage, owner: &Principal, worker: &Principal) -> String {
    text(&stage.ok(owner, "threads:create", json!({ "workerId": id_of(worker) })).await)
}

async fn claim(stage: &Stage, worker: &Principal, epoch: u64) -> Value {
    stage.ok(worker, "workers:claim", json!({ "epoch": epoch })).await
}

fn append(generation: &str, epoch: u64, said: &str) -> Value {
    json!({ "generationId": generation, "epoch": epoch, "events": [{ "type": "text", "text": said }] })
}

fn finish(generation: &str, epoch: u64) -> Value {
    json!({ "generationId": generation, "epoch": epoch, "status": "complete" })
}

async fn status(stage: &Stage, generation: &str) -> String {
    text(&stage.ok(&stage.u1, "generations:get", json!({ "generationId": generation })).await["status"])
}

#[tokio::test]
async fn wk_07_a_turn_waits_for_its_worker_who_claims_appends_and_finishes() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let thread = thread_of(&stage, &stage.u1, &worker).await;
    let turn = stage.send(&stage.u1, &thread, "hello there").await;
    let waiting = stage.system("driver:queue", json!({ "limit": 10 })).await;
    assert_eq!(waiting, json!([]), "the server's own driver leaves it alone");
    let args = json!({ "generationId": turn.generation, "owner": "driver-1" });
    assert!(stage.system("driver:claim", args).await.is_null());

    let epoch = connect(&stage, &worker).await;
    let assigned = stage.ok(&worker, "workers:assigned", json!({ "epoch": epoch })).await;
    assert_eq!((&assigned[0]["generationId"], &assigned[0]["status"]), (&json!(turn.generation), &json!("queued")));
    let job = claim(&stage, &worker, epoch).await;
    assert_eq!(job["generationId"], json!(turn.generation));
    assert_eq!(job["claim"]["history"][0]["text"], json!("hello there"));
    assert!(claim(&stage, &worker, epoch).await.is_null(), "nothing else waits");
    let appended = stage.ok(&worker, "generations:append", append(&turn.generation, epoch, "hi")).await;
    assert_eq!(appended, json!({ "appended": true, "cursor": 2 }));
    let ended = stage.ok(&worker, "generations:finish", finish(&turn.generation, epoch)).await;
    assert_eq!(ended["status"], json!("complete"));
    let answer = &stage.messages(&stage.u1, &thread).await[1];
    assert_eq!((&answer["text"], &answer["origin"]), (&json!("hi"), &json!("worker")));
    let generation = stage.ok(&stage.u1, "generations:get", json!({ "generationId": turn.generation })).await;
    assert_eq!((&generation["runner"], &generation["workerId"]), (&json!("worker"), &json!(id_of(&worker))));
    stage.healthy().await;
}

#[tokio::test]
async fn ia_09_a_worker_reaches_only_what_is_assigned_to_it() {
    let stage = Stage::new().await;
    let (mine, other) = (stage.worker(&stage.u1, "mine").await, stage.worker(&stage.u1, "other").await);
    let stranger = stage.worker(&stage.u2, "stranger").await;
    let thread = thread_of(&stage, &stage.u1, &mine).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let hosted = stage.thread(&stage.u1).await;
    let hosted = stage.send(&stage.u1, &hosted, "hello").await;
    let missing = nowhere().generation;
    for worker in [&other, &stranger] {
        let epoch = connect(&stage, worker).await;
        for (path, of) in [
            ("generations:append", append as fn(&str, u64, &str) -> Value),
            ("generations:finish", |generation, epoch, _| finish(generation, epoch)),
            ("workers:claim", |generation, epoch, _| json!({ "epoch": epoch, "generationId": generation })),
        ] {
            let nothing = stage.refused(worker, path, of(&missing, epoch, "x")).await;
            assert_eq!(nothing.code, Code::NotFound);
            for foreign in [&turn.generation, &hosted.generation] {
                assert_eq!(stage.refused(worker, path, of(foreign, epoch, "x")).await, nothing, "{path}");
            }
            let anonymous = stage.code(&Principal::Anonymous, path, of(&turn.generation, epoch, "x")).await;
            assert_eq!(anonymous, Code::Unauthenticated);
        }
        assert_eq!(stage.ok(worker, "workers:assigned", json!({ "epoch": epoch })).await, json!([]));
    }
    // Its own, but not claimed: it has no lease.
    let epoch = connect(&stage, &mine).await;
    let early = stage.refused(&mine, "generations:append", append(&turn.generation, epoch, "x")).await;
    assert_eq!((early.code, &early.data.unwrap()["reason"]), (Code::Forbidden, &json!("lease_lost")));
    // A thread that went to another worker: the answer that was begun stays with who began it.
    claim(&stage, &mine, epoch).await;
    let moved = json!({ "threadId": thread, "workerId": id_of(&other) });
    stage.ok(&stage.u1, "threads:update", moved).await;
    stage.ok(&mine, "generations:append", append(&turn.generation, epoch, "mine")).await;
    let other_epoch = connect(&stage, &other).await;
    let theirs = append(&turn.generation, other_epoch, "x");
    assert_eq!(stage.code(&other, "generations:append", theirs).await, Code::NotFound);
    stage.healthy().await;
}

#[tokio::test]
async fn ia_05_a_worker_calls_nothing_that_is_not_for_workers() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let ids = nowhere();
    let open = |access| matches!(access, Access::Anyone | Access::Worker | Access::Runner | Access::Reader);
    let others = FUNCTIONS.iter().filter(|f| f.visibility == Visibility::Public && !open(f.access));
    for function in others {
        let Some(Case::Takes(_) | Case::NoIds(_)) = case(function.path, &ids) else { continue };
        assert_eq!(function.authorize(&worker).unwrap_err().code, Code::Forbidden, "{}", function.path);
    }
    let all = stage.service(&["*"]).await;
    for caller in [&stage.u1, &all] {
        assert_eq!(stage.code(caller, "workers:connect", json!({})).await, Code::Forbidden);
    }
    let with_epoch = append(&ids.generation, 1, "x");
    assert_eq!(stage.code(&all, "generations:append", with_epoch).await, Code::BadRequest);
    let without = json!({ "generationId": ids.generation, "events": [] });
    assert_eq!(stage.code(&worker, "generations:append", without).await, Code::BadRequest);
}

#[tokio::test]
async fn wk_08_a_newer_process_fences_the_older() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let (a, b) = (thread_of(&stage, &stage.u1, &worker).await, thread_of(&stage, &stage.u1, &worker).await);
    let begun = stage.send(&stage.u1, &a, "one").await;
    let old = connect(&stage, &worker).await;
    claim(&stage, &worker, old).await;
    stage.ok(&worker, "generations:append", append(&begun.generation, old, "half")).await;
    let unbegun = stage.send(&stage.u1, &b, "two").await;
    claim(&stage, &worker, old).await;

    let new = connect(&stage, &worker).await;
    assert!(new > old);
    for (path, args) in [
        ("generations:append", append(&begun.generation, old, "x")),
        ("generations:finish", finish(&begun.generation, old)),
        ("workers:heartbeat", json!({ "epoch": old })),
        ("workers:claim", json!({ "epoch": old })),
        ("workers:assigned", json!({ "epoch": old })),
    ] {
        let refused = stage.refused(&worker, path, args).await;
        assert_eq!((refused.code, &refused.data.unwrap()["epoch"]), (Code::StaleEpoch, &json!(new)), "{path}");
    }
    assert_eq!(status(&stage, &begun.generation).await, "interrupted");
    assert_eq!(stage.messages(&stage.u1, &a).await[1]["text"], json!("half"));
    assert_eq!(status(&stage, &unbegun.generation).await, "queued");
    let job = claim(&stage, &worker, new).await;
    assert_eq!((&job["generationId"], &job["claim"]["epoch"]), (&json!(unbegun.generation), &json!(2)));
    stage.healthy().await;
}

#[tokio::test]
async fn wk_05_a_silent_worker_is_missed_and_one_that_beats_is_not() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let presence = || async { stage.ok(&stage.u1, "workers:list", json!({})).await[0]["presence"].clone() };
    assert_eq!(presence().await, json!("offline"));
    let (a, b) = (thread_of(&stage, &stage.u1, &worker).await, thread_of(&stage, &stage.u1, &worker).await);
    let (begun, unbegun) = (stage.send(&stage.u1, &a, "one").await, stage.send(&stage.u1, &b, "two").await);
    let epoch = connect(&stage, &worker).await;
    assert_eq!(presence().await, json!("online"));
    claim(&stage, &worker, epoch).await;
    claim(&stage, &worker, epoch).await;
    stage.ok(&worker, "generations:append", append(&begun.generation, epoch, "half")).await;
    for _ in 0..5 {
        stage.clock.advance_ms(60_000);
        stage.ok(&worker, "workers:heartbeat", json!({ "epoch": epoch })).await;
        stage.system("driver:expire", json!({})).await;
    }
    assert_eq!(status(&stage, &begun.generation).await, "streaming");
    assert_eq!(status(&stage, &unbegun.generation).await, "claimed");

    let machine = || async { stage.ok(&stage.u1, "machines:list", json!({})).await[0]["workers"].clone() };
    assert_eq!(machine().await, json!({ "pending": 0, "online": 1, "offline": 0, "revoked": 0 }));
    stage.clock.advance_ms(90_000);
    assert_eq!(presence().await, json!("offline"), "computed, whatever the row says");
    let due = stage.system("workers:nextLapse", json!({})).await.as_u64().unwrap();
    assert!(due <= stage.store.clock().now_ms());
    assert_eq!(stage.system("workers:lapse", json!({})).await["deleted"], json!(1));
    assert!(stage.system("workers:nextLapse", json!({})).await.is_null());
    assert_eq!(machine().await, json!({ "pending": 0, "online": 0, "offline": 1, "revoked": 0 }));
    let expired = stage.system("driver:expire", json!({})).await;
    assert_eq!((&expired["interrupted"], &expired["requeued"]), (&json!(1), &json!(1)));
    assert_eq!(status(&stage, &unbegun.generation).await, "queued");
    // It was only the network: the same process goes on with what is still to be had.
    let late = append(&begun.generation, epoch, "x");
    assert_eq!(stage.ok(&worker, "generations:append", late).await["appended"], json!(false));
    let lost = append(&unbegun.generation, epoch, "x");
    assert_eq!(stage.code(&worker, "generations:append", lost).await, Code::Forbidden);
    assert_eq!(claim(&stage, &worker, epoch).await["generationId"], json!(unbegun.generation));
    stage.healthy().await;
}

#[tokio::test]
async fn st_10_stopping_an_answer_of_a_worker_ends_it_at_once() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let thread = thread_of(&stage, &stage.u1, &worker).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let epoch = connect(&stage, &worker).await;
    claim(&stage, &worker, epoch).await;
    stage.ok(&worker, "generations:append", append(&turn.generation, epoch, "half")).await;
    let stopped = stage.ok(&stage.u1, "generations:stop", json!({ "generationId": turn.generation })).await;
    assert_eq!(stopped, json!({ "stopped": true }));
    assert_eq!(stage.ok(&worker, "workers:assigned", json!({ "epoch": epoch })).await, json!([]));
    let late = stage.ok(&worker, "generations:append", append(&turn.generation, epoch, "x")).await;
    assert!(text(&late["reason"]).contains("stopped"));
    assert_eq!(
        stage.ok(&worker, "generations:finish", finish(&turn.generation, epoch)).await["status"],
        json!("stopped")
    );
    stage.healthy().await;
}

/// What the token of a worker stands for, if its secret has this hash.
async fn admitted(stage: &Stage, machine: &str, worker: &str, hash: &str) -> Value {
    let args = json!({ "machineId": machine, "workerId": worker, "secretHash": hash });
    stage.system("workers:authenticate", args).await["is"].clone()
}

#[tokio::test]
async fn ia_08_a_secret_is_good_for_one_approved_worker_and_each_refusal_has_its_reason() {
    let stage = Stage::new().await;
    let machine = text(&stage.ok(&stage.u1, "machines:create", json!({ "name": "m" })).await);
    let worker = stage.worker_on(&stage.u1, &machine, "s").await;
    let hash = secret_hash(&format!("{machine} s"));
    let with = |hash: String| {
        let (stage, machine, worker) = (&stage, &machine, &worker);
        async move { admitted(stage, machine, worker, &hash).await }
    };
    assert_eq!(with(hash.clone()).await, json!("pending"));
    assert_eq!(with(secret_hash("guess")).await, json!("invalid_secret"));
    stage.ok(&stage.u1, "workers:approve", json!({ "workerId": worker })).await;
    assert_eq!(with(hash.clone()).await, json!("worker"));
    // The secret of one worker with the name of another, and of a service with that of a worker.
    let (other_machine, other) = stage.pending_worker(&stage.u1, "other").await;
    assert_eq!(admitted(&stage, &other_machine, &other, &hash).await, json!("invalid_secret"));
    assert_eq!(admitted(&stage, &other_machine, &worker, &hash).await, json!("invalid_secret"));
    stage.service(&["*"]).await;
    assert_eq!(with(secret_hash("*")).await, json!("invalid_secret"));
    let as_key = stage.system("credentials:find", json!({ "secretHash": hash })).await;
    assert!(as_key.is_null(), "the secret of a worker is no service key");

    let renewed = secret_hash("renewed");
    let args = json!({ "user": stage.u1.user(), "workerId": worker, "secretHash": renewed });
    let shown = stage.system("workers:renew", args).await;
    assert!(!shown.to_string().contains(&renewed));
    assert_eq!(with(hash).await, json!("invalid_secret"), "the old one is over");
    assert_eq!(with(renewed.clone()).await, json!("worker"));
    stage.ok(&stage.u1, "workers:revoke", json!({ "workerId": worker })).await;
    assert_eq!(with(renewed.clone()).await, json!("revoked"));
    let again = json!({ "user": stage.u1.user(), "workerId": worker, "secretHash": secret_hash("again") });
    assert_eq!(stage.code(&Principal::System, "workers:renew", again).await, Code::WorkerUnavailable);
    stage.ok(&stage.u1, "workers:remove", json!({ "workerId": worker })).await;
    assert_eq!(with(renewed).await, json!("removed"));
    assert!(!stage.ok(&stage.u1, "workers:list", json!({})).await.to_string().contains(&worker));
    stage.healthy().await;
}

#[tokio::test]
async fn wk_02_the_owner_of_the_machine_approves_and_only_the_pending_are_rejected() {
    let stage = Stage::new().await;
    let (machine, worker) = stage.pending_worker(&stage.u1, "w").await;
    let pending = stage.ok(&stage.u1, "workers:listPending", json!({})).await;
    assert_eq!(pending.as_array().unwrap().len(), 1);
    let unready = json!({ "workerId": worker });
    assert_eq!(stage.code(&stage.u1, "threads:create", unready.clone()).await, Code::WorkerUnavailable);
    let approved = stage.ok(&stage.u1, "workers:approve", unready.clone()).await;
    let by = (&approved["approval"], &approved["approvedBy"], approved["approvedAt"].is_u64());
    assert_eq!(by, (&json!("approved"), &json!(stage.u1.user()), true));
    assert_eq!(stage.code(&stage.u1, "workers:reject", unready.clone()).await, Code::InvalidTransition);
    assert_eq!(stage.code(&stage.u1, "workers:approve", unready.clone()).await, Code::InvalidTransition);
    assert_eq!(stage.ok(&stage.u1, "workers:listPending", json!({})).await, json!([]));
    let second = stage.worker_on(&stage.u1, &machine, "second").await;
    stage.ok(&stage.u1, "workers:reject", json!({ "workerId": second })).await;
    let left = stage.ok(&stage.u1, "workers:list", json!({ "machineId": machine })).await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    // Nobody else's worker can be given a thread, and a key approves nobody's.
    assert_eq!(stage.code(&stage.u2, "threads:create", unready.clone()).await, Code::NotFound);
    let key = stage.service(&["*"]).await;
    let third = stage.worker_on(&stage.u1, &machine, "third").await;
    assert_eq!(stage.code(&key, "workers:approve", json!({ "workerId": third })).await, Code::NotFound);
    stage.healthy().await;
}

#[tokio::test]
async fn ia_13_revoking_a_worker_ends_its_answers_and_those_that_wait_for_it() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let (a, b) = (thread_of(&stage, &stage.u1, &worker).await, thread_of(&stage, &stage.u1, &worker).await);
    let begun = stage.send(&stage.u1, &a, "one").await;
    let epoch = connect(&stage, &worker).await;
    claim(&stage, &worker, epoch).await;
    stage.ok(&worker, "generations:append", append(&begun.generation, epoch, "half")).await;
    for said in ["behind", "behind that"] {
        let queued = json!({ "threadId": a, "text": said, "ifBusy": "queue" });
        stage.ok(&stage.u1, "turns:send", queued).await;
    }
    let waiting = stage.send(&stage.u1, &b, "two").await;
    stage.ok(&stage.u1, "workers:revoke", json!({ "workerId": id_of(&worker) })).await;
    assert_eq!(status(&stage, &begun.generation).await, "interrupted");
    assert_eq!(status(&stage, &waiting.generation).await, "error");
    let messages = stage.messages(&stage.u1, &a).await;
    let found: Vec<_> = messages.iter().map(|m| (text(&m["role"]), text(&m["status"]))).collect();
    let expected = [
        ("user", "complete"),
        ("assistant", "interrupted"),
        ("user", "complete"),
        ("assistant", "error"),
        ("user", "complete"),
        ("assistant", "error"),
    ];
    assert_eq!(found, expected.map(|(role, status)| (role.to_owned(), status.to_owned())));
    assert_eq!(messages[3]["error"]["code"], json!("worker_unavailable"));
    // A socket that has not heard of it yet reaches nothing any more.
    for (path, args) in [("workers:connect", json!({})), ("generations:append", append(&begun.generation, epoch, "x"))]
    {
        assert_eq!(stage.code(&worker, path, args).await, Code::WorkerUnavailable, "{path}");
    }
    let send = json!({ "threadId": a, "text": "more" });
    assert_eq!(stage.code(&stage.u1, "turns:send", send.clone()).await, Code::WorkerUnavailable);
    // The conversation can go on with the server.
    stage.ok(&stage.u1, "threads:update", json!({ "threadId": a, "workerId": null })).await;
    stage.ok(&stage.u1, "turns:send", send).await;
    stage.healthy().await;
}

#[tokio::test]
async fn wk_01_removing_a_machine_removes_its_workers_and_keeps_threads() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let thread = thread_of(&stage, &stage.u1, &worker).await;
    let turn = stage.send(&stage.u1, &thread, "one").await;
    let epoch = connect(&stage, &worker).await;
    claim(&stage, &worker, epoch).await;
    stage.ok(&worker, "generations:append", append(&turn.generation, epoch, "half")).await;
    let Principal::Worker { machine, .. } = &worker else { panic!("no worker") };
    stage.ok(&stage.u1, "machines:remove", json!({ "machineId": machine })).await;
    assert_eq!(stage.ok(&stage.u1, "machines:list", json!({})).await, json!([]));
    assert_eq!(stage.ok(&stage.u1, "workers:list", json!({})).await, json!([]));
    let answer = &stage.messages(&stage.u1, &thread).await[1];
    assert_eq!((&answer["text"], &answer["status"]), (&json!("half"), &json!("interrupted")));
    let send = json!({ "threadId": thread, "text": "more" });
    assert_eq!(stage.code(&stage.u1, "turns:send", send).await, Code::NotFound);
    let retry = json!({ "messageId": turn.message });
    assert_eq!(stage.code(&stage.u1, "turns:retry", retry).await, Code::NotFound);
    stage.healthy().await;
}

#[tokio::test]
async fn wk_13_what_waits_for_one_worker_is_bounded() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    for _ in 0..spool_chat::limits::WORKER_QUEUE {
        let thread = thread_of(&stage, &stage.u1, &worker).await;
        stage.send(&stage.u1, &thread, "x").await;
    }
    let thread = thread_of(&stage, &stage.u1, &worker).await;
    let refused = stage.refused(&stage.u1, "turns:send", json!({ "threadId": thread, "text": "x" })).await;
    assert_eq!(refused.code, Code::Overloaded);
    let hosted = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &hosted, "x").await;
    let queue = stage.system("driver:queue", json!({ "limit": 10 })).await;
    assert_eq!(queue, json!([turn.generation]), "the server's queue is its own");
    let epoch = connect(&stage, &worker).await;
    for _ in 0..spool_chat::limits::WORKER_RUNNING {
        assert!(claim(&stage, &worker, epoch).await.is_object());
    }
    assert!(claim(&stage, &worker, epoch).await.is_null());
}
