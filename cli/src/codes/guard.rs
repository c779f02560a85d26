//! Findings about an Envoy: where the gate stands, and where it does not.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[
    &NO_GATE,
    &SWITCHED_OFF,
    &FAILS_OPEN,
    &DRY_RUN,
    &NOBODY_VERIFIES,
    &DEFAULT_OPEN,
    &MISPLACED,
    &ADMIN,
    &NOT_EXPECTED,
    &MATCHER,
    &UNREAD,
    &NOT_HERE,
    &ON_DEMAND,
    &INSIDE,
    &MAY_ANSWER,
    &OTHER_KIND,
    &BAD_DOCUMENT,
    &OPTIONAL,
    &POOLED,
    &NOT_AT_WORK,
    &FORGED,
    &SHUT,
    &TWO_DOCUMENTS,
    &ONE_FILTER,
    &CERTIFICATE,
    &XFCC,
    &RESUMPTION,
    &REFUSED,
    &DEFAULT_BEHIND,
    &ANSWERS,
    &LOCK,
    &OTHER_STATE,
    &OLD_ENVOY,
    &DIALS_EARLY,
    &FETCHED,
    &ACCEPTED,
];

/// No filter of svidgate decides there.
pub static NO_GATE: Code = Code {
    number: "SG0601",
    level: Level::Error,
    title: "no filter of svidgate decides there",
    why: "Whoever reaches this door is let in, certificate or not. In front of HTTP the network filter alone is no \
          gate: it lets in whoever has any rule, and leaves each request to the HTTP filter. An upgrade with HTTP \
          filters of its own goes through these and no others.",
    example: r"
filters:
  - name: envoy.filters.network.http_connection_manager
",
    mend: "Put `svidgate.connection` first into the filter chain, and in front of HTTP `svidgate.request` before the \
          router, with the same document.",
};

/// A route goes without the HTTP filter.
pub static SWITCHED_OFF: Code = Code {
    number: "SG0602",
    level: Level::Error,
    title: "a route goes without the HTTP filter",
    why: "A route, its virtual host or the whole route configuration may switch a filter off by its name, and must \
          switch on what has `disabled: true`. What it switches on by a name that no filter has is not there, and \
          Envoy says nothing.",
    example: r#"
typed_per_filter_config:
  svidgate.request: { "@type": .../FilterConfig, disabled: true }
"#,
    mend: "Take the entry away, or switch the filter on by the name that it has in the connection manager. The second \
          lock (docs/listener.md) shuts such a door.",
};

/// The filter lets pass while it does not run.
pub static FAILS_OPEN: Code = Code {
    number: "SG0603",
    level: Level::Error,
    title: "the filter lets pass while it does not run",
    why: "With `FAIL_OPEN` (`fail_open`, `failOpen`) everybody passes from when the VM has died, or while the module \
          does not come.",
    example: "failure_policy: FAIL_OPEN",
    mend: "Write `failure_policy: FAIL_RELOAD`: deny, and start another VM.",
};

/// The document blocks nothing.
pub static DRY_RUN: Code = Code {
    number: "SG0604",
    level: Level::Error,
    title: "the document blocks nothing",
    why: "In a dry run each decision is recorded and none is carried out.",
    example: "mode: dry_run",
    mend: "Write `mode: enforce` once the records say what you want.",
};

/// Nobody verifies the chain of a certificate.
pub static NOBODY_VERIFIES: Code = Code {
    number: "SG0605",
    level: Level::Error,
    title: "nobody verifies the chain of a certificate",
    why: "With `chain: proxy` the document leaves chains to Envoy. Where Envoy takes any certificate, anyone can be \
          anyone.",
    example: r"
chain: proxy
# and in Envoy
validation_context: { trust_chain_verification: ACCEPT_UNTRUSTED }
",
    mend: "Write `chain: verify`, or give Envoy its SPIFFE validator with the bundle of each trust domain.",
};

/// Another filter stands there until discovery has brought ours.
pub static DEFAULT_OPEN: Code = Code {
    number: "SG0606",
    level: Level::Error,
    title: "another filter stands there until discovery has brought ours",
    why: "Until an answer has come, and for ever if none does, requests go through `default_config`.",
    example: r#"
config_discovery:
  default_config: { "@type": .../Buffer }
"#,
    mend: "Leave `default_config` out: nobody gets through until the filter has come. Or let it be an RBAC without a \
          policy, which refuses.",
};

