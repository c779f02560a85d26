//! Schemas (JSON Schema 2020-12) of what people write, for editors and other checks.
//!
//! The members come from the tables that the reader asks, so a member that is new is in the schema, or this does not pass its
//! tests. A schema says less than the compiler: what needs two members, or the meaning of a text, it cannot ask.

use serde_json::{Map, Value, json};
use svidgate_policy::analysis::fields::{self, Table};

use crate::testing::file::FILE_FIELDS;

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The policy document.
    Document,
    /// A file of tests, `*.test.yaml`.
    Tests,
    /// The list of revocations that an endpoint serves.
    Revocations,
}

/// A schema.
pub fn schema(kind: Kind) -> Value {
    let (title, root) = match kind {
        Kind::Document => ("svidgate policy document", object(&DOCUMENT)),
        Kind::Tests => ("tests of a svidgate policy", object(&TEST_FILE)),
        Kind::Revocations => ("list of revocations for svidgate", object(&REVOCATION_LIST)),
    };
    let mut whole = Map::new();
    whole.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    whole.insert("title".to_owned(), json!(title));
    if let Value::Object(root) = root {
        whole.extend(root);
    }
    Value::Object(whole)
}

/// An object: its members, and what else is asked of it.
struct Shape {
    /// All members that the reader knows.
    members: Table,
    /// What each of them is. A name that has no schema is a mistake of ours, which a test finds.
    of: fn(&str) -> Option<Value>,
    required: Table,
    /// More that is asked, as members of the schema.
    more: fn() -> Option<Value>,
}

fn object(shape: &Shape) -> Value {
    let properties: Map<String, Value> = shape
        .members
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), (shape.of)(name)?)))
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !shape.required.is_empty() {
        schema.insert("required".to_owned(), json!(shape.required));
    }
    if let Some(Value::Object(more)) = (shape.more)() {
        schema.extend(more);
    }
    Value::Object(schema)
}

fn nothing_more() -> Option<Value> {
    None
}

const DOCUMENT: Shape = Shape {
    members: fields::DOCUMENT,
    of: of_document,
    required: &["trust_domain", "rules"],
    more: nothing_more,
};

fn of_document(name: &str) -> Option<Value> {
    Some(match name {
        "version" => text("free text, shown in the log, the metrics and every record"),
        "trust_domain" => trust_domain("our own"),
        "mode" => words(fields::MODES, "dry_run: decide and record, block nothing"),
        "listener" => words(
            fields::LISTENERS,
            "what stands behind the filters; shared: listeners of all kinds",
        ),
        "chain" => words(
            fields::CHAINS,
            "proxy: Envoy verified the chain with the bundle of the leaf's trust domain",
        ),
        "xfcc" => words(
            fields::XFCC,
            "who writes x-forwarded-client-cert; own: this listener (SANITIZE_SET); hop: the peer (FORWARD_ONLY); \
             hop_appended: the peer, and this listener behind it (APPEND_FORWARD)",
        ),
        "peer" => described(
            object(&PEER),
            "where the peer stands, behind another listener of the same Envoy",
        ),
        "hops" => described(bounded(list(object(&HOP)), 64), "who may bring the requests of others"),
        "jwt_svid" => described(object(&JWT_SVID), "what is expected of tokens that hops bring"),
        "forward_via" => flag("tell the upstream the hop in x-svidgate-via"),
        "forward_id" => flag("tell the upstream the id of the caller in x-svidgate-id"),
        "forward_xfcc" => flag("where it is read, whether the upstream gets the header, too"),
        "mark_passed" => flag("mark each request that is let through, for a second lock behind"),
        "access_log" => words(fields::ACCESS_LOGS, "refusals: no field for what is allowed"),
        "first_bytes_timeout" => duration("from accepting a connection to its first bytes, the handshake included"),
        "expiry_grace" => duration("how long past its SVID's end what is under way may go on"),
        "warn_before" => list_or_none(duration("how long before an end the log says so"), Some(8)),
        "paths" => words(
            fields::PATHS,
            "strict refuses a path that two readers could read differently",
        ),
        "overrides" => words(
            fields::OVERRIDES,
            "ignore: the upstream takes neither method nor path from a header",
        ),
        "bundle" => described(object(&BUNDLE), "of our own trust domain"),
        "intermediates" => list(pem()),
        "svid_max_lifetime" => duration("of our own SVIDs, from notBefore to notAfter"),
        "max_staleness" => duration("how long a source may be silent; 24h without it"),
        "authorities" => described(
            object(&AUTHORITIES),
            "own and federated bundles, from a SPIFFE Workload API",
        ),
        "federation" => described(
            list_or_none(object(&RELATIONSHIP), Some(10_000)),
            "foreign trust domains",
        ),
        "revoked" => described(
            list_or_none(object(&REVOCATION), Some(50_000)),
            "not accepted, however good",
        ),
        "revocations" => described(object(&REVOCATIONS), "more of them, from an endpoint"),
        "rules" => described(
            list_or_none(object(&RULE), None),
            "who may do what; their order means nothing",
        ),
        _ => return None,
    })
}

