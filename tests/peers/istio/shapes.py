"""Each shape of a service and of mTLS: who gets through which port, ALPN by ALPN."""

from .callers import ask
from .setting import DETECTED, MESH_PORTS, NAMED, WAYS, cleared, gated, mtls

CLOSED = {way: "closed" for way in WAYS}
HTTP = {**CLOSED, "istio-h2": "200", "istio-http/1.1": "200"}
"""Where the protocol is detected: Istio's own ALPNs are HTTP, all others TCP."""

DENIED = {**CLOSED, "istio-h2": "403", "istio-http/1.1": "403"}
NAMED_HTTP = {**{way: "200" for way in WAYS}, "plain text": "closed"}
"""Where the Service says that it is HTTP, one chain takes all that is TLS."""

PERMISSIVE_HTTP = {**CLOSED, "istio-h2": "200", "istio-http/1.1": "200", "istio-peer-exchange": "200", "istio": "200"}
"""In mode PERMISSIVE that chain takes Istio's ALPNs alone, and other TLS goes where plain text does."""


def is_detected(chains):
    """Port 8080 has a chain of TCP, which it has not where it is named."""
    return any(port == 8080 and "envoy.filters.network.tcp_proxy" in network for port, _, _, network, _ in chains)


def is_named(chains):
    return any(port == 8080 for port, *_ in chains) and not is_detected(chains)


def every_manifest_is_taken(suite, setting):
    """Server-side apply, strict: the schemas of Istio's CRDs, then istiod's webhook. And the webhook is there."""
    cluster = setting.cluster
    for name, resources in {
        "lock": setting.lock(), "access-log": setting.log(), "wasm-plugin": setting.plugins(), "tcp": setting.both(),
        "traffic-extension": cluster.manifest("istio-traffic-extension.yaml"),
        "envoy-1.37": cluster.manifest("istio-envoy-1.37.yaml"),
    }.items():
        # The one for SPIRE lives in a namespace of its own.
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "billing"}})
        came = [cluster.try_apply(resource) for resource in resources]
        suite.row(f"manifests/{name}", "server-side apply with strict validation", [(201, "")] * len(resources), came)
        cluster.delete(*resources)
    unknown = setting.plugins(texts={"failStrategy: FAIL_CLOSE": "failStrategi: FAIL_CLOSE"})[0]
    status, said = cluster.try_apply(unknown)
    suite.row("manifests/schema is there", "a member that is not known", 500, status, "failStrategi" in said and status >= 400)
    wrong = [text.replace("rbac.v3.RBAC", "rbac.v3.RBAK") for text in setting.lock()]
    status, said = cluster.try_apply(wrong[0])
    suite.row("manifests/webhook is there", "a type that Envoy does not know", "refused by istiod", f"{status} {said[:160]}",
              status >= 400 and "rev.validation.istio.io" in said)
    cluster.delete(*wrong)


def protocol_detected_strict(suite, setting):
    """The shape that was open: a Service whose protocol is detected has a chain of TCP for other ALPNs."""
    cleared(setting)
    setting.put(*setting.lock(), *setting.log(), lock=True)
    before = setting.ways(setting.web, 8080)
    suite.row("detected/before svidgate", "the lock alone, web at 8080", DENIED, before)
    setting.put(*setting.plugins(), connection=True, request=True)
    suite.row("detected/web at 8080", "GET /orders/1, each ALPN", HTTP, setting.ways(setting.web, 8080))
    suite.row("detected/web asks for more", "GET /admin at 8080", DENIED,
              setting.ways(setting.web, 8080, "/admin"))
    mark = setting.pod.mark()
    suite.row("detected/other at 8080", "GET /orders/1, each ALPN", CLOSED, setting.ways(setting.other, 8080))
    suite.row("detected/other's reason", "the access log", True, "rule.none_matched" in setting.pod.reasons(mark, "rule.none_matched"))
    setting.nobody_gets_through("detected/nobody at the app's ports", "STRICT")
    scraped = setting.pod.admin("", 15090, "/stats/prometheus") or ""
    suite.row("detected/metrics", "15090/stats/prometheus, with Istio's own list of metrics", True, "svidgate_decisions_total" in scraped)


def mesh_ports(suite, setting):
    """What the mesh serves itself, at every port that it has a number for."""
    gated(setting)
    expected = ["15020: 404", "15021: 404", "15090: 404"]
    setting.nobody_gets_through("mesh ports/GET of a path of the app", "STRICT", MESH_PORTS, expected)
    at = lambda port, path: ask(setting.pod.ip, port, None, "plain text", path)
    suite.row("mesh ports/15021 /healthz/ready", "plain text, nobody", "200", at(15021, "/healthz/ready"))
    suite.row("mesh ports/15020 /stats/prometheus", "plain text, nobody: metrics, with names of rules' reasons", "200",
              at(15020, "/stats/prometheus"))
    suite.row("mesh ports/15090 /stats/prometheus", "plain text, nobody: metrics", "200", at(15090, "/stats/prometheus"))
    suite.row("mesh ports/15020 /quitquitquit", "GET, plain text, nobody", "403", at(15020, "/quitquitquit"))
    before = len(setting.pod.reached())
    answer = at(15020, "/app-health/app/readyz")
    reached = [one["path"] for one in setting.pod.reached()[before:] if one["got"] == "request"]
    suite.row("mesh ports/15020 /app-health", "the app's own probe, asked by nobody through the agent, past every filter",
              "200, the app got ['/readyz']", f"{answer}, the app got {reached}",
              known="the agent serves probes that the injector rewrote to whoever asks; a NetworkPolicy is what closes 15020")


