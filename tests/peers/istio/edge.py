"""A gateway of Istio's own, as istiod configures it, that brings callers to the workload: who acts there, and who may say so."""

import json
import re
from collections import namedtuple
from pathlib import Path

from lab import Authority, NeverCame, element, until

from . import callers
from .cluster import SHOP
from .setting import LABELS, NAMED, cleared
from .waypoint import endpoints
from .workload import PROXY, Identity, Proxy

EDGE = "edge"
"""The namespace of the gateway and its name."""

MESH, PARTNERS = 8443, 9443
"""Ports of the gateway: for callers of the mesh, by its mesh certificate, and for a partner's, by one of the web."""

GATEWAY, WEB, OTHER = (f"spiffe://cluster.local/ns/{path}" for path in ("edge/sa/gateway", "shop/sa/web", "shop/sa/other"))
REPORTS, BATCH = (f"spiffe://partner.example/ns/billing/sa/{name}" for name in ("reports", "batch"))

RULE = """    rules:
      - name: web-reads-orders
        effect: allow
        from: [ "spiffe://cluster.local/ns/shop/sa/web" ]
"""
HOPS = f"""    xfcc: %s
    federation: [ {{ trust_domain: partner.example, bundle: {{ inline: %s }} }} ]
    hops:
      - name: edge
        peers: [ "{GATEWAY}" ]
        callers: [ "{WEB}", "spiffe://partner.example/ns/billing/**" ]
        except: [ "{BATCH}" ]
        assertion: xfcc
    rules:
      - name: other-reads-for-itself
        effect: allow
        from: [ "{OTHER}" ]
        to: [ {{ methods: [ GET ], paths: [ "/status" ] }} ]
      - name: callers-read-orders
        effect: allow
        from: [ "{WEB}", "{REPORTS}", "{BATCH}" ]
        via: [ edge ]
"""
"""What stands in the manifest, and what is written there for callers behind the gateway: `xfcc`, and the partner's bundle."""

Files = namedtuple("Files", "certificate key")


class Gateway(Proxy):
    """Its pod. It routes everything to the workload."""

    role, listener = "router", f"0.0.0.0_{MESH}"

    def __init__(self, cluster, number, ca, server):
        labels = {"app": EDGE}
        super().__init__(cluster, "edge-0", number, "gateway", labels, namespace=EDGE)
        files = {"serverCertificate": server.certificate, "privateKey": server.key, "caCertificates": ca}

        def port(number, **tls):
            return {"port": {"number": number, "name": f"https-{number}", "protocol": "HTTPS"}, "hosts": ["*"], "tls": tls}

        def resource(kind, name, **spec):
            return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": EDGE}, "spec": spec}

        host = f"orders.{SHOP}.svc.cluster.local"
        self.resources = [
            resource("Gateway", "edge", selector=labels, servers=[
                port(MESH, mode="ISTIO_MUTUAL"), port(PARTNERS, mode="MUTUAL", **{name: str(path) for name, path in files.items()})]),
            resource("VirtualService", "edge", hosts=["*"], gateways=["edge"], http=[
                {"route": [{"destination": {"host": host, "port": {"number": 80}}}]}]),
            resource("DestinationRule", "orders", host=host, trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}),
        ]
        cluster.apply(*self.resources)


class Brought:
    """The workload behind the gateway, and what came of one request."""

    def __init__(self, setting, gateway):
        self.setting, self.gateway = setting, gateway

    def by_gateway(self, who, path="/orders/1", port=MESH, **more):
        return self._came(lambda: callers.ask(self.gateway.ip, port, who, "http/1.1", path, **more))

    def at_the_workload(self, who, path="/orders/1", **more):
        return self._came(lambda: self.setting.ask(who, 8080, path=path, **more))

    def _came(self, ask):
        """Status, reason; who acted and who brought it; what reached the app of the header that says so."""
        pod = self.setting.pod
        mark, before = pod.mark(), len(pod.reached())
        status = ask()
        # Of what others have left open it is said late that it was silent.
        spoken = lambda: [one for one in pod.records(mark) if one["reason"] != "connection.silent"]
        try:
            record = until("a record", spoken, 5, 0.1)[-1]
        except NeverCame:
            return status, "no record"
        headers = [line.lower() for one in pod.reached()[before:] for line in one.get("headers", ())]
        seen = any(line.startswith("x-forwarded-client-cert") for line in headers)
        names = tuple((record.get(member) or "nobody").removeprefix("spiffe://") for member in ("id", "via"))
        return (status, record["reason"], *names, *(["the app sees the header"] if seen else []))


def header(*elements):
    return [f"x-forwarded-client-cert: {','.join(elements)}"]


def plugins(setting, xfcc, bundle):
    return setting.plugins(texts={RULE: HOPS % (xfcc, json.dumps(bundle))})