const PEER: Shape = Shape {
    members: fields::PEER,
    of: |name| (name == "filter_state").then(|| object(&FILTER_STATE)),
    required: &["filter_state"],
    more: nothing_more,
};

const FILTER_STATE: Shape = Shape {
    members: fields::FILTER_STATE,
    of: |name| {
        Some(match name {
            "id" => key("the id that another listener's TLS has verified"),
            "trust_domains" => list(trust_domain("foreign ones of which ids are taken")),
            "max_connection_age" => duration("how long a connection may be open"),
            "certificate" => key("the certificate that another listener was shown"),
            "sha256" => key("its SHA-256"),
            _ => return None,
        })
    },
    required: &[],
    more: || {
        Some(json!({
            "oneOf": [
                {"required": ["id"], "not": {"anyOf": [{"required": ["certificate"]}, {"required": ["sha256"]}]}},
                {
                    "required": ["certificate", "sha256"],
                    "not": {"anyOf": [
                        {"required": ["id"]}, {"required": ["trust_domains"]}, {"required": ["max_connection_age"]}
                    ]}
                }
            ]
        }))
    },
};

const BUNDLE: Shape = Shape {
    members: fields::BUNDLE,
    of: |name| {
        Some(match name {
            "inline" => json!({
                "description": "in the SPIFFE bundle format: what counts until the endpoint has answered",
                "type": "object",
                "required": ["keys"],
                "properties": {
                    "keys": {"type": "array", "maxItems": 1024},
                    "spiffe_sequence": {"type": "integer", "minimum": 0},
                    "spiffe_refresh_hint": {"type": "integer"}
                }
            }),
            "endpoint" => object(&ENDPOINT),
            _ => return None,
        })
    },
    required: &[],
    more: || Some(json!({"minProperties": 1})),
};

const ENDPOINT: Shape = Shape {
    members: fields::ENDPOINT,
    of: |name| {
        Some(match name {
            "cluster" => cluster(1024),
            "path" => {
                json!({"type": "string", "pattern": "^/[!-\"$-~]*$", "maxLength": 1024, "description": "what is asked for"})
            }
            "authority" => {
                json!({"type": "string", "pattern": GRAPHIC, "maxLength": 1024, "description": "the `host` that is asked for"})
            }
            "refresh" => duration("asked this often, whatever the bundle says"),
            "epoch" => json!({
                "type": "integer",
                "minimum": 0,
                "description": "raise it when the publisher was built anew, with lower sequences than before"
            }),
            _ => return None,
        })
    },
    required: &["cluster", "path"],
    more: nothing_more,
};

const AUTHORITIES: Shape = Shape {
    members: fields::AUTHORITIES,
    of: |name| (name == "workload_api").then(|| object(&WORKLOAD_API)),
    required: &["workload_api"],
    more: nothing_more,
};

const WORKLOAD_API: Shape = Shape {
    members: fields::WORKLOAD_API,
    of: |name| (name == "cluster").then(|| cluster(120)),
    required: &["cluster"],
    more: nothing_more,
};

const REVOCATIONS: Shape = Shape {
    members: fields::REVOCATIONS,
    of: |name| {
        Some(match name {
            "endpoint" => object(&ENDPOINT),
            "max_staleness" => duration("silent for longer, and everybody is refused"),
            _ => return None,
        })
    },
    required: &["endpoint"],
    more: nothing_more,
};

