//! Requests: good ones to begin with, for every route and every function, and what the dice make of them.
//!
//! Nothing here names a route or a function: routes come from the source, functions from the cases of the
//! authorization matrix, and the rest from `corpus/`. So what is new is fuzzed without being told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Uri};
use serde_json::{Value, json};

use crate::dice::Dice;

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"];

/// Headers that something reads, on some wire.
const HEADERS: &[&str] = &[
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "convex-client",
    "convex-request-id",
    "cookie",
    "expect",
    "host",
    "if-none-match",
    "last-event-id",
    "origin",
    "producer-epoch",
    "producer-id",
    "producer-seq",
    "range",
    "sec-fetch-site",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "stream-closed",
    "stream-expires-at",
    "stream-fork-offset",
    "stream-fork-sub-offset",
    "stream-forked-from",
    "stream-seq",
    "stream-ttl",
    "transfer-encoding",
    "upgrade",
    "x-spool-ai-sdk",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// Parameters that something reads, on some wire.
const PARAMETERS: &[&str] = &[
    "activeStreamId",
    "aiSdk",
    "args",
    "cursor",
    "expires",
    "format",
    "live",
    "name",
    "offset",
    "parts",
    "path",
    "requestId",
    "signature",
    "threadId",
    "token",
];

#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The pattern of every `.route("…")` in the source.
pub fn routes() -> Vec<String> {
    fn read(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let patterns = text.split(".route(").skip(1).filter_map(|rest| rest.trim_start().split('"').nth(1));
                found.extend(patterns.map(str::to_owned));
            }
        }
    }
    let mut found = Vec::new();
    read(&root().join("src"), &mut found);
    assert!(found.len() > 20 && found.iter().all(|route| route.starts_with('/')), "{found:?}");
    found
}

impl Request {
    fn new(method: &str, target: &str, token: &str, body: &Value) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = vec![
            ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
            ("content-type".to_owned(), b"application/json".to_vec()),
        ];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Self { method: method.into(), path: path.into(), query: query.into(), headers, body }
    }

    /// A file of the corpus: a request as it stands on the wire, with `$names` in it.
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let (method, target) = lines.next().and_then(|line| line.split_once(' ')).expect("METHOD target");
        let mut request = Self::new(method, target, "", &Value::Null);
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        request.headers = lines.filter_map(header).collect();
        request.body = body.strip_suffix('\n').unwrap_or(body).as_bytes().to_vec();
        request
    }

    /// As a file of the corpus, for whoever wants to add it there.
    pub fn text(&self) -> String {
        let header = |(name, value): &(String, Vec<u8>)| format!("{name}: {}\n", String::from_utf8_lossy(value));
        let headers: String = self.headers.iter().map(header).collect();
        let Self { method, path, query, body, .. } = self;
        format!("{method} {path}?{query}\n{headers}\n{}\n", String::from_utf8_lossy(body))
    }

    /// What a client could send of this; `None` if it is no HTTP any more.
    pub fn to_http(&self) -> Option<axum::extract::Request> {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let target = format!("{}{query}", self.path);
        let sendable = |byte: &u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(byte);
        let escape = |byte: u8| if sendable(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        let uri: Uri = target.bytes().map(escape).collect::<String>().parse().ok()?;
        let mut request = axum::extract::Request::new(Body::from(self.body.clone()));
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = uri;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            // hyper would not hand out a value with other bytes.
            let value: Vec<u8> = value.iter().copied().filter(|byte| *byte >= 32 && *byte != 127).collect();
            request.headers_mut().append(name, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(request)
    }
}

/// Good requests. `names` are what `$thread` and the like stand for. There are more routes and functions than
/// files in the corpus, so they come apart and each kind is drawn as often.
pub fn seeds(names: &BTreeMap<String, String>) -> Vec<Vec<Request>> {
    vec![by_route(names), by_function(names), of_corpus(names)]
}

fn filled(text: String, names: &BTreeMap<String, String>) -> String {
    names.iter().fold(text, |text, (name, value)| text.replace(&format!("${name}"), value))
}

/// Every route with each id, or a name, in each place for one.
fn by_route(names: &BTreeMap<String, String>) -> Vec<Request> {
    let mut seeds = Vec::new();
    for route in routes() {
        for name in names.values().filter(|value| value.len() < 100) {
            let piece = |piece: &str| {
                piece.split_once('}').map_or_else(|| piece.to_owned(), |(_, rest)| format!("{name}{rest}"))
            };
            let path: String = route.split('{').map(piece).collect();
            for method in ["GET", "POST", "PUT", "DELETE"] {
                seeds.push(Request::new(method, &path, &names["token"], &json!({})));
            }
            if path == route {
                break;
            }
        }
    }
    seeds
}

/// Every function of the table with good arguments, as `tests/matrix/cases.json` has them.
pub fn calls(names: &BTreeMap<String, String>) -> Vec<Value> {
    let file = fs::read_to_string(root().join("../../tests/matrix/cases.json")).unwrap();
    serde_json::from_str(&filled(file, names)).unwrap()
}

/// Every function in every form of a call.
fn by_function(names: &BTreeMap<String, String>) -> Vec<Request> {
    let mut seeds = Vec::new();
    for case in calls(names) {
        let (path, kind, args) = (case["path"].as_str().unwrap(), case["kind"].as_str().unwrap(), &case["args"]);
        let token = &names[if case["access"] == "Service" { "key" } else { "token" }];
        let call = json!({ "path": path, "args": args, "format": "json" });
        let run = format!("/api/run/{}", path.replace(':', "/"));
        seeds.push(Request::new("POST", &format!("/api/{kind}"), token, &call));
        seeds.push(Request::new("POST", &run, token, &json!({ "args": args })));
        if kind == "query" {
            let target = format!("/api/query?path={path}&args={args}");
            seeds.push(Request::new("GET", &target, token, &Value::Null));
            seeds.push(Request::new("POST", "/api/query_batch", token, &json!({ "queries": [call] })));
        }
    }
    seeds
}

fn of_corpus(names: &BTreeMap<String, String>) -> Vec<Request> {
    let mut files: Vec<_> =
        fs::read_dir(root().join("tests/fuzz/corpus")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| Request::parse(&filled(fs::read_to_string(file).unwrap(), names))).collect()
}

/// A request made from `seeds`: one of them with some changes.
pub fn request(dice: &mut Dice, seeds: &[Vec<Request>]) -> Request {
    let mut request = seed(dice, seeds).clone();
    for _ in 0..dice.below(5) {
        match dice.below(12) {
            0 => dice.pick(METHODS).clone_into(&mut request.method),
            1 => path(dice, &mut request.path),
            2 | 3 => query(dice, &mut request.query),
            4..7 => header(dice, &mut request.headers),
            7 => request.body.clone_from(&seed(dice, seeds).body),
            8 => dice.bytes(&mut request.body),
            _ => body(dice, &mut request.body),
        }
    }
    request
}

fn seed<'seeds>(dice: &mut Dice, seeds: &'seeds [Vec<Request>]) -> &'seeds Request {
    let kind = &seeds[dice.below(seeds.len())];
    &kind[dice.below(kind.len())]
}

