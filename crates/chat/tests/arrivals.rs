//! Chunks that a runner numbers: repeated, out of order, missing.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::Code;

use crate::stage::{Stage, text};

/// A runner outside with an answer to make.
struct Desk {
    stage: Stage,
    service: Principal,
    thread: String,
    opened: Value,
}

impl Desk {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let service = stage.service(&["generations:*"]).await;
        let thread = stage.thread(&stage.u1).await;
        let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "go" })).await;
        Self { stage, service, thread, opened }
    }

    fn chunk(&self, sequence: u64, said: &str) -> Value {
        json!({
            "generationId": self.opened["generationId"],
            "sequence": sequence,
            "events": [{ "type": "text", "text": said }],
        })
    }

    async fn send(&self, sequence: u64) -> Value {
        self.stage.ok(&self.service, "generations:append", self.chunk(sequence, &sequence.to_string())).await
    }

    async fn streamed(&self) -> String {
        let args = json!({ "generationId": self.opened["generationId"], "cursor": 0 });
        let page = self.stage.ok(&self.stage.u1, "generations:deltas", args).await;
        page["events"].as_array().unwrap().iter().filter_map(|event| event["text"].as_str()).collect()
    }

    async fn said(&self) -> String {
        let args = json!({ "messageId": self.opened["messageId"] });
        text(&self.stage.ok(&self.stage.u1, "messages:get", args).await["text"])
    }

    fn finish(&self, status: &str, text: Option<&str>) -> Value {
        json!({ "generationId": self.opened["generationId"], "status": status, "text": text })
    }
}

#[tokio::test]
async fn st_08_numbered_chunks_are_taken_once_and_in_their_order_and_gaps_are_told() {
    let desk = Desk::new().await;
    let mut answers = Vec::new();
    for sequence in [0, 2, 1, 1, 3] {
        answers.push(desk.send(sequence).await);
    }
    assert_eq!(
        answers,
        [
            json!({ "appended": true, "cursor": 1 }),
            json!({ "appended": false, "cursor": 1, "held": true, "missing": [1] }),
            json!({ "appended": true, "cursor": 3 }),
            json!({ "appended": true, "cursor": 3, "duplicate": true }),
            json!({ "appended": true, "cursor": 4 }),
        ]
    );
    assert_eq!(desk.streamed().await, "0123");
    desk.send(4).await;
    assert_eq!(desk.send(6).await["missing"], json!([5]));
    let again = desk.send(6).await;
    assert_eq!((&again["held"], &again["duplicate"], &again["missing"]), (&json!(true), &json!(true), &json!([5])));
    assert_eq!(desk.send(2).await["missing"], json!([5]), "every answer tells of the gap");
    assert_eq!(desk.send(9).await["missing"], json!([5, 7, 8]));
    assert_eq!(desk.streamed().await, "01234");
    desk.stage.healthy().await;

    // Complete it is only with what is missing, or with the whole text.
    let refused = desk.stage.refused(&desk.service, "generations:finish", desk.finish("complete", None)).await;
    let data = refused.data.unwrap();
    assert_eq!(refused.code, Code::StreamConflict);
    assert_eq!((&data["reason"], &data["missing"]), (&json!("sequence_gap"), &json!([5, 7, 8])));
    let whole = desk.finish("complete", Some("0123456789"));
    let finished = desk.stage.ok(&desk.service, "generations:finish", whole.clone()).await;
    assert_eq!(finished, json!({ "status": "complete", "cursor": 11 }));
    assert_eq!(desk.stage.ok(&desk.service, "generations:finish", whole).await, finished);
    assert_eq!((desk.said().await.as_str(), desk.streamed().await.as_str()), ("0123456789", "0123456789"));
    let late = desk.send(5).await;
    assert_eq!((&late["appended"], &late["held"]), (&json!(false), &Value::Null));
    assert!(text(&late["reason"]).contains("complete"));
    desk.stage.healthy().await;
}

#[tokio::test]
async fn st_08_a_gap_that_is_filled_late_completes_the_answer() {
    let desk = Desk::new().await;
    for sequence in [3, 1, 4, 2] {
        assert_eq!(desk.send(sequence).await["cursor"], json!(0));
    }
    assert_eq!(desk.send(0).await, json!({ "appended": true, "cursor": 5 }));
    desk.stage.ok(&desk.service, "generations:finish", desk.finish("complete", None)).await;
    assert_eq!(desk.said().await, "01234");
    desk.stage.healthy().await;
}

#[tokio::test]
async fn st_08_an_answer_that_ends_with_a_gap_keeps_what_stands_before_it() {
    for stopped in [false, true] {
        let desk = Desk::new().await;
        for sequence in [0, 1, 3] {
            desk.send(sequence).await;
        }
        if stopped {
            desk.stage
                .ok(&desk.stage.u1, "generations:stop", json!({ "generationId": desk.opened["generationId"] }))
                .await;
        } else {
            desk.stage.ok(&desk.service, "generations:finish", desk.finish("error", None)).await;
        }
        assert_eq!(desk.said().await, "01");
        desk.stage.healthy().await;
    }
}

#[tokio::test]
async fn st_08_what_may_wait_is_bounded_and_the_refusal_names_what_is_missing() {
    let desk = Desk::new().await;
    desk.send(0).await;
    let refused = |chunk: Value| desk.stage.refused(&desk.service, "generations:append", chunk);
    let far = refused(desk.chunk(258, "x")).await;
    let data = far.data.unwrap();
    assert_eq!((far.code, &data["expected"]), (Code::StreamConflict, &json!(1)));
    assert_eq!((data["missing"].as_array().unwrap().len(), &data["missing"][0]), (256, &json!(1)));
    assert_eq!(refused(desk.chunk(u64::MAX, "x")).await.data.unwrap()["missing"].as_array().unwrap().len(), 256);
    assert_eq!(desk.send(257).await["held"], json!(true), "the last number that may wait");
    let large = "x".repeat(1 << 19);
    let held = desk.stage.ok(&desk.service, "generations:append", desk.chunk(2, &large)).await;
    assert_eq!(held["held"], json!(true));
    assert_eq!(refused(desk.chunk(3, &large)).await.code, Code::StreamConflict);
    // What was refused left no trace, and what is missing is taken.
    assert_eq!(desk.send(1).await["missing"][0], json!(3));
    for other in [json!({ "offset": 0 }), json!({ "producer": { "id": "p", "epoch": 0, "seq": 0 } })] {
        let mut chunk = desk.chunk(3, "x");
        chunk.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        assert_eq!(refused(chunk).await.code, Code::BadRequest);
    }
    desk.stage.ok(&desk.stage.u1, "threads:remove", json!({ "threadId": desk.thread })).await;
    while desk.stage.system("threads:purge", json!({ "limit": 100 })).await["hasMore"] == json!(true) {}
    desk.stage.healthy().await;
}

#[tokio::test]
async fn st_06_a_final_text_that_was_not_streamed_is_told_and_one_that_was_cut_is_not() {
    for (streamed, told) in [("wrong", json!(true)), ("rig", Value::Null), ("right", Value::Null)] {
        let desk = Desk::new().await;
        desk.stage.ok(&desk.service, "generations:append", desk.chunk(0, streamed)).await;
        let finish = desk.finish("complete", Some("right"));
        let finished = desk.stage.ok(&desk.service, "generations:finish", finish.clone()).await;
        assert_eq!(finished["textDiffers"], told, "{streamed}");
        assert_eq!(desk.stage.ok(&desk.service, "generations:finish", finish).await, finished);
        assert_eq!(desk.said().await, "right");
    }
}
