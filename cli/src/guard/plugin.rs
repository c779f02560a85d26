//! Is a Wasm filter one of ours, and how is it set up?

use svidgate_policy::Listener;

use super::{
    document::Document,
    message::{Node, Unread},
};

/// Which of our filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Decides on connections. Its name may say in front of what it stands.
    Connection(Option<Listener>),
    /// Holds connections of Envoy 1.36 and decides nothing.
    Hold,
    /// Decides on requests.
    Request,
    /// A name that the module knows nothing of.
    Stray,
}

/// What becomes of what comes in while there is no VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is refused.
    Closed,
    /// It is refused, and another VM is started.
    Reload,
    /// It passes.
    Open,
}

impl Failure {
    /// As Envoy has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "FAIL_CLOSED",
            Self::Reload => "FAIL_RELOAD",
            Self::Open => "FAIL_OPEN",
        }
    }
}

/// A filter of ours.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The filter's name, in its chain.
    pub filter: String,
    /// The plugin's own name: documents under one name replace one another.
    pub plugin: String,
    pub(crate) part: Part,
    /// Its document, or why that cannot be read.
    pub document: Result<Document, String>,
    /// What it does without a VM.
    pub failure: Failure,
    /// Plugins with one `vm_id` and one code share a VM.
    pub vm_id: String,
    /// Where its code comes from.
    pub code: String,
    /// Whether that is fetched by Envoy.
    pub(crate) fetched: bool,
    /// Members that this version does not know.
    pub(crate) unknown: Vec<String>,
}

const FAILURES: [&str; 4] = ["UNSPECIFIED", "FAIL_RELOAD", "FAIL_CLOSED", "FAIL_OPEN"];
/// `allow_on_headers_stop_iteration` and what restricts the ABI are left out on purpose: they change what the module can do.
const MEMBERS: [&str; 7] = [
    "name",
    "root_id",
    "vm_config",
    "configuration",
    "fail_open",
    "failure_policy",
    "reload_config",
];
const VM_MEMBERS: [&str; 7] = [
    "vm_id",
    "runtime",
    "code",
    "configuration",
    "allow_precompiled",
    "nack_on_code_cache_miss",
    "environment_variables",
];

impl Gate {
    /// A filter of ours in a Wasm filter; `None` where it is somebody else's.
    pub(crate) fn read(filter: &str, wasm: Node<'_>) -> Result<Option<Self>, Unread> {
        let config = wasm.member("config")?;
        let root = config.member("root_id")?.text()?;
        let document = document(config.member("configuration")?)?;
        let part = match root {
            "svidgate.hold" => Part::Hold,
            "svidgate.connection" => Part::Connection(None),
            "svidgate.connection.http" => Part::Connection(Some(Listener::Http)),
            "svidgate.connection.tcp" => Part::Connection(Some(Listener::Tcp)),
            "svidgate.connection.tcp_server_first" => Part::Connection(Some(Listener::TcpServerFirst)),
            "svidgate.request" => Part::Request,
            _ if root.starts_with("svidgate") || document.is_ok() => Part::Stray,
            _ => return Ok(None),
        };
        let vm = config.member("vm_config")?;
        let (code, fetched) = code(vm.member("code")?)?;
        Ok(Some(Self {
            filter: filter.to_owned(),
            plugin: config.member("name")?.text()?.to_owned(),
            part,
            document,
            failure: failure(config)?,
            vm_id: vm.member("vm_id")?.text()?.to_owned(),
            code,
            fetched,
            unknown: unknown(config, vm),
        }))
    }
}

#[cfg(test)]
impl Gate {
    /// A network filter with a document, for tests of what comes of that.
    pub(crate) fn with(document: Result<Document, String>) -> Self {
        Self {
            filter: "svidgate.connection".to_owned(),
            plugin: "svidgate.connection".to_owned(),
            part: Part::Connection(None),
            document,
            failure: Failure::Reload,
            vm_id: String::new(),
            code: String::new(),
            fetched: false,
            unknown: Vec::new(),
        }
    }
}

