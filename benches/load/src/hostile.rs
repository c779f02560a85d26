//! Peers and documents that are made to be expensive, within every bound that there is.

use hyper::header::HeaderValue;
use serde_json::{Value, json};
use support::ca::{
    Authority, Identity, Key, KeyKind, Leaf, Profile, SignatureAlgorithm, bundle_json, real_now, token_of,
};
use support::client::Client;
use support::world::{OWN, World, with};

use crate::drive::Header;
use crate::subject::{
    AUDIENCE, CALLER, CERTIFICATE_HOP, ES256, PATH, TOKEN_HOP, XFCC, bearer, by_certificate, hop_document,
};

/// As many authorities of one name as the bundle of a large trust domain might have, and more than there are signature
/// checks for one leaf.
const OF_ONE_NAME: usize = 64;
/// Signing certificates that may bear one name beside a leaf.
const MOST_OF_ONE_NAME: usize = 3;
/// Bytes of a header value that are matched.
const MATCHED: usize = 4 * 1024;
/// Expressions that a document may have.
const EXPRESSIONS: usize = 1_000;
/// Routes below one place.
const ROUTES: usize = 10_000;
/// How tokens are signed that are dearest to check.
const PS512: &str = "PS512";
/// Envoy lets through 60 KiB of headers, unless told otherwise.
const HEAD: usize = 60 * 1024;

/// A trust domain of its own, with authorities that sign in one way.
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Those of its bundle. All bear one name.
    pub authorities: Vec<Authority>,
    /// How they sign.
    pub algorithm: SignatureAlgorithm,
    /// The key of every leaf: what is measured is who vouches for it.
    key: Key,
}

impl Domain {
    /// A trust domain with that many authorities of one name, each with a key of this kind.
    pub fn new(label: &str, kind: KeyKind, algorithm: SignatureAlgorithm, authorities: usize, world: &World) -> Self {
        let name = format!("{label}.example");
        let authority = |_| {
            let key = Key::generate(kind);
            Authority::root(Profile {
                key,
                ..Profile::authority(&name, world.now)
            })
        };
        Domain {
            authorities: (0..authorities).map(authority).collect(),
            algorithm,
            key: Key::generate(KeyKind::P256),
            name,
        }
    }

    /// One of which every authority would have to be tried for a leaf.
    pub fn crowded(label: &str, kind: KeyKind, algorithm: SignatureAlgorithm, world: &World) -> Self {
        Domain::new(label, kind, algorithm, OF_ONE_NAME, world)
    }

    /// One with three authorities, and below them two levels of three signing certificates each, which come with a
    /// leaf.
    pub fn layered(label: &str, kind: KeyKind, algorithm: SignatureAlgorithm, world: &World) -> (Self, Vec<Vec<u8>>) {
        let domain = Domain::new(label, kind, algorithm, MOST_OF_ONE_NAME, world);
        let below = |issuer: &Authority, level: &str| -> Vec<Authority> {
            let signing = |_| {
                issuer.issue_authority(Profile {
                    common_name: Some(level.to_owned()),
                    key: Key::generate(kind),
                    signature_algorithm: Some(algorithm),
                    ..Profile::authority(&domain.name, world.now)
                })
            };
            (0..MOST_OF_ONE_NAME).map(signing).collect()
        };
        // None of the bundle has signed the upper ones, whatever name they say.
        let stranger = Domain::new(label, kind, algorithm, 1, world);
        let upper = below(&stranger.authorities[0], "upper");
        let lower = below(&upper[0], "lower");
        let sent = [upper, lower].concat();
        (
            domain,
            sent.into_iter().map(|authority| authority.certificate).collect(),
        )
    }

    /// The relationship with it.
    pub fn relationship(&self) -> Value {
        let authorities: Vec<&Authority> = self.authorities.iter().collect();
        json!({ "trust_domain": self.name, "bundle": { "inline": bundle_json(&authorities) }, "owner": "benchmark" })
    }

    fn leaf(&self, number: usize, world: &World) -> Leaf {
        Leaf {
            key: self.key.clone(),
            signature_algorithm: Some(self.algorithm),
            ..Leaf::svid(&format!("spiffe://{}/workload/{number}", self.name), world.now)
        }
    }

    /// Clients with so many good SVIDs of different ids.
    pub fn good(&self, count: usize, world: &World) -> Vec<Client> {
        let issue = |number| self.authorities[0].issue(self.leaf(number, world));
        (0..count).map(|number| Client::new(Some(&issue(number)))).collect()
    }

    /// Clients with so many different leaves, each a good one but for its signature. `number` keeps one call's apart
    /// from another's.
    pub fn forged(&self, number: usize, count: usize, world: &World) -> Vec<Client> {
        let identity = self.authorities[0].issue(self.leaf(number, world));
        forgeries(&identity, count)
    }

    /// The same, of an issuer that nobody has.
    pub fn of_nobody(&self, number: usize, count: usize, world: &World) -> Vec<Client> {
        let nobody = Authority::root(Profile {
            common_name: Some(format!("nobody of {}", self.name)),
            ..Profile::authority(&self.name, world.now)
        });
        forgeries(&nobody.issue(self.leaf(number, world)), count)
    }

