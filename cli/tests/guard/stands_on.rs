//! What decisions stand on: TLS, trust, headers, documents.

use serde_json::{Value, json};
use svidgate_cli::guard::{
    remark::{Kind, Verdict},
    tls::Trust,
};

use crate::shapes::*;

/// A door whose document and TLS have these members.
fn door(document: &Value, tls: Value) -> Value {
    let filters = [
        connection(document),
        manager(&[request(document), lock(), router()], routes("r", &Value::Null)),
    ];
    let mut chain = chain("in", &filters);
    chain["transport_socket"] = tls;
    dump(&[listener("in", &[chain])])
}

fn tls(members: Value) -> Value {
    filter(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        members,
    )
}

/// TLS that demands a certificate, with this validation.
fn validating(common: Value) -> Value {
    tls(
        json!({ "require_client_certificate": true, "common_tls_context": common, "disable_stateless_session_resumption": true,
        "disable_stateful_session_resumption": true }),
    )
}

/// A document that leaves chains to Envoy.
fn by_proxy(foreign: bool) -> Value {
    let mut document = document();
    document["chain"] = json!("proxy");
    document.as_object_mut().unwrap().remove("bundle");
    if foreign {
        document["federation"] = json!([{ "trust_domain": "partner.example" }]);
    }
    document
}

fn spiffe_validator() -> Value {
    json!({ "validation_context": { "custom_validator_config": { "name": "envoy.tls.cert_validator.spiffe",
        "typed_config": typed("envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig", json!({ "trust_domains": [] })) } } })
}

#[test]
fn chain_that_envoy_verifies_must_be_verified_by_trust_domain() {
    let any = json!({ "validation_context": { "trust_chain_verification": "ACCEPT_UNTRUSTED" } });
    let pool = json!({ "validation_context": { "trusted_ca": { "filename": "/ca.pem" } } });
    let by_discovery = json!({ "validation_context_sds_secret_config": { "name": "ROOTCA" } });
    use Verdict::{Guarded, NotKnown, Open};
    assert_door(
        &door(&by_proxy(false), validating(any.clone())),
        Open,
        &[Kind::NobodyVerifies],
    );
    assert_door(
        &door(&by_proxy(false), validating(json!({}))),
        Open,
        &[Kind::NobodyVerifies],
    );
    assert_door(&door(&by_proxy(false), validating(pool.clone())), Guarded, &[]);
    assert_door(
        &door(&by_proxy(true), validating(pool)),
        NotKnown,
        &[Kind::PooledAuthorities],
    );
    assert_door(&door(&by_proxy(true), validating(spiffe_validator())), Guarded, &[]);
    assert_door(
        &door(&by_proxy(false), validating(by_discovery.clone())),
        NotKnown,
        &[Kind::TrustNotHere],
    );
    // By default svidgate verifies, and whom Envoy trusts is one more lock.
    assert_door(&door(&document(), validating(by_discovery)), Guarded, &[]);
    assert_door(&door(&document(), validating(any)), Guarded, &[]);
}

#[test]
fn trust_that_discovery_has_brought_is_read() {
    let common = json!({ "combined_validation_context": { "default_validation_context": {}, "validation_context_sds_secret_config": { "name": "ROOTCA" } } });
    let secret = typed(
        "envoy.extensions.transport_sockets.tls.v3.Secret",
        json!({ "name": "ROOTCA", "validation_context": { "trusted_ca": { "inline_bytes": "" } } }),
    );
    let secrets = json!({ "dynamic_active_secrets": [{ "name": "ROOTCA", "secret": secret }] });
    let configuration = with(door(&by_proxy(false), validating(common)), "SecretsConfigDump", secrets);
    assert_eq!(only(&configuration).tls.unwrap().trust, Trust::Pool);
}

#[test]
fn session_that_is_resumed_is_nobodys_where_envoy_verifies() {
    let mut with = validating(spiffe_validator());
    with["typed_config"]["disable_stateless_session_resumption"] = json!(false);
    assert_door(
        &door(&by_proxy(false), with.clone()),
        Verdict::Guarded,
        &[Kind::Resumption],
    );
    assert!(!codes(&only(&door(&document(), with))).contains(&Kind::Resumption));
}

#[test]
fn certificate_that_is_not_demanded_is_told() {
    let any = json!({ "validation_context": { "trust_chain_verification": "ACCEPT_UNTRUSTED" } });
    assert_door(
        &door(&document(), tls(json!({ "common_tls_context": any }))),
        Verdict::Guarded,
        &[Kind::CertificateNotDemanded],
    );
    assert_door(
        &door(&document(), tls(json!({ "common_tls_context": {} }))),
        Verdict::Shut,
        &[Kind::NobodyAsked],
    );
    assert_door(&door(&document(), json!(null)), Verdict::Shut, &[Kind::Plaintext]);
    let mut shared = document();
    shared["peer"] = json!({ "filter_state": { "certificate": "outer.certificate", "sha256": "outer.sha256" } });
    assert_door(&door(&shared, json!(null)), Verdict::NotKnown, &[Kind::SharedPeer]);
}

/// Whoever shows none may bring requests by their tokens, so nothing is shut there, and no certificate is missing.
#[test]
fn certificate_that_is_not_asked_for_shuts_no_door_to_an_anonymous_hop() {
    let mut anonymous = document();
    anonymous["mark_passed"] = json!(true);
    anonymous["hops"] = json!([{ "name": "balancer", "peers": "anonymous", "callers": ["spiffe://prod.example/**"],
                                 "assertion": "jwt_svid" }]);
    anonymous["jwt_svid"] = json!({ "audiences": ["spiffe://prod.example/orders"] });
    anonymous["rules"] = json!([{ "name": "brought", "effect": "allow", "from": ["spiffe://prod.example/**"],
                                  "via": ["balancer"] }]);
    let any = json!({ "validation_context": { "trust_chain_verification": "ACCEPT_UNTRUSTED" } });
    for common in [json!({}), any] {
        let context = tls(json!({ "common_tls_context": common }));
        assert_door(&door(&anonymous, context), Verdict::Guarded, &[]);
    }
}