const RELATIONSHIP: Shape = Shape {
    members: fields::RELATIONSHIP,
    of: |name| {
        Some(match name {
            "trust_domain" => trust_domain("whose"),
            "bundle" => object(&BUNDLE),
            "intermediates" => list(pem()),
            "scope" => described(
                bounded(list(json!({"type": "string", "pattern": "^/"})), 256),
                "the ids that count",
            ),
            "svid_max_lifetime" => duration("longest whole lifetime of an SVID"),
            "max_staleness" => duration("silent for longer, and nothing of it is accepted"),
            "expires" => time("from then on nothing of it is accepted"),
            "owner" => text("who answers for it"),
            _ => return None,
        })
    },
    required: &["trust_domain"],
    more: nothing_more,
};

const REVOCATION_LIST: Shape = Shape {
    members: fields::REVOCATION_LIST,
    of: |name| {
        Some(match name {
            "sequence" => {
                json!({"type": "integer", "minimum": 0, "description": "a list with a lower one is not taken"})
            }
            "revoked" => list_or_none(object(&REVOCATION), Some(50_000)),
            _ => return None,
        })
    },
    required: &["revoked"],
    more: nothing_more,
};

const REVOCATION: Shape = Shape {
    members: fields::REVOCATION,
    of: |name| {
        Some(match name {
            "id" => id_pattern("patterns, too; `*` in place of captures"),
            "sha256" => digest("of the certificate, in DER"),
            "public_key_sha256" => digest("of its SubjectPublicKeyInfo, in DER"),
            "serial" => json!({"type": "string", "description": "in hexadecimal digits, with `issuer` beside it"}),
            "issuer" => {
                json!({"type": "string", "description": "as RFC 4514 writes it: CN=prod.example authority,O=SPIFFE"})
            }
            "reason" => text("why; stands in the log"),
            "until" => time("until when"),
            _ => return None,
        })
    },
    required: &[],
    more: || {
        let alone = |name: &str| {
            let others = ["id", "sha256", "public_key_sha256", "serial", "issuer"];
            let others: Vec<_> = others
                .iter()
                .filter(|other| **other != name)
                .map(|other| json!({"required": [other]}))
                .collect();
            json!({"required": [name], "not": {"anyOf": others}})
        };
        Some(json!({
            "oneOf": [
                alone("id"),
                alone("sha256"),
                alone("public_key_sha256"),
                {
                    "required": ["serial", "issuer"],
                    "not": {"anyOf": [{"required": ["id"]}, {"required": ["sha256"]}, {"required": ["public_key_sha256"]}]}
                }
            ]
        }))
    },
};

const JWT_SVID: Shape = Shape {
    members: fields::JWT_SVID,
    of: |name| {
        Some(match name {
            "audiences" => bounded(
                list(json!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 512,
                    "description": "who we are, as tokens name it"
                })),
                16,
            ),
            "max_lifetime" => {
                duration("how long a token may be good, from when it was issued; `10m` if it is not said")
            }
            "max_stream" => duration("how long a stream may go on after its token has ended; `1h` if it is not said"),
            "leeway" => {
                duration("how far the clocks of issuers may be from ours; `30s` if it is not said, at most `5m`")
            }
            "forward" => flag("whether the upstream gets the token"),
            _ => return None,
        })
    },
    required: &["audiences"],
    more: nothing_more,
};

