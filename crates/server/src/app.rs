//! What every handler and task shares, and how the server starts and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::Request;
use spool_chat::Settings;
use spool_protocol::{Code, Error};
use spool_store::backend::sqlite::{self, SqliteBackend};
use spool_store::{Clock, Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer as _;
use tower::util::{MapRequest, MapRequestLayer};

use crate::actions::Actions;
use crate::agents::Agents;
use crate::auth::issuers::Issuers;
use crate::auth::passwords::Passwords;
use crate::auth::tokens::{Tokens, generate_key};
use crate::auth::{Auth, oidc, random_token};
use crate::config::{self, Config, Synchronous};
use crate::data_dir::{AdminAccess, DataDir};
use crate::functions::Functions;
use crate::limits::Limits;
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::notices::{self, Notices};
use crate::origin::Origins;
use crate::peers::Peers;
use crate::providers::Providers;
use crate::rooms::Rooms;
use crate::streams::keys::StreamKeys;
use crate::streams::webhook;
use crate::tools::Toolbox;
use crate::uploads::{self, Files};
use crate::{account, audit, connections, driver, http, jobs, shares, streams, summaries};

/// How long connections get to end by themselves, beyond the time that running turns have.
const DRAIN: Duration = Duration::from_secs(3);

pub struct App {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub functions: Functions,
    pub actions: Actions,
    /// Wakes the jobs before their time.
    pub hurry: Arc<Notify>,
    pub auth: Auth,
    /// Passwords, and who tries them too often.
    pub passwords: Passwords,
    pub mail: Option<Mailer>,
    /// Whom people sign in with elsewhere.
    pub oidc: oidc::Providers,
    pub providers: Arc<Providers>,
    pub agents: Agents,
    pub stream_keys: StreamKeys,
    pub origins: Arc<Origins>,
    pub limits: Limits,
    /// The bytes of uploads.
    pub files: Files,
    /// Calls subscribers of durable streams.
    pub webhooks: reqwest::Client,
    /// What assistants may call outside.
    pub tools: Toolbox,
    /// Tells browsers and the webhook what waits for people.
    pub notices: Notices,
    /// Readers that keep up.
    pub rooms: Arc<Rooms>,
    /// One permit per open socket and stream.
    room: Arc<Semaphore>,
    pub shutdown: CancellationToken,
    /// Connections and turns: what a graceful stop waits for.
    pub tasks: TaskTracker,
    /// Ours until the process ends.
    _dir: DataDir,
}

/// Opens the store in a data directory that this process owns.
pub fn open_store(dir: &DataDir, synchronous: Synchronous, clock: Arc<dyn Clock>) -> Result<Store> {
    let synchronous = match synchronous {
        Synchronous::Full => sqlite::Synchronous::Full,
        Synchronous::Normal => sqlite::Synchronous::Normal,
    };
    let backend = SqliteBackend::open(&dir.database(), spool_chat::SCHEMA, synchronous)?;
    Ok(Store::open(Arc::new(backend), StoreOptions { clock, ..StoreOptions::default() })?)
}

/// All that a connection can ask for.
pub fn service(app: &Arc<App>) -> MapRequest<Router, fn(Request) -> Request> {
    MapRequestLayer::new(http::collapse_slashes as fn(Request) -> Request).layer(http::router(app))
}

/// Serves until `app.shutdown`, then drains. The listener is handed in, so that tests and main start alike.
pub async fn serve(app: Arc<App>, listener: TcpListener) -> Result<()> {
    if let Err(error) = uploads::sweep(&app).await {
        tracing::error!(%error, "files of unfinished uploads could not be removed; the next start tries again");
    }
    // Before anybody is served: a token must not outlive its session because the server was restarted.
    let following = app.auth.revocations().follow(&app.functions).await?;
    let revocations = Arc::clone(&app);
    let revocations = tokio::spawn(async move {
        revocations.auth.revocations().run(&revocations.functions, following, &revocations.shutdown).await;
    });
    let turns = driver::start(Arc::clone(&app))?;
    let jobs = tokio::spawn(jobs::run(Arc::clone(&app)));
    let streams = tokio::spawn(streams::run(Arc::clone(&app)));
    let notices = tokio::spawn(notices::run(Arc::clone(&app)));
    let summaries = tokio::spawn(summaries::run(Arc::clone(&app)));
    let departures = tokio::spawn(account::watch(Arc::clone(&app)));
    tracing::info!("ready");
    let service = service(&app);
    let peers = Peers::new(Arc::clone(&app.origins), app.config.limits.connections_per_address);
    let ended = async {
        connections::serve(listener, service, peers, app.shutdown.clone()).await;
        turns.await;
        app.tasks.close();
        app.tasks.wait().await;
    };
    // One bound for everything: a client that sends its request forever must not keep the server.
    let late = async {
        app.shutdown.cancelled().await;
        tokio::time::sleep(DRAIN + Duration::from_millis(app.config.turns.shutdown_ms)).await;
    };
    tokio::select! {
        () = ended => {}
        () = late => tracing::warn!("connections or turns did not end in time; their state is in the store"),
    }
    // Turns are over, or kept as interrupted: nobody waits for a tool.
    app.tools.close().await;
    if let Err(error) = audit::flush(&app).await {
        tracing::warn!(%error, "the last refusals are not in the audit trail");
    }
    jobs.abort();
    streams.abort();
    notices.abort();
    summaries.abort();
    revocations.abort();
    departures.abort();
    Ok(())
}

impl App {
    /// Opens everything that a start can fail on.
    pub fn open(
        config: Config, address: SocketAddr, dir: DataDir, clock: Arc<dyn Clock>, shutdown: CancellationToken,
    ) -> Result<Arc<Self>> {
        config.streams.check_listener(address)?;
        let store = open_store(&dir, config.synchronous, Arc::clone(&clock))?;
        let key = dir.signing_key(generate_key)?;
        let tokens = Tokens::new(&key, Arc::clone(&clock))?;
        let issuers = Issuers::new(&tokens, &config.auth, Arc::clone(&clock))?;
        let stream_keys = StreamKeys::derive(&key)?;
        let rooms = Rooms::start(&store)?;
        let origins = Arc::new(Origins::new(&config.limits, config.audit.addresses, &key));
        let admin = AdminAccess { address, token: random_token() };
        dir.publish_admin(&admin)?;
        let providers = Arc::new(Providers::new(&config)?);
        let url_key = Some(stream_keys.urls.clone());
        let share_key = Some(shares::key(&key));
        let notices = Notices::new(&config, &key)?;
        let mut settings = Settings { url_key, share_key, ..settings(&config, &providers) };
        if config.approvals.push {
            settings.info.push_key = notices.push_key();
        }
        let settings = Arc::new(settings);
        let hurry = Arc::new(Notify::new());
        let functions = Functions::new(store, settings, Arc::new(Metrics::default()));
        let tools = Toolbox::open(&config, &tokens)?;
        let mail = config.mail.as_ref().map(Mailer::new).transpose()?;
        Ok(Arc::new(Self {
            passwords: Passwords::default(),
            mail,
            oidc: oidc::Providers::new(&config.auth.providers, &key, Arc::clone(&clock))?,
            auth: Auth::new(tokens, issuers, functions.clone(), config.guests(), admin.token),
            actions: Actions::new(functions.clone(), Arc::clone(&hurry)),
            hurry,
            functions,
            agents: Agents::new(&config),
            providers,
            room: Arc::new(Semaphore::new(config.connections)),
            webhooks: webhook::client(config.streams.dev_open)?,
            stream_keys,
            notices,
            tools,
            rooms,
            origins,
            limits: Limits::new(&config.limits),
            files: Files::open(dir.path())?,
            config,
            clock,
            shutdown,
            tasks: TaskTracker::new(),
            _dir: dir,
        }))
    }
}

impl App {
    /// A place for one more long connection, to be held as long as it lasts; `overloaded` if all are taken.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let full =
            |_| Error::new(Code::Overloaded, "the server has as many open connections as it may; try again soon");
        Arc::clone(&self.room).try_acquire_owned().map_err(full)
    }
}