#[test]
fn dry_run_is_open() {
    let mut dry = document();
    dry["mode"] = json!("dry_run");
    assert_door(&door(&dry, mtls()), Verdict::Open, &[Kind::DryRun]);
    let mut dry = tcp_document();
    dry["mode"] = json!("dry_run");
    assert_door(
        &dump(&[listener("in", &[chain("in", &[connection(&dry), tcp_proxy("app")])])]),
        Verdict::Open,
        &[Kind::DryRun],
    );
}

#[test]
fn two_documents_and_two_vms_are_told() {
    let mut other = document();
    other["version"] = json!("2");
    let mut request = request(&other);
    request["typed_config"]["config"]["vm_config"]["vm_id"] = json!("other");
    let filters = [
        connection(&document()),
        manager(&[request, lock(), router()], routes("r", &Value::Null)),
    ];
    assert_door(
        &dump(&[listener("in", &[chain("in", &filters)])]),
        Verdict::Guarded,
        &[Kind::TwoDocuments, Kind::TwoVms],
    );
}

#[test]
fn plugins_of_two_listeners_under_one_name_are_told() {
    let of = |version: &str| {
        let mut document = document();
        document["version"] = json!(version);
        chain(
            "in",
            &[
                connection(&document),
                manager(&[request(&document), lock(), router()], routes("r", &Value::Null)),
            ],
        )
    };
    let said = |first, second| judged(&dump(&[listener("a", &[of(first)]), listener("b", &[of(second)])])).remarks;
    assert!(said("1", "1").is_empty());
    let remarks = said("1", "2");
    assert!(
        remarks.iter().all(|remark| remark.kind == Kind::SharedName),
        "{remarks:#?}"
    );
    assert!(
        remarks[0].text.contains("`a`") && remarks[0].text.contains("`b`"),
        "{remarks:#?}"
    );
}

#[test]
fn header_of_the_certificate_must_be_written_here_where_it_is_read() {
    let mut reads = document();
    reads["xfcc"] = json!("own");
    let of = |mode: Value| {
        let mut configuration = door(&reads, mtls());
        configuration["configs"][0]["dynamic_listeners"][0]["active_state"]["listener"]["filter_chains"][0]["filters"]
            [1]["typed_config"]["forward_client_cert_details"] = mode;
        codes(&only(&configuration))
    };
    assert_eq!(of(json!("SANITIZE_SET")), []);
    assert_eq!(of(Value::Null), [Kind::XfccNotOurs]);
    assert_eq!(of(json!("APPEND_FORWARD")), [Kind::XfccNotOurs, Kind::XfccForwarded]);
}

#[test]
fn mark_and_lock_go_together() {
    let mut unmarked = document();
    unmarked["mark_passed"] = json!(false);
    assert_door(&door(&unmarked, mtls()), Verdict::Guarded, &[Kind::LockAndMark]);
    let filters = [
        connection(&unmarked),
        manager(&[request(&unmarked), router()], routes("r", &Value::Null)),
    ];
    assert_eq!(codes(&only(&dump(&[listener("in", &[chain("in", &filters)])]))), []);
}

#[test]
fn upstream_that_is_dialled_early_is_told() {
    let mut proxy = tcp_proxy("app");
    proxy["typed_config"]
        .as_object_mut()
        .unwrap()
        .remove("upstream_connect_mode");
    assert_door(
        &dump(&[listener("in", &[chain("in", &[connection(&tcp_document()), proxy])])]),
        Verdict::Guarded,
        &[Kind::DialsEarly],
    );
}

#[test]
fn old_envoy_needs_the_certificate_written_for_it() {
    let of = |minor: u64, first: &[Value]| {
        let filters = [
            first,
            &[
                connection(&document()),
                manager(&[request(&document()), lock(), router()], routes("r", &Value::Null)),
            ],
        ]
        .concat();
        let node = json!({ "user_agent_build_version": { "version": { "major_number": 1, "minor_number": minor } } });
        codes(&only(&with(
            dump(&[listener("in", &[chain("in", &filters)])]),
            "BootstrapConfigDump",
            json!({ "bootstrap": { "node": node } }),
        )))
    };
    assert_eq!(of(40, &[]), []);
    assert_eq!(of(37, &[]), [Kind::OldEnvoy]);
    let writes = filter(
        "w",
        "envoy.extensions.filters.network.set_filter_state.v3.Config",
        json!({ "on_downstream_tls_handshake": [{ "object_key": "svidgate.peer_certificate", "factory_key": "envoy.string" }] }),
    );
    assert_eq!(of(37, &[writes]), []);
}

#[test]
fn http_filters_alone_in_front_of_what_has_no_requests_are_open() {
    let echo = filter("echo", "envoy.extensions.filters.network.echo.v3.Echo", json!({}));
    assert_door(
        &dump(&[listener("in", &[chain("in", &[connection(&document()), echo.clone()])])]),
        Verdict::Open,
        &[Kind::NoRequestsBehind],
    );
    assert_door(
        &dump(&[listener(
            "in",
            &[chain("in", &[connection(&tcp_document()), echo.clone()])],
        )]),
        Verdict::Guarded,
        &[],
    );
    assert_door(
        &dump(&[listener("in", &[chain("in", &[echo])])]),
        Verdict::Open,
        &[Kind::NoGate],
    );
}
