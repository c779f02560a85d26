"""A waypoint as the real istiod configures it: who gets through it, and whom it takes each caller for."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

from lab import until

from . import callers, hbone
from .cluster import SHOP
from .doors import OPEN
from .hbone import INNER, Outer, Refused
from .network import Namespace
from .setting import MESH_PORTS, NOTHING
from .workload import App, Proxy

GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}
SERVES = {8080: "http", 8081: "http", 9090: "tcp", 9091: "banner", 7070: "http"}
"""What the app behind it serves. The Service names all but 7070."""

SERVICE = (("http-web", 80, 8080), ("more", 81, 8081), ("tcp-ledger", 90, 9090), ("tcp-greeter", 91, 9091))


def metadata(name, **labels):
    return {"name": name, "namespace": SHOP, "labels": labels}


def service(name, labels, selector, ports):
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, **labels), "spec": {"selector": selector, "ports": [
        {"name": port_name, "port": port, "targetPort": target} for port_name, port, target in ports]}}


def endpoints(name, ip, ports):
    """What Kubernetes would write of a Service and its pod."""
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": metadata(name, **{"kubernetes.io/service-name": name}),
            "ports": [{"name": port_name, "port": target, "protocol": "TCP"} for port_name, _, target in ports],
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}, "nodeName": "node"}]}


def shared(key, what, factory=None):
    return {"object_key": key, "format_string": {"text_format_source": {"inline_string": what}}, "shared_with_upstream": "ONCE",
            **({"factory_key": factory} if factory else {})}


def for_a_stock_envoy(factory="envoy.hashable_string", address=True, **selects):
    """In place of what istiod writes that Istio's own build of Envoy alone has: its filters of metadata, and the factory
    `istio.hashable_string`, which Envoy has under another name."""
    principal = "%DOWNSTREAM_{}_URI_SAN%"
    states = [
        shared("envoy.filters.listener.original_dst.local_ip", "%REQ(:AUTHORITY)%"),
        shared("io.istio.connect_authority", "%REQ(:AUTHORITY)%", factory),
        shared("envoy.filters.listener.original_dst.remote_ip", "%DOWNSTREAM_REMOTE_ADDRESS%"),
        shared("io.istio.peer_principal", principal.format("PEER"), factory),
        shared("io.istio.local_principal", principal.format("LOCAL"), factory),
    ]

    if not address:
        del states[2]

    def patch(listener, name, **what):
        return {"applyTo": "HTTP_FILTER", "patch": what, "match": {"context": "SIDECAR_INBOUND", "listener": {
            "name": listener, "filterChain": {"filter": {
                "name": "envoy.filters.network.http_connection_manager", "subFilter": {"name": name}}}}}}
    return {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "stock-envoy", "namespace": SHOP},
            "spec": {**(selects or {"targetRefs": [GATEWAY]}), "configPatches": [
                patch("connect_terminate", "connect_authority", operation="REPLACE", value={
                    "name": "connect_authority", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
                        "on_request_headers": states}}),
                patch("connect_terminate", "waypoint_downstream_peer_metadata", operation="REMOVE"),
                patch("main_internal", "waypoint_upstream_peer_metadata", operation="REMOVE")]}}


class Waypoint(Proxy):
    """The pod of the Gateway `waypoint`, and in a pod behind it the app `stock`."""

    role, listener = "waypoint", "main_internal"

    def __init__(self, cluster, number):
        super().__init__(cluster, "waypoint-0", number, "waypoint", {
            "gateway.networking.k8s.io/gateway-name": "waypoint", "service.istio.io/canonical-name": "waypoint"})
        template = self.home / "var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
        extension = re.compile(r'\n +\{\{- if \.metadata_discovery \}\}\n +\{\n +"name": "metadata_discovery".*?\{\{- end \}\}', re.S)
        text, count = extension.subn("", template.read_text())
        if count != 1:
            raise LookupError("the template of the bootstrap has no extension `metadata_discovery`")
        # Which Istio's own build of Envoy alone has.
        template.write_text(text)
        stock = Namespace(cluster.lab, "stock-0", number + 1)
        self.stock_ip, self.app = stock.ip, App(cluster, "stock-0", stock, SERVES)
        cluster.pod("stock-0", "orders", stock.ip, {"app": "stock", "istio.io/use-waypoint": "waypoint"}, SERVES)
        cluster.apply(
            service("waypoint", {"gateway.networking.k8s.io/gateway-name": "waypoint"},
                    {"gateway.networking.k8s.io/gateway-name": "waypoint"}, [("mesh", 15008, 15008)]),
            service("stock", {"istio.io/use-waypoint": "waypoint"}, {"app": "stock"}, SERVICE),
            endpoints("waypoint", self.ip, [("mesh", 15008, 15008)]), endpoints("stock", stock.ip, SERVICE),
            {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
             "metadata": metadata("waypoint", **{"istio.io/waypoint-for": "all"}),
             "spec": {"gatewayClassName": "istio-waypoint", "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}]}})
        status, said = cluster.ask("GET", f"/api/v1/namespaces/{SHOP}/services/stock")
        self.vip = json.loads(said)["spec"]["clusterIP"]

    def reached(self):
        return self.app.reached()


def stood_up(setting):
    """The waypoint, once, in place of the workload with a sidecar."""
    if isinstance(setting.pod, Waypoint):
        return setting.pod
    setting.pod.end()
    cluster = setting.cluster
    cluster.crds("tests/integration/pilot/testdata/gateway-api-crd.yaml")
    cluster.start_istiod(ambient=True)
    cluster.apply(for_a_stock_envoy())
    setting.pod = Waypoint(cluster, 10).start()
    until("the waypoint's proxy has started", lambda: setting.pod.admin("/ready"), 60, 0.3)
    setting.pod.settled("of the Service and of pods", lambda chains: len(chains) == 7)
    return setting.pod


def bare(setting):
    """Nothing of ours at the waypoint."""
    stood_up(setting)
    setting.cluster.delete(*plugin(setting), *lock(setting))
    setting.pod.has(connection=False, request=False, lock=False)


def plugin(setting, **options):
    return setting.filled("istio-waypoint.yaml", **options)


def lock(setting, texts=None):
    return setting.cluster.manifest("istio-waypoint-lock.yaml", texts)


def attached(chains):
    """Each chain of HTTP has the one plugin, each of TCP the other."""
    return all(any("svidgate-waypoint-http" in one for one in requests) if requests else
               any("svidgate-waypoint-tcp" in one for one in network) for *_, network, requests in chains)


def guarded(setting):
    bare(setting)
    setting.put(*lock(setting), *plugin(setting), request=True, lock=True)
    setting.pod.settled("with both plugins", attached)


def addresses(pod):
    """Where a tunnel may lead: each port of the Service, its name, ports of the pod behind it, and what is not for it at all."""
    return [*(f"{pod.vip}:{port}" for _, port, _ in SERVICE), "stock.shop.svc.cluster.local:80",
            *(f"{pod.stock_ip}:{port}" for port in SERVES), f"{pod.ip}:15000", "198.18.0.1:15012"]


def everything(setting, callers, where_to):
    """What comes of each thing that a caller may say in a tunnel to each address, at once."""
    # To say nothing is of use where a server speaks first.
    tries = [(who, where, inner) for who in callers for where in where_to for inner in INNER
             if inner != "silent" or where.endswith(("91", "71"))]
    with ThreadPoolExecutor(48) as pool:
        return tries, list(pool.map(lambda one: hbone.ask(setting.pod.ip, callers[one[0]], one[1], one[2]), tries))


def nobody_gets_through(setting, name, did, where_to=None):
    """A row: of callers without a rule nothing reaches the app, and nothing comes back but a refusal."""
    where_to = where_to or addresses(setting.pod)
    before = len(setting.pod.reached())
    tries, came = everything(setting, {"other": setting.other, "elsewhere": setting.elsewhere, "without a certificate": None}, where_to)
    answered = sorted({f"{where} {inner}: {what}" for (_, where, inner), what in zip(tries, came) if what not in NOTHING})
    reached = [one for one in setting.pod.reached()[before:] if one["got"] != "connection"]
    setting.suite.row(name, f"{did}: {len(tries)} tunnels to {len(where_to)} addresses, HTTP/1.1, HTTP/2, TCP, silence",
                      "answers: [], reached the app: []", f"answers: {answered}, reached the app: {reached[:3]}")


def waypoint_rules(suite, setting):
    """Who is served and who is not, by the id that the outer handshake has verified."""
    bare(setting)
    pod, cluster = setting.pod, setting.cluster
    for name, resources in {"waypoint": plugin(setting), "waypoint-lock": lock(setting)}.items():
        came = [cluster.try_apply(resource) for resource in resources]
        suite.row(f"manifests/{name}", "server-side apply with strict validation", [(201, "")] * len(resources), came)
    guarded(setting)
    ask = lambda who, port=80, **more: hbone.ask(pod.ip, who, f"{pod.vip}:{port}", **more)
    for port, shape in ((80, "a port that is named HTTP"), (81, "a port whose protocol is detected")):
        for inner in ("http/1.1", "h2"):
            suite.row(f"waypoint/web at {port}, {inner}", f"GET /orders/1, {shape}", "200", ask(setting.web, port, inner=inner))
    mark = pod.mark()
    suite.row("waypoint/web asks for more", "GET /admin", "403", ask(setting.web, path="/admin"))
    pod.reasons(mark, "rule.none_matched")
    suite.row("waypoint/its record", "the access log", ("spiffe://cluster.local/ns/shop/sa/web", "proxy", "deny", "rule.none_matched"),
              tuple(pod.records(mark)[-1].get(member) for member in ("id", "evidence", "decision", "reason")))
    mark = pod.mark()
    suite.row("waypoint/other", "GET /orders/1", "403", ask(setting.other))
    pod.reasons(mark, "rule.none_matched")
    suite.row("waypoint/other's record", "the access log", ("spiffe://cluster.local/ns/shop/sa/other", "proxy", "deny", "rule.none_matched"),
              tuple(pod.records(mark)[-1].get(member) for member in ("id", "evidence", "decision", "reason")))
    suite.row("waypoint/elsewhere", "GET /orders/1 as the same account of another namespace", "403", ask(setting.elsewhere))
    suite.row("waypoint/without a certificate", "GET /orders/1", "closed", ask(None))
    suite.row("waypoint/no tunnel", "web: GET /orders/1 at 15008 itself, mutual TLS", "404",
              callers.ask(pod.ip, 15008, setting.web, "h2"))
    suite.row("waypoint/plain text", "GET /orders/1 at 15008 itself", "closed", callers.ask(pod.ip, 15008, None, "plain text"))
    suite.row("waypoint/web by TCP", "at 90", "closed", ask(setting.web, 90, inner="tcp"))
    forged = [("baggage", "k8s.namespace.name=shop"), ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/web"),
              ("io.istio.peer_principal", "spiffe://cluster.local/ns/shop/sa/web"), ("forwarded", "for=198.18.0.1")]
    suite.row("waypoint/forged by other", "headers of the tunnel that name web", "403", ask(setting.other, headers=forged))
    nobody_gets_through(setting, "waypoint/nobody through a tunnel", "svidgate and lock")
    setting.nobody_gets_through("waypoint/nobody at other ports of its pod", "svidgate and lock", MESH_PORTS,
                                ["15008: 404", "15020: 404", "15021: 404", "15090: 404"], guard="not_known")


def interleaved(setting, rounds=10):
    """Two callers in turn, on a tunnel that each keeps and on new ones: what each got, and whom the records name."""
    pod, mark, came = setting.pod, setting.pod.mark(), {"web": set(), "other": set()}
    with Outer(pod.ip, setting.web) as web, Outer(pod.ip, setting.other) as other:
        callers_ = {"other": other, "web": web}
        kept = {who: outer.tunnel(f"{pod.vip}:80") for who, outer in callers_.items()}
        for _ in range(rounds):
            for who, outer in callers_.items():
                came[who].add(kept[who].get())
                came[who].add(outer.tunnel(f"{pod.vip}:80").get())
    asked = 2 * rounds

    def logged():
        ids = [record["id"].rpartition("/")[2] for record in pod.records(mark)]
        return ids if len(ids) >= 2 * asked else None

    ids = until("a record of each", logged, 10, 0.2)
    return {who: sorted(what) for who, what in came.items()}, {who: ids.count(who) for who in ("web", "other")}


def waypoint_two_callers(suite, setting):
    """Over one waypoint, each with one outer connection. What Istio shares decides whether they are kept apart."""
    guarded(setting)
    expected = {"web": ["200"], "other": ["403"]}, {"web": 20, "other": 20}

    def shares(factory, address):
        setting.cluster.apply(for_a_stock_envoy(factory, address))

        def so():
            dump = setting.pod.admin("/config_dump?resource=dynamic_listeners") or ""
            return ('"envoy.string"' in dump) == (factory == "envoy.string") and ("original_dst.remote_ip" in dump) == address
        until("what is shared", so, 20)
        time.sleep(1)

    suite.row("waypoint/two callers in turn", "10 rounds: each on a tunnel that is kept, and on a new one", expected, interleaved(setting))
    shares("envoy.string", True)
    suite.row("waypoint/two callers, ids shared as before Istio 1.29.2", "`envoy.string`: the callers' own addresses keep them apart",
              expected, interleaved(setting))
    shares("envoy.hashable_string", False)
    suite.row("waypoint/two callers, their addresses not shared", "the ids alone keep them apart", expected, interleaved(setting))
    shares("envoy.string", False)
    came = interleaved(setting)
    suite.row("waypoint/two callers, neither", "`envoy.string`, and no addresses", "one is taken for the other", str(came), came != expected,
              known="written by hand, to see what this test would see; no Istio shares so")
    shares("envoy.hashable_string", True)
    suite.row("waypoint/two callers, put right", "the same as at first", expected, interleaved(setting))


def other(text):
    return text.replace("name: svidgate-waypoint-", "name: svidgate-other-")


def selected_by_label(text):
    return re.sub(r"  targetRefs:.*\n(    .*\n)+", "  selector: { matchLabels: { gateway.networking.k8s.io/gateway-name: waypoint } }\n", text)


def with_ports(text):
    return re.sub("- mode: SERVER.*", "- mode: SERVER\n      ports: [ { number: 80 }, { number: 90 } ]", text)


def of_the_service(text):
    return re.sub(r"kind: Gateway\b", "kind: Service", text.replace("group: gateway.networking.k8s.io", 'group: ""')).replace(
        "name: waypoint", "name: stock")


def waypoint_doors(suite, setting):
    """What attaches nothing, or leaves something out; and the lock."""
    bare(setting)
    pod, cluster = setting.pod, setting.cluster
    ask = lambda who, port=80, **more: hbone.ask(pod.ip, who, f"{pod.vip}:{port}", **more)
    plugins = [other(text) for text in plugin(setting)]

    def ours():
        """How many chains of HTTP and of TCP have a plugin of ours."""
        chains = [(bool(requests), any("svidgate" in one for one in network + requests)) for *_, network, requests in pod.chains()]
        return {name: f"{chains.count((http, True))} of {chains.count((http, True)) + chains.count((http, False))}"
                for name, http in (("HTTP", True), ("TCP", False))}

    none = {"HTTP": "0 of 3", "TCP": "0 of 4"}
    for name, resources, expected, what in (
        ("NETWORK alone", plugins[:1], {"HTTP": "0 of 3", "TCP": "4 of 4"}, "Istio puts none in front of HTTP"),
        ("a selector in place of targetRefs", [*map(selected_by_label, plugins)], none, "a selector never selects a waypoint"),
        ("ports 80 and 90 in the match", [*map(with_ports, plugins)], {"HTTP": "0 of 3", "TCP": "1 of 4"}, "with `ports` no chain of HTTP has svidgate"),
        ("the Service as the target", [*map(of_the_service, plugins)], {"HTTP": "2 of 3", "TCP": "3 of 4"}, "pods' own addresses have no svidgate"),
    ):
        cluster.apply(*resources)
        time.sleep(3)
        suite.row(f"waypoint, {name}/where it is attached", "filter chains, 3 s later", expected, ours())
        of_the_pod = "Service" in name
        suite.row(f"waypoint, {name}/without the lock", f"other: GET /orders/1 of {'the pod' if of_the_pod else 'the Service'}",
                  "503" if of_the_pod else "200",
                  hbone.ask(pod.ip, setting.other, f"{pod.stock_ip}:8080" if of_the_pod else f"{pod.vip}:80"),
                  known=OPEN + what + (" (503: in this lab nobody speaks HBONE at the pod)" if of_the_pod else ""))
        cluster.apply(*lock(setting))
        pod.has(lock=True)
        nobody_gets_through(setting, f"waypoint, {name}, locked/nobody", what)
        cluster.delete(*resources, *lock(setting))
        pod.has(connection=False, request=False, lock=False)
    setting.put(*plugin(setting)[1:], request=True)
    suite.row("waypoint, HTTP alone/TCP without the lock", "other at 90", "'ledger'", ask(setting.other, 90, inner="tcp"),
              known=OPEN + "nothing of ours is in front of TCP")
    setting.put(*plugin(setting))
    pod.settled("with both plugins", attached)
    mark = pod.mark()
    suite.row("waypoint without the lock/web by TCP", "at 90", "closed", ask(setting.web, 90, inner="tcp"))
    suite.row("waypoint without the lock/reason of TCP", "the access log", ["connection.not_http"], pod.reasons(mark, "connection.not_http"))
    nobody_gets_through(setting, "waypoint without the lock/nobody", "both plugins")
    setting.cluster.delete(plugin(setting)[0])
    pod.settled("without the plugin for TCP", lambda chains: not any("svidgate" in one for *_, network, _ in chains for one in network))
    setting.put(*lock(setting), lock=True)
    suite.row("waypoint, HTTP alone, locked/TCP", "other at 90", "closed", ask(setting.other, 90, inner="tcp"))
    setting.take(*plugin(setting), request=False)
    suite.row("waypoint, svidgate deleted, locked/web", "GET /orders/1", "403", ask(setting.web))
    nobody_gets_through(setting, "waypoint, svidgate deleted, locked/nobody", "the lock alone")
    guarded(setting)
    cluster.apply(*lock(setting, {"max_connection_duration: 3600s": "max_connection_duration: 2s"}))
    until("the bound", lambda: '"max_connection_duration": "2s"' in (pod.admin("/config_dump?resource=dynamic_listeners") or ""), 20)
    time.sleep(1)

    def tunnels(seconds):
        with Outer(pod.ip, setting.web) as outer:
            first = outer.tunnel(f"{pod.vip}:80").get()
            time.sleep(seconds)
            try:
                return first, outer.tunnel(f"{pod.vip}:80").get()
            except Refused as why:
                return first, str(why)
    suite.row("waypoint/an old outer connection", "a tunnel at once and one after 4 s, `max_connection_duration: 2s`", ("200", "closed"), tunnels(4))
    bare(setting)


SCENARIOS = [waypoint_rules, waypoint_two_callers, waypoint_doors]