/// What functions may know of the configuration.
pub fn settings(config: &Config, providers: &Providers) -> Settings {
    let default = providers.default_model();
    let agents = Agents::new(config).choices();
    Settings {
        default_title: config.default_title.clone(),
        default_model: default.id.clone(),
        default_provider: Some(default.provider.clone()),
        lease_ms: config.turns.lease_seconds * 1000,
        when_busy: match config.turns.when_busy {
            crate::config::WhenBusy::Refuse => spool_chat::WhenBusy::Refuse,
            crate::config::WhenBusy::Queue => spool_chat::WhenBusy::Queue,
            crate::config::WhenBusy::Steer => spool_chat::WhenBusy::Steer,
        },
        history_messages: config.turns.history_messages,
        history_bytes: config.turns.history_bytes,
        log_ms: config.turns.log_ms(),
        approval_ms: Some(config.approvals.expire_minutes * 60_000).filter(|ms| *ms > 0),
        approvals: config.approval_policy(),
        roles: config.roles.settings(),
        agents: spool_chat::agents::Agents { known: agents.clone() },
        allow_client_roles: config.turns.allow_client_roles,
        guests: config.guests().limits,
        share_links: config.share_links(),
        share_ms: Some(config.sharing.max_days * 86_400_000).filter(|ms| *ms > 0),
        quotas: config.quotas.settings(),
        windows: config::windows::settings(&config.windows),
        summaries: config.summaries.settings(),
        info: spool_chat::ServerInfo {
            name: "Spool".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            models: providers.models(),
            roles: config.roles.settings().known,
            agents,
            phases: config.phases.clone(),
            demo: providers.is_demo_only(),
            max_upload_bytes: config.uploads.max_bytes,
            guests: config.guests().policy,
            sign_in: config.auth.password.enabled || !config.auth.providers.is_empty(),
            share_links: config.share_links(),
            share_max_days: config.sharing.max_days,
            push_key: String::new(),
        },
        ..Settings::default()
    }
}