/// The module stands where it decides on nothing.
pub static MISPLACED: Code = Code {
    number: "SG0607",
    level: Level::Error,
    title: "the module stands where it decides on nothing",
    why: "Which of our filters it is says `root_id`. One for connections decides on no request, and one for requests \
          on no connection; a document for requests in front of what has none decides on nothing at all.",
    example: r"
# an HTTP filter
root_id: svidgate.connection
",
    mend: "Write `root_id: svidgate.connection` for a network filter and `svidgate.request` for an HTTP filter, and \
          `listener: tcp` in a document for what has no requests.",
};

/// The admin interface can be reached by others.
pub static ADMIN: Code = Code {
    number: "SG0608",
    level: Level::Error,
    title: "the admin interface can be reached by others",
    why: "No filter stands before the admin interface. It hands out the whole configuration, and lets whoever asks \
          change logging, drain listeners or end the process.",
    example: r"
admin:
  address: { socket_address: { address: 0.0.0.0, port_value: 9901 } }
",
    mend: "Give it an address of loopback, or a pipe.",
};

/// This is not what was expected.
pub static NOT_EXPECTED: Code = Code {
    number: "SG0609",
    level: Level::Error,
    title: "this is not what was expected",
    why: "The file of `--expect` names another document for this listener, or a listener that is not there.",
    example: r#"
listeners:
  web: { version: "2" }
"#,
    mend: "Wait until the roll-out has come, or correct the file.",
};

/// A matcher chooses.
pub static MATCHER: Code = Code {
    number: "SG0621",
    level: Level::Warning,
    title: "a matcher chooses",
    why: "Chains, filters or routes that a matcher chooses are not judged: whether what it chooses has the filter \
          depends on what a peer sends.",
    example: "filter_chain_matcher: { matcher_tree: {} }",
    mend: "Use `filter_chain_match`, plain filters and plain routes, which are understood. The second lock holds behind \
          a matcher, too.",
};

/// Something there is not understood.
pub static UNREAD: Code = Code {
    number: "SG0622",
    level: Level::Warning,
    title: "something there is not understood",
    why: "A member that this version of svidgate does not know, or one with a value that it cannot read, may change \
          which filters run. Envoy may refuse it, too.",
    example: r#"
typed_per_filter_config:
  svidgate.request: { "@type": .../SomethingPerRoute }
"#,
    mend: "Let `envoy --mode validate` judge it, take a newer svidgate, or look at it by hand.",
};

/// It comes by discovery and is not here.
pub static NOT_HERE: Code = Code {
    number: "SG0623",
    level: Level::Warning,
    title: "it comes by discovery and is not here",
    why: "Listeners, routes, filters and secrets may come by discovery. A file does not show them, and a dump only \
          where its section is in it.",
    example: "rds: { route_config_name: web }",
    mend: "Give the whole /config_dump of the running Envoy.",
};

/// Routes are found while a request is under way.
pub static ON_DEMAND: Code = Code {
    number: "SG0624",
    level: Level::Warning,
    title: "routes are found while a request is under way",
    why: "Scoped routes and what comes on demand are not in a dump before somebody asks for them.",
    example: "scoped_routes: { name: tenants }",
    mend: "Use `route_config` or `rds`, which are understood.",
};

/// It is behind another listener of the same Envoy.
pub static INSIDE: Code = Code {
    number: "SG0625",
    level: Level::Warning,
    title: "it is behind another listener of the same Envoy",
    why: "There a connection has no TLS of its own, and decisions stand on filter state that another listener shares. \
          Who may write that is not judged.",
    example: "internal_listener: {}",
    mend: "See that only a listener that demands a certificate leads there, and that filter state is shared as \
          docs/listener.md says.",
};

/// Something stands before svidgate that may answer by itself.
pub static MAY_ANSWER: Code = Code {
    number: "SG0626",
    level: Level::Warning,
    title: "something stands before svidgate that may answer by itself",
    why: "What a filter before svidgate answers is not decided on. Scripts, caches and modules of others can answer \
          anything.",
    example: r"
http_filters:
  - name: envoy.filters.http.lua
  - name: svidgate.request
",
    mend: "Put svidgate before it.",
};

/// A way in of a kind that is not judged.
pub static OTHER_KIND: Code = Code {
    number: "SG0627",
    level: Level::Warning,
    title: "a way in of a kind that is not judged",
    why: "Datagrams and QUIC, listeners of an application's own (`api_listener`) and native modules are not judged.",
    example: "udp_listener_config: {}",
    mend: "Look at it by hand. Of HTTP/3 a network filter sees nothing; the HTTP filter decides on each request.",
};