    /// The same, issued by `issuer` as its certificate has it, with certificates beside them.
    pub fn forged_below(
        &self,
        issuer: &str,
        beside: &[Vec<u8>],
        number: usize,
        count: usize,
        world: &World,
    ) -> Vec<Client> {
        let stranger = Authority::root(Profile {
            common_name: Some(issuer.to_owned()),
            key: Key::generate(self.authorities[0].key.kind()),
            ..Profile::authority(&self.name, world.now)
        });
        let identity = Identity {
            intermediates: beside.to_vec(),
            ..stranger.issue(self.leaf(number, world))
        };
        forgeries(&identity, count)
    }
}

/// Clients with that leaf and so many wrong signatures of it, each of which costs the same.
fn forgeries(identity: &Identity, count: usize) -> Vec<Client> {
    let numbers = (1..=u16::MAX).take(count);
    numbers
        .map(|number| Client::new(Some(&identity.forged(number))))
        .collect()
}

/// A document with these trust domains, each id of which may do what is asked here.
pub fn document(world: &World, domains: &[&Domain]) -> Value {
    let relationships: Vec<Value> = domains.iter().map(|domain| domain.relationship()).collect();
    let rules = json!([{ "name": "all", "effect": "allow", "from": ["spiffe://*/**"], "to": [{ "paths": [PATH] }] }]);
    with(world.document(rules), json!({ "federation": relationships }))
}

/// What a request is to cost much with.
#[derive(Clone, Debug)]
pub struct Costly {
    /// What it is.
    pub what: &'static str,
    /// The rules.
    pub rules: Value,
    /// The head of the request.
    pub request: Vec<u8>,
}

impl Costly {
    /// A request as everyone sends it, to compare with.
    pub fn usual(rules: Value) -> Self {
        let (what, request) = ("a usual request, 10 rules", get(PATH, &[]));
        Costly { what, rules, request }
    }
}

/// All that we know of.
pub fn costly() -> Vec<Costly> {
    let hostile = |number: usize| format!("(.*a.{{60}}|{number})b");
    let bytes = [&b"a".repeat(MATCHED - 1)[..], b"c"].concat();
    vec![
        Costly {
            what: "100 conditions with expressions; 90 headers of one name, 60 KiB in all",
            rules: expressions(100, |number| format!("team-[a-z]+-{number}")),
            request: get(PATH, &vec![("x-team", vec![b't'; HEAD / 100]); 90]),
        },
        Costly {
            what: "1,000 usual expressions; a value of 4 KiB",
            rules: expressions(EXPRESSIONS, |number| format!("team-[a-z]+-{number}")),
            request: get(PATH, &[("x-team", [&b"team-"[..], &bytes[5..]].concat())]),
        },
        Costly {
            what: "1,000 expressions made to be slow; a value of 4 KiB",
            rules: expressions(EXPRESSIONS, hostile),
            request: get(PATH, &[("x-team", bytes)]),
        },
        Costly {
            what: "10,000 routes under one place; a path of 28,000 segments, 56 KB",
            rules: routes((0..ROUTES).map(|number| format!("/a/{number}/**")).collect()),
            request: get(&"/a".repeat(28_000), &[]),
        },
        Costly {
            what: "10,000 routes that all match a path of 56 KB",
            rules: routes((0..ROUTES).map(doubtful).collect()),
            request: get(&"/a".repeat(28_000), &[]),
        },
        Costly {
            what: "10,000 routes that all match a path of 28 bytes",
            rules: routes((0..ROUTES).map(doubtful).collect()),
            request: get(&"/a".repeat(14), &[]),
        },
    ]
}

/// A route of 14 segments, each either `a` or anything.
fn doubtful(number: usize) -> String {
    let segments = (0..14).map(|bit| if number >> bit & 1 == 0 { "/a" } else { "/*" });
    segments.collect::<String>() + "/**"
}

fn from_caller() -> Value {
    json!([format!("spiffe://{OWN}{CALLER}")])
}

/// Rules with an expression each, of which none matches.
fn expressions(count: usize, expression: impl Fn(usize) -> String) -> Value {
    let rule = |number| {
        let header = json!({ "name": "x-team", "matches": expression(number) });
        json!({ "name": format!("team-{number}"), "effect": "allow", "from": from_caller(), "to": [{ "paths": ["/**"] }],
                "when": { "headers": [header] } })
    };
    (0..count).map(rule).collect()
}

/// A rule that allows all routes when the request has a header that it has not, so that each has to be looked at.
fn routes(paths: Vec<String>) -> Value {
    let rule = |(number, path)| {
        json!({ "name": format!("route-{number}"), "effect": "allow", "from": from_caller(), "to": [{ "paths": [path] }],
                "when": { "headers": [{ "name": "x-absent", "present": true }] } })
    };
    paths.into_iter().enumerate().map(rule).collect()
}

/// What comes through a hop: requests that all have one header, each another value of it.
pub struct Brought {
    /// What it is.
    pub what: &'static str,
    /// The hop, below our trust domain.
    pub hop: &'static str,
    /// For each round.
    pub headers: Vec<Vec<Header>>,
}

