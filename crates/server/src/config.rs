//! Everything that can be set, checked at start. A mistake is named with its key.
//!
//! Sources, later ones win: defaults, the TOML file, environment variables, command line. The documentation
//! of each option is its comment here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spool_chat::states::PhaseNames;

pub mod agents;
pub mod approvals;
pub mod audit;
pub mod auth;
pub mod guests;
pub mod limits;
pub mod providers;
pub mod roles;
pub mod sharing;
pub mod sign_in;
pub mod tools;
pub mod web;
pub mod windows;

/// The configuration file, `spool.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on (`SPOOL_LISTEN`). Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Directory for the database, the files, the signing key and the lock (`SPOOL_DATA`).
    pub data: PathBuf,
    /// Where people reach this server, as `https://spool.example`: for links in mails, and so that cookies are
    /// kept to TLS. Default: `streams.public_url`.
    pub public_url: Option<String>,
    /// `full` (default): every acknowledgement is fsynced. `normal`: a power cut may lose the last commits.
    pub synchronous: Synchronous,
    /// Title of a thread that nobody has named yet.
    pub default_title: String,
    /// The model that answers unless a thread or message names another (`SPOOL_MODEL`). As `provider/model`
    /// or just the model's name.
    pub model: Option<String>,
    /// Instructions that stand before every conversation.
    pub instructions: Option<String>,
    /// The assistant that answers where nobody chose. Default: `assistant`, or the first of `[agents.…]`.
    pub agent: Option<String>,
    /// Assistants by their ids, which stay the same for ever. Without any there is one, `assistant`.
    pub agents: BTreeMap<String, agents::Agent>,
    pub guests: guests::Guests,
    pub auth: auth::Auth,
    /// How mails are sent. Without it none are.
    pub mail: Option<sign_in::Mail>,
    pub roles: roles::Roles,
    pub turns: Turns,
    /// By application; those without a section never begin anew.
    pub windows: BTreeMap<String, windows::Window>,
    pub summaries: windows::Summaries,
    pub approvals: approvals::Approvals,
    /// What people read for the phases of a run that plans before it acts, 1 to 40 characters each.
    pub phases: PhaseNames,
    pub uploads: Uploads,
    pub sharing: sharing::Sharing,
    /// Sync sockets and event streams that are open at the same time, 1 to 1000000. Above it, 503.
    pub connections: usize,
    pub streams: Streams,
    pub limits: limits::Limits,
    pub quotas: limits::Quotas,
    pub cors: web::Cors,
    pub security: web::Security,
    pub audit: audit::Audit,
    /// Model providers by name. Those of the environment are added as `openai` and `anthropic`.
    pub providers: BTreeMap<String, Provider>,
    /// What assistants may call outside.
    pub tools: tools::Tools,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    #[default]
    Full,
    Normal,
}

/// How turns run.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turns {
    /// What a message does that arrives while an answer is being written: `refuse`, `queue`, or `steer`, which lets
    /// the answer read it before its next step.
    pub when_busy: WhenBusy,
    /// Seconds after which a turn whose runner is silent counts as interrupted, 3 to 300.
    pub lease_seconds: u64,
    /// Milliseconds that tokens are gathered before they are stored, 0 to 1000. The first is never delayed.
    pub flush_ms: u64,
    /// Bytes of tokens that are stored at once even before the time is up.
    pub flush_bytes: usize,
    /// Turns that run at the same time in this process.
    pub concurrency: usize,
    /// Milliseconds that running answers may go on after the server was asked to stop, 0 to 60000. What is
    /// not over then is kept and marked interrupted.
    pub shutdown_ms: u64,
    /// Hours that the log of an answer is kept after its end, 0.0001 to 87600; 0 is for ever. The message stays.
    pub keep_logs_hours: f64,
    /// Messages of a thread that the model sees, the newest.
    pub history_messages: usize,
    /// Bytes of history that the model sees at most.
    pub history_bytes: usize,
    /// Bytes of the conversation's files that the model is given at most, the newest. Text counts up to 256 KiB each.
    pub file_bytes: u64,
    /// Lets ordinary users write assistant and system messages, for old front ends that store answers
    /// themselves. Such messages are marked `origin: "client"`.
    pub allow_client_roles: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenBusy {
    #[default]
    Refuse,
    Queue,
    Steer,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            when_busy: WhenBusy::Refuse,
            lease_seconds: 20,
            flush_ms: 10,
            flush_bytes: 4096,
            concurrency: 4096,
            shutdown_ms: 1_000,
            keep_logs_hours: 24.0,
            history_messages: 40,
            history_bytes: 256 << 10,
            file_bytes: 16 << 20,
            allow_client_roles: false,
        }
    }
}

