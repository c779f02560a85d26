//! Seeds that are text.

use serde_json::{Value, json};
use support::{
    ca::{Authority, FIXED_NOW, bundle_json},
    repository,
};

use crate::Seeds;

pub(crate) fn write(seeds: &Seeds) {
    let documents = documents();
    for document in &documents {
        seeds.add("document", document);
        let ids = document.split('"').filter(|text| text.starts_with("spiffe://"));
        for id in ids {
            seeds.add("id", id);
            seeds.add("pattern", format!("{id}\nspiffe://prod.example/ns/shop/sa/api"));
        }
        let read: Option<Value> = serde_json::from_str(document).ok();
        if let Some(revoked) = read.and_then(|document| document.get("revoked").cloned()) {
            seeds.add("revocations", json!({ "sequence": 7, "revoked": revoked }).to_string());
        }
    }
    for scope in ["/ns/billing/**", "/*/{x}/**", "/"] {
        seeds.add("pattern", format!("{scope}\nspiffe://prod.example/ns/billing/a"));
    }
    for header in [
        r#"Hash=ab12;Cert="-----BEGIN%20CERTIFICATE-----%0AMII%3D";Chain="-----BEGIN%20CERTIFICATE-----";URI=spiffe://prod.example/a"#,
        r#"By=spiffe://prod.example/b;Hash=ab12;Subject="CN=a\",O=\\b";Cert="x";DNS=a.x"#,
        r#"Cert="forged",Hash=ab12;Cert="real""#,
        r#"Subject="CN=a,Cert=forged;Cert=forged";Cert=b"#,
    ] {
        seeds.add("xfcc", header);
        seeds.add("assertion", header);
    }
    for header in [
        r#"By=spiffe://td/a;By=spiffe://td/b;Hash=ab;Cert="c%0A";Chain="d";Subject="CN=a";URI=x;DNS=y;Issuer="CN=i",Hash=b"#,
        r#"[{"by":["a"],"hash":"ab","cert":"c\n","chain":["d"],"subject":"e","uri":["f,URI=g"],"dns":[],"issuer":"h"}, {}]"#,
        r#"[{"hash":null}]"#,
    ] {
        seeds.add("assertion", header);
    }
    for headers in [
        ":AQID:",
        ":AQ==:\n:AQI=:, :AQID:\n:+/8=:",
        " :AQ==:",
        ":AQ==:;a=1",
        ":AQ==:, :AQ==:",
    ] {
        seeds.add("client_cert", headers);
    }
    // Each byte is one throw of the dice; what a peer sent stands in front.
    for first in 0..32u32 {
        let mut state = first;
        let bytes = (0..800).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let bytes: Vec<u8> = bytes.collect();
        // There are two documents.
        seeds.add("analysis", bytes.as_slice());
        seeds.add("decision", &bytes[..400]);
    }
}

/// Every document and every set of rules of the vectors.
fn documents() -> Vec<String> {
    let bundle = |name: &str| bundle_json(&[&Authority::of(name, FIXED_NOW)]).to_string();
    let pem = json!(Authority::of("partner.example", FIXED_NOW).pem()).to_string();
    let mut documents = Vec::new();
    for vector in vectors("documents", "document") {
        let rule = |rule| {
            format!(
                r#"{{"trust_domain": "prod.example", "chain": "proxy", "federation": [{{"trust_domain": "partner.example"}}], "rules": [{rule}]}}"#
            )
        };
        let text = |name: &str| vector[name].as_str().map(str::to_owned);
        let document = text("document")
            .or_else(|| text("yaml"))
            .or_else(|| text("rule").map(rule))
            .expect("it has one of the three");
        documents.push(
            document
                .replace("@bundle@", &bundle("prod.example"))
                .replace("@partner_bundle@", &bundle("partner.example"))
                .replace("@pem@", &pem),
        );
    }
    for scenario in vectors("decisions", "scenario") {
        let mut document = json!({
            "trust_domain": "prod.example", "chain": "proxy", "rules": scenario["rules"],
            "federation": [{ "trust_domain": "partner.example" }, { "trust_domain": "other.example" }],
        });
        for (name, value) in scenario["document"].as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        documents.push(document.to_string());
    }
    documents
}

/// The entries of a list in every file of a directory.
fn vectors(directory: &str, list: &str) -> Vec<Value> {
    let directory = repository().join("policy/tests/vectors").join(directory);
    let files = std::fs::read_dir(&directory).expect("the vectors are there");
    let read = |path| {
        let text = std::fs::read_to_string(path).expect("it can be read");
        let file: Value = toml::from_str(&text).expect("it is TOML");
        file[list].as_array().expect("it has entries").clone()
    };
    let mut paths: Vec<_> = files.map(|file| file.expect("it is there").path()).collect();
    paths.sort();
    paths.into_iter().flat_map(read).collect()
}