/// The document cannot be read.
pub static BAD_DOCUMENT: Code = Code {
    number: "SG0628",
    level: Level::Warning,
    title: "the document cannot be read",
    why: "Envoy refuses a filter whose document has a mistake. What runs then is what ran before, or nothing.",
    example: "mark_pased: true",
    mend: "`svidgate check` says what is wrong, with its line.",
};

/// An Envoy may run without the filter.
pub static OPTIONAL: Code = Code {
    number: "SG0629",
    level: Level::Warning,
    title: "an Envoy may run without the filter",
    why: "An Envoy that was built without Wasm leaves out a filter that is optional, and says nothing.",
    example: "is_optional: true",
    mend: "Take `is_optional` away.",
};

/// All authorities are in one pool.
pub static POOLED: Code = Code {
    number: "SG0630",
    level: Level::Warning,
    title: "all authorities are in one pool",
    why: "With `chain: proxy` and one pool of authorities each of them can issue ids of every trust domain.",
    example: r"
chain: proxy
# and in Envoy
validation_context: { trusted_ca: { filename: all.pem } }
",
    mend: "Write `chain: verify`, or give Envoy its SPIFFE validator with the bundle of each trust domain.",
};

/// It is configured, and was not seen at work.
pub static NOT_AT_WORK: Code = Code {
    number: "SG0631",
    level: Level::Warning,
    title: "it is configured, and was not seen at work",
    why: "The gauge of a document's version is 1 while a listener of this proxy has it at work. A VM that does not \
          start, code that has not come, or a proxy whose statistics are filtered shows none.",
    example: "wasmcustom.svidgate.policy_info.2: 0",
    mend: "Look for `svidgate` in Envoy's log, and let its statistics through.",
};

/// Another filter writes what the lock believes.
pub static FORGED: Code = Code {
    number: "SG0632",
    level: Level::Warning,
    title: "another filter writes what the lock believes",
    why: "The second lock believes what stands in filter state under `wasm.svidgate`. Keys that begin so are for \
          svidgate to write.",
    example: "object_key: wasm.svidgate.passed",
    mend: "Write under another key.",
};

/// Nobody gets through.
pub static SHUT: Code = Code {
    number: "SG0641",
    level: Level::Note,
    title: "nobody gets through",
    why: "Whoever comes is refused or closed, with a rule or without: the lock alone holds, a denial stands where the \
          filter should, there is no TLS, nobody is asked for a certificate, or nothing is behind.",
    example: "rules: {}   # RBAC without a policy",
    mend: "Nothing, if that is meant. Else see why the filter, the certificate or what is behind is missing.",
};

/// There is more than one document.
pub static TWO_DOCUMENTS: Code = Code {
    number: "SG0651",
    level: Level::Warning,
    title: "there is more than one document",
    why: "A connection and its requests must please both documents of their filters. Plugins under one name are judged \
          by the newest document under it, at all listeners.",
    example: "name: svidgate   # at two listeners",
    mend: "Give both filters of a listener one document, each listener's plugins a name of their own, and both filters \
          one `vm_id`.",
};

/// The network filter is missing.
pub static ONE_FILTER: Code = Code {
    number: "SG0652",
    level: Level::Warning,
    title: "the network filter is missing",
    why: "The HTTP filter alone is a gate. But a stranger gets to send a request before it is refused, and conditions \
          on source addresses are met by nobody.",
    example: r"
http_filters:
  - name: svidgate.request
",
    mend: "Put `svidgate.connection` first into the filter chain, with the same document.",
};

/// No certificate is demanded in the handshake.
pub static CERTIFICATE: Code = Code {
    number: "SG0653",
    level: Level::Warning,
    title: "no certificate is demanded in the handshake",
    why: "A peer without a certificate gets as far as svidgate, which refuses it.",
    example: "require_client_certificate: false",
    mend: "Write `require_client_certificate: true`.",
};

/// The header of the client certificate is not this listener's own.
pub static XFCC: Code = Code {
    number: "SG0654",
    level: Level::Warning,
    title: "x-forwarded-client-cert is not written by whom the document says",
    why: "A document with `xfcc: own` reads `x-forwarded-client-cert`, which only a listener with `SANITIZE_SET` \
          writes by itself. In modes that forward, the upstream gets what a client says, unless the document has \
          `xfcc: hop` (`FORWARD_ONLY`) or `hop_appended` (`APPEND_FORWARD`).",
    example: "forward_client_cert_details: APPEND_FORWARD",
    mend: "Write `forward_client_cert_details: SANITIZE_SET` with `cert: true` and `chain: true`, or `SANITIZE`; for \
           `xfcc: hop` write `FORWARD_ONLY`, for `hop_appended` `APPEND_FORWARD`.",
};