impl Turns {
    /// How long a log is kept, in milliseconds; `None` is for ever.
    pub fn log_ms(&self) -> Option<u64> {
        Some((self.keep_logs_hours * 3_600_000.0).round() as u64).filter(|ms| *ms > 0)
    }

    fn keeps_logs_sensibly(&self) -> bool {
        self.keep_logs_hours == 0.0 || (0.0001..=87_600.0).contains(&self.keep_logs_hours)
    }
}

/// Files of conversations.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Uploads {
    /// The largest file, in bytes, 1 to 1073741824.
    pub max_bytes: u64,
    /// Media types that are taken, as `image/png`, `image/*` or `*/*`.
    pub types: Vec<String>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { max_bytes: 20 << 20, types: vec!["*/*".to_owned()] }
    }
}

impl Uploads {
    /// Whether files of this media type are taken.
    pub fn takes(&self, media_type: &str) -> bool {
        self.types.iter().any(|pattern| match pattern.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => media_type.split_once('/').is_some_and(|(its, _)| its == kind),
            None => pattern == media_type,
        })
    }
}

/// Durable streams at `/v1/stream`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// Opens the streams to callers without a token, all sharing one owner (`SPOOL_DEV_OPEN_STREAMS=1`), and lets
    /// webhooks reach this machine. For development: the server refuses to start with it on any address but
    /// loopback, and answers only requests for `localhost`, `127.0.0.1` and `[::1]`.
    pub dev_open: bool,
    /// Milliseconds that a long poll waits for data, 10 to 300000 (`SPOOL_STREAM_LONG_POLL_MS`).
    pub long_poll_ms: u64,
    /// Where clients reach this server, for URLs in its answers and webhooks. Default: as the request says.
    pub public_url: Option<String>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { dev_open: false, long_poll_ms: 30_000, public_url: None }
    }
}

impl Streams {
    fn read_environment(&mut self, set: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        match set("SPOOL_DEV_OPEN_STREAMS").as_deref() {
            None => {}
            Some("1" | "true") => self.dev_open = true,
            Some("0" | "false") => self.dev_open = false,
            Some(_) => bail!("SPOOL_DEV_OPEN_STREAMS: must be 1 or 0"),
        }
        if let Some(ms) = set("SPOOL_STREAM_LONG_POLL_MS") {
            self.long_poll_ms = ms.parse().context("SPOOL_STREAM_LONG_POLL_MS: must be a number of milliseconds")?;
        }
        Ok(())
    }

    /// The address is known only once the server listens.
    pub fn check_listener(&self, address: SocketAddr) -> Result<()> {
        if self.dev_open && !address.ip().is_loopback() {
            bail!("streams.dev_open: opens streams to everybody, so it needs a loopback address, not {address}");
        }
        Ok(())
    }
}

