//! What was measured, as a table for people and as JSON for machines.
//!
//! A missed target is shown, a broken count fails the run. Must never measure anything itself.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::machine::Machine;

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub measured: String,
    /// The raw limit of the same run, or the target.
    pub against: String,
    pub ratio: Option<f64>,
    /// Whether the target is met; `None` where there is none.
    pub ok: Option<bool>,
    /// Everything behind the line, in the units that the keys name.
    pub details: Value,
}

/// A count that must hold on every machine.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    holds: bool,
    seen: String,
}

#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    rows: Vec<Row>,
    checks: Vec<Check>,
}

impl Report {
    pub fn new(machine: Machine) -> Self {
        eprintln!("{}", machine.line());
        Self { machine, rows: Vec::new(), checks: Vec::new() }
    }

    pub fn add(&mut self, row: Row) {
        eprintln!("  {}", line(&row));
        self.rows.push(row);
    }

    /// Notes a count; `seen` says what was counted.
    pub fn check(&mut self, name: &str, holds: bool, seen: impl Into<String>) {
        let seen = seen.into();
        eprintln!("  {} {name}: {seen}", if holds { "holds " } else { "BROKEN" });
        self.checks.push(Check { name: name.to_owned(), holds, seen });
    }

    /// Notes that a part could not be measured.
    pub fn finished(&mut self, part: &str, done: Result<()>) {
        if let Err(error) = done {
            self.check(&format!("{part} can be measured"), false, format!("{error:#}"));
        }
    }

    /// Whether every count is as it must be.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    pub fn print(&self) {
        println!("\n{}\n", self.machine.line());
        let heads = ["what", "measured", "limit or target", "ratio", "ok"].map(str::to_owned);
        let lines: Vec<[String; 5]> = std::iter::once(heads).chain(self.rows.iter().map(cells)).collect();
        let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for (at, cells) in lines.iter().enumerate() {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
            if at == 0 {
                println!("{}", widths.map(|width| "-".repeat(width)).join("  "));
            }
        }
        println!();
        for check in &self.checks {
            println!("{} {}: {}", if check.holds { "holds " } else { "BROKEN" }, check.name, check.seen);
        }
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&json!(self))?;
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}

fn cells(row: &Row) -> [String; 5] {
    let ratio = row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    let ok = row.ok.map_or("–", |ok| if ok { "yes" } else { "MISSED" });
    [row.name.clone(), row.measured.clone(), row.against.clone(), ratio, ok.to_owned()]
}

fn line(row: &Row) -> String {
    cells(row).join(" | ")
}
