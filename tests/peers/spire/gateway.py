"""An Envoy with both filters, as uid 9001, its certificate and its bundles from a SPIRE agent.

Its listeners come from a file that it watches, so that a new document arrives as an update does.
"""

import json
import os
import time

from lab import Envoy, access_log, free_port, module, until

TYPE = "type.googleapis.com/"
UID = 9001

DRAIN = """function envoy_on_response(handle)
  local info = handle:streamInfo()
  if info.drainConnectionUponCompletion and info:filterState():get("wasm.svidgate.drain") then
    info:drainConnectionUponCompletion()
  end
end
"""

UNTRUSTED = {"validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}}


def typed(name, kind, **members):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **members}}


def sds(name):
    """A certificate or a validation context by the agent's SDS."""
    service = {"envoy_grpc": {"cluster_name": "spire_agent"}}
    return {"name": name, "sds_config": {"resource_api_version": "V3", "api_config_source": {
        "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service]}}}


# All bundles that the agent knows, each for its trust domain: a second lock without a file.
ALL = {"validation_context_sds_secret_config": sds("ALL")}


def cluster(name, address, **members):
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints}, **members}


def at(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def http2():
    # No pings: SPIRE's agent (grpc-go) closes the connection of a client that pings more often than every five minutes.
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}}


def as_the_client_speaks():
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "use_downstream_protocol_config": {"http2_protocol_options": {}}}}