/// Who signs what hops bring.
pub struct Signers {
    es256: Key,
    rsa: Key,
    crowd: Domain,
}

/// Bytes of an assertion that are read.
const ASSERTION: usize = 32 * 1024;
/// Bytes of a token that are read.
const TOKEN: usize = 8 * 1024;

impl Signers {
    /// With keys of their own.
    pub fn new(world: &World) -> Self {
        Signers {
            es256: Key::generate(KeyKind::P256),
            rsa: Key::generate(KeyKind::Rsa4096),
            crowd: Domain::crowded("crowd", KeyKind::Rsa4096, SignatureAlgorithm::RsaPssSha512, world),
        }
    }

    /// Hops may bring those whom they sign for.
    pub fn document(&self, world: &World) -> Value {
        let mut document = hop_document(world, &[(ES256, &self.es256), (PS512, &self.rsa)]);
        let hops = document["hops"].as_array_mut();
        for hop in hops.into_iter().flatten() {
            let callers = hop["callers"].as_array_mut().expect("patterns");
            callers.push(json!(format!("spiffe://{}/**", self.crowd.name)));
        }
        with(document, json!({ "federation": [self.crowd.relationship()] }))
    }

    /// Each kind, that many a round; those that cost more are fewer.
    pub fn brought(&self, world: &World, rounds: usize, count: usize) -> Vec<Brought> {
        let few = count.div_ceil(10);
        let tokens = |what, count: usize, value: &dyn Fn(usize) -> String| Brought {
            what,
            hop: TOKEN_HOP,
            headers: in_rounds(rounds, count, |number| bearer(&value(number))),
        };
        let certificates = |what, count: usize, value: &dyn Fn(usize) -> Header| Brought {
            what,
            hop: CERTIFICATE_HOP,
            headers: in_rounds(rounds, count, value),
        };
        let forged = self.crowd.leaf(0, world);
        let forged = self.crowd.authorities[0].issue(forged);
        let letters = |bytes: usize, number: usize| format!("{number:0bytes$}");
        let same = forged_token(&self.rsa, PS512, 0);
        vec![
            tokens("no token: 8 KiB of letters", count, &|number| letters(TOKEN, number)),
            tokens("an algorithm that is none of the nine", count, &|number| {
                with_header(&json!({ "alg": "EdDSA", "kid": format!("k{number}") }))
            }),
            tokens("a key that nobody has", count, &|number| {
                with_header(&json!({ "alg": ES256, "kid": format!("k{number}") }))
            }),
            tokens("a bad signature, ES256 (checked by the proxy)", count, &|number| {
                forged_token(&self.es256, ES256, number)
            }),
            tokens("a bad signature, PS512 of 4,096 bits (in the module)", few, &|number| {
                forged_token(&self.rsa, PS512, number)
            }),
            tokens("the same bad token again and again", count, &|_| same.clone()),
            certificates("no assertion: 32 KiB of letters", count, &|number| {
                assertion(&letters(ASSERTION, number))
            }),
            certificates("32 KiB of what is escaped, and no certificate", count, &|number| {
                let escaped = "%41".repeat((ASSERTION - 32) / 3);
                assertion(&format!("Cert=\"{number}{escaped}\""))
            }),
            certificates(
                "a forged leaf, 64 authorities of its name, PSS in the module (6)",
                few,
                &|number| {
                    let number = u16::try_from(number + 1).expect("few");
                    by_certificate(&forged.forged(number))
                },
            ),
        ]
    }
}

fn in_rounds(rounds: usize, count: usize, value: impl Fn(usize) -> Header) -> Vec<Vec<Header>> {
    let round = |round| (round * count..(round + 1) * count).map(&value).collect();
    (0..rounds).map(round).collect()
}

/// A token of this header whose signature is as long as one of ES256, and none.
fn with_header(header: &Value) -> String {
    let key = Key::generate(KeyKind::P256);
    token(&key, ES256, &header.to_string(), 0)
}

/// A token that is good but for its signature, which is that of another. Both are dear to check.
fn forged_token(key: &Key, alg: &str, number: usize) -> String {
    let header = json!({ "alg": alg, "kid": alg }).to_string();
    let signature = token(key, alg, &header, usize::MAX);
    let signature = signature.rsplit('.').next().expect("three parts");
    let forged = token(&Key::generate(KeyKind::P256), ES256, &header, number);
    let (signed, _) = forged.rsplit_once('.').expect("three parts");
    format!("{signed}.{signature}")
}

fn token(key: &Key, alg: &str, header: &str, number: usize) -> String {
    let now = real_now().as_second();
    let claims = json!({ "aud": AUDIENCE, "sub": format!("spiffe://{OWN}{CALLER}"), "exp": now + 300, "jti": number });
    token_of(key, alg, header, claims.to_string())
}

fn assertion(value: &str) -> Header {
    (XFCC, HeaderValue::try_from(value).expect("plain letters"))
}

fn get(path: &str, headers: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    [bytes, b"\r\n".to_vec()].concat()
}