const HOP: Shape = Shape {
    members: fields::HOP,
    of: |name| {
        Some(match name {
            "name" => json!({
                "type": "string",
                "pattern": "^[A-Za-z0-9._:/-]{1,128}$",
                "not": {"const": "direct"},
                "description": "unique; stands in `via` and in every record"
            }),
            "peers" => json!({
                "anyOf": [
                    bounded(list(id_pattern("who brings; `*` in place of captures")), 256),
                    {"const": "anonymous", "description": "whoever has connected by TLS and shown no certificate"},
                ],
            }),
            "callers" => bounded(list(id_pattern("whom it may bring; `*` in place of captures")), 256),
            "except" => bounded(list(id_pattern("whom of them it may not bring")), 256),
            "assertion" => words(
                fields::ASSERTIONS,
                "how it says who calls; xfcc: by x-forwarded-client-cert; client_cert: by client-cert (RFC 9440); jwt_svid: by a token \
                 in authorization",
            ),
            "evidence" => words(
                fields::EVIDENCE,
                "what must stand behind it: the certificate of who calls (xfcc, client_cert), a token (jwt_svid), or no more than \
                 the name that the hop writes (xfcc, ids of our own)",
            ),
            "depth" => json!({
                "type": "integer",
                "minimum": 1,
                "maximum": 4,
                "description": "how many hops the caller has come through, this one included"
            }),
            "expires" => time("from then on it brings nobody"),
            "owner" => text("who answers for it"),
            _ => return None,
        })
    },
    required: &["name", "peers", "callers", "assertion"],
    more: nothing_more,
};

const RULE: Shape = Shape {
    members: fields::RULE,
    of: |name| {
        Some(match name {
            "name" => json!({
                "type": "string",
                "pattern": "^[A-Za-z0-9._:/-]{1,128}$",
                "description": "unique; stands in every record"
            }),
            "effect" => words(fields::EFFECTS, "a deny that matches wins over any allow"),
            "from" => list(id_pattern(
                "`*` is one segment, a final `**` any rest, `{name}` one that is the same in the path",
            )),
            "except" => bounded(list(id_pattern("who is not meant")), 256),
            "to" => described(list(object(&TARGET)), "what is meant; without it, everything"),
            "when" => described(object(&WHEN), "what must hold beside it"),
            "via" => list(json!({
                "type": "string",
                "description": "names of `hops`, or `direct`; an allow without it means direct, a deny every way"
            })),
            "expires" => time("from then on it matches nothing"),
            "dry_run" => flag("recorded as `would_be`, changes nothing"),
            _ => return None,
        })
    },
    required: &["name", "effect", "from"],
    more: nothing_more,
};

const TARGET: Shape = Shape {
    members: fields::TARGET,
    of: |name| {
        Some(match name {
            "routes" => list(json!({"type": "string", "minLength": 1, "description": "names of routes of Envoy"})),
            "hosts" => {
                list(json!({"type": "string", "description": "without port; `*` is one label, a first `**` any"}))
            }
            "methods" => list(json!({"type": "string", "pattern": METHOD, "description": "in upper case"})),
            "paths" => list(json!({
                "type": "string",
                "pattern": "^/",
                "description": "`*` is one segment, a final `**` any rest, `{name}` the same segment as in the id"
            })),
            "ports" => list(json!({"type": "integer", "minimum": 1, "maximum": 65_535})),
            "sni" => list(json!({"type": "string", "description": "server names, as `hosts`"})),
            "encoded_slashes" => flag("open paths with `%2F`, too; needs `routes` beside it"),
            _ => return None,
        })
    },
    required: &[],
    more: || {
        let demands = fields::TARGET_DEMANDS.iter().map(|name| json!({"required": [name]}));
        Some(json!({"anyOf": demands.collect::<Vec<_>>()}))
    },
};

const WHEN: Shape = Shape {
    members: fields::WHEN,
    of: |name| {
        Some(match name {
            "headers" => list(object(&HEADER)),
            "not_headers" => list(object(&HEADER)),
            "source_ips" | "not_source_ips" => list(json!({"type": "string", "description": "a CIDR block"})),
            "time" | "not_time" => list(object(&TIME)),
            _ => return None,
        })
    },
    required: &[],
    more: || Some(json!({"minProperties": 1})),
};

