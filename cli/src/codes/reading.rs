//! Findings about files, before any document is looked at.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[&SYNTAX, &NO_DOCUMENT, &NOT_CARRIED, &ONE_NAME, &TOO_LONG];

/// The file cannot be read.
pub static SYNTAX: Code = Code {
    number: "SG0001",
    level: Level::Error,
    title: "the file cannot be read",
    why: "Nothing is known about what cannot be read, and a proxy would not load it either.",
    example: "rules: [ { name: a, effect: allow }",
    mend: "Mend the text where the mark stands. A template has to be rendered first.",
};

/// The file carries no policy document.
pub static NO_DOCUMENT: Code = Code {
    number: "SG0002",
    level: Level::Error,
    title: "the file carries no policy document",
    why: "A check of nothing that ends well would be read as a check of the policy.",
    example: r"
apiVersion: v1
kind: Service
",
    mend: "Name the file that has the document, or that of the resource or the Envoy configuration that carries \
          it. With `-r` files of a folder that carry none are passed over.",
};

/// A filter of svidgate has no document that it can read.
pub static NOT_CARRIED: Code = Code {
    number: "SG0003",
    level: Level::Error,
    title: "a filter of svidgate has no document that it can read",
    why: "A filter without a document refuses everybody (`configuration.none`).",
    example: r"
config:
  root_id: svidgate.request
  configuration: { value: { trust_domain: prod.example } }
",
    mend: "Write the document in place, as `google.protobuf.Struct`, or as JSON in a string, as \
          `google.protobuf.StringValue`. In Istio it is the member `pluginConfig`, in Envoy Gateway `config`.",
};

/// Two documents under one plugin name.
pub static ONE_NAME: Code = Code {
    number: "SG0004",
    level: Level::Error,
    title: "two documents under one plugin name",
    why: "The newest document of a name judges everything under that name, so which of the two is in force \
          depends on which came last.",
    example: r"
config: { name: web, root_id: svidgate.connection, configuration: ... }
config: { name: web, root_id: svidgate.request, configuration: ... }
",
    mend: "Give each plugin a name of its own, and both filters of a listener the same document.",
};

/// A document is larger than it may be once aliases are followed.
pub static TOO_LONG: Code = Code {
    number: "SG0005",
    level: Level::Error,
    title: "a document is larger than it may be once aliases are followed",
    why: "A few lines of aliases can stand for gigabytes. The proxy gets the document without them.",
    example: r"
a: &a [ x, x ]
b: &b [ *a, *a ]
",
    mend: "Write the document without aliases, or with fewer.",
};