def excluded_port(suite, setting):
    """Past the proxy altogether."""
    came = setting.ask(None, 6060, "plain text")
    suite.row("excluded/6060", "excludeInboundPorts, plain text, nobody", "200", came,
              known="the packet filter does not send it to the proxy; no filter can close it")


def ipv6(suite, setting):
    """The address family that the packet filter of a single-stack pod leaves alone."""
    came = setting.ways(setting.other, 8080, ways=("plain text",), address=setting.pod.ip6)
    suite.row("IPv6/a pod that Istio takes for IPv4", "plain text to the app's port over IPv6, nobody", {"plain text": "200"}, came,
              known="istio-iptables has no rule for IPv6 unless ISTIO_DUAL_STACK is set or the pod's own address is IPv6: an app "
                    "that listens on `::` in a pod with an IPv6 address is open; set it, or listen on IPv4 alone")


def no_service(suite, setting):
    """Ports that no Service names, and no Service at all: passthrough chains."""
    gated(setting)
    suite.row("no Service names it/web at 7070", "GET /orders/1", HTTP, setting.ways(setting.web, 7070))
    suite.row("no Service names it/other at 7070", "GET /orders/1", CLOSED, setting.ways(setting.other, 7070))
    setting.cluster.delete(DETECTED)
    setting.pod.settled("without a chain for 8080", lambda chains: all(port is None for port, *_ in chains))
    suite.row("no Service/web at 8080", "GET /orders/1", HTTP, setting.ways(setting.web, 8080))
    setting.nobody_gets_through("no Service/nobody at the app's ports", "the Service is deleted")
    setting.cluster.apply(DETECTED)


def protocol_named_strict(suite, setting):
    gated(setting)
    setting.cluster.apply(NAMED)
    setting.pod.settled("of named protocols", is_named)
    setting.pod.has(True, True, True)
    suite.row("named/web at 8080", "GET /orders/1, each ALPN", NAMED_HTTP,
              setting.ways(setting.web, 8080))
    suite.row("named/web at 9090", "TCP, the document is for HTTP", CLOSED, setting.ways(setting.web, 9090))
    setting.nobody_gets_through("named/nobody at the app's ports", "STRICT")


def permissive(suite, setting):
    """Plain text has chains of its own then."""
    gated(setting)
    setting.cluster.apply(NAMED, mtls("PERMISSIVE"))
    setting.pod.settled("of plain text", lambda chains: is_named(chains) and any(not tls for _, _, tls, _, _ in chains))
    setting.pod.has(True, True, True)
    mark = setting.pod.mark()
    suite.row("permissive, named/web at 8080", "GET /orders/1, each ALPN", PERMISSIVE_HTTP,
              setting.ways(setting.web, 8080))
    suite.row("permissive/reason of plain text", "the access log", True, "connection.plaintext" in setting.pod.reasons(mark, "connection.plaintext"))
    setting.nobody_gets_through("permissive, named/nobody at the app's ports", "PERMISSIVE")
    setting.cluster.apply(DETECTED)
    setting.pod.settled("of detected protocols", is_detected)
    setting.pod.has(True, True, True)
    suite.row("permissive, detected/web at 8080", "GET /orders/1, each ALPN", HTTP, setting.ways(setting.web, 8080))
    setting.nobody_gets_through("permissive, detected/nobody at the app's ports", "PERMISSIVE")
    setting.cluster.apply(mtls("STRICT"))
    setting.pod.settled("of mTLS alone", lambda chains: all(tls for _, _, tls, _, _ in chains))


def http_and_tcp(suite, setting):
    """One document for both, by root id; the request plugin in the same resource."""
    cleared(setting)
    setting.put(*setting.lock(), *setting.log(), *setting.both(), connection=True, request=True, lock=True)
    suite.row("http and tcp/web at 8080", "GET /orders/1, each ALPN", HTTP, setting.ways(setting.web, 8080))
    suite.row("http and tcp/web at 8080, /admin", "GET /admin", DENIED,
              setting.ways(setting.web, 8080, "/admin"))
    TCP = {**{way: "'ledger'" for way in WAYS if not way.startswith("istio-h")}, "plain text": "closed"}
    ways = tuple(TCP)
    suite.row("http and tcp/web at 9090", "TCP, each ALPN that is not HTTP's", TCP, setting.ways(setting.web, 9090, ways=ways))
    before = len(setting.pod.reached())
    suite.row("http and tcp/other at 9090", "TCP", {way: "closed" for way in ways}, setting.ways(setting.other, 9090, ways=ways))
    suite.row("http and tcp/other is not dialled for", "connections at the app", [], setting.pod.reached()[before:])
    suite.row("http and tcp/web at 7070", "TCP at a port that the rule does not name", {way: "closed" for way in ways},
              setting.ways(setting.web, 7070, ways=ways))
    setting.nobody_gets_through("http and tcp/nobody at the app's ports", "STRICT, detected")
    setting.cluster.apply(NAMED)
    setting.pod.settled("of named protocols", is_named)
    setting.pod.has(True, True, True)
    suite.row("http and tcp, named/web at 9090", "TCP, each ALPN", {**{way: "'ledger'" for way in WAYS}, "plain text": "closed"}, setting.ways(setting.web, 9090))
    setting.nobody_gets_through("http and tcp, named/nobody at the app's ports", "STRICT, named")
    # Only with the record of an allow the lock lets TCP through.
    setting.put(*setting.both(texts={"mark_passed: true ": "access_log: refusals\n                  mark_passed: true "}))
    suite.row("http and tcp/access_log: refusals", "the lock has no record to go by", "closed", setting.ask(setting.web, 9090, "istio"))
    cleared(setting)


SCENARIOS = [every_manifest_is_taken, protocol_detected_strict, mesh_ports, excluded_port, ipv6, no_service, protocol_named_strict,
             permissive, http_and_tcp]