def upstream_tls(context, sni):
    return typed("envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", sni=sni,
                 common_tls_context={"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}, **context})


def trust_in_endpoint(partner):
    """Who may answer as the partner's bundle endpoint: for `https_web` an authority of the web PKI; for `https_spiffe` the
    bundle of its trust domain, which our own agent follows and hands to Envoy, and exactly its server's id."""
    if partner.profile == "https_web":
        return {"validation_context": {"trusted_ca": {"filename": str(partner.web.pem)}, "match_typed_subject_alt_names": [
            {"san_type": "DNS", "matcher": {"exact": "localhost"}}]}}
    return {"combined_validation_context": {
        "default_validation_context": {"match_typed_subject_alt_names": [
            {"san_type": "URI", "matcher": {"exact": partner.id("/spire/server")}}]},
        "validation_context_sds_secret_config": sds(partner.id())}}


OWN_BUNDLE = {"authorities": {"workload_api": {"cluster": "spire_agent"}}}
ENDPOINT = {"bundle": {"endpoint": {"cluster": "partner_bundle", "path": "/", "authority": "localhost"}}}
"""Where a bundle comes from: the own one, and a partner's."""

DOCUMENTS = {
    "agent": (OWN_BUNDLE, UNTRUSTED, {}),
    "endpoint": ({**OWN_BUNDLE, "federation": [ENDPOINT]}, UNTRUSTED, {}),
    "second-lock": (OWN_BUNDLE, ALL, {}),
    "proxy": ({"chain": "proxy"}, ALL, {}),
    "xfcc": ({**OWN_BUNDLE, "xfcc": "own"}, UNTRUSTED, {"network": False, "xfcc": True}),
    "both-xfcc": ({**OWN_BUNDLE, "xfcc": "own"}, UNTRUSTED, {"xfcc": True}),
}
"""Listener: its document (beside what all have), its validation context, and what else is special."""


class Gateway:
    """In front of `upstream`, for the workloads of `own` and `partner`."""

    def __init__(self, lab, own, partner, upstream, rules, uid=UID, name="gateway", documents=None):
        self.lab, self.own, self.partner, self.rules, self.uid = lab, own, partner, rules, uid
        self.home = lab.folder / f"{own.home.name}-{name}"
        self.home.mkdir()
        os.chown(self.home, uid, uid)
        self.documents = documents or DOCUMENTS
        self._changed, self._changes = {}, 0
        self.ports = {listener: free_port() for listener in self.documents}
        self._write()
        configuration = {
            "node": {"id": name, "cluster": name}, "admin": {"address": at(0)},
            "dynamic_resources": {"lds_config": {"resource_api_version": "V3", "path_config_source": {
                "path": str(self.home / "listeners.json"), "watched_directory": {"path": str(self.home)}}}},
            "static_resources": {"clusters": [
                cluster("spire_agent", {"pipe": {"path": str(own.socket)}}, typed_extension_protocol_options=http2()),
                cluster("partner_bundle", at(partner.endpoint_port),
                        transport_socket=upstream_tls(trust_in_endpoint(partner), "localhost")),
                cluster("app", at(upstream.port), typed_extension_protocol_options=as_the_client_speaks()),
            ]},
        }
        self.envoy = Envoy(lab, self.home.name, configuration, uid=uid)

    def change(self, listener, **members):
        """Gives a listener its first document with other members (or, without, that one again), as an update, and waits until
        Envoy has taken it."""
        self._changes += 1
        # A document that comes back as it was, while the old one drains, is not new: it needs another version.
        self._changed[listener] = {"version": f"{listener}, change {self._changes}", **members}
        before = self.envoy.stat("listener_manager.lds.update_success")
        self._write()
        until("Envoy takes the new document", lambda: self.envoy.stat("listener_manager.lds.update_success") > before, 20)
        until("the listener is warm", lambda: self.envoy.stat("listener_manager.total_listeners_warming") == 0, 20)
        # Workers are told of it one after another, and look at it on their next tick.
        time.sleep(2)

    def log_of(self, listener, what):
        """The access log of its connections or of its requests."""
        return self.home / f"{listener}.{what}.log"

    def _write(self):
        resources = [{"@type": TYPE + "envoy.config.listener.v3.Listener", **self._listener(name)} for name in self.documents]
        (self.home / "listeners.new").write_text(json.dumps({"resources": resources}))
        (self.home / "listeners.new").rename(self.home / "listeners.json")

    def _document(self, name):
        members = {**self.documents[name][0], **self._changed.get(name, {})}
        document = {"version": name, "trust_domain": self.own.name, "mark_passed": True, **members, "rules": self.rules}
        document["federation"] = [{"trust_domain": self.partner.name, **one} for one in members.get("federation", [{}])]
        return document

    def _listener(self, name):
        _, validation, more = self.documents[name]
        document = json.dumps(self._document(name))

        def filter_of(stage, kind):
            return typed(f"svidgate.{stage}", kind, config={
                "name": f"{name}.{stage}", "root_id": f"svidgate.{stage}", "failure_policy": "FAIL_RELOAD",
                "vm_config": {"vm_id": "svidgate", "runtime": "envoy.wasm.runtime.v8",
                              "code": {"local": {"filename": str(module())}}},
                "configuration": {"@type": TYPE + "google.protobuf.StringValue", "value": document}})

        forwarded = {"forward_client_cert_details": "SANITIZE_SET",
                     "set_current_client_cert_details": {"cert": True, "chain": True}} if more.get("xfcc") else {}
        lock = {"action": "ALLOW", "policies": {"svidgate-has-decided": {"permissions": [{"any": True}], "principals": [
            {"filter_state": {"key": "wasm.svidgate.passed", "string_match": {"safe_regex": {"regex": ".+"}}}}]}}}
        routes = [{"name": "app", "match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}]
        manager = typed(
            "envoy.filters.network.http_connection_manager",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix=name, access_log=access_log(self.log_of(name, "requests")), **forwarded,
            route_config={"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": routes}]},
            http_filters=[
                filter_of("request", "envoy.extensions.filters.http.wasm.v3.Wasm"),
                typed("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC", rules=lock),
                typed("envoy.filters.http.lua", "envoy.extensions.filters.http.lua.v3.Lua",
                      default_source_code={"inline_string": DRAIN}),
                typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
            ])
        network = [filter_of("connection", "envoy.extensions.filters.network.wasm.v3.Wasm")] if more.get("network", True) else []
        tls = typed("envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    require_client_certificate=True, common_tls_context={
                        "alpn_protocols": ["h2", "http/1.1"], "tls_certificate_sds_secret_configs": [sds("default")], **validation})
        return {
            "name": name, "address": at(self.ports[name]),
            "access_log": access_log(self.log_of(name, "connections"), tls="%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"),
            "filter_chains": [{"transport_socket": tls, "filters": [*network, manager]}],
        }