/// One place that answers prompts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub kind: ProviderKind,
    /// Where its API begins, for example `http://127.0.0.1:11434/v1`. Default: the vendor's own.
    pub base_url: Option<String>,
    /// The key, or `${NAME}` to take it from the environment.
    pub api_key: Option<String>,
    /// Models offered in the UI; the first is the default.
    #[serde(default)]
    pub models: Vec<String>,
    /// Words per second of the demo model; 0 writes without pauses.
    pub words_per_second: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Anything that speaks chat completions: OpenAI, Ollama, vLLM, llama.cpp, OpenRouter.
    OpenAi,
    Anthropic,
    Demo,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3210)),
            data: PathBuf::from(".spool"),
            public_url: None,
            synchronous: Synchronous::Full,
            default_title: "New Conversation".into(),
            model: None,
            instructions: None,
            agent: None,
            agents: BTreeMap::new(),
            guests: guests::Guests::default(),
            auth: auth::Auth::default(),
            mail: None,
            roles: roles::Roles::default(),
            turns: Turns::default(),
            windows: BTreeMap::new(),
            summaries: windows::Summaries::default(),
            approvals: approvals::Approvals::default(),
            phases: PhaseNames::default(),
            uploads: Uploads::default(),
            sharing: sharing::Sharing::default(),
            connections: 20_000,
            streams: Streams::default(),
            limits: limits::Limits::default(),
            quotas: limits::Quotas::default(),
            cors: web::Cors::default(),
            security: web::Security::default(),
            audit: audit::Audit::default(),
            providers: BTreeMap::new(),
            tools: tools::Tools::default(),
        }
    }
}

impl Config {
    /// Reads the file (if any), then the environment through `variable`.
    pub fn load(file: Option<&Path>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut config = match file {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("config file {}", file.display()))?;
                let parsed = toml::from_str(&text).map_err(|error| unreadable(&text, &error));
                parsed.with_context(|| format!("config file {}", file.display()))?
            }
            None => Self::default(),
        };
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        if set("SPOOL_DATABASE_URL").is_some() {
            bail!("SPOOL_DATABASE_URL: this version stores in SQLite only; unset it and use SPOOL_DATA");
        }
        if let Some(model) = set("SPOOL_MODEL") {
            config.model = Some(model);
        }
        config.add_provider("openai", ProviderKind::OpenAi, set("OPENAI_BASE_URL"), set("OPENAI_API_KEY"));
        config.add_provider("anthropic", ProviderKind::Anthropic, set("ANTHROPIC_BASE_URL"), set("ANTHROPIC_API_KEY"));
        for (name, provider) in &mut config.providers {
            provider.resolve_key(name, variable)?;
        }
        config.streams.read_environment(&set)?;
        config.auth.resolve(variable)?;
        config.tools.resolve(variable)?;
        config.approvals.resolve(variable)?;
        if let Some(mail) = &mut config.mail {
            mail.resolve(variable)?;
        }
        config.check()?;
        Ok(config)
    }

    fn add_provider(&mut self, name: &str, kind: ProviderKind, base_url: Option<String>, api_key: Option<String>) {
        let wanted = api_key.is_some() || (kind == ProviderKind::OpenAi && base_url.is_some());
        if wanted && !self.providers.contains_key(name) {
            let provider = Provider { kind, base_url, api_key, models: Vec::new(), words_per_second: None };
            self.providers.insert(name.to_owned(), provider);
        }
    }

    fn check(&self) -> Result<()> {
        let turns = &self.turns;
        let checks = [
            ("turns.lease_seconds", (3..=300).contains(&turns.lease_seconds), "3 to 300"),
            ("turns.flush_ms", turns.flush_ms <= 1000, "0 to 1000"),
            ("turns.flush_bytes", (1..=1 << 20).contains(&turns.flush_bytes), "1 to 1048576"),
            ("turns.concurrency", (1..=100_000).contains(&turns.concurrency), "1 to 100000"),
            ("turns.shutdown_ms", turns.shutdown_ms <= 60_000, "0 to 60000"),
            ("turns.keep_logs_hours", turns.keeps_logs_sensibly(), "0, or 0.0001 to 87600"),
            ("turns.history_messages", (1..=1000).contains(&turns.history_messages), "1 to 1000"),
            ("streams.long_poll_ms", (10..=300_000).contains(&self.streams.long_poll_ms), "10 to 300000"),
            ("turns.file_bytes", turns.file_bytes <= 64 << 20, "0 to 67108864"),
            ("uploads.max_bytes", (1..=1 << 30).contains(&self.uploads.max_bytes), "1 to 1073741824"),
            ("uploads.types", self.uploads.types.iter().all(|t| t.contains('/')), "types like image/png or image/*"),
            ("sharing.max_days", self.sharing.max_days <= 3_650, "0 to 3650"),
            ("connections", (1..=1_000_000).contains(&self.connections), "1 to 1000000"),
            ("default_title", !self.default_title.trim().is_empty(), "a text that is not blank"),
        ];
        for (key, valid, range) in checks {
            if !valid {
                bail!("{key}: must be {range}");
            }
        }
        self.roles.check()?;
        agents::check(&self.agents, self.agent.as_deref(), |role| self.roles.known.contains_key(role))?;
        self.approvals.check(&self.roles)?;
        agents::check_names(&self.phases)?;
        if let Some((key, most)) = self.guests.out_of_range().first_key_value() {
            bail!("{key}: must be 0 to {most}");
        }
        windows::check(&self.windows)?;
        self.summaries.check()?;
        sign_in::check(self)?;
        self.limits.check()?;
        self.cors.check()?;
        self.security.check()?;
        self.audit.check()?;
        self.tools.check()?;
        self.auth.check()
    }

    /// Where people reach this server, without a slash at the end; `None` if nobody said.
    pub fn public_url(&self) -> Option<&str> {
        let url = self.public_url.as_deref().or(self.streams.public_url.as_deref());
        url.map(|url| url.trim_end_matches('/'))
    }

    /// The settings of guests, with the defaults of this listener.
    pub fn guests(&self) -> guests::InForce {
        self.guests.in_force(self.listen.ip().is_loopback())
    }
}

