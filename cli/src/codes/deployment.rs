//! Lints of what stands in the proxy beside a document.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[
    &NO_SOURCE_ADDRESS,
    &NO_SERVER_NAME,
    &HEADER_OF_PROXY,
    &OTHER_WORD,
    &NOT_ONE_DOCUMENT,
];

/// `source_ips` where only the HTTP filter has the document.
pub static NO_SOURCE_ADDRESS: Code = Code {
    number: "SG0401",
    level: Level::Warning,
    title: "`source_ips` where only the HTTP filter has the document",
    why: "The HTTP filter alone does not see the true address of a connection, so the condition is met by \
          nobody: an allow never matches, a deny always does.",
    example: r"
root_id: svidgate.request
configuration: (with a rule on source_ips)
",
    mend: "Put `svidgate.connection` with the same document in front.",
};

/// `sni` where no filter sees the server name.
pub static NO_SERVER_NAME: Code = Code {
    number: "SG0402",
    level: Level::Warning,
    title: "`sni` where no filter sees the server name",
    why: "Without the listener filter `envoy.filters.listener.tls_inspector` the name is unknown: an allow \
          does not match, a deny does. Behind another listener of the same Envoy there is none.",
    example: r#"to: [ { sni: [ "shop.example" ] } ]"#,
    mend: "Add the TLS inspector to `listener_filters`, or use `hosts`.",
};

/// A condition on a header that the proxy sets.
pub static HEADER_OF_PROXY: Code = Code {
    number: "SG0403",
    level: Level::Warning,
    title: "a condition on a header that the proxy sets",
    why: "What such a header says comes from the proxy, from one before it, or from the client, as the \
          listener is set up. A rule cannot tell which.",
    example: "headers: [ { name: x-forwarded-for, is: 10.0.0.1 } ]",
    mend: "Use `source_ips`, `hosts` or `routes`, or a header that only the client writes.",
};

/// A word that another reader of YAML takes for something else.
pub static OTHER_WORD: Code = Code {
    number: "SG0404",
    level: Level::Warning,
    title: "a word that another reader of YAML takes for something else",
    why: "Envoy and Kubernetes read YAML 1.1 in places: `yes`, `no`, `on` and `off` without quotes become true \
          and false, and `010` eight.",
    example: r"
pluginConfig:
  version: on
",
    mend: "Put it in quotes.",
};

/// Two documents in one file for the two filters of a listener.
pub static NOT_ONE_DOCUMENT: Code = Code {
    number: "SG0405",
    level: Level::Warning,
    title: "two documents in one file for the two filters of a listener",
    why: "The connection is admitted by one and its requests are judged by the other.",
    example: "(svidgate.connection and svidgate.request, with documents that differ)",
    mend: "Give both the same document.",
};
