//! Settings of issuers: what is refused and how, and that the documents show settings which work.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::auth::issuers::Issuers;
use crate::auth::tokens::{Tokens, generate_key};
use crate::config::Config;
use crate::config::tests::load;

const PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfuecVH5G2j6AH+HrFvxdj/tTLZH7
YUcek78uStlc/kAjuuPeGx+2SRa2BnIsqXy18Prt+MYBO/TLaDdQ/6pt9g==
-----END PUBLIC KEY-----
";

fn issuers(config: &Config) -> Result<Issuers> {
    let clock: Arc<dyn spool_store::Clock> = Arc::new(spool_store::SystemClock);
    let own = Tokens::new(&generate_key()?, Arc::clone(&clock))?;
    Issuers::new(&own, &config.auth, clock)
}

/// Every block of settings in a document, ready to be loaded: its files are in `dir`.
fn blocks(document: &str, dir: &Path) -> Vec<String> {
    let blocks = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| block.replace("/etc/spool", &dir.display().to_string())).collect()
}

#[test]
fn ia_02_the_settings_in_the_documents_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("issuer.pem"), PEM).unwrap();
    let secret = "a secret of at least thirty-two bytes";
    let variables =
        ["SUPABASE_JWT_SECRET", "LEGACY_SECRET", "LOCAL_KEY", "GOOGLE_CLIENT_SECRET"].map(|name| (name, secret));
    let tools = ["SEARCH_TOKEN", "FILES_KEY", "CRM_TOKEN"].map(|name| (name, secret));
    let variables =
        [&variables[..], &tools, &[("SMTP_URL", "smtps://user:password@mail.example.com"), ("HOOK_SECRET", secret)]]
            .concat();
    for (document, count) in [
        (include_str!("../../../../../docs/authentication.md"), 13),
        (include_str!("../../../../../docs/configuration.md"), 1),
        (include_str!("../../../../../docs/tools.md"), 3),
    ] {
        let blocks = blocks(document, dir.path());
        assert_eq!(blocks.len(), count);
        for block in blocks {
            let config = load(&block, &variables).unwrap_or_else(|error| panic!("{error:#} in\n{block}"));
            assert_eq!(config.auth.issuers.is_empty(), !block.contains("[[auth.issuers]]"), "{block}");
            issuers(&config).unwrap();
        }
    }
}

#[test]
fn op_06_a_broken_file_is_named_by_line_and_key_and_never_shown() {
    for text in [
        "[[auth.issuers]]\nsecrett = \"planted-secret\"",
        "[[auth.issuers]]\nissuer = \"x\"\nsecret = [\"planted-secret\"]",
        "[[auth.issuers]]\nissuer = \"x\"\naudience = \"y\"\nsecret = \"planted-secret\"",
        "[[auth.issuers]]\nsecret = \"planted-secret",
        "[providers.x]\nkind = \"openai\"\napi_keyy = \"planted-secret\"",
    ] {
        let error = format!("{:#}", load(text, &[]).unwrap_err());
        assert!(!error.contains("planted"), "{error}");
        assert!(error.contains("line ") || error.contains("auth.issuers[0]"), "{error}");
    }
    let text = "[[auth.issuers]]\nissuer = \"x\"\naudience = \"y\"\nsecret = \"planted-secret-of-thirty-two-bytes\"";
    assert!(!format!("{:?}", load(text, &[]).unwrap()).contains("planted"));
}

#[test]
fn op_09_each_mistake_of_an_issuer_is_named_with_its_field() {
    let whole = "issuer = \"https://x\"\naudience = \"y\"\n";
    for (lines, names) in [
        ("audience = \"y\"", "issuer"),
        ("issuer = \"\"\naudience = \"y\"", "issuer: must be the iss"),
        ("issuer = \"spool:key\"\naudience = \"y\"", "issuer: must be the iss"),
        ("issuer = \"name\"\naudience = \"y\"", "issuer: must be a URL"),
        ("issuer = \"http://x\"\naudience = \"y\"", "issuer: must use https"),
        ("issuer = \"https://x\"", "audience: must be set"),
        ("issuer = \"https://x\"\naudience = [\"\"]", "audience: must not be blank"),
        (&format!("{whole}audiences = \"y\""), "audiences"),
        (&format!("{whole}jwks = \"http://10.0.0.1/\""), "jwks: must use https"),
        (&format!("{whole}jwks = \"file:///etc/passwd\""), "jwks: must use https"),
        (&format!("{whole}jwks = \"data:application/json,{{}}\""), "jwks: must be a JWK set"),
        (&format!("{whole}keys = \"nonsense\""), "keys[0]: must be a PEM"),
        (&format!("{whole}keys = \"-----BEGIN PRIVATE KEY-----\""), "keys[0]: must be the public key"),
        (&format!("{whole}keys = \"${{file:/does/not/exist}}\""), "keys[0]: the file /does/not/exist"),
        (&format!("{whole}secret = \"${{NOT_SET}}\""), "secret: the environment variable NOT_SET"),
        (&format!("{whole}secret = \"short\""), "secret: must have at least 32 bytes"),
        (&format!("{whole}secret = \"${{LONG}}\"\njwks = \"https://x\""), "secret: an issuer has one of"),
        (&format!("{whole}secret = \"${{LONG}}\"\nalgorithms = [\"RS256\"]"), "algorithms: a secret is for HS256"),
        (&format!("{whole}algorithms = [\"HS256\"]"), "algorithms: HS256 needs a secret"),
        (&format!("{whole}algorithms = [\"none\"]"), "none"),
        (&format!("{whole}algorithms = []"), "algorithms: must not be empty"),
        (&format!("{whole}leeway_seconds = 301"), "leeway_seconds: must be 0 to 300"),
        (&format!("{whole}refetch_seconds = 0"), "refetch_seconds: must be 1 to 3600"),
        (&format!("{whole}[[auth.issuers]]\n{whole}"), "auth.issuers[1].issuer: is configured twice"),
    ] {
        let text = format!("[[auth.issuers]]\n{lines}");
        let long = [("LONG", "a secret of at least thirty-two bytes")];
        let error = load(&text, &long).and_then(|config| issuers(&config).map(drop)).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(names), "{lines}: {error}");
    }
}
