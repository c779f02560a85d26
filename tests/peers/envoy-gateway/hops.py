"""Callers behind a gateway: Envoy Gateway brings them to a workload, and somebody brings them to Envoy Gateway."""

import json

from lab import Envoy, access_log, element, free_port, module, records_of, size_of, until

from .gateway import at
from .people import HOST
from .placing import placed

TYPE = "type.googleapis.com/"
EDGE, CLIENT, OTHER = (f"spiffe://prod.example/ns/edge/sa/{name}" for name in ("gateway", "client", "other"))
FRONT = "spiffe://prod.example/ns/front/sa/gateway"

VALIDATION = "      mode: RequireAny "
"""In the manifest, where the ClientTrafficPolicy goes on."""


MODES = {"SanitizeSet": "SANITIZE_SET", "AppendForward": "APPEND_FORWARD", "ForwardOnly": "FORWARD_ONLY"}
"""What Envoy Gateway calls them, and Envoy."""


def forwards(gateway, mode, texts, **options):
    """The manifest, with what becomes of the header, or nothing of it (`Sanitize`, the default)."""
    if not mode:
        gateway.forget()
    details = ", certDetailsToAdd: [ URI, Cert, Chain ]" if mode in ("SanitizeSet", "AppendForward") else ""
    headers = f"      mode: RequireAny\n  headers: {{ xForwardedClientCert: {{ mode: {mode}{details} }} }} "
    placed(gateway, "patch", texts={**texts, **({VALIDATION: headers} if mode else {})}, **options)

    def so():
        listeners = json.dumps([one["active_state"] for one in gateway.listeners() if "active_state" in one])
        return {name for name in MODES.values() if f'"{name}"' in listeners} == ({MODES[mode]} if mode else set())
    # The policy may come a moment after all else.
    until(f"the header is treated by {mode}", so, 20, 0.2)


def hop(peer, name):
    return {"name": name, "peers": [peer], "callers": [CLIENT], "assertion": "xfcc"}


class Workload:
    """An Envoy with svidgate in front of the app, which takes `client` from Envoy Gateway alone."""

    def __init__(self, gateway):
        self.gateway, self.port = gateway, free_port()
        home = gateway.lab.folder / "workload"
        home.mkdir()
        self._logs = [home / f"{what}.log" for what in ("requests", "connections")]
        people, typed = gateway.people, lambda name, kind, **more: {"name": name, "typed_config": {"@type": TYPE + kind, **more}}
        document = {
            "trust_domain": "prod.example", "bundle": {"inline": people.own.bundle()}, "xfcc": "hop", "hops": [hop(EDGE, "edge")],
            "rules": [
                {"name": "client-by-the-edge", "effect": "allow", "from": [CLIENT], "via": ["edge"], "to": [{"paths": ["/orders/**"]}]},
                {"name": "other-for-itself", "effect": "allow", "from": [OTHER], "to": [{"paths": ["/status"]}]}]}

        def svidgate(stage, kind):
            return typed(f"svidgate.{stage}", kind, config={
                "name": stage, "root_id": f"svidgate.{stage}", "vm_config": {
                    "vm_id": "svidgate", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module())}}},
                "configuration": {"@type": TYPE + "google.protobuf.Struct", "value": document}})

        certificates = [{"certificate_chain": {"filename": f"{people.server}.pem"}, "private_key": {"filename": f"{people.server}.key"}}]
        address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        manager = typed(
            "envoy.filters.network.http_connection_manager",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="workload", access_log=access_log(self._logs[0]), forward_client_cert_details="FORWARD_ONLY",
            route_config={"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
            http_filters=[svidgate("request", "envoy.extensions.filters.http.wasm.v3.Wasm"),
                          typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")])
        Envoy(gateway.lab, "workload", {
            "admin": {"address": address(0)},
            "static_resources": {
                "listeners": [{
                    "name": "workload", "address": address(self.port), "access_log": access_log(self._logs[1]),
                    "filter_chains": [{
                        "transport_socket": typed(
                            "envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                            require_client_certificate=True, common_tls_context={
                                "alpn_protocols": ["h2", "http/1.1"], "tls_certificates": certificates,
                                "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}}),
                        "filters": [svidgate("connection", "envoy.extensions.filters.network.wasm.v3.Wasm"), manager]}]}],
                "clusters": [{"name": "app", "load_assignment": {"cluster_name": "app", "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": address(gateway.app.port)}}]}]}}]}})

    def backend(self):
        """For Envoy Gateway, which comes with the certificate that it serves with."""
        return at(self.port, tls={
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "authorities"}], "sni": HOST,
            "clientCertificateRef": {"kind": "Secret", "name": "server"}})

    def came(self, ask):
        """Status, reason, who acted and who brought it."""
        marks = [(log, size_of(log)) for log in self._logs]
        status = ask()
        record = until("a record of the workload", lambda: [
            line["svidgate"] for log, mark in marks for line in records_of(log, mark) if line["svidgate"]], 5, 0.1)[0]
        return (status, record["reason"], *((record.get(member) or "nobody").rpartition("/")[2] for member in ("id", "via")))


