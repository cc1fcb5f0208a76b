//! The server: wires, identity, turn driver, jobs, UI. Everything that has a socket or a clock.
//!
//! [`app::serve`] is the whole of it; `main.rs` only reads the command line.

pub mod actions;
pub mod app;
mod aside;
pub mod auth;
pub mod config;
mod connections;
pub mod data_dir;
pub mod functions;
mod mail;
pub mod metrics;
pub mod providers;
pub mod uploads;

mod driver;
mod http;
pub mod instant;
mod jobs;
mod rooms;
mod shares;
mod streams;
mod sync;
