//! The functions through a real store on a temporary database: what they promise, by requirement.

// Every function here is part of a test, though clippy sees only those that say so.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod account;
mod approvals;
mod arrivals;
mod artifacts;
mod audit;
mod boundaries;
mod builtin;
mod calls;
mod consent;
mod doctor;
mod drafts;
mod driver;
mod external;
mod generated;
mod guests;
mod inbox;
mod logs;
mod matrix;
mod memory;
mod messages;
mod notices;
mod passwords;
mod queue;
mod quotas;
mod random;
mod roles;
mod rules;
mod runtime;
mod sessions;
mod shares;
mod stage;
mod steps;
mod streams;
mod subscriptions;
mod summaries;
mod threads;
mod turns;
mod uploads;
mod users;
mod voting;
mod windows;
mod workers;
mod writing;
