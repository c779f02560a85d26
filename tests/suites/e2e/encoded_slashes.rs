//! `encoded_slashes: true` in an entry of `to`: which upstream a path with `%2F` gets to, and who chose it. What
//! becomes of every other form of a path under it stands in [`crate::path_confusion`].

use serde_json::{Value, json};
use support::{
    ca::Identity,
    envoy::{Cluster, Envoy, Scenario},
    upstream::HttpUpstream,
    world::World,
};

use crate::{
    raw::{Sent, Version},
    stage::{API, API_PATH, Filters, assert_alive, http_listener, reason, record},
};

/// The listeners: a virtual host for each upstream, none but `*` in front of one that is not GitLab, and as the first
/// with what Envoy can do about encoded slashes before any filter.
const LISTENERS: [&str; 4] = ["hosts", "star", "unescaping", "rejecting"];

fn rules() -> Value {
    let gitlab = json!({
        "routes": ["gitlab"], "hosts": ["git.example"], "paths": ["/projects/**"], "encoded_slashes": true,
    });
    json!([
        { "name": "gitlab", "effect": "allow", "from": [API], "to": [gitlab] },
        { "name": "no-secret", "effect": "deny", "from": [API], "to": [{ "paths": ["/projects/group/secret/**"] }] },
        { "name": "no-settings", "effect": "deny", "from": [API], "to": [{ "paths": ["/projects/*/settings"] }] },
        { "name": "app", "effect": "allow", "from": [API], "to": [{ "routes": ["app"], "paths": ["/plain"] }] },
        { "name": "post", "effect": "allow", "from": [API], "to": [{ "methods": ["POST"] }] },
    ])
}

/// Gives each listener its virtual hosts, and what it does to encoded slashes.
fn routed(bootstrap: &mut Value) {
    let to = |name: &str| json!({ "name": name, "match": { "prefix": "/" }, "route": { "cluster": name } });
    let gitlab = json!({ "name": "git", "domains": ["git.example"], "routes": [to("gitlab")] });
    let all_others = json!({ "name": "others", "domains": ["*"], "routes": [to("app")] });
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let name = listener["name"].as_str().unwrap().to_owned();
        for filter in listener["filter_chains"][0]["filters"].as_array_mut().unwrap() {
            if filter["name"] != "envoy.filters.network.http_connection_manager" {
                continue;
            }
            let manager = &mut filter["typed_config"];
            manager["route_config"]["virtual_hosts"] = match name.as_str() {
                "star" => json!([all_others]),
                _ => json!([gitlab, all_others]),
            };
            match name.as_str() {
                "unescaping" => manager["path_with_escaped_slashes_action"] = json!("UNESCAPE_AND_FORWARD"),
                "rejecting" => manager["path_with_escaped_slashes_action"] = json!("REJECT_REQUEST"),
                _ => {}
            }
        }
    }
}

struct Gate {
    gitlab: HttpUpstream,
    app: HttpUpstream,
    envoy: Envoy,
    api: Identity,
}

impl Gate {
    async fn start() -> Self {
        let (world, gitlab, app) = (World::new(), HttpUpstream::start(), HttpUpstream::start());
        let document = world.document(rules());
        let envoy = Envoy::start(Scenario {
            listeners: LISTENERS
                .map(|name| http_listener(&world, name, Filters::Both, &document))
                .into(),
            clusters: vec![Cluster::new("gitlab", gitlab.addr()), Cluster::new("app", app.addr())],
            amend: Some(routed),
            ..Scenario::default()
        })
        .await;
        Self {
            api: world.own_identity(API_PATH),
            gitlab,
            app,
            envoy,
        }
    }

    /// Sends one request and gives its entry in the access log, and with what path it got to GitLab and to the other
    /// upstream.
    async fn ask(&self, listener: &str, version: Version, sent: Sent<'_>) -> (Value, Vec<String>, Vec<String>) {
        let logged = self.envoy.request_log(listener).len();
        let seen = [&self.gitlab, &self.app].map(|upstream| upstream.requests().len());
        sent.send(version, &self.api, self.envoy.listener_addr(listener)).await;
        let log = self.envoy.wait_request_log(listener, logged + 1).await;
        let [gitlab, app] = [(&self.gitlab, seen[0]), (&self.app, seen[1])].map(|(upstream, seen)| {
            let requests = upstream.requests();
            requests[seen..].iter().map(|request| request.path.clone()).collect()
        });
        (log[logged].clone(), gitlab, app)
    }
}

fn get<'a>(authority: &'a [u8], target: &'a [u8]) -> Sent<'a> {
    Sent {
        method: b"GET",
        target,
        authority,
        headers: &[],
    }
}

const PROJECT: &[u8] = b"/projects/group%2Fname";

