//! `spool key`: service keys, as the operator of the server handles them.
//!
//! A key is printed once, when it is made. Everything else speaks of it by its id.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use spool_server::auth::new_service_key;
use spool_server::instant;
use spool_store::{Clock as _, SystemClock};

use super::{Operator, Place, print};

#[derive(Subcommand)]
pub enum Command {
    /// Make a key and print it, once.
    Create {
        /// What it may call: `artifacts:*`, `threads:get`, `*`. May be repeated.
        #[arg(long, required = true)]
        scope: Vec<String>,
        /// A name to recognise it by.
        #[arg(long)]
        label: Option<String>,
        /// How long it is good for: `90d`, `12h`, `30m`. Without this it is good until it is revoked.
        #[arg(long, value_parser = milliseconds)]
        expires: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// List the keys, newest first: what they may call, until when, and when they were used last.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// End a key for good. Connections that were opened with it close within a second.
    Revoke {
        /// Its id, as `spool key list` shows it.
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

pub async fn run(command: Command) -> Result<()> {
    match command {
        Command::Create { scope, label, expires, place } => create(&scope, label, expires, &place).await,
        Command::List { place } => list(&place).await,
        Command::Revoke { id, place } => {
            Operator::of(&place.config()?)?.mutate("keys:revoke", json!({ "keyId": id })).await?;
            print(&format!("{id} is revoked\n"))
        }
    }
}

async fn create(scopes: &[String], label: Option<String>, expires: Option<u64>, place: &Place) -> Result<()> {
    let operator = Operator::of(&place.config()?)?;
    let (key, hash) = new_service_key();
    let mut args = json!({ "scopes": scopes, "secretHash": hash });
    if let Some(label) = label {
        args["label"] = label.into();
    }
    if let Some(lasts_ms) = expires {
        args["expiresAt"] = (SystemClock.now_ms() + lasts_ms).into();
    }
    operator.mutate("keys:create", args).await?;
    print(&format!("{key}\n"))
}

async fn list(place: &Place) -> Result<()> {
    let keys = Operator::of(&place.config()?)?.query("keys:list", json!({})).await?;
    print(&table(keys.as_array().map_or(&[], Vec::as_slice), SystemClock.now_ms()))
}

/// One line for each key, in columns.
fn table(keys: &[Value], now: u64) -> String {
    let head = ["ID", "LABEL", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "STATE"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(keys.iter().map(|key| row(key, now))).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(key: &Value, now: u64) -> [String; 7] {
    let text = |name: &str| key[name].as_str().unwrap_or("-").to_owned();
    // To the second: the rest tells nobody anything.
    let moment =
        |name: &str| key[name].as_f64().map(|ms| instant::format(ms as u64 / 1000 * 1000).replace(".000Z", "Z"));
    let scopes: Vec<&str> = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let expired = key["expiresAt"].as_f64().is_some_and(|expiry| expiry as u64 <= now);
    let state = match key["revokedAt"].is_null() {
        false => "revoked",
        true if expired => "expired",
        true => "valid",
    };
    let or = |moment: Option<String>, none: &str| moment.unwrap_or_else(|| none.to_owned());
    [
        text("_id"),
        text("label"),
        scopes.join(","),
        or(moment("createdAt"), "-"),
        or(moment("expiresAt"), "never"),
        or(moment("lastUsedAt"), "never"),
        state.to_owned(),
    ]
}

/// A duration as people write it: a whole number and `m`, `h` or `d`.
fn milliseconds(text: &str) -> Result<u64> {
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let unit_ms = match unit {
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => bail!("expected a number and m, h or d, like 90d"),
    };
    let number: u64 = number.parse().context("expected a number and m, h or d, like 90d")?;
    if number == 0 {
        bail!("expected at least 1{unit}");
    }
    // Beyond a century nobody means it, and moments stay representable.
    number.checked_mul(unit_ms).filter(|ms| *ms <= 36_525 * 86_400_000).context("expected at most 36525d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ia_10_an_expiry_is_a_number_and_a_unit() {
        for (text, ms) in [("1m", 60_000), ("12h", 43_200_000), ("90d", 7_776_000_000)] {
            assert_eq!(milliseconds(text).unwrap(), ms);
        }
        for wrong in ["", "90", "d", "0d", "-1d", "1.5h", "90 d", "1y", "99999999d", "5µ"] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ia_10_the_list_says_what_a_key_is_good_for() {
        let keys = json!([
            { "_id": "crd_1", "label": "nightly", "scopes": ["artifacts:*", "threads:get"], "createdAt": 0, "expiresAt": 60_000 },
            { "_id": "crd_2", "scopes": ["*"], "createdAt": 1_728_432_000_000_u64, "lastUsedAt": 1_728_432_001_500_u64 },
            { "_id": "crd_3", "scopes": ["*"], "createdAt": 0, "revokedAt": 5 },
        ]);
        let text = table(keys.as_array().unwrap(), 60_000);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let one = [
            "crd_1",
            "nightly",
            "artifacts:*,threads:get",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:01:00Z",
            "never",
            "expired",
        ];
        assert_eq!(lines[1], one);
        assert_eq!(lines[2], ["crd_2", "-", "*", "2024-10-09T00:00:00Z", "never", "2024-10-09T00:00:01Z", "valid"]);
        assert_eq!(lines[3][6], "revoked");
    }
}