const HEADER: Shape = Shape {
    members: fields::HEADER,
    of: |name| {
        Some(match name {
            "name" => json!({"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}),
            "is" => json!({"type": "string", "description": "each value, whole"}),
            "matches" => json!({"type": "string", "description": "a regular expression over each value, whole"}),
            "present" => json!({"const": true}),
            _ => return None,
        })
    },
    required: &["name"],
    more: || Some(json!({"oneOf": [{"required": ["is"]}, {"required": ["matches"]}, {"required": ["present"]}]})),
};

const TIME: Shape = Shape {
    members: fields::TIME,
    of: |name| {
        Some(match name {
            "days" => list(words(fields::DAYS, "without them, every day")),
            "from" => time_of_day("inclusive"),
            "until" => time_of_day("exclusive; before `from`, it is on the next day"),
            "zone" => words(fields::ZONES, "times are in UTC"),
            _ => return None,
        })
    },
    required: &[],
    more: || Some(json!({"anyOf": [{"required": ["days"]}, {"required": ["from"]}, {"required": ["until"]}]})),
};

const TEST_FILE: Shape = Shape {
    members: FILE_FIELDS,
    of: |name| {
        Some(match name {
            "policy" => {
                json!({"type": "string", "description": "from the folder of this file; FILE#NAME is one of several"})
            }
            "at" => time("the moment that all is asked at; without it, now"),
            "tests" => list_or_none(object(&TEST), None),
            _ => return None,
        })
    },
    required: &["policy", "tests"],
    more: nothing_more,
};

/// Its reader is made of structs, and a test holds their members against these.
const TEST_FIELDS: Table = &[
    "name", "id", "svid", "via", "chain", "bundles", "at", "allow", "deny", "refused", "never", "always", "only",
    "todo",
];

const TEST: Shape = Shape {
    members: TEST_FIELDS,
    of: |name| {
        Some(match name {
            "name" => json!({"type": "string", "description": "what it is about"}),
            "id" => json!({"type": "string", "pattern": "^spiffe://", "description": "the id that asks"}),
            "svid" => json!({"type": "string", "description": "a PEM file: then the whole verifier runs"}),
            "via" => json!({
                "type": "array",
                "items": {"type": "string", "description": "a name of `hops`, or `NAME=SPIFFE_ID` where it may be several"},
                "description": "the hop that brings its requests; without it, who asks connects"
            }),
            "chain" => {
                json!({"type": "array", "items": {"type": "string"}, "description": "PEM files that come with it"})
            }
            "bundles" => json!({
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "trust domain and file, where the document names a source"
            }),
            "at" => time("the moment that it is asked at"),
            "allow" => described(list_or_none(request(), None), "requests that are allowed"),
            "deny" => described(list_or_none(request(), None), "requests that are denied"),
            "refused" => json!({"type": "string", "description": "the reason code by which the SVID is refused"}),
            "never" => described(object(&REGION), "nothing of this is allowed, whoever asks and however"),
            "always" => described(object(&REGION), "all of this is allowed"),
            "only" => described(object(&REGION), "allowed to `from` and to nobody else"),
            "todo" => flag("a gap that is known: it runs and does not fail"),
            _ => return None,
        })
    },
    required: &["name"],
    more: nothing_more,
};

/// Who and what a statement is about: the members of a rule that say so.
const REGION: Shape = Shape {
    members: &["from", "except", "via", "to", "when"],
    of: |name| (RULE.of)(name),
    required: &[],
    more: nothing_more,
};

const REQUEST_FIELDS: Table = &[
    "request",
    "host",
    "headers",
    "port",
    "sni",
    "source_ip",
    "route",
    "reason",
    "rule",
];

const REQUEST: Shape = Shape {
    members: REQUEST_FIELDS,
    of: |name| {
        Some(match name {
            "request" => line(),
            "host" => json!({"type": "string"}),
            "headers" => json!({
                "type": "object",
                "additionalProperties": {
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
                },
                "description": "a line each, or a list of lines"
            }),
            "port" => json!({"type": "integer", "minimum": 0, "maximum": 65_535, "description": "of the connection"}),
            "sni" => json!({"type": "string", "description": "the server name of the connection"}),
            "source_ip" => json!({"type": "string", "description": "the address of the peer"}),
            "route" => json!({"type": "string", "description": "the name of Envoy's route"}),
            "reason" => json!({"type": "string", "description": "the reason code of the answer"}),
            "rule" => json!({"type": "string", "description": "the rule that decides"}),
            _ => return None,
        })
    },
    required: &["request"],
    more: nothing_more,
};

/// A line, or an object.
fn request() -> Value {
    json!({"anyOf": [line(), object(&REQUEST)]})
}

fn line() -> Value {
    json!({"type": "string", "description": "`GET /orders/7`"})
}

const GRAPHIC: &str = "^[!-~]+$";
/// A token without letters in lower case, and not a star alone.
const METHOD: &str = "^(?!\\*$)[!#$%&'*+.^_`|~0-9A-Z-]+$";

fn described(schema: Value, words: &str) -> Value {
    with(schema, "description", json!(words))
}

fn bounded(schema: Value, most: usize) -> Value {
    with(schema, "maxItems", json!(most))
}

fn with(schema: Value, name: &str, value: Value) -> Value {
    match schema {
        Value::Object(mut members) => {
            members.insert(name.to_owned(), value);
            Value::Object(members)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    }
}

fn list(items: Value) -> Value {
    json!({"type": "array", "minItems": 1, "items": items})
}

fn list_or_none(items: Value, most: Option<usize>) -> Value {
    let list = json!({"type": "array", "items": items});
    match most {
        Some(most) => bounded(list, most),
        None => list,
    }
}

fn words(words: Table, description: &str) -> Value {
    json!({"enum": words, "description": description})
}

fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "maxLength": 128, "description": description})
}

