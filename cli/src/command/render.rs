//! `svidgate render`: what a proxy or a mesh loads, with one document for both filters.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    command::policy::{mistakes, read},
    exit::Exit,
    input::{files, load::load, tree::Tree},
    options::Output,
    render::{
        atomic, carried,
        envoy::{self, Part},
        envoy_gateway, into, istio,
        policy::Policy,
        values,
    },
    source::Source,
    terminal::Terminal,
};

/// Writes what a proxy or a mesh loads: both filters with one document, and the second lock behind them. Or puts a document into a
/// file that has one already (--into), or says whether it stands there (--check).
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  svidgate render istio policy.yaml --namespace shop --label app=orders \\
      --image registry.example/team/svidgate@sha256:DIGEST
  svidgate render --into deploy/svidgate.yaml policy.yaml"
)]
pub struct Arguments {
    #[command(subcommand)]
    target: Option<Target>,
    /// Put the document into this file, at every place that has one, and change nothing else.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "check",
        conflicts_with = "check"
    )]
    into: Option<PathBuf>,
    /// Say whether this file carries the document: 0 where it does, 1 where it has another.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Only the places of this name, of a plugin or a resource; more than once for several.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// The policy.
    #[arg(required = true, value_name = "DOCUMENT")]
    document: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// Two TrafficExtensions or WasmPlugins, or an EnvoyFilter for a shared document, and the lock.
    Istio(Istio),
    /// Both filters by EnvoyPatchPolicy, or an EnvoyExtensionPolicy, and both locks.
    EnvoyGateway(EnvoyGateway),
    /// A plain Envoy: a whole configuration, resources of xDS, or files of ECDS.
    Envoy(Envoy),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate render istio policy.yaml --namespace shop --label app=orders \\
      --image registry.example/team/svidgate@sha256:DIGEST
  svidgate render istio policy.yaml --namespace shop --waypoint waypoint \\
      --image registry.example/team/svidgate@sha256:DIGEST")]
