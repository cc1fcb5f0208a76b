//! `[tools]`: what assistants may call outside. A mistake is named with its key, never with its value.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{HeaderName, HeaderValue, Method};
use reqwest::Url;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use spool_agent::tools::check_schema;
use spool_chat::builtin;
use spool_chat::rules::is_like;

use super::auth::{Secret, resolve};
use crate::egress::Reach;

/// Characters of a tool's name, as the strictest provider takes them.
pub const NAME_LENGTH: usize = 64;
/// People that one call can be asked of.
const APPROVERS: u32 = 10;
/// Headers that are this server's to say.
const RESERVED: &[&str] =
    &["spool-caller", "idempotency-key", "host", "content-length", "content-type", "transfer-encoding", "connection"];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    /// Tools that are one HTTP request, by their names.
    pub http: BTreeMap<String, HttpTool>,
    /// Servers of the Model Context Protocol, by names of our own.
    pub mcp: BTreeMap<String, McpServer>,
}

/// A tool that is one HTTP request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// For people; default: its name.
    pub title: Option<String>,
    /// For the model: what it does and when to use it.
    pub description: String,
    /// Where it is. Its query may hold secrets, as a whole text `${NAME}`.
    pub url: Secret,
    /// `GET` and `DELETE` carry the input in the query, the others as JSON in the body. Default: `POST`.
    #[serde(default)]
    pub method: Verb,
    /// JSON Schema of the input, as a table or as JSON text.
    #[serde(deserialize_with = "schema")]
    pub input: Value,
    /// Headers of every request; `${NAME}` and `${file:PATH}` are resolved anywhere in them.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Seconds that a call may take, 1 to 3600.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Whether it changes something. Default: not with `GET`, else yes.
    pub writes: Option<bool>,
    /// Whether a repeated `Idempotency-Key` does nothing more. Default: if it does not write.
    pub idempotent: Option<bool>,
    /// People who have to agree where a call is asked about, 1 to 10.
    #[serde(default = "one")]
    pub approvers: u32,
    /// Lets it be on this machine or in a private network, and without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

/// An MCP server: a command that speaks over its standard input and output, or a URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// The program. It gets `PATH`, `HOME` and the like of this server's environment, and what `env` says.
    pub command: Option<String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    pub cwd: Option<PathBuf>,
    /// Instead of a command: where it speaks streamable HTTP.
    pub url: Option<Secret>,
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Stands before the names of its tools. Default: the server's name and `_`; may be empty.
    pub prefix: Option<String>,
    /// The tools that are offered, by their own names; `*` is any text. Default: all.
    pub include: Option<Vec<String>>,
    /// And those that are not.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What is known better than by the server, by the tools' own names.
    #[serde(default)]
    pub tools: BTreeMap<String, Override>,
    /// Seconds that a call may take, 1 to 3600.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Lets the URL be on this machine or in a private network, and without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

/// What the operator says of a tool of an MCP server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    pub description: Option<String>,
    pub writes: Option<bool>,
    pub idempotent: Option<bool>,
    pub approvers: Option<u32>,
}

const fn timeout_seconds() -> u64 {
    30
}

const fn one() -> u32 {
    1
}

fn schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| serde::de::Error::custom("must be a JSON Schema, and is not JSON"))
        }
        value => Ok(value),
    }
}

impl Tools {
    /// Puts the environment's variables and files where they are referred to.
    pub fn resolve(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        for (name, tool) in &mut self.http {
            let at = format!("tools.http.{name}");
            tool.url.resolve(&format!("{at}.url"), variable)?;
            resolve_all(&mut tool.headers, &format!("{at}.headers"), variable)?;
        }
        for (name, server) in &mut self.mcp {
            let at = format!("tools.mcp.{name}");
            if let Some(url) = &mut server.url {
                url.resolve(&format!("{at}.url"), variable)?;
            }
            resolve_all(&mut server.headers, &format!("{at}.headers"), variable)?;
            resolve_all(&mut server.env, &format!("{at}.env"), variable)?;
        }
        Ok(())
    }