#[tokio::test]
async fn path_with_an_encoded_slash_gets_to_the_upstream_of_its_route_as_it_was_sent() {
    let gate = Gate::start().await;
    for version in [Version::One, Version::Two] {
        for (target, expected) in [
            (PROJECT, "rule.allowed"),
            (b"/projects/a%2fb%2Fc/issues?x=%2F", "rule.allowed"),
            (b"/projects/1", "rule.allowed"),
            (b"/projects/group%2Fsecret", "rule.denied"),
            (b"/projects/group%2fsecret/x", "rule.denied"),
            (b"/projects/group%2Fname/settings", "rule.denied"),
            (b"/projects%2Fname", "rule.none_matched"),
            (b"/other/group%2Fname", "request.ambiguous_path"),
            (b"/projects/group%252Fname", "request.ambiguous_path"),
            (b"/projects//group%2Fname", "request.ambiguous_path"),
            (b"/projects/group%2F%2Fname", "request.ambiguous_path"),
            (b"/projects/group%2F..%2Fname", "request.ambiguous_path"),
            (b"/projects/group%2F", "request.ambiguous_path"),
            (b"/projects/group%2Fname;x", "request.ambiguous_path"),
            (b"/projects/group%2Fna\\me", "request.ambiguous_path"),
            (b"/projects/group%2Fna%5Cme", "request.ambiguous_path"),
        ] as [(&[u8], &str); 16]
        {
            let (entry, gitlab, app) = gate.ask("hosts", version, get(b"git.example", target)).await;
            assert_eq!(reason(&entry), expected, "{version:?}: {entry}");
            let sent = String::from_utf8_lossy(target).into_owned();
            let arrived = if expected == "rule.allowed" { vec![sent] } else { vec![] };
            assert_eq!((gitlab, app.len()), (arrived, 0), "{version:?}: {entry}");
        }
    }
    let with_header = |name| Sent {
        headers: name,
        ..get(b"git.example", b"/projects/1")
    };
    for headers in [
        &[(&b"x-original-url"[..], PROJECT)],
        &[(&b"x_rewrite_url"[..], PROJECT)],
    ] {
        let (entry, gitlab, _) = gate.ask("hosts", Version::Two, with_header(headers)).await;
        assert_eq!(
            (reason(&entry).as_str(), gitlab.len()),
            ("request.ambiguous_path", 0),
            "{entry}"
        );
    }
    assert_alive(&gate.envoy).await;
}

/// To rules `git.example:8443` and `git.example.` are `git.example`, and to Envoy they belong to the virtual host `*`:
/// had the host opened the path, a client could have had it at any upstream.
#[tokio::test]
async fn host_of_one_upstream_opens_nothing_at_another_behind_a_virtual_host_for_all() {
    let gate = Gate::start().await;
    let asked: [(&str, &[u8]); 8] = [
        ("star", b"git.example"),
        ("star", b"GIT.example"),
        ("star", b"git.example:8443"),
        ("star", b"app.example"),
        ("hosts", b"git.example:8443"),
        ("hosts", b"git.example."),
        ("hosts", b"app.example"),
        ("hosts", b"localhost"),
    ];
    for version in [Version::One, Version::Two] {
        for (listener, authority) in asked {
            let (entry, gitlab, app) = gate.ask(listener, version, get(authority, PROJECT)).await;
            assert_eq!(reason(&entry), "request.ambiguous_path", "{version:?}: {entry}");
            assert_eq!((gitlab.len(), app.len()), (0, 0), "{version:?}: {entry}");
            // The route is one that this peer may use.
            let (entry, gitlab, app) = gate.ask(listener, version, get(authority, b"/plain")).await;
            assert_eq!((reason(&entry).as_str(), app.len()), ("rule.allowed", 1), "{entry}");
            assert_eq!(gitlab.len(), 0, "{entry}");
        }
    }
    assert_alive(&gate.envoy).await;
}

#[tokio::test]
async fn rule_that_could_allow_it_too_keeps_the_path_shut_and_is_named() {
    let gate = Gate::start().await;
    let post = Sent {
        method: b"POST",
        headers: &[(b"content-length", b"0")],
        ..get(b"git.example", PROJECT)
    };
    let (entry, gitlab, _) = gate.ask("hosts", Version::One, post).await;
    assert_eq!(reason(&entry), "request.ambiguous_path", "{entry}");
    assert_eq!((&record(&entry)["rule"], gitlab.len()), (&json!("post"), 0), "{entry}");
    let said = json!({ "reason": "request.ambiguous_path", "rule": "post", "detail":
        "path has an encoded slash, and this rule could allow it, too, but does not say `encoded_slashes: true` for it" });
    gate.envoy.wait_decision(&said).await;
    assert_alive(&gate.envoy).await;
}

/// What stands in front of the module decides first. Envoy's default leaves the path as it is, as the other tests show.
#[tokio::test]
async fn envoy_that_unescapes_or_rejects_encoded_slashes_leaves_none_to_open() {
    let gate = Gate::start().await;
    for version in [Version::One, Version::Two] {
        // One reading, which is the one that was decided on.
        let (entry, gitlab, _) = gate.ask("unescaping", version, get(b"git.example", PROJECT)).await;
        assert_eq!(reason(&entry), "rule.allowed", "{version:?}: {entry}");
        assert_eq!(gitlab, ["/projects/group/name"], "{version:?}");
        let secret = get(b"git.example", b"/projects/group%2Fsecret");
        let (entry, gitlab, _) = gate.ask("unescaping", version, secret).await;
        assert_eq!((reason(&entry).as_str(), gitlab.len()), ("rule.denied", 0), "{entry}");
        let (entry, gitlab, _) = gate.ask("rejecting", version, get(b"git.example", PROJECT)).await;
        assert_eq!((reason(&entry).as_str(), gitlab.len()), ("none at all", 0), "{entry}");
        assert_eq!(entry["status"], 400, "{version:?}");
    }
    assert_alive(&gate.envoy).await;
}