def header(*elements):
    return "-H", f"x-forwarded-client-cert: {','.join(elements)}"


def brought_to_a_workload(suite, gateway):
    """Envoy Gateway is the hop. Its own svidgate lets in client and other; the workload takes client from it and nobody else."""
    people, workload = gateway.people, Workload(gateway)
    two = {f'from: [ "{CLIENT}" ]': f'from: [ "{CLIENT}", "{OTHER}" ]'}
    by_gateway = lambda who, *more, way="http/1.1": workload.came(lambda: gateway.ask(who, "/orders/1", 10443, way, *more))
    past_it = lambda who, path="/orders/1", *more: workload.came(lambda: gateway.ask(who, path, workload.port, "http/1.1", *more))
    client = element(f"{people.client}.pem", CLIENT, EDGE)

    def row(what, did, expected, came):
        suite.row(f"behind the gateway/{what}", did, expected, came)

    forwards(gateway, "SanitizeSet", two, backend=workload.backend())
    for way in ("h2", "http/1.1"):
        row(f"client, {way}", "GET /orders/1 by the gateway", ("200", "rule.allowed", "client", "gateway"), by_gateway(people.client, way=way))
    row("client lies", "with a header that names other", ("200", "rule.allowed", "client", "gateway"),
        by_gateway(people.client, *header(element(f"{people.other}.pem", OTHER))))
    row("other", "whom the gateway lets in, and may not bring", ("403", "assertion.not_allowed", "other", "gateway"), by_gateway(people.other))
    row("other lies", "with a header that names client", ("403", "assertion.not_allowed", "other", "gateway"),
        by_gateway(people.other, *header(client)))
    row("client past the gateway", "GET /orders/1 at the workload", ("closed", "rule.none_matched", "client", "nobody"), past_it(people.client))
    row("other past the gateway", "GET /status at the workload", ("200", "rule.allowed", "other", "nobody"), past_it(people.other, "/status"))
    row("forged by other", "GET /orders/1 at the workload, with a header that names client", ("403", "rule.none_matched", "other", "nobody"),
        past_it(people.other, "/orders/1", *header(client)))
    row("the gateway for itself", "its own certificate, and no header", ("403", "assertion.missing"), past_it(people.server)[:2])

    forwards(gateway, None, two, backend=workload.backend())
    row("the gateway says nothing", "client by the gateway; `Sanitize`, the default", ("403", "assertion.missing"), by_gateway(people.client)[:2])
    forwards(gateway, "AppendForward", two, backend=workload.backend())
    row("the gateway passes on what clients say", "other with a header that names client; `AppendForward`", ("403", "assertion.too_many_hops"),
        by_gateway(people.other, *header(client))[:2])


def brought_to_the_gateway(suite, gateway):
    """Envoy Gateway is what somebody brings callers to: a proxy in front of it."""
    people = gateway.people
    front = people.own.leaf("front", f"URI:{FRONT}")
    hops = {"mark_passed: true ": f"xfcc: hop\n                  hops: {json.dumps([hop(FRONT, 'front')])}\n                  mark_passed: true ",
            f'from: [ "{CLIENT}" ]': f'from: [ "{CLIENT}" ]\n                      via: [ direct, front ]'}
    client, other = (header(element(f"{who}.pem", uri, FRONT)) for who, uri in ((people.client, CLIENT), (people.other, OTHER)))

    def row(what, did, expected, who, *more):
        mark = gateway.mark()
        status = gateway.ask(who, "/orders/1", 10443, "h2", *more)
        suite.row(f"in front of the gateway/{what}", did, expected, (status, *gateway.reasons(mark, expected[1])))

    forwards(gateway, "ForwardOnly", hops)
    row("client", "GET /orders/1, brought by front", ("200", "rule.allowed"), front, *client)
    row("client for itself", "GET /orders/1", ("200", "rule.allowed"), people.client)
    row("other", "brought by front, which may not", ("403", "assertion.not_allowed"), front, *other)
    row("front for itself", "no header", ("403", "assertion.missing"), front)
    row("forged by other", "with a header that names client", ("closed", "rule.none_matched"), people.other, *client)
    gateway.nobody_gets_through("in front of the gateway/nobody", "`xfcc: hop`, `ForwardOnly`")
    forwards(gateway, None, hops)
    row("client, where the header is taken off", "brought by front; `Sanitize`, the default", ("403", "assertion.missing"), front, *client)


SCENARIOS = [brought_to_a_workload, brought_to_the_gateway]