fn path(dice: &mut Dice, path: &mut String) {
    let mut segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
    let at = dice.below(segments.len());
    match dice.below(5) {
        0 => segments.insert(at, dice.text()),
        1 => drop(segments.remove(at)),
        2 => {
            let mut bytes = std::mem::take(&mut segments[at]).into_bytes();
            dice.bytes(&mut bytes);
            segments[at] = String::from_utf8_lossy(&bytes).into_owned();
        }
        _ => segments[at] = dice.text(),
    }
    *path = format!("/{}", segments.join("/"));
}

fn query(dice: &mut Dice, query: &mut String) {
    if !query.is_empty() && dice.one_in(3) {
        let mut bytes = std::mem::take(query).into_bytes();
        dice.bytes(&mut bytes);
        *query = String::from_utf8_lossy(&bytes).into_owned();
        return;
    }
    let (name, value) = (dice.pick(PARAMETERS), dice.text().replace('&', "%26"));
    *query = if query.is_empty() { format!("{name}={value}") } else { format!("{query}&{name}={value}") };
}

fn header(dice: &mut Dice, headers: &mut Vec<(String, Vec<u8>)>) {
    let at = dice.below(headers.len() + 1);
    match dice.below(4) {
        0 if at < headers.len() => drop(headers.remove(at)),
        1 if at < headers.len() => dice.bytes(&mut headers[at].1),
        2 if at < headers.len() => headers[at].1 = dice.text().into_bytes(),
        _ => headers.push((dice.pick(HEADERS).to_owned(), dice.text().into_bytes())),
    }
}

fn body(dice: &mut Dice, body: &mut Vec<u8>) {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            dice.json(&mut value);
            *body = value.to_string().into_bytes();
        }
        Err(_) => dice.bytes(body),
    }
}
