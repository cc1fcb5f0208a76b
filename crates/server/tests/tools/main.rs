//! The toolbox against real servers: HTTP, MCP servers of npm, and an MCP server in Rust that misbehaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod everything;
mod http;
mod mcp;
mod place;
mod process;
mod turn;