fn unknown(config: Node<'_>, vm: Node<'_>) -> Vec<String> {
    let ours = config.others(&MEMBERS).into_iter().map(|name| format!("config.{name}"));
    let of_vm = vm
        .others(&VM_MEMBERS)
        .into_iter()
        .map(|name| format!("config.vm_config.{name}"));
    ours.chain(of_vm).collect()
}

fn failure(config: Node<'_>) -> Result<Failure, Unread> {
    Ok(match config.member("failure_policy")?.choice(&FAILURES)? {
        "FAIL_OPEN" => Failure::Open,
        "FAIL_RELOAD" => Failure::Reload,
        "FAIL_CLOSED" => Failure::Closed,
        // Not said: the older member counts.
        _ if config.member("fail_open")?.is_true()? => Failure::Open,
        _ => Failure::Closed,
    })
}

/// The document as the module gets it.
fn document(configuration: Node<'_>) -> Result<Result<Document, String>, Unread> {
    let Some(typed) = configuration.typed()? else {
        return Ok(Err("the filter has no `configuration`".to_owned()));
    };
    let value = typed.message.member("value")?;
    Ok(match typed.kind {
        "google.protobuf.StringValue" => Document::read(value.text()?),
        "google.protobuf.Struct" => Document::read(&value.value().map(ToString::to_string).unwrap_or_default()),
        kind => Err(format!(
            "its `configuration` is a `{kind}` (right: `google.protobuf.StringValue` or `google.protobuf.Struct`)"
        )),
    })
}

/// Where the code comes from, and whether Envoy fetches it.
fn code(code: Node<'_>) -> Result<(String, bool), Unread> {
    let remote = code.member("remote")?;
    if remote.is_there() {
        let uri = remote.path(&["http_uri", "uri"])?.text()?;
        return Ok((uri.to_owned(), true));
    }
    let local = code.member("local")?;
    let file = local.member("filename")?.text()?;
    let place = if file.is_empty() { "inline" } else { file };
    Ok((place.to_owned(), false))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(config: Value) -> Option<Gate> {
        Gate::read("any name", Node::of(&json!({ "config": config }))).unwrap()
    }

    #[test]
    fn filter_of_ours_is_known_by_its_root_id_whatever_it_is_called() {
        let gate = read(json!({ "rootId": "svidgate.request", "failOpen": true })).unwrap();
        assert_eq!((gate.part, gate.failure), (Part::Request, Failure::Open));
        assert!(read(json!({ "root_id": "stats" })).is_none());
    }

    #[test]
    fn our_document_under_a_name_that_the_module_does_not_know_is_a_stray() {
        let value = r#"{"trust_domain":"prod.example","bundle":{"inline":{"keys":[]}},"rules":[]}"#;
        let configuration = json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": value });
        assert_eq!(
            read(json!({ "configuration": configuration })).unwrap().part,
            Part::Stray
        );
        assert_eq!(
            read(json!({ "root_id": "svidgate.requests" })).unwrap().part,
            Part::Stray
        );
    }

    #[test]
    fn what_is_said_of_failure_by_name_goes_before_what_is_said_by_the_older_member() {
        let of = |config| read(config).unwrap().failure;
        let root = "svidgate.request";
        assert_eq!(of(json!({ "root_id": root })), Failure::Closed);
        assert_eq!(of(json!({ "root_id": root, "fail_open": true })), Failure::Open);
        assert_eq!(of(json!({ "root_id": root, "failure_policy": 3 })), Failure::Open);
        assert_eq!(
            of(json!({ "root_id": root, "failure_policy": "FAIL_RELOAD" })),
            Failure::Reload
        );
    }

    #[test]
    fn what_restricts_the_module_is_told() {
        let gate = read(json!({ "root_id": "svidgate.request", "capability_restriction_config": {} })).unwrap();
        assert_eq!(gate.unknown, ["config.capability_restriction_config"]);
    }
}