/// Resumed sessions are verified by nobody.
pub static RESUMPTION: Code = Code {
    number: "SG0655",
    level: Level::Warning,
    title: "resumed sessions are verified by nobody",
    why: "Envoy does not verify a session again that is resumed, and with `chain: proxy` svidgate does not verify \
          chains.",
    example: "chain: proxy",
    mend: "Write `chain: verify`, or switch both kinds of resumption off.",
};

/// An update was refused.
pub static REFUSED: Code = Code {
    number: "SG0656",
    level: Level::Warning,
    title: "an update was refused",
    why: "Envoy goes on with what it had. Later changes of the same resource are refused, too, until what is wrong is \
          gone.",
    example: "error_state: { details: Unable to create Wasm ... }",
    mend: "Mend what the update brings, or take it back.",
};

/// Another filter would stand there without discovery.
pub static DEFAULT_BEHIND: Code = Code {
    number: "SG0657",
    level: Level::Warning,
    title: "another filter would stand there without discovery",
    why: "Were the filter taken back by discovery, `default_config` would run in its place, which lets pass.",
    example: "config_discovery: { default_config: ... }",
    mend: "Leave `default_config` out.",
};

/// Something is answered before svidgate.
pub static ANSWERS: Code = Code {
    number: "SG0658",
    level: Level::Warning,
    title: "something is answered before svidgate",
    why: "What stands before svidgate answers some requests by itself, such as CORS preflights. These are not decided \
          on, and have no record.",
    example: r"
http_filters:
  - name: envoy.filters.http.cors
  - name: svidgate.request
",
    mend: "Put svidgate first, unless that may be.",
};

/// Mark and lock do not go together.
pub static LOCK: Code = Code {
    number: "SG0659",
    level: Level::Warning,
    title: "mark and lock do not go together",
    why: "A lock without `mark_passed: true` lets nobody through. A mark without a lock holds nothing.",
    example: "mark_passed: true",
    mend: "Write `mark_passed: true` and put the lock behind (docs/listener.md).",
};

/// It does not listen yet, or no more.
pub static OTHER_STATE: Code = Code {
    number: "SG0660",
    level: Level::Note,
    title: "it does not listen yet, or no more",
    why: "A listener that warms waits for something; one that drains takes no new connections.",
    example: "warming_state: {}",
    mend: "Look again in a moment.",
};

/// This Envoy shows Wasm filters no certificate.
pub static OLD_ENVOY: Code = Code {
    number: "SG0661",
    level: Level::Warning,
    title: "this Envoy shows Wasm filters no certificate",
    why: "Before 1.38 every peer is refused (`connection.certificate_unreadable`) unless Envoy's own filter leaves the \
          certificate for svidgate.",
    example: "# Envoy 1.37, without set_filter_state",
    mend: "Put `set_filter_state` before svidgate (docs/listener.md, \"Where the leaf comes from\").",
};

/// The upstream is dialled at the wrong moment.
pub static DIALS_EARLY: Code = Code {
    number: "SG0662",
    level: Level::Warning,
    title: "the upstream is dialled at the wrong moment",
    why: "A document for TCP needs the mode that goes with it. In another one each connection is closed.",
    example: r"
listener: tcp
# and in Envoy
upstream_connect_mode: IMMEDIATE
",
    mend: "Write `ON_DOWNSTREAM_DATA` for `tcp`, `ON_DOWNSTREAM_TLS_HANDSHAKE` for `tcp_server_first`, and \
          `max_early_data_bytes`.",
};

/// The code is fetched by Envoy.
pub static FETCHED: Code = Code {
    number: "SG0663",
    level: Level::Note,
    title: "the code is fetched by Envoy",
    why: "Whether it has come no dump says. While it has not, the listener is not there; after the last try it answers \
          503.",
    example: "code: { remote: { http_uri: { uri: https://... } } }",
    mend: "Load the module from a file, or ask the running Envoy (`--admin`).",
};

/// Accepted without a guard.
pub static ACCEPTED: Code = Code {
    number: "SG0664",
    level: Level::Note,
    title: "accepted without a guard",
    why: "The file of `--expect` says that this listener needs no guard, and why.",
    example: r"
listeners:
  metrics: { unguarded: only Prometheus gets there }
",
    mend: "Nothing.",
};
