//! An MCP server in Rust, which does what it is asked to, also what no server should.
//!
//! The test binary runs itself as this server: `serve` is ignored where tests are run, and named where a tool's
//! server is. So what the test harness prints is noise on the server's output, which clients have to stand.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::sync::Mutex;

use serde_json::{Value, json};

/// The tables of a configuration that run it, with what is said in `lines`.
pub fn config(name: &str, lines: &str) -> String {
    let program = std::env::current_exe().unwrap();
    format!(
        "[tools.mcp.{name}]\ncommand = {program:?}\nargs = [\"--exact\", \"process::serve\", \"--ignored\", \"--nocapture\"]\n{lines}\n"
    )
}

fn write(text: &str) {
    let mut output = std::io::stdout().lock();
    // Whoever listens may be gone, and then so are we.
    if output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_err() {
        std::process::exit(0);
    }
}

fn tell(message: &Value) {
    write(&format!("{message}\n"));
}

fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

const TOOLS: &[&str] = &[
    "echo",
    "hang",
    "die",
    "flood",
    "line",
    "large",
    "nonsense",
    "change",
    "fail",
    "refuse",
    "complain",
    "cancelled",
    "picture",
];

fn listed(name: &str) -> Value {
    let properties = json!({ "bytes": { "type": "integer" }, "say": { "type": "string" } });
    let annotations = json!({ "readOnlyHint": name == "echo" });
    json!({ "name": name, "description": format!("Does {name}."), "annotations": annotations,
        "inputSchema": { "type": "object", "properties": properties } })
}

#[test]
#[ignore = "the MCP server that other tests start; it serves until its input ends"]
fn serve() {
    let start = std::env::var("MCP_START").unwrap_or_default();
    let again = start.strip_prefix("once:").is_some_and(|file| std::fs::File::create_new(file).is_err());
    if start == "exit" || again {
        let _ = writeln!(std::io::stderr(), "no licence, says {}", std::env::var("MCP_SECRET").unwrap_or_default());
        std::process::exit(3);
    }
    let more = std::env::var("MCP_MORE").ok();
    let tools = TOOLS.iter().map(|name| (*name).to_owned()).chain(more).collect::<BTreeSet<String>>();
    let tools = Mutex::new(tools);
    let mut cancelled = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = message["id"].clone();
        if start == "mute" {
            continue;
        }
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": "tests", "version": "1" },
            }),
            "tools/list" => {
                let names: Vec<String> = tools.lock().unwrap().iter().cloned().collect();
                let from: usize = message["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
                let page: Vec<Value> = names.iter().skip(from).take(5).map(|name| listed(name)).collect();
                let next = from + page.len();
                let endless = start == "endless";
                let more = (endless || next < names.len()).then(|| if endless { "0".into() } else { next.to_string() });
                let mut result = json!({ "tools": page });
                if let Some(more) = more {
                    result["nextCursor"] = json!(more);
                }
                result
            }
            "notifications/cancelled" => {
                cancelled.push(message["params"]["requestId"].clone());
                continue;
            }
            "tools/call" => match call(&message["params"], &tools, &cancelled) {
                Some(result) => result,
                None => continue,
            },
            _ if id.is_null() => continue,
            _ => {
                tell(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "unknown" } }));
                continue;
            }
        };
        if let Some(error) = result.get("error") {
            tell(&json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        } else {
            tell(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        }
    }
}

/// The answer, if there is to be one.
fn call(params: &Value, tools: &Mutex<BTreeSet<String>>, cancelled: &[Value]) -> Option<Value> {
    let name = params["name"].as_str().unwrap_or_default();
    let input = &params["arguments"];
    let secret = std::env::var("MCP_SECRET").unwrap_or_default();
    Some(match name {
        "echo" => {
            let environment: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            let seen =
                json!({ "input": input, "meta": params["_meta"], "pid": std::process::id(), "env": environment });
            json!({ "content": [], "structuredContent": seen })
        }
        "hang" => return None,
        "die" => std::process::exit(3),
        "flood" => loop {
            tell(
                &json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "x".repeat(10_000) } }),
            );
        },
        "line" => loop {
            write(&"x".repeat(100_000));
        },
        "large" => text(&"x".repeat(usize::try_from(input["bytes"].as_u64().unwrap()).unwrap())),
        "nonsense" => {
            write("{\"jsonrpc\": \"2.0\", \"id\": nonsense\n");
            return None;
        }
        "change" => {
            let mut tools = tools.lock().unwrap();
            tools.remove("hang");
            tools.insert(input["say"].as_str().unwrap_or("new").to_owned());
            tell(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
            text("changed")
        }
        "fail" => {
            let caller = params["_meta"]["spool/caller"].as_str().unwrap_or_default();
            let mut failed = text(&format!("no such flat; I know {secret} and {caller}"));
            failed["isError"] = json!(true);
            failed
        }
        "refuse" => json!({ "error": { "code": -32602, "message": format!("not for {secret}") } }),
        "complain" => {
            let _ = writeln!(std::io::stderr(), "{}", "complaint ".repeat(200_000));
            text("done")
        }
        "cancelled" => json!({ "content": [], "structuredContent": { "count": cancelled.len() } }),
        "picture" => json!({ "content": [
            { "type": "text", "text": "a dot" }, { "type": "image", "data": "AAAA", "mimeType": "image/png" },
        ] }),
        _ => json!({ "error": { "code": -32602, "message": "unknown tool" } }),
    })
}
