"""SPIRE as the issuer inside of Istio: sidecars have their certificates and svidgate its bundles from an agent of SPIRE."""

import json

from lab import until
from spire.domain import SPIFFE, WEB, TrustDomain, WebAuthority

from .callers import WAYS
from .setting import service
from .shapes import CLOSED, HTTP
from .workload import PROXY, Pod

NAMESPACE = "billing"
INVOICES = {"app": "invoices"}
REPORTS, RESEARCH, OWN, NOBODY = 9101, 9102, 9103, 9104
"""Who runs as which user, on the hosts of the agents."""

FOR_ISTIO = 'sds {\n default_bundle_name = "null"\n default_all_bundles_name = "ROOTCA"\n}'
"""Istio's proxy asks for authorities by that name, and is to have those of partners as well."""

OWN_RULE = '''
        - name: web-reads-invoices
          effect: allow
          from: [ "spiffe://prod.example/ns/billing/sa/web" ]
          to: [ { methods: [ GET ], paths: [ "/invoices/**" ] } ]'''


class Files:
    """A certificate and its key, as callers have them."""

    def __init__(self, domain, uid, name):
        path = domain.fetch(uid, name)
        self.name, self.certificate, self.key = name, f"{path}.pem", f"{path}.key"


def in_billing(resources):
    """A manifest for the pods of this scenario."""
    return [text.replace("app: orders", "app: invoices").replace("namespace: shop", f"namespace: {NAMESPACE}") for text in resources]


def spire_beside(suite, setting):
    setting.pod.end()
    lab, cluster = setting.lab, setting.cluster
    web = WebAuthority(lab)
    own = TrustDomain(lab, "prod.example", SPIFFE, web, agent=FOR_ISTIO)
    partner = TrustDomain(lab, "partner.example", WEB, web)
    own.start_server(partner)
    partner.start_server(own)
    own.learn(partner.name, partner.bundle())
    partner.learn(own.name, own.bundle())
    own.join_agent()
    partner.join_agent()
    own.register("/ns/billing/sa/invoices", PROXY, partner.name)
    own.register("/ns/billing/sa/web", OWN, partner.name, ttl=3600)
    own.register("/ns/billing/sa/other", NOBODY, partner.name, ttl=3600)
    partner.register("/ns/billing/sa/reports", REPORTS, own.name, ttl=3600)
    partner.register("/ns/research/sa/x", RESEARCH, own.name, ttl=3600)
    suite.say("two trust domains of SPIRE are up and federated")

    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "invoices", "namespace": NAMESPACE}})
    cluster.start_istiod(mesh=f"trustDomain: {own.name}\ntrustDomainAliases: [ {partner.name} ]")
    ports = service(("web", 80, 8080), ("more", 81, 8081), ("ledger", 90, 9090), ("greeter", 91, 9091))
    strict = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": NAMESPACE},
              "spec": {"mtls": {"mode": "STRICT"}}}
    cluster.apply(strict, {**ports, "metadata": {"name": "invoices", "namespace": NAMESPACE}, "spec": {**ports["spec"], "selector": INVOICES}})
    setting.pod = pod = Pod(cluster, "invoices-0", 30, account="invoices", app="invoices", namespace=NAMESPACE, trust_domain=own.name)
    # Where Istio's agent looks for the socket of another issuer, which Kubernetes would mount there.
    (pod.home / "var/run/secrets/workload-spiffe-uds/socket").symlink_to(own.socket)
    pod.start()
    until("the workload's proxy has started", lambda: pod.admin("/ready"), 60, 0.3)

    def plugins():
        return setting.filled("istio-traffic-extension.yaml", texts={
            'to: [ { methods: [ GET ], paths: [ "/invoices/**" ] } ]': 'to: [ { methods: [ GET ], paths: [ "/invoices/**" ] } ]' + OWN_RULE})

    lock, log = in_billing(setting.lock()), in_billing(setting.log())
    setting.put(*lock, *log, *plugins(), connection=True, request=True, lock=True)
    callers = {name: Files(domain, uid, name) for name, domain, uid in (
        ("web", own, OWN), ("other", own, NOBODY), ("reports", partner, REPORTS), ("research", partner, RESEARCH))}
    ask = lambda who, path="/invoices/1", **more: setting.ask(callers[who], 8080, path=path, **more)
    until("the agent's bundles are there", lambda: ask("reports") == "200", 40, 0.5)
    suite.row("SPIRE/the proxy's own certificate", "its SAN", ["spiffe://prod.example/ns/billing/sa/invoices"], pod.own_ids())
    suite.row("SPIRE/own peer with a rule", "GET /invoices/1, each ALPN", HTTP, setting.ways(callers["web"], 8080, "/invoices/1"))
    suite.row("SPIRE/partner's peer with a rule", "GET /invoices/1, each ALPN", HTTP, setting.ways(callers["reports"], 8080, "/invoices/1"))
    for who, reason in (("other", "rule.none_matched"), ("research", "federation.out_of_scope")):
        mark = pod.mark()
        suite.row(f"SPIRE/{who}, without a rule", "GET /invoices/1, each ALPN", CLOSED, setting.ways(callers[who], 8080, "/invoices/1"))
        suite.row(f"SPIRE/{who}'s reason", "the access log", True, reason in pod.reasons(mark, reason))
    suite.row("SPIRE/partner's peer asks for more", "GET /admin", "403", ask("reports", "/admin"))
    suite.row("SPIRE/a certificate of Istio's own CA", "web of cluster.local: GET /invoices/1", "closed",
              setting.ask(setting.web, 8080, path="/invoices/1"))
    setting.nobody_gets_through("SPIRE/nobody at the app's ports", "STRICT, detected", callers={
        "other": callers["other"], "research": callers["research"], "web of Istio's own CA": setting.web, "without a certificate": None})

    cluster.start_istiod(mesh=f"trustDomain: {own.name}")
    until("the aliases are gone", lambda: ask("reports") != "200", 40, 0.5)
    mark = pod.mark()
    suite.row("SPIRE without trustDomainAliases/partner's peer", "GET /invoices/1, each ALPN", CLOSED,
              setting.ways(callers["reports"], 8080, "/invoices/1"))

    def failures():
        """Connections whose handshake failed by the SAN, each with the record of svidgate, once all of them are logged."""
        lines = [json.loads(line) for line in pod.log()[mark:].splitlines() if line.startswith("{") and '"handshake_failure":"' in line]
        found = [one["svidgate"] for one in lines if "SAN_match" in one["handshake_failure"]]
        return found if len(found) >= len(WAYS) - 1 else None
    # The one that was waited for may be among them.
    records = until("the handshakes in the log", failures, 10, 0.3)
    suite.row("SPIRE without trustDomainAliases/where", "the access log: each handshake failed by the SAN, and has no record of svidgate",
              "all without a record", f"{len(records)} handshakes, {[one for one in records if one]} with a record", not any(records))
    suite.row("SPIRE without trustDomainAliases/own peer", "GET /invoices/1", "200", ask("web"))


SCENARIOS = [spire_beside]