    pub fn check(&self) -> Result<()> {
        for (name, tool) in &self.http {
            tool.check(name).with_context(|| format!("tools.http.{name}"))?;
        }
        for (name, server) in &self.mcp {
            server.check(name).with_context(|| format!("tools.mcp.{name}"))?;
        }
        Ok(())
    }
}

impl HttpTool {
    fn check(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if builtin::find(name).is_some() {
            bail!("the name is that of a tool of the server itself; give it another one");
        }
        if self.description.trim().is_empty() {
            bail!("description: must say what the tool does; the model knows nothing else of it");
        }
        check_url(&self.url, self.reach()).context("url")?;
        check_schema(&self.input).map_err(|fault| anyhow::anyhow!("input: {fault}"))?;
        headers(&self.headers)?;
        check_timeout(self.timeout_seconds)?;
        check_approvers(self.approvers)
    }

    pub fn reach(&self) -> Reach {
        reach(self.allow_private)
    }

    pub fn writes(&self) -> bool {
        self.writes.unwrap_or(self.method != Verb::Get)
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

impl Verb {
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

impl McpServer {
    fn check(&self, name: &str) -> Result<()> {
        check_name(name)?;
        match (&self.command, &self.url) {
            (Some(_), Some(_)) => bail!("command: a server has a command or a url, not both"),
            (None, None) => bail!("command: must be set, or url"),
            (None, Some(url)) => {
                check_url(url, self.reach()).context("url")?;
                let set = [("args", !self.args.is_empty()), ("env", !self.env.is_empty()), ("cwd", self.cwd.is_some())];
                if let Some((key, _)) = set.iter().find(|(_, set)| *set) {
                    bail!("{key}: is for servers with a command");
                }
            }
            (Some(command), None) => {
                if command.trim().is_empty() {
                    bail!("command: must not be blank");
                }
                if !self.headers.is_empty() || self.allow_private {
                    bail!(
                        "{}: is for servers with a url",
                        if self.allow_private { "allow_private" } else { "headers" }
                    );
                }
            }
        }
        headers(&self.headers)?;
        let prefix = self.prefix(name);
        if prefix.len() >= NAME_LENGTH || !prefix.bytes().all(is_name_byte) {
            bail!("prefix: must be at most {} of a-z A-Z 0-9 _ -", NAME_LENGTH - 1);
        }
        for (tool, said) in &self.tools {
            if let Some(approvers) = said.approvers {
                check_approvers(approvers).with_context(|| format!("tools.{tool}"))?;
            }
        }
        check_timeout(self.timeout_seconds)
    }

    pub fn reach(&self) -> Reach {
        reach(self.allow_private)
    }

    /// What stands before the names of its tools, if it is called `name`.
    pub fn prefix(&self, name: &str) -> String {
        self.prefix.clone().unwrap_or_else(|| format!("{name}_"))
    }

    /// Whether a tool of this name, its own, is offered.
    pub fn offers(&self, tool: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| is_like(pattern, tool));
        self.include.as_deref().is_none_or(any) && !any(&self.exclude)
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

/// Headers as they are sent. They are never shown.
pub fn headers(named: &BTreeMap<String, Secret>) -> Result<http::HeaderMap> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in named {
        let valid: HeaderName = name.parse().ok().with_context(|| format!("headers.{name}: is no name of a header"))?;
        if RESERVED.contains(&valid.as_str()) || valid.as_str().starts_with("mcp-") {
            bail!("headers.{name}: is set by this server");
        }
        let value = HeaderValue::from_str(value.expose());
        let mut value = value.ok().with_context(|| format!("headers.{name}: must be visible ASCII characters"))?;
        value.set_sensitive(true);
        headers.insert(valid, value);
    }
    Ok(headers)
}

fn reach(allow_private: bool) -> Reach {
    if allow_private { Reach::Anywhere } else { Reach::Internet }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_LENGTH || !name.bytes().all(is_name_byte) {
        bail!("the name must be 1 to {NAME_LENGTH} of a-z A-Z 0-9 _ -");
    }
    Ok(())
}

pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn check_url(url: &Secret, reach: Reach) -> Result<()> {
    let url = Url::parse(url.expose())
        .ok()
        .filter(Url::has_host)
        .context("must be a URL, as https://tools.example/search")?;
    if !url.username().is_empty() || url.password().is_some() {
        bail!("must not carry credentials; say them in headers");
    }
    match url.scheme() {
        "https" => {}
        "http" if reach == Reach::Anywhere => {}
        _ => bail!("must use https; allow_private = true lets it be http"),
    }
    if !reach.admits_host(&url) {
        bail!("leads to this machine or a private network; allow_private = true lets it");
    }
    Ok(())
}

fn check_timeout(seconds: u64) -> Result<()> {
    if !(1..=3600).contains(&seconds) {
        bail!("timeout_seconds: must be 1 to 3600");
    }
    Ok(())
}

fn check_approvers(approvers: u32) -> Result<()> {
    if !(1..=APPROVERS).contains(&approvers) {
        bail!("approvers: must be 1 to {APPROVERS}");
    }
    Ok(())
}

fn resolve_all(
    texts: &mut BTreeMap<String, Secret>, at: &str, variable: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    for (name, text) in texts {
        let resolved = resolve_within(text.expose(), &format!("{at}.{name}"), variable)?;
        *text = Secret::new(resolved);
    }
    Ok(())
}

/// Every `${NAME}` and `${file:PATH}` in a text becomes what it refers to: `Bearer ${TOKEN}`.
fn resolve_within(text: &str, field: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let (mut done, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let mut reference = rest[start..=start + length].to_owned();
        resolve(&mut reference, field, variable)?;
        done.push_str(&rest[..start]);
        done.push_str(&reference);
        rest = &rest[start + length + 1..];
    }
    Ok(done + rest)
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    const SEARCH: &str = "[tools.http.search]\ndescription = \"Finds.\"\nurl = \"https://tools.example/search\"\n";
    const INPUT: &str = "input = { type = \"object\" }\n";

    #[test]
    fn tc_10_mistakes_are_named_without_their_values() {
        let http = format!("{SEARCH}{INPUT}");
        let mcp = "[tools.mcp.props]\n";
        for (text, names) in [
            (format!("{SEARCH}input = {{ type = \"string\" }}"), "tools.http.search: input: must be a JSON Schema"),
            (format!("{SEARCH}input = \"{{planted\""), "not JSON"),
            (format!("{SEARCH}input = {{ type = \"object\", \"$ref\" = \"https://x.example/a\" }}"), "input"),
            (SEARCH.to_owned(), "input"),
            (http.replace("search]", "\"se arch\"]"), "tools.http.se arch: the name"),
            (http.replace("search]", "ask_human]"), "tools.http.ask_human: the name is that of a tool of the server"),
            (http.replace("Finds.", " "), "description"),
            (http.replace("https://tools.example", "http://tools.example"), "url: must use https"),
            (http.replace("tools.example", "10.0.0.1"), "url: leads to this machine or a private"),
            (http.replace("tools.example", "localhost"), "url: leads to this machine or a private"),
            (http.replace("tools.example", "me:planted@tools.example"), "credentials"),
            (format!("{http}timeout_seconds = 0"), "timeout_seconds: must be 1 to 3600"),
            (format!("{http}approvers = 0"), "approvers: must be 1 to 10"),
            (
                format!("{http}headers = {{ Authorization = \"${{NOT_SET}}\" }}"),
                "headers.Authorization: the environment",
            ),
            (
                format!("{http}headers = {{ Spool-Caller = \"planted\" }}"),
                "headers.Spool-Caller: is set by this server",
            ),
            (format!("{http}headers = {{ \"a b\" = \"planted\" }}"), "headers.a b: is no name"),
            (format!("{http}headers = {{ A = \"planted\\n\" }}"), "headers.A: must be visible"),
            (format!("{http}method = \"FETCH\""), "FETCH"),
            (format!("{http}planted = 1"), "planted"),
            (mcp.to_owned(), "tools.mcp.props: command: must be set, or url"),
            (format!("{mcp}command = \"a\"\nurl = \"https://x.example\""), "not both"),
            (format!("{mcp}command = \" \""), "command: must not be blank"),
            (format!("{mcp}command = \"a\"\nallow_private = true"), "allow_private: is for servers with a url"),
            (format!("{mcp}url = \"http://127.0.0.1:1/mcp\""), "url: must use https"),
            (format!("{mcp}url = \"https://192.168.0.1/mcp\""), "url: leads to"),
            (format!("{mcp}url = \"https://x.example\"\nargs = [\"a\"]"), "args: is for servers with a command"),
            (format!("{mcp}command = \"a\"\nprefix = \"a.b\""), "prefix"),
            (format!("{mcp}command = \"a\"\n[tools.mcp.props.tools.find]\napprovers = 11"), "tools.find: approvers"),
            (format!("{mcp}command = \"a\"\nenv = {{ KEY = \"${{NOT_SET}}\" }}"), "tools.mcp.props.env.KEY"),
        ] {
            let error = format!("{:#}", load(&text, &[]).unwrap_err());
            assert!(error.contains(names), "{text}\n{error}");
            assert!(!error.contains("planted") || text.contains("planted = 1"), "{error}");
        }
    }

    #[test]
    fn tc_10_schemas_are_tables_or_text_and_secrets_are_resolved_and_hidden() {
        let text = format!(
            "{SEARCH}input = '''{{\"type\": \"object\", \"required\": [\"q\"]}}'''\nheaders = {{ Authorization = \"Bearer ${{T}}\" }}\nmethod = \"GET\"\n\
             [tools.mcp.props]\ncommand = \"npx\"\nenv = {{ KEY = \"${{T}}\" }}\n[tools.mcp.props.tools.find]\nwrites = false\n",
        );
        let config = load(&text, &[("T", "hidden")]).unwrap();
        let search = &config.tools.http["search"];
        assert_eq!(search.input["required"][0], "q");
        assert_eq!(search.headers["Authorization"].expose(), "Bearer hidden");
        assert!(!search.writes() && search.approvers == 1);
        assert_eq!(config.tools.mcp["props"].env["KEY"].expose(), "hidden");
        assert_eq!(config.tools.mcp["props"].tools["find"].writes, Some(false));
        assert!(!format!("{config:?}").contains("hidden"));
        let private =
            format!("{SEARCH}{INPUT}allow_private = true").replace("https://tools.example", "http://127.0.0.1:1");
        assert!(load(&private, &[]).unwrap().tools.http["search"].writes());
    }

    #[test]
    fn tc_10_tools_of_a_server_are_offered_by_patterns() {
        let server = |lines: &str| {
            let mut config = load(&format!("[tools.mcp.a]\ncommand = \"a\"\n{lines}"), &[]).unwrap();
            config.tools.mcp.remove("a").unwrap()
        };
        assert!(server("").offers("anything"));
        let some = server("include = [\"get_*\", \"*-read-*\", \"find\"]\nexclude = [\"get_secret*\"]");
        for (tool, offered) in [
            ("get_", true),
            ("get_a", true),
            ("get_secrets", false),
            ("a-read-b", true),
            ("-read-", true),
            ("read", false),
            ("find", true),
            ("finds", false),
            ("forget_a", false),
        ] {
            assert_eq!(some.offers(tool), offered, "{tool}");
        }
        assert!(!server("include = []").offers("a"));
        assert_eq!((server("").prefix("a"), server("prefix = \"\"").prefix("a")), ("a_".into(), String::new()));
    }
}
