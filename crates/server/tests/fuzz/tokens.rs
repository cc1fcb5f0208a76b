//! Credentials: good ones, and what the dice make of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::place::{Place, SECRET};

/// A token of the issuer that the fuzzer plays, good unless `claims` make it another.
fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

fn claims() -> Value {
    json!({ "iss": "fuzz", "aud": "spool", "sub": "someone", "exp": 4_000_000_000_u64, "iat": 1, "nbf": 1, "name": "A", "email": "a@b" })
}

/// An `Authorization` header, and whether it is made with the issuer's own secret.
pub fn header(dice: &mut Dice, names: &std::collections::BTreeMap<String, String>) -> (String, bool) {
    let scheme = match dice.below(8) {
        0 => dice.text(),
        1 => "Convex".to_owned(),
        2 => "bearer".to_owned(),
        _ => "Bearer".to_owned(),
    };
    if dice.one_in(2) {
        // Signed well: what is looked at then is every claim.
        let mut claims = claims();
        for _ in 0..=dice.below(3) {
            dice.json(&mut claims);
        }
        return (format!("{scheme} {}", signed(&claims)), true);
    }
    let good = match dice.below(3) {
        0 => signed(&claims()),
        1 => names["key"].clone(),
        _ => names["token"].clone(),
    };
    let mut parts: Vec<Vec<u8>> = good.split('.').map(|part| part.as_bytes().to_vec()).collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(parts.len());
        match BASE64.decode(&parts[at]).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
            Some(mut value) if !dice.one_in(4) => {
                dice.json(&mut value);
                parts[at] = BASE64.encode(value.to_string()).into_bytes();
            }
            _ => dice.bytes(&mut parts[at]),
        }
    }
    let parts: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
    (format!("{scheme} {}", parts.join(".")), false)
}

/// Takes the header to the only place that reads tokens; fails if it believes one that it must not.
pub async fn check(place: &Place, header: &str, own: bool) -> Result<u16, String> {
    match place.app.auth.from_header(Some(header)).await {
        Err(error) if error.code == spool_protocol::Code::Internal => Err(format!("{}: {header}", error.message)),
        Err(_) => Ok(401),
        Ok(_) if own => Ok(200),
        Ok(identity) => {
            // Only whole credentials open anything: what surrounds them may be different, not they.
            let whole = ["token", "key"].iter().any(|name| header.contains(&place.names[*name]));
            if whole || header.contains(&signed(&claims())) {
                Ok(200)
            } else {
                Err(format!("{header} is believed: {:?}", identity.principal))
            }
        }
    }
}
