//! Tokens, good and bad, without any network.

use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::keys;

const NOW: u64 = 1_700_000_000;
const SECRET: &str = "a secret of at least thirty-two bytes";

fn rules() -> Rules {
    Rules {
        audience: vec!["us".into(), "us too".into()],
        authorized_parties: Vec::new(),
        algorithms: vec![Algorithm::HS256],
        leeway_ms: 3_000,
        names: ClaimNames::default(),
    }
}

fn key() -> Key {
    Key::secret(&serde_json::from_value(json!(SECRET)).unwrap())
}

fn good() -> Value {
    json!({ "iss": "them", "sub": "s", "aud": "us", "exp": NOW + 60, "iat": NOW })
}

fn sign(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

fn judge(rules: &Rules, claims: &Value) -> Result<Claims, Error> {
    let text = sign(claims);
    let token = Token::read(&text)?;
    token.check_signature(&[key()])?;
    token.judge(rules, NOW * 1000)
}

/// The good claims with some replaced; null removes one.
fn with(changes: Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn reason(result: Result<Claims, Error>) -> String {
    let error = result.unwrap_err();
    error.data.unwrap()["reason"].as_str().unwrap().to_owned()
}

#[test]
fn ia_02_each_faulty_claim_has_its_reason() {
    for (changes, wanted) in [
        (json!({ "exp": NOW - 3 }), "expired"),
        (json!({ "exp": 0 }), "expired"),
        (json!({ "exp": null }), "missing_claim"),
        (json!({ "exp": "soon" }), "malformed"),
        (json!({ "exp": -1 }), "malformed"),
        (json!({ "nbf": NOW + 4 }), "not_yet_valid"),
        (json!({ "nbf": 1e300 }), "not_yet_valid"),
        (json!({ "aud": "others" }), "wrong_audience"),
        (json!({ "aud": ["others", "more"] }), "wrong_audience"),
        (json!({ "aud": [] }), "wrong_audience"),
        (json!({ "aud": null }), "missing_claim"),
        (json!({ "aud": ["us", 7] }), "malformed"),
        (json!({ "sub": null }), "missing_claim"),
        (json!({ "sub": "" }), "missing_claim"),
        (json!({ "sub": 7 }), "malformed"),
        (json!({ "sub": "s".repeat(1001) }), "malformed"),
    ] {
        assert_eq!(reason(judge(&rules(), &with(changes.clone()))), wanted, "{changes}");
    }
}

#[test]
fn clocks_may_differ_by_the_leeway_and_times_may_have_fractions() {
    for changes in [
        json!({ "exp": NOW - 2 }),
        json!({ "nbf": NOW + 3 }),
        json!({ "exp": NOW as f64 + 0.5 }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": 1e300 }),
        json!({ "aud": ["others", "us too"] }),
        json!({ "iat": null }),
    ] {
        assert!(judge(&rules(), &with(changes.clone())).is_ok(), "{changes}");
    }
    assert_eq!(judge(&rules(), &with(json!({ "exp": NOW + 10 }))).unwrap().until_ms, (NOW + 13) * 1000);
}

#[test]
fn without_an_audience_the_party_is_asked_for() {
    let rules = Rules { audience: Vec::new(), authorized_parties: vec!["https://app".into()], ..rules() };
    assert!(judge(&rules, &with(json!({ "aud": null, "azp": "https://app" }))).is_ok());
    assert_eq!(reason(judge(&rules, &with(json!({ "azp": "https://app.evil" })))), "wrong_audience");
    assert_eq!(reason(judge(&rules, &good())), "missing_claim");
}

#[test]
fn profiles_take_what_is_safe_to_show() {
    let profile = |claims: Value| judge(&rules(), &with(claims)).unwrap().profile;
    let full = profile(json!({ "name": " Ada ", "email": "a@b", "picture": "https://x/y.png" }));
    let texts = (full.name.as_deref(), full.email.as_deref(), full.picture.as_deref());
    assert_eq!(texts, (Some("Ada"), Some("a@b"), Some("https://x/y.png")));
    let none = json!({ "name": "x".repeat(1001), "email": "a@b", "email_verified": false, "picture": "javascript:x" });
    assert_eq!(profile(none), Profile::default());
    let names = ClaimNames {
        name: "user_metadata.full_name".into(),
        email: "https://x.y/mail".into(),
        ..ClaimNames::default()
    };
    let claims = with(json!({ "user_metadata": { "full_name": "Ada" }, "https://x.y/mail": "a@b" }));
    let found = judge(&Rules { names, ..rules() }, &claims).unwrap().profile;
    assert_eq!((found.name.as_deref(), found.email.as_deref()), (Some("Ada"), Some("a@b")));
}

fn raw(header: Value, claims: &Value, signature: &str) -> String {
    format!("{}.{}.{signature}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

#[test]
fn ia_02_shapes_and_algorithms_are_refused_before_any_key_is_tried() {
    let claims = good();
    for (text, wanted) in [
        (String::new(), "malformed"),
        ("nonsense".into(), "malformed"),
        ("..".into(), "malformed"),
        ("a.b.c".into(), "malformed"),
        ("a.b.c.d.e".into(), "malformed"),
        ("x".repeat(TOKEN_BYTES + 1), "too_large"),
        (raw(json!({}), &claims, "x"), "malformed"),
        (raw(json!([]), &claims, "x"), "malformed"),
        (raw(json!({ "alg": 7 }), &claims, "x"), "malformed"),
        (raw(json!({ "alg": "HS256", "kid": 7 }), &claims, "x"), "malformed"),
        (raw(json!({ "alg": "HS256", "crit": ["b64"] }), &claims, "x"), "malformed"),
        (raw(json!({ "alg": "HS256" }), &json!("text"), "x"), "malformed"),
        (raw(json!({ "alg": "none" }), &claims, ""), "algorithm_refused"),
        (raw(json!({ "alg": "None" }), &claims, ""), "algorithm_refused"),
        (raw(json!({ "alg": "ES256K" }), &claims, "x"), "algorithm_refused"),
    ] {
        let error = Token::read(&text).unwrap_err();
        assert_eq!(error.data.unwrap()["reason"], wanted, "{text:.60}");
    }
}

#[test]
fn a_key_is_used_for_what_it_is_for() {
    let text = sign(&good());
    let token = Token::read(&text).unwrap();
    let refused = |keys: &[Key]| token.check_signature(keys).unwrap_err().data.unwrap()["reason"].clone();
    let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": BASE64.encode([7; 32]) }] });
    let public = keys::of_set(set.to_string().as_bytes()).unwrap();
    assert_eq!(refused(&public), "algorithm_refused");
    assert_eq!(refused(&[]), "unknown_key");
    let other = Key::secret(&serde_json::from_value(json!("another secret of thirty-two bytes..")).unwrap());
    assert_eq!(refused(std::slice::from_ref(&other)), "bad_signature");
    assert!(token.check_signature(&[other, key()]).is_ok(), "old and new secret side by side");
}

#[test]
fn sets_give_the_keys_that_can_be_used_and_no_secrets() {
    let ed = |more: Value| {
        let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode([7; 32]) });
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    };
    for (jwk, usable) in [
        (ed(json!({})), true),
        (ed(json!({ "alg": "EdDSA", "use": "sig", "key_ops": ["verify"] })), true),
        (ed(json!({ "alg": "Ed25519" })), true),
        (ed(json!({ "alg": "ES256" })), false),
        (ed(json!({ "use": "enc" })), false),
        (ed(json!({ "key_ops": ["encrypt"] })), false),
        (ed(json!({ "crv": "X25519" })), false),
        (ed(json!({ "x": "not base64!" })), false),
        (json!({ "kty": "oct", "k": BASE64.encode(SECRET) }), false),
        (json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }), false),
        (json!("text"), false),
    ] {
        let set = json!({ "keys": [jwk] }).to_string();
        assert_eq!(keys::of_set(set.as_bytes()).is_ok(), usable, "{set}");
        let beside = json!({ "keys": [jwk, ed(json!({ "kid": "good" }))] }).to_string();
        assert!(keys::of_set(beside.as_bytes()).is_ok(), "a strange key must not spoil the others: {set}");
        let escaped = format!("data:application/json,{}", beside.replace('"', "%22"));
        assert!(keys::of_data_url(&escaped).is_ok());
        let encoded = base64::engine::general_purpose::STANDARD.encode(&beside);
        assert!(keys::of_data_url(&format!("data:text/plain;charset=utf-8;base64,{encoded}")).is_ok());
    }
}

#[test]
fn every_reason_is_explained() {
    let page = include_str!("../../../../../docs/errors/invalid_token.md");
    for reason in Reason::ALL {
        assert!(page.contains(&format!("`{}`", reason.as_str())), "{}", reason.as_str());
    }
}

/// Any JSON, a few levels deep.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

/// Runs everything that a token goes through, and answers whether it was believed.
fn believed(text: &str) -> bool {
    let Ok(token) = Token::read(text) else { return false };
    let judged = token.judge(&rules(), NOW * 1000);
    let _ = token.judge(&Rules { audience: Vec::new(), authorized_parties: vec!["x".into()], ..rules() }, 0);
    let _ = token.issuer();
    token.check_signature(&[key()]).is_ok() && judged.is_ok()
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_is_believed(text in any::<String>()) {
        prop_assert!(!believed(&text));
        let header = BASE64.encode(json!({ "alg": "HS256" }).to_string());
        let signed = format!("{header}.{text}.{text}");
        prop_assert!(!believed(&signed));
        let _ = keys::of_data_url(&text);
        let _ = keys::of_set(text.as_bytes());
        let _ = Key::from_text(&text);
        let _ = Key::from_text(&format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----"));
    }

    #[test]
    fn no_claims_make_it_panic(name in "iss|sub|aud|exp|nbf|iat|azp|name|email|email_verified", value in json_value()) {
        let _ = believed(&sign(&with(json!({ name: value }))));
    }

    #[test]
    fn a_changed_byte_is_never_believed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let token = sign(&good());
        prop_assert!(believed(&token));
        let signed = token.rfind('.').unwrap_or_default();
        let mut bytes = token.clone().into_bytes();
        let at = at.index(signed);
        bytes[at] = byte;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(changed == token || !believed(&changed));
        }
    }
}
