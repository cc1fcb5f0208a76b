//! Random histories: whatever users, drivers and the clock do, the invariants hold.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::stage::{OWNER, Stage, begin, held, text, words};

#[derive(Debug, Clone)]
enum Step {
    Send { queue: bool },
    Append,
    Stop,
    Retry,
    Claim,
    Start,
    Tokens,
    Finish(&'static str),
    Wait(u64),
    Expire,
    Restart,
    Clear,
    Remove,
    Purge,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(|queue| Step::Send { queue }),
        1 => Just(Step::Append),
        1 => Just(Step::Stop),
        2 => Just(Step::Retry),
        4 => Just(Step::Claim),
        4 => Just(Step::Start),
        3 => Just(Step::Tokens),
        4 => prop_oneof![Just("complete"), Just("error"), Just("stopped"), Just("interrupted")].prop_map(Step::Finish),
        1 => (1_000..25_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
        1 => Just(Step::Restart),
        1 => Just(Step::Clear),
        1 => Just(Step::Remove),
        1 => Just(Step::Purge),
    ]
}

/// Two threads; the newest generation is whose driver acts, with the last epoch it was given.
struct History {
    stage: Stage,
    threads: [String; 2],
    generation: Option<String>,
    message: Option<String>,
    epoch: u64,
    owner: u32,
}

impl History {
    async fn take(&mut self, step: Step, which: usize) {
        let thread = json!({ "threadId": self.threads[which] });
        let generation = self.generation.clone().unwrap_or_default();
        let u1 = self.stage.u1.clone();
        match step {
            Step::Send { queue } => {
                let busy = if queue { "queue" } else { "refuse" };
                let args = json!({ "threadId": self.threads[which], "text": "hello", "ifBusy": busy });
                if let Ok(sent) = self.stage.call(&u1, "turns:send", args).await
                    && let Some(id) = sent["generationId"].as_str()
                {
                    self.generation = Some(id.to_owned());
                    self.message = Some(text(&sent["messageId"]));
                }
            }
            Step::Append => {
                let args = json!({ "threadId": self.threads[which], "role": "user", "text": "note" });
                self.stage.ok(&u1, "messages:append", args).await;
            }
            Step::Stop => drop(self.stage.call(&u1, "generations:stop", json!({ "generationId": generation })).await),
            Step::Retry => {
                let args = json!({ "messageId": self.message });
                if let Ok(retried) = self.stage.call(&u1, "turns:retry", args).await {
                    self.generation = Some(text(&retried["generationId"]));
                }
            }
            Step::Claim => {
                let queued = self.stage.system("driver:queue", json!({ "limit": 1 })).await;
                if let Some(first) = queued[0].as_str() {
                    let args = json!({ "generationId": first, "owner": OWNER });
                    let claim = self.stage.system("driver:claim", args).await;
                    self.generation = Some(first.to_owned());
                    self.message = claim["messageId"].as_str().map(str::to_owned).or(self.message.take());
                    self.epoch = claim["epoch"].as_u64().unwrap_or(0);
                }
            }
            Step::Start => drop(self.system("driver:append", begin(held(&generation, self.epoch))).await),
            Step::Tokens => {
                let at = self.stage.call(&u1, "generations:get", json!({ "generationId": generation })).await;
                let at = at.ok().filter(|view| view["status"] == json!("streaming"));
                if let Some(cursor) = at.and_then(|view| view["cursor"].as_u64()) {
                    self.stage.append(&generation, cursor, &[words("tokens ")]).await;
                }
            }
            Step::Finish(status) => {
                let mut args = held(&generation, self.epoch);
                args["status"] = json!(status);
                drop(self.system("driver:finish", args).await);
            }
            Step::Wait(ms) => self.stage.clock.advance_ms(ms),
            Step::Expire => drop(self.stage.system("driver:expire", json!({})).await),
            Step::Restart => {
                self.owner += 1;
                let args = json!({ "owner": format!("other-{}", self.owner), "onlyOwner": true });
                self.stage.system("driver:expire", args).await;
            }
            Step::Clear => drop(self.stage.call(&u1, "threads:clear", thread).await),
            Step::Remove => {
                self.stage.ok(&u1, "threads:remove", thread).await;
                self.threads[which] = self.stage.thread(&u1).await;
            }
            Step::Purge => {
                self.stage.system("threads:purge", json!({ "limit": 5 })).await;
                self.stage.system("remains:sweep", json!({ "limit": 5 })).await;
            }
        }
    }

    async fn system(&self, path: &str, args: Value) -> Result<Value, spool_protocol::Error> {
        self.stage.call(&spool_chat::Principal::System, path, args).await
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn ty_04_the_invariants_hold_after_every_step(steps in prop::collection::vec((any_step(), 0..2_usize), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = Stage::new().await;
            let threads = [stage.thread(&stage.u1).await, stage.thread(&stage.u1).await];
            let mut history = History { stage, threads, generation: None, message: None, epoch: 0, owner: 0 };
            for (step, which) in steps {
                history.take(step.clone(), which).await;
                let violations = history.stage.violations().await;
                assert!(violations.is_empty(), "after {step:?}: {violations:?}");
            }
        });
    }
}