struct Istio {
    /// The policy.
    #[arg(value_name = "DOCUMENT")]
    document: PathBuf,
    /// The image, by its digest: REGISTRY/NAME@sha256:DIGEST.
    #[arg(long, value_name = "IMAGE", value_parser = values::image)]
    image: String,
    /// The namespace of the workload.
    #[arg(long, value_parser = values::name)]
    namespace: String,
    /// A label of the workload's pods; more than once for several. Without one, all of the namespace.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::label, conflicts_with = "waypoint")]
    label: Vec<(String, String)>,
    /// A waypoint of this name, in place of workloads.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    waypoint: Option<String>,
    /// Which resource.
    #[arg(long, value_enum, default_value_t)]
    resource: istio::Resource,
    /// Istio's root namespace, which has the lock.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system", value_parser = values::name)]
    root_namespace: String,
    /// What the resources' names begin with.
    #[arg(long, default_value = "svidgate", value_parser = values::name)]
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate render envoy-gateway policy.yaml --namespace edge --gateway edge --listener https
  svidgate render envoy-gateway policy.yaml --namespace edge --gateway edge --listener https \\
      --image registry.example/team/svidgate@sha256:DIGEST")]
struct EnvoyGateway {
    /// The policy.
    #[arg(value_name = "DOCUMENT")]
    document: PathBuf,
    /// The namespace of the Gateway.
    #[arg(long, value_parser = values::name)]
    namespace: String,
    /// The Gateway.
    #[arg(long, value_parser = values::name)]
    gateway: String,
    /// A listener of it that serves HTTPS; more than once for several.
    #[arg(long, required = true, value_parser = values::name)]
    listener: Vec<String>,
    /// The HTTP filter as an EnvoyExtensionPolicy with this image, by its digest. Owners of routes can take its place on theirs.
    #[arg(long, value_name = "IMAGE", value_parser = values::image)]
    image: Option<String>,
    /// The module as a file of the proxy's.
    #[arg(long, value_name = "PATH", default_value = "/svidgate/svidgate.wasm", value_parser = values::path)]
    module: String,
    #[command(flatten)]
    output: Output,
}

/// What of a plain Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A whole configuration.
    #[default]
    Bootstrap,
    /// Both resources, as a control plane sends them.
    Xds,
    /// The file of the network filter, which Envoy watches.
    EcdsConnection,
    /// The file of the HTTP filter, which Envoy watches.
    EcdsRequest,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate render envoy policy.yaml --module /etc/envoy/svidgate.wasm --upstream 127.0.0.1:8080
  svidgate render envoy policy.yaml --module /etc/envoy/svidgate.wasm --shape xds")]
struct Envoy {
    /// The policy.
    #[arg(value_name = "DOCUMENT")]
    document: PathBuf,
    /// What is written.
    #[arg(long, value_enum, default_value_t)]
    shape: Shape,
    /// The module as a file: `make wasm`, or `plugin.wasm` of the image.
    #[arg(long, value_name = "PATH", value_parser = values::path)]
    module: String,
    /// The name of the listener.
    #[arg(long, default_value = "web", value_parser = values::name)]
    name: String,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443", value_parser = values::address)]
    listen: SocketAddr,
    /// What is behind.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = values::address)]
    upstream: SocketAddr,
    /// The socket of the SPIFFE agent.
    #[arg(long, value_name = "PATH", default_value = "/run/spire/sockets/agent.sock", value_parser = values::path)]
    agent: String,
    /// The port of the admin interface, on loopback.
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    admin_port: u16,
    #[command(flatten)]
    output: Output,
}

/// Renders.
pub fn run(arguments: &Arguments) -> Exit {
    match &arguments.target {
        Some(Target::Istio(target)) => print(&target.document, target.output.terminal(), |policy| {
            istio(target, policy)
        }),
        Some(Target::EnvoyGateway(target)) => print(&target.document, target.output.terminal(), |policy| {
            gateway(target, policy)
        }),
        Some(Target::Envoy(target)) => print(&target.document, target.output.terminal(), |policy| {
            envoy(target, policy)
        }),
        None => existing(arguments),
    }
}

fn istio(target: &Istio, policy: &Policy) -> Result<String, String> {
    let place = istio::Place {
        name: target.name.clone(),
        namespace: target.namespace.clone(),
        root_namespace: target.root_namespace.clone(),
        labels: target.label.clone(),
        waypoint: target.waypoint.clone(),
        resource: target.resource,
        image: target.image.clone(),
    };
    istio::render(policy, &place)
}

fn gateway(target: &EnvoyGateway, policy: &Policy) -> Result<String, String> {
    let place = envoy_gateway::Place {
        namespace: target.namespace.clone(),
        gateway: target.gateway.clone(),
        listeners: target.listener.clone(),
        module: target.module.clone(),
        image: target.image.clone(),
    };
    envoy_gateway::render(policy, &place)
}

fn envoy(target: &Envoy, policy: &Policy) -> Result<String, String> {
    let place = envoy::Place {
        name: target.name.clone(),
        module: target.module.clone(),
        listen: target.listen,
        upstream: target.upstream,
        agent: target.agent.clone(),
        admin_port: target.admin_port,
    };
    match target.shape {
        Shape::Bootstrap => envoy::bootstrap(policy, &place),
        Shape::Xds => envoy::resources(policy, &place),
        Shape::EcdsConnection => envoy::watched(policy, &place, Part::Connection),
        Shape::EcdsRequest => envoy::watched(policy, &place, Part::Request),
    }
}

fn print(document: &Path, terminal: Terminal, render: impl Fn(&Policy) -> Result<String, String>) -> Exit {
    let policy = match policy(document, terminal) {
        Ok(policy) => policy,
        Err(exit) => return exit,
    };
    match render(&policy) {
        Ok(text) => {
            terminal.print(text);
            Exit::Yes
        }
        Err(why) => trouble(document, &why, terminal),
    }
}

fn policy(document: &Path, terminal: Terminal) -> Result<Policy, Exit> {
    let read = read(document, terminal)?;
    Policy::new(read.document, read.policy.configuration()).map_err(|why| trouble(document, &why, terminal))
}

fn trouble(path: &Path, why: &str, terminal: Terminal) -> Exit {
    terminal.trouble(format_args!("{}: {why}", files::shown(path)));
    Exit::BadInput
}

/// A file that has a document already.
fn existing(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    let (Some(document), Some(file)) = (
        &arguments.document,
        arguments.into.as_ref().or(arguments.check.as_ref()),
    ) else {
        terminal.trouble("say what to render, or --into or --check with a file");
        return Exit::BadInput;
    };
    let policy = match policy(document, terminal) {
        Ok(policy) => policy,
        Err(exit) => return exit,
    };
    let found = match found(file, arguments, terminal) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let others = carried::others(&found.spots, &policy);
    if arguments.check.is_some() {
        for spot in &others {
            terminal.print(format_args!(
                "{}: {} carries another document\n",
                files::shown(file),
                visible(&spot.shown())
            ));
        }
        let exit = if others.is_empty() { Exit::Yes } else { Exit::No };
        return arguments.output.exit(exit);
    }
    if others.is_empty() {
        terminal.print(format_args!("{}: nothing to change\n", files::shown(file)));
        return Exit::Yes;
    }
    match put(file, &found, &policy) {
        Ok(()) => {
            terminal.print(format_args!(
                "{}: the document is in {}\n",
                files::shown(file),
                crate::report::counted(found.spots.len(), "place")
            ));
            Exit::Yes
        }
        Err(why) => trouble(file, &why, terminal),
    }
}

fn visible(text: &str) -> String {
    crate::visible::visible(text)
}

struct Found {
    source: Arc<Source>,
    trees: Vec<Arc<Tree>>,
    spots: Vec<carried::Spot>,
}

fn found(file: &Path, arguments: &Arguments, terminal: Terminal) -> Result<Found, Exit> {
    let loaded = load(&[file.to_owned()], false);
    if let Some(trouble) = loaded.troubles.first() {
        terminal.trouble(format_args!("{}: {}", trouble.path.display(), trouble.what));
        return Err(Exit::BadInput);
    }
    let Some((source, trees)) = loaded.trees.into_iter().next() else {
        mistakes(loaded.findings, terminal);
        return Err(Exit::BadInput);
    };
    let spots = carried::spots(&source, &trees).and_then(|spots| carried::chosen(spots, &arguments.name));
    let spots = spots.map_err(|why| trouble(file, &why, terminal))?;
    Ok(Found { source, trees, spots })
}

/// Puts the document into the file, and looks whether it is there.
fn put(file: &Path, found: &Found, policy: &Policy) -> Result<(), String> {
    if file.as_os_str() == "-" {
        return Err("give a file, which can be written".to_owned());
    }
    into::check(found.source.text(), &found.trees, &found.spots)?;
    let text = into::replaced(found.source.text(), &found.spots, policy)?;
    let is_right = |text: String| {
        let again = crate::input::load::parsed(&Source::new(found.source.name(), text));
        again.is_some_and(|again| into::is_same_but_for(&found.trees, &again, &found.spots, policy))
    };
    if !is_right(text.clone()) {
        return Err("what would come of it does not say the same but for the document; nothing was written".to_owned());
    }
    atomic::write(file, &text).map_err(|error| error.to_string())?;
    let bytes = files::read(file).map_err(|trouble| trouble.what)?;
    if String::from_utf8(bytes).ok().is_none_or(|read| read != text) {
        return Err("it does not have what was written into it".to_owned());
    }
    Ok(())
}