def callers_behind_a_gateway(suite, setting):
    """As Istio is by default (the sidecar appends its own element), and with a sidecar that leaves the header as it is."""
    cleared(setting)
    cluster, pod = setting.cluster, setting.pod
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": EDGE}},
                  {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gateway", "namespace": EDGE}})
    cluster.apply(NAMED, endpoints("orders", pod.ip, [("http-web", 80, 8080)]))
    folder = cluster.home / "partner"
    folder.mkdir()
    partner = Authority(setting.lab, "partner.example", folder)
    leaf = lambda name, *sans: Files(*(Path(f"{partner.leaf(name, *sans)}.{end}") for end in ("pem", "key")))
    server = leaf("server", "DNS:edge.example")
    for path in (partner.certificate, *server):
        path.chmod(0o644)
    people = {"reports": leaf("reports", f"URI:{REPORTS}"), "batch": leaf("batch", f"URI:{BATCH}")}
    gateway = Gateway(cluster, 30, partner.certificate, server).start()
    until("the gateway has started", lambda: gateway.admin("/ready"), 60, 0.3)
    until("it listens", lambda: all(gateway.chains(f"0.0.0.0_{port}") for port in (MESH, PARTNERS)), 30, 0.3)
    itself = Identity(cluster, "edge-itself", EDGE, "gateway", 3)
    setting.put(*setting.lock(), *setting.log(), *plugins(setting, "hop_appended", partner.bundle()), connection=True, request=True, lock=True)
    look = Brought(setting, gateway)
    until("the gateway reaches the workload", lambda: look.by_gateway(setting.web)[0] == "200", 30, 0.5)
    decided(suite, setting, look, "hop_appended, as Istio is", people, itself)

    config = json.loads(pod.settings["PROXY_CONFIG"])
    before, pod.settings["PROXY_CONFIG"] = pod.settings["PROXY_CONFIG"], json.dumps({
        **config, "proxyHeaders": {"forwardedClientCert": "FORWARD_ONLY"}})
    pod.restart()
    until("the workload's proxy has started", lambda: pod.admin("/ready"), 60, 0.3)
    setting.put(*plugins(setting, "hop", partner.bundle()), connection=True, request=True, lock=True)
    until("the gateway reaches the workload", lambda: look.by_gateway(setting.web)[0] == "200", 30, 0.5)
    decided(suite, setting, look, "hop, FORWARD_ONLY", people, itself)
    setting.put(*plugins(setting, "hop_appended", partner.bundle()))
    # The one element that there is is taken for the sidecar's own, so nobody is left whom the gateway would name.
    suite.row("edge/hop_appended where the sidecar appends nothing", "web by the gateway: GET /orders/1", ("403", "assertion.missing"),
              look.by_gateway(setting.web)[:2])

    pod.settings["PROXY_CONFIG"] = before
    pod.restart()
    until("the workload's proxy has started", lambda: pod.admin("/ready"), 60, 0.3)
    gateway.end()
    cluster.delete(*gateway.resources)
    cleared(setting)


def decided(suite, setting, look, how, people, itself):
    """Rows: whoever comes by the gateway, and whoever says that it does."""
    name = lambda id_: id_.removeprefix("spiffe://")
    web, other = setting.web, setting.other
    acting = lambda who, status="200", reason="rule.allowed": (status, reason, name(who), name(GATEWAY))

    def row(what, did, expected, came):
        suite.row(f"edge, {how}/{what}", did, expected, came)

    row("web by the gateway", "GET /orders/1", acting(WEB), look.by_gateway(web))
    row("web asks for more", "POST /orders/1 by the gateway", acting(WEB, "403", "rule.none_matched"),
        look.by_gateway(web, method="POST"))
    row("a partner's caller", "reports by the gateway's port for partners: GET /orders/1", acting(REPORTS),
        look.by_gateway(people["reports"], port=PARTNERS))
    row("whom it may not bring", "batch of the partner, which is in `except`", acting(BATCH, "403", "assertion.not_allowed"),
        look.by_gateway(people["batch"], port=PARTNERS))
    lie = header(element(web.certificate, WEB, GATEWAY))
    row("somebody else of the mesh", "other by the gateway, for which no entry is", acting(OTHER, "403", "assertion.not_allowed"),
        look.by_gateway(other))
    row("who lies to the gateway", "other by the gateway, with a header that names web", acting(OTHER, "403", "assertion.not_allowed"),
        look.by_gateway(other, headers=lie))
    row("nobody at the gateway", "no certificate", ("closed", "no record"), look.by_gateway(None))
    alone = lambda who, status, reason: (status, reason, name(who), "nobody")
    row("web without the gateway", "GET /orders/1 at the workload", alone(WEB, "closed", "rule.none_matched"), look.at_the_workload(web))
    row("other for itself", "GET /status at the workload", alone(OTHER, "200", "rule.allowed"), look.at_the_workload(other, "/status"))
    row("forged by a peer that is no hop", "other at the workload, with a header that names web",
        alone(OTHER, "403", "rule.none_matched"), look.at_the_workload(other, headers=lie))
    row("forged by a peer that is no hop, to its own path", "GET /status, with that header", alone(OTHER, "200", "rule.allowed"),
        look.at_the_workload(other, "/status", headers=lie))
    row("the gateway for itself", "its own certificate, and no header: GET /orders/1", ("403", "assertion.missing"), look.at_the_workload(itself)[:2])
    row("the gateway, without a certificate of the caller", "a header with Hash and URI alone", ("403", "assertion.missing"),
        look.at_the_workload(itself, headers=header(re.sub('Cert="[^"]*";', "", element(web.certificate, WEB, GATEWAY))))[:2])
    row("the gateway, of two callers", "two elements", ("403", "assertion.too_many_hops"),
        look.at_the_workload(itself, headers=header(*[element(web.certificate, WEB, GATEWAY)] * 2))[:2])
    row("the gateway, of what another said", "`By` names another", ("403", "assertion.broken_chain"),
        look.at_the_workload(itself, headers=header(element(web.certificate, WEB, OTHER)))[:2])
    setting.guard_says(f"edge, {how}", "guarded")


SCENARIOS = [callers_behind_a_gateway]
