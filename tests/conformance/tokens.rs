//! Wycheproof: signatures of tokens, and sets of keys. `valid` is accepted and `invalid` refused.
//!
//! What is signed there are no claims, so this asks for the signature alone. Keys are told for what they are meant as JOSE does
//! (`use: sig`), which in a bundle nobody writes; they are read as if it were not there, and of one for anything else as it is.
//! A token of another algorithm than the nine of JWT-SVIDs is refused, whatever the vectors say: such rows stand outside.

use serde_json::{Value, json};
use svidgate_policy::{
    ALGORITHMS,
    trust::{jwt_key::JwtKeys, jwt_svid::verify_signature},
};

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, rows, text};

const KIND: &str = "tokens";
const NOT_OF_JWT_SVID: &str = "the key is none that signs JWT-SVIDs";

/// Runs every `wycheproof/json_web_*.json` with tokens in it.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    for file in vectors.files("wycheproof", "json_web_", ".json") {
        match vectors.json(&file) {
            Some(Ok(document)) => run_file(&file, &document, results),
            Some(Err(error)) => results.unreadable(KIND, &file, error),
            None => {}
        }
    }
}

fn run_file(file: &str, document: &Value, results: &mut Results) {
    for group in rows(document, "testGroups") {
        let outside = is_symmetric(group).then_some(NOT_OF_JWT_SVID);
        for test in rows(group, "tests") {
            let name = format!("tcId {}", test.get("tcId").unwrap_or(&Value::Null));
            let row = (KIND, file, name.as_str());
            let expected = match text(test, "result") {
                "valid" => Answer::accept(),
                "invalid" => Answer::refuse(),
                other => Answer::of(format!("unknown result `{other}`")),
            };
            results.check_unless(row, expected, outside, || run_test(group, test));
        }
    }
}

fn run_test(group: &Value, test: &Value) -> Result<Answer, String> {
    let set = json!({ "keys": keys(group) }).to_string();
    let keys = JwtKeys::parse_workload_api(set.as_bytes()).map_err(|error| error.to_string())?;
    let Some(token) = test.get("jws").and_then(Value::as_str) else {
        // In the form of JSON, which no JWT-SVID has.
        return Ok(Answer::refuse().because("it is no text"));
    };
    Ok(match verify_signature(token.as_bytes(), &keys, ALGORITHMS) {
        Ok(()) => Answer::accept().because(text(test, "comment")),
        Err(error) => Answer::refuse().because(error),
    })
}

/// The keys of a group: one, or a set.
fn keys(group: &Value) -> Vec<Value> {
    let key = group
        .get("public")
        .or_else(|| group.get("private"))
        .unwrap_or(&Value::Null);
    let keys = key.get("keys").and_then(Value::as_array).cloned();
    let mut keys = keys.unwrap_or_else(|| vec![key.clone()]);
    for key in keys.iter_mut().filter_map(Value::as_object_mut) {
        if key.get("use") == Some(&json!("sig")) {
            key.remove("use");
        }
    }
    keys
}

fn is_symmetric(group: &Value) -> bool {
    keys(group).iter().all(|key| text(key, "kty") == "oct")
}