impl Provider {
    fn resolve_key(&mut self, name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let reference = self.api_key.as_deref().and_then(|key| key.strip_prefix("${")?.strip_suffix('}'));
        if let Some(reference) = reference {
            let value = variable(reference).with_context(|| {
                format!("providers.{name}.api_key: the environment variable {reference} is not set")
            })?;
            self.api_key = Some(value);
        }
        Ok(())
    }
}

/// The mistake with its line and key, but not the line itself: it may hold a secret.
fn unreadable(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count();
    let key = text.lines().nth(line).and_then(|line| line.split_once('=')).map_or("", |(key, _)| key.trim());
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let key = if is_key { format!("{key}: ") } else { String::new() };
    anyhow::anyhow!("line {}: {key}{}", line + 1, error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::load(Some(file.path()), &find)
    }

    #[test]
    fn op_09_each_mistake_is_named_with_its_key() {
        for (text, names) in [
            ("lissten = \"127.0.0.1:1\"", "lissten"),
            ("listen = \"nowhere\"", "listen"),
            ("[turns]\nlease_seconds = 1", "turns.lease_seconds"),
            ("[turns]\nkeep_logs_hours = -1", "turns.keep_logs_hours"),
            ("[turns]\nkeep_logs_hours = nan", "turns.keep_logs_hours"),
            ("[uploads]\nmax_bytes = 0", "uploads.max_bytes"),
            ("[phases]\ndone = \" \"", "phases.done"),
            ("[turns]\nwhen_busy = \"explode\"", "explode"),
            ("[providers.x]\nkind = \"openai\"\napi_key = \"${NOT_SET}\"", "providers.x.api_key"),
            ("[turns]\nlease_seconds = \"soon\"", "lease_seconds"),
        ] {
            let error = format!("{:#}", load(text, &[]).unwrap_err());
            assert!(error.contains(names), "{error}");
        }
    }

    #[test]
    fn the_environment_adds_providers_and_the_file_is_never_overruled_by_an_empty_variable() {
        let config =
            load("model = \"x\"", &[("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("SPOOL_MODEL", "")]).unwrap();
        assert_eq!(config.model.as_deref(), Some("x"));
        assert_eq!(config.providers["openai"].kind, ProviderKind::OpenAi);
        assert!(load("", &[("SPOOL_DATABASE_URL", "postgres://x")]).is_err());
    }

    #[test]
    fn ht_06_types_are_taken_by_name_or_kind() {
        let uploads = load("[uploads]\ntypes = [\"image/*\", \"text/plain\"]", &[]).unwrap().uploads;
        assert!(uploads.takes("image/png") && uploads.takes("text/plain"));
        assert!(!uploads.takes("text/html") && !uploads.takes("imagex/png"));
        assert!(Config::default().uploads.takes("a/b"));
    }
}
