//! The command line: `spool serve`, and the tools of the operator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use spool_chat::Settings;
use spool_server::app::{self, App};
use spool_server::config::Config;
use spool_server::data_dir::{AdminAccess, DATABASE, DataDir, OpenError};
use spool_server::functions::Functions;
use spool_server::uploads::{self, Files};
use spool_store::SystemClock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

mod admin;
mod key;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A live, durable backend for AI conversations.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve {
        /// Address and port; port 0 takes a free one.
        #[arg(long, env = "SPOOL_LISTEN")]
        listen: Option<SocketAddr>,
        #[command(flatten)]
        place: Place,
    },
    /// Service keys for backends.
    Key {
        #[command(subcommand)]
        command: key::Command,
    },
    /// Administrators and the accounts they make.
    Admin {
        #[command(subcommand)]
        command: admin::AdminCommand,
    },
    /// Check every invariant of the stored data. Exits with 1 if one is broken.
    Doctor {
        #[command(flatten)]
        place: Place,
    },
    /// Print the audit trail, newest first, one JSON object per line.
    Audit {
        /// Entries at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Print the OpenAPI document of all public functions.
    Openapi,
}

#[derive(Args)]
struct Place {
    /// Data directory.
    #[arg(long, env = "SPOOL_DATA")]
    data: Option<PathBuf>,
    /// Configuration file (TOML).
    #[arg(long, env = "SPOOL_CONFIG")]
    config: Option<PathBuf>,
}

impl Place {
    fn config(&self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref(), &|name| std::env::var(name).ok())?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok(config)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            let message = format!("spool: {error:#}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), message.as_bytes());
            ExitCode::from(1)
        }
    }
}

#[tokio::main]
async fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Serve { listen, place } => serve(listen, &place).await,
        Command::Key { command } => key::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Admin { command } => admin::run(command).await,
        Command::Doctor { place } => doctor(&place).await,
        Command::Audit { limit, place } => audit(limit, &place).await,
        Command::Openapi => {
            print(&serde_json::to_string_pretty(&spool_chat::openapi::document())?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn serve(listen: Option<SocketAddr>, place: &Place) -> Result<ExitCode> {
    let filter = EnvFilter::try_from_env("SPOOL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // These log the messages of MCP servers and the environments of processes whole. What matters we say ourselves.
    let filter = filter.add_directive("rmcp=off".parse()?).add_directive("process_wrap=off".parse()?);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let mut config = place.config()?;
    if let Some(listen) = listen {
        config.listen = listen;
    }
    let dir = DataDir::own(&config.data)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let app = App::open(config, address, dir, Arc::new(SystemClock), shutdown)?;
    print(&format!("Spool is at http://{address}\n"))?;
    app::serve(app, listener).await?;
    Ok(ExitCode::SUCCESS)
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut hangup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    shutdown.cancel();
}

/// A way to call internal functions: in this process if nobody has the data, else through the server that
/// has it.
enum Operator {
    Here(Functions),
    There(AdminAccess, reqwest::Client),
}

impl Operator {
    fn of(config: &Config) -> Result<Self> {
        match DataDir::open(&config.data) {
            Ok(dir) => {
                let store = app::open_store(&dir, config.synchronous, Arc::new(SystemClock))?;
                // The lock must outlive the store, and both last as long as this short process.
                std::mem::forget(dir);
                // What the command line may write depends on the roles of this server, and on nothing else of it.
                let settings = Settings { roles: config.roles.settings(), ..Settings::default() };
                Ok(Self::Here(Functions::new(store, Arc::new(settings), Arc::default())))
            }
            Err(OpenError::InUse) => Ok(Self::There(AdminAccess::of(&config.data)?, reqwest::Client::new())),
            Err(OpenError::Other(error)) => Err(error),
        }
    }

    async fn query(&self, path: &str, args: Value) -> Result<Value> {
        match self {
            Self::Here(functions) => Ok(serde_json::from_str(&functions.query_as_system(path, args).await?.1)?),
            Self::There(access, client) => call(access, client, "query", path, args).await,
        }
    }

    async fn mutate(&self, path: &str, args: Value) -> Result<Value> {
        match self {
            Self::Here(functions) => Ok(serde_json::from_str(&functions.mutate_as_system(path, args).await?)?),
            Self::There(access, client) => call(access, client, "mutation", path, args).await,
        }
    }
}

async fn call(access: &AdminAccess, client: &reqwest::Client, kind: &str, path: &str, args: Value) -> Result<Value> {
    let url = format!("http://{}/api/{kind}", access.address);
    let request = client.post(url).bearer_auth(&access.token).json(&json!({ "path": path, "args": args }));
    let mut answer: Value = request.send().await.context("asking the running server")?.json().await?;
    if answer["status"] == "success" {
        return Ok(answer["value"].take());
    }
    let message = answer["errorMessage"].as_str().or_else(|| answer["message"].as_str());
    bail!("{path}: {}", message.unwrap_or("the running server refused"))
}

async fn audit(limit: usize, place: &Place) -> Result<ExitCode> {
    let operator = Operator::of(&place.config()?)?;
    let (mut cursor, mut left) = (Value::Null, limit);
    while left > 0 {
        let options = json!({ "numItems": left.min(500), "cursor": cursor });
        let page = operator.query("audit:list", json!({ "paginationOpts": options })).await?;
        let entries = page["page"].as_array().map(Vec::as_slice).unwrap_or_default();
        for entry in entries {
            print(&format!("{entry}\n"))?;
        }
        left = left.saturating_sub(entries.len());
        if page["isDone"] == true {
            break;
        }
        cursor = page["continueCursor"].clone();
    }
    Ok(ExitCode::SUCCESS)
}

async fn doctor(place: &Place) -> Result<ExitCode> {
    let config = place.config()?;
    if !config.data.join(DATABASE).exists() {
        bail!("{} holds no data of a server", config.data.display());
    }
    let operator = Operator::of(&config)?;
    let (mut cursor, mut broken) = (Value::Null, 0_usize);
    loop {
        let page = operator.query("doctor:check", json!({ "cursor": cursor })).await?;
        for violation in page["violations"].as_array().into_iter().flatten() {
            broken += 1;
            print(&format!("{violation}\n"))?;
        }
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    broken += doctor_of_bytes(&config, &operator).await?;
    print(&if broken == 0 { "every invariant holds\n".to_owned() } else { format!("{broken} violations\n") })?;
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Every file that a row speaks of is there, whole.
async fn doctor_of_bytes(config: &Config, operator: &Operator) -> Result<usize> {
    let files = Files::open(&config.data)?;
    let (mut cursor, mut broken) = (Value::Null, 0);
    loop {
        let options = json!({ "numItems": 100, "cursor": cursor });
        let page = operator.query("uploads:everyone", json!({ "paginationOpts": options })).await?;
        for (row, message) in uploads::faults(&files, &page)? {
            // A running server may have removed it meanwhile.
            if operator.query("uploads:known", json!({ "ids": [row.id] })).await? != json!([]) {
                broken += 1;
                print(&format!("{}\n", json!({ "id": row.id, "invariant": "bytes", "message": message })))?;
            }
        }
        if page["isDone"] == true {
            return Ok(broken);
        }
        cursor = page["continueCursor"].clone();
    }
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?)
}
