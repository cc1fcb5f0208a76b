//! The server: wires, identity, turn driver, jobs, UI. Everything that has a socket or a clock.
//!
//! [`app::serve`] is the whole of it; `main.rs` only reads the command line.

mod account;
pub mod actions;
mod agents;
pub mod app;
mod aside;
mod audit;
pub mod auth;
pub mod config;
mod connections;
pub mod data_dir;
mod egress;
pub mod functions;
mod mail;
pub mod metrics;
pub mod providers;
pub mod tools;
pub mod uploads;

mod driver;
mod http;
pub mod instant;
mod jobs;
mod limits;
mod notices;
mod origin;
mod peers;
mod rooms;
mod shares;
mod streams;
mod summaries;
mod sync;
