//! Holds the house to its plan: who may import whom, what the map names, a page for every error code.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its sources should fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

use spool_protocol::Code;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// TY-06: directions between crates, as the manifests declare them.
#[test]
fn ty_06_crates_depend_only_in_the_planned_directions() {
    let allowed: &[(&str, &[&str])] = &[
        ("protocol", &[]),
        ("store", &["protocol"]),
        ("agent", &["protocol"]),
        ("chat", &["protocol", "store"]),
        ("server", &["protocol", "store", "chat", "agent"]),
    ];
    for (name, may) in allowed {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        for other in ["protocol", "store", "chat", "agent", "server", "bench"] {
            let depends = manifest.contains(&format!("spool-{other}.workspace"))
                || manifest.contains(&format!("spool-{other} ="));
            assert!(!depends || may.contains(&other), "crates/{name} must not depend on crates/{other}");
        }
    }
}

/// The domain and the turn machine are pure: no runtime, no sockets, no clock, no randomness of their own.
#[test]
fn pure_files_import_no_runtime() {
    let mut files = Vec::new();
    sources(&root().join("crates/chat/src"), &mut files);
    sources(&root().join("crates/protocol/src"), &mut files);
    files.push(root().join("crates/agent/src/turn.rs"));
    files.push(root().join("crates/agent/src/prompt.rs"));
    files.push(root().join("crates/store/src/range.rs"));
    files.push(root().join("crates/store/src/key.rs"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["tokio::", "reqwest::", "std::net", "SystemTime", "Instant::now", "rand::random"] {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn every_error_code_has_a_page() {
    for code in Code::ALL {
        let page = root().join(format!("docs/errors/{code}.md"));
        assert!(page.exists(), "docs/errors/{code}.md is missing");
    }
    let pages = fs::read_dir(root().join("docs/errors")).unwrap().count();
    assert_eq!(pages, Code::ALL.len() + 1, "a page without a code (README.md is the one extra)");
}

/// A map that names files that are gone is worse than none.
#[test]
fn the_architecture_names_only_what_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for name in text
        .split('`')
        .filter(|name| name.starts_with("crates/") || name.starts_with("docs/") || name.starts_with("web/"))
    {
        assert!(root().join(name).exists(), "ARCHITECTURE.md names {name}, which does not exist");
    }
}

#[test]
fn every_source_file_says_what_it_owns() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with //!", file.display());
        assert!(text.lines().count() <= 600, "{} has more than 600 lines", file.display());
    }
}

/// IA-05: an id that a caller gives becomes a row in `owned.rs` only. The files listed are those whose functions
/// are the server's own, or decide by another right than ownership.
#[test]
fn ia_05_ids_of_callers_are_resolved_by_the_owned_loaders() {
    let others = [
        "account.rs",
        "credentials.rs",
        "driver.rs",
        "guests/claim.rs",
        "keys.rs",
        "notices.rs",
        // For the driver, which waits for a summary.
        "summaries.rs",
        "subscriptions/settle.rs",
        "subscriptions/wakes.rs",
        "uploads.rs",
        "workers.rs",
        // For administrators.
        "roles.rs",
        // For readers of a share, which is opened before.
        "shares/view.rs",
    ];
    let dir = root().join("crates/chat/src/functions");
    let mut files = Vec::new();
    sources(&dir, &mut files);
    for file in files {
        let name = file.strip_prefix(&dir).unwrap().to_string_lossy().into_owned();
        let text: String = fs::read_to_string(&file).unwrap().split_whitespace().collect();
        let direct = text.contains("tx.get(&args.") || text.contains("tx.get(args.");
        assert!(
            !direct || others.contains(&name.as_str()),
            "{name} resolves an id of its caller by itself; use owned.rs"
        );
    }
}