fn key(description: &str) -> Value {
    let description = format!("the key of filter state that has {description}");
    json!({"type": "string", "pattern": "^(?!wasm\\.)[!-~]{1,128}$", "description": description})
}

fn cluster(most: usize) -> Value {
    json!({"type": "string", "pattern": GRAPHIC, "maxLength": most, "description": "a cluster of this Envoy"})
}

fn pem() -> Value {
    json!({"type": "string", "pattern": "-----BEGIN CERTIFICATE-----", "description": "path-building hints, never trusted"})
}

fn trust_domain(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9._-]{1,255}$", "description": description})
}

fn id_pattern(description: &str) -> Value {
    json!({"type": "string", "pattern": "^spiffe://([a-z0-9._-]+|\\*)/.", "maxLength": 2048, "description": description})
}

fn digest(description: &str) -> Value {
    json!({"type": "string", "description": format!("SHA-256 {description}, in hexadecimal digits")})
}

fn duration(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9]*[1-9][0-9]*[smhd]$", "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

fn time_of_day(description: &str) -> Value {
    json!({"type": "string", "pattern": "^([01][0-9]|2[0-4]):[0-5][0-9]$", "description": description})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::file::TestFile;

    #[test]
    fn every_member_that_the_reader_knows_has_a_schema() {
        for (name, shape) in [
            ("document", DOCUMENT),
            ("peer", PEER),
            ("filter_state", FILTER_STATE),
            ("bundle", BUNDLE),
            ("endpoint", ENDPOINT),
            ("authorities", AUTHORITIES),
            ("workload_api", WORKLOAD_API),
            ("revocations", REVOCATIONS),
            ("relationship", RELATIONSHIP),
            ("list of revocations", REVOCATION_LIST),
            ("revocation", REVOCATION),
            ("rule", RULE),
            ("target", TARGET),
            ("when", WHEN),
            ("header", HEADER),
            ("time", TIME),
            ("file of tests", TEST_FILE),
            ("test", TEST),
            ("region", REGION),
            ("request", REQUEST),
        ] {
            for member in shape.members {
                assert!((shape.of)(member).is_some(), "{name}: {member}");
            }
            for member in shape.required {
                assert!(shape.members.contains(member), "{name}: {member}");
            }
        }
    }

    /// What the reader says that it knows, when it meets what it does not.
    fn known(text: &str) -> Vec<String> {
        let error = serde_saphyr::from_str::<TestFile>(text).unwrap_err().to_string();
        let (_, names) = error
            .split_once("expected one of ")
            .unwrap_or_else(|| panic!("{error}"));
        let names = names.lines().next().unwrap_or_default();
        names.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn members_of_tests_are_those_of_their_reader() {
        assert_eq!(known("zzz: 1"), FILE_FIELDS);
        assert_eq!(known("policy: p\ntests: [ { zzz: 1 } ]"), TEST_FIELDS);
        assert_eq!(
            known("policy: p\ntests: [ { name: n, allow: [ { zzz: 1 } ] } ]"),
            REQUEST_FIELDS
        );
    }
}
