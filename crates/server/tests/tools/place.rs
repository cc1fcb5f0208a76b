//! A toolbox from the text of a configuration, and what tests ask of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use spool_agent::ToolSpec;
use spool_server::auth::tokens::{Tokens, generate_key};
use spool_server::config::Config;
use spool_server::tools::{Caller, Invocation, ToolFailure, Toolbox};
use spool_store::SystemClock;

/// No test waits longer for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Place {
    pub toolbox: Toolbox,
    pub tokens: Tokens,
    _dir: tempfile::TempDir,
}

impl Place {
    pub fn open(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spool.toml");
        std::fs::write(&file, config).unwrap();
        let config = Config::load(Some(&file), &|_| None).unwrap();
        let tokens = Tokens::new(&generate_key().unwrap(), Arc::new(SystemClock)).unwrap();
        let toolbox = Toolbox::open(&config, &tokens).unwrap();
        Self { toolbox, tokens, _dir: dir }
    }

    pub async fn names(&self) -> Vec<String> {
        self.toolbox.specs().await.into_iter().map(|spec| spec.name).collect()
    }

    pub async fn spec(&self, name: &str) -> ToolSpec {
        let specs = self.toolbox.specs().await;
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        specs.iter().find(|spec| spec.name == name).unwrap_or_else(|| panic!("no {name} in {names:?}")).clone()
    }

    pub async fn call(&self, tool: &str, input: Value) -> Result<Value, ToolFailure> {
        let called = self.toolbox.call(invocation("tc_1", tool, input));
        tokio::time::timeout(PATIENCE, called).await.unwrap_or_else(|_| panic!("{tool} neither answered nor failed"))
    }

    /// Waits until the names of the tools are as wanted.
    pub async fn until(&self, wanted: impl Fn(&[String]) -> bool) {
        let began = tokio::time::Instant::now();
        loop {
            let names = self.names().await;
            if wanted(&names) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the tools stay {names:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it as the server does, and waits for all that it started.
    pub async fn close(self) {
        tokio::time::timeout(PATIENCE, self.toolbox.close()).await.unwrap();
    }
}

pub fn invocation(call_id: &str, tool: &str, input: Value) -> Invocation {
    let caller = Caller {
        user_id: "usr_ann".into(),
        role: Some("broker".into()),
        thread_id: "thr_1".into(),
        generation_id: "gen_1".into(),
        agent_id: Some("assistant".into()),
    };
    Invocation { call_id: call_id.into(), tool: tool.into(), input, caller }
}

/// What a tool may conclude from the token that it was given, with the published keys and nothing else.
pub fn verify(tokens: &Tokens, token: &str, audience: &str) -> Value {
    let jwks = tokens.jwks();
    let key = &jwks["keys"][0];
    let text = |field: &str| key[field].as_str().unwrap();
    let decoding = jsonwebtoken::DecodingKey::from_ec_components(text("x"), text("y")).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&[audience]);
    rules.set_issuer(&[format!("spool:{}", text("kid"))]);
    rules.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    jsonwebtoken::decode::<Value>(token, &decoding, &rules).unwrap().claims
}

/// The servers that npm has, installed with the end-to-end tests.
pub fn npm_server() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let script = tests.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    assert!(script.exists(), "{} is missing; `make tests/node_modules` installs it", script.display());
    script
}
