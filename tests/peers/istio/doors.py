"""Each door that a mistake, or a change in the wrong order, opens; and the lock that keeps it shut.

Each is looked at without the lock first: a door that does not open there shows nothing of the lock.
"""

import json
import re
import subprocess
import threading

from .setting import LABELS, SHOP, cleared, gated
from .shapes import DENIED, HTTP

OPEN = "what comes of it without the lock: "


def with_ports(setting):
    """The manifest with the workload's own port in both matches, as one may write it."""
    return [re.sub("- mode: SERVER.*", "- mode: SERVER\\n      ports: [ { number: 8080 } ]", text) for text in setting.plugins()]


def nobody(setting, port, way="istio-http/1.1", **more):
    """What somebody without a rule gets."""
    return setting.ask(setting.other, port, way, **more)


def listens(setting, port):
    """What somebody without a rule hears who says nothing."""
    return nobody(setting, port, "istio", payload=b"")


def ports_in_a_match(suite, setting):
    cleared(setting)
    setting.put(*with_ports(setting))
    doors = {"TCP chain of 8080": (8080, "istio"), "passthrough chain": (7070, "istio-http/1.1"), "another port of the Service": (8081, "istio-h2")}
    suite.row("ports in a match/HTTP chain of 8080", "other", "closed", nobody(setting, 8080))
    for name, (port, way) in doors.items():
        suite.row(f"ports in a match/{name}", f"other at {port}, {way}, no lock", "200", nobody(setting, port, way),
                  known=OPEN + "chains that `ports` leaves out have no svidgate")
    setting.guard_says("ports in a match, no lock", "not_guarded")
    setting.put(*setting.lock(), lock=True)
    for name, (port, way) in doors.items():
        suite.row(f"ports in a match, locked/{name}", f"other at {port}, {way}", True, nobody(setting, port, way) in ("403", "closed"))
    setting.nobody_gets_through("ports in a match, locked/nobody at the app's ports", "ports: 8080 in both")
    suite.row("ports in a match, locked/web at 8080", "GET /orders/1", "200", setting.ask(setting.web, 8080))


def svidgate_deleted(suite, setting):
    cleared(setting)
    setting.put(*setting.plugins(), connection=True, request=True)
    suite.row("deleted/before", "other at 8080", "closed", nobody(setting, 8080))
    setting.take(*setting.plugins(), connection=False, request=False)
    suite.row("deleted/without the lock", "other at 8080", "200", nobody(setting, 8080), known=OPEN + "nothing of ours is there")
    suite.row("deleted/without the lock, a server that speaks first", "other at 9091", "'banner'", listens(setting, 9091),
              known=OPEN + "nothing of ours is there")
    setting.guard_says("deleted, no lock", "not_guarded")
    setting.put(*setting.lock(), lock=True)
    suite.row("deleted, locked/other at 8080", "each ALPN", DENIED, setting.ways(setting.other, 8080))
    setting.nobody_gets_through("deleted, locked/nobody at the app's ports", "no svidgate at all")


def only_half_of_it(suite, setting):
    """One of the two plugins is missing."""
    cleared(setting)
    connection, request = setting.plugins()
    setting.put(connection, connection=True, request=False)
    suite.row("without the request plugin/web asks for more", "GET /admin, no lock", "200", setting.ask(setting.web, 8080, path="/admin"),
              known=OPEN + "who has any rule may send any request")
    setting.guard_says("without the request plugin, no lock", "not_guarded")
    setting.put(*setting.lock(), lock=True)
    suite.row("without the request plugin, locked/web asks for more", "GET /admin", "403", setting.ask(setting.web, 8080, path="/admin"))
    suite.row("without the request plugin, locked/web", "GET /orders/1", "403", setting.ask(setting.web, 8080))
    setting.nobody_gets_through("without the request plugin, locked/nobody", "the connection plugin alone")
    setting.take(connection, connection=False)
    setting.put(request, request=True)
    suite.row("without the connection plugin, locked/web", "GET /orders/1", "200", setting.ask(setting.web, 8080))
    suite.row("without the connection plugin, locked/other", "GET /orders/1", "403", nobody(setting, 8080))
    setting.nobody_gets_through("without the connection plugin, locked/nobody", "the request plugin alone")


def open_on_failure(suite, setting):
    """`FAIL_OPEN`, and an image that is not there: the agent puts a filter in place that allows all."""
    cleared(setting)
    missing = "sha256:" + "0" * 64
    plugins = setting.plugins(digest=missing, texts={"failStrategy: FAIL_CLOSE": "failStrategy: FAIL_OPEN"})
    setting.put(*plugins, connection=True, request=True, works=False)
    suite.row("FAIL_OPEN, no image/without the lock", "other at 8080", "200", nobody(setting, 8080), known=OPEN + "never write FAIL_OPEN")
    setting.guard_says("FAIL_OPEN, no image, no lock", "not_guarded")
    setting.put(*setting.lock(), lock=True)
    setting.nobody_gets_through("FAIL_OPEN, no image, locked/nobody at the app's ports", "FAIL_OPEN")
    suite.row("FAIL_OPEN, no image, locked/web", "GET /orders/1", "403", setting.ask(setting.web, 8080))


def image_that_does_not_come(suite, setting):
    """The agent puts an RBAC there that denies. It looks at what comes from the peer only."""
    cleared(setting)
    plugins = setting.plugins(digest="sha256:" + "0" * 64)
    setting.put(*plugins, connection=True, request=True, works=False)
    suite.row("no image/web at 8080", "GET /orders/1", "closed", setting.ask(setting.web, 8080))
    suite.row("no image/other at 8080", "GET /orders/1", "closed", nobody(setting, 8080))
    suite.row("no image/a server that speaks first", "other at 9091, no lock", "'banner'", listens(setting, 9091),
              known=OPEN + "the deny of Istio's agent does not look at what goes to the peer")
    setting.guard_says("no image, no lock", "not_guarded")
    setting.put(*setting.lock(), lock=True)
    setting.nobody_gets_through("no image, locked/nobody at the app's ports", "an image that is not in the registry")
    setting.put(*setting.plugins())
    suite.row("no image/it is pushed, and the resource names it", "web at 8080", "200", setting.ask(setting.web, 8080))


def migration(suite, setting):
    """Between WasmPlugin and TrafficExtension: the new one first, and the wrong way round behind the lock."""
    gated(setting)

    def watched(change):
        """What web and other get while this is done, and after."""
        came, stop = {"web": set(), "other": set()}, threading.Event()

        def drive(who, identity):
            while not stop.is_set():
                came[who].add(setting.ask(identity, 8080))
        threads = [threading.Thread(target=drive, args=("web", setting.web)), threading.Thread(target=drive, args=("other", setting.other))]
        for thread in threads:
            thread.start()
        try:
            change()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return {who: sorted(what) for who, what in came.items()}

    def count(number, name):
        return lambda chains: all(sum(name in one for one in network) == number for *_, network, _ in chains)

    def to_extensions():
        setting.put(*setting.extensions())
        setting.pod.settled("with both", count(2, "svidgate-connection"))
        setting.cluster.delete(*setting.plugins())
        setting.pod.settled("with one", count(1, "svidgate-connection"))

    suite.row("migration/new before old is deleted", "web and other ask all the while", {"web": ["200"], "other": ["closed"]}, watched(to_extensions))
    suite.row("migration/TrafficExtension alone", "web at 8080, each ALPN", HTTP, setting.ways(setting.web, 8080))
    setting.nobody_gets_through("migration/TrafficExtension alone, nobody", "STRICT, detected")

    def back_the_wrong_way():
        setting.cluster.delete(*setting.extensions())
        setting.pod.has(connection=False, request=False)
        setting.put(*setting.plugins(), connection=True, request=True)

    came = watched(back_the_wrong_way)
    suite.row("migration, locked/old is deleted first", "other asks all the while", True, set(came["other"]) <= {"403", "closed"})
    suite.row("migration, locked/old is deleted first, web", "an outage, and not a door", True, set(came["web"]) <= {"200", "403", "closed"} and len(came["web"]) > 1)


def who_may_write_in_the_namespace(suite, setting):
    """The lock is in Istio's root namespace. What a team can do in its own, and what it must not be given."""
    gated(setting)

    allow_all = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "all", "namespace": SHOP},
                 "spec": {"action": "ALLOW", "rules": [{}]}}
    plain = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "orders", "namespace": SHOP}, "spec": {
        "selector": {"matchLabels": LABELS}, "mtls": {"mode": "DISABLE"}}}
    sidecar = {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": {"name": "orders", "namespace": SHOP}, "spec": {
        "workloadSelector": {"labels": LABELS}, "ingress": [{
            "port": {"number": 8085, "protocol": "HTTP", "name": "http"}, "defaultEndpoint": "127.0.0.1:8080"}]}}

    def remove(priority):
        def match(name):
            return {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": name}}}
        return {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "off", "namespace": SHOP},
                "spec": {"workloadSelector": {"labels": LABELS}, "priority": priority, "configPatches": [
                    {"applyTo": "HTTP_FILTER", "patch": {"operation": "REMOVE"}, "match": match({
                        "name": "envoy.filters.network.http_connection_manager", "subFilter": {"name": "svidgate.lock"}})},
                    {"applyTo": "NETWORK_FILTER", "patch": {"operation": "REMOVE"}, "match": match({"name": "svidgate.lock"})}]}}

    setting.take(*setting.plugins(), connection=False, request=False)
    setting.cluster.apply(allow_all)
    setting.nobody_gets_through("the team/AuthorizationPolicy that allows all", "svidgate deleted, and the policy")
    setting.cluster.delete(allow_all)
    setting.cluster.apply(plain)
    setting.pod.settled("without TLS", lambda chains: all(not tls for _, _, tls, _, _ in chains))
    setting.nobody_gets_through("the team/PeerAuthentication DISABLE", "svidgate deleted, no mTLS")
    setting.cluster.delete(plain)
    setting.pod.settled("of mTLS alone", lambda chains: all(tls for _, _, tls, _, _ in chains))
    setting.cluster.apply(sidecar)
    setting.pod.settled("of the Sidecar", lambda chains: any(port == 8085 for port, *_ in chains))
    setting.nobody_gets_through("the team/Sidecar with a listener of its own", "svidgate deleted", ports=(8085, 8080, 9090, 7070))
    setting.cluster.delete(sidecar)
    setting.pod.settled("of the Service", lambda chains: any(port == 8080 for port, *_ in chains))
    setting.cluster.apply(remove(0))
    setting.cluster.apply(setting.plugins()[0])
    setting.pod.has(connection=True)
    setting.take(setting.plugins()[0], connection=False, lock=True)
    setting.nobody_gets_through("the team/EnvoyFilter that removes the lock", "svidgate deleted, priority 0")
    setting.cluster.apply(remove(2000))
    setting.pod.has(lock=False)
    suite.row("the team/EnvoyFilter of higher priority", "other at 8080", "200", nobody(setting, 8080),
              known="who may write EnvoyFilters in the namespace may do anything to its proxies; Kubernetes' RBAC must not allow it")
    setting.guard_says("the team/EnvoyFilter of higher priority", "not_guarded")
    setting.take(remove(2000), lock=True)
    own = setting.plugins(texts={'"spiffe://cluster.local/ns/shop/sa/web"': '"spiffe://cluster.local/**"'})
    setting.put(*own, connection=True, request=True)
    suite.row("the team/a svidgate with rules of its own", "other at 8080", "200", nobody(setting, 8080),
              known="who may write WasmPlugins or TrafficExtensions there writes the rules; the lock asks only that there are some")


def what_is_answered_without_us(suite, setting):
    """And what of a request is changed before or behind us."""
    gated(setting)
    preflight = ("origin: https://evil.example", "access-control-request-method: DELETE")
    suite.row("answered without us/CORS preflight", "web: OPTIONS /admin", "403",
              setting.ask(setting.web, 8080, path="/admin", method="OPTIONS", headers=preflight))
    suite.row("answered without us/unrouted host", "web: GET /admin of nobody.example", "403",
              setting.ask(setting.web, 8080, path="/admin", host="nobody.example"))
    suite.row("answered without us/path that is normalised", "web: GET /orders/../admin", "403",
              setting.ask(setting.web, 8080, path="/orders/../admin"))
    suite.row("answered without us/escaped slash", "web: GET /orders%2F..%2Fadmin", "403",
              setting.ask(setting.web, 8080, path="/orders%2F..%2Fadmin"))
    before = len(setting.pod.reached())
    forged = 'x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/web'
    suite.row("XFCC/forged by other", "GET /orders/1", "closed", setting.ask(setting.other, 8080, headers=[forged]))
    suite.row("XFCC/sent by web", "GET /orders/1", "200", setting.ask(setting.web, 8080, headers=[forged.replace("web", "forged")]))
    seen = [one for request in setting.pod.reached()[before:] for one in request.get("headers", []) if "client-cert" in one]
    suite.row("XFCC/what the app gets", "Istio's default is APPEND_FORWARD", "the forged one first, then Istio's own",
              json.dumps(seen), len(seen) == 1 and seen[0].index("sa/forged") < seen[0].index("Hash="),
              known="an app must not believe the first element; `xfcc: own` wants SANITIZE_SET (meshConfig.defaultConfig.proxyHeaders)")
    said = subprocess.run(["openssl", "s_client", "-connect", f"{setting.pod.ip}:8080", "-cert", str(setting.web.certificate), "-key",
                           str(setting.web.key), "-alpn", "http/1.1", "-reconnect", "-tls1_2"], input="", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30).stdout
    suite.row("resumption/TLS 1.2", "openssl s_client -reconnect", "offered by default", f"{said.count('Reused,')} of 5 resumed", "New," in said)
    cleared(setting)


SCENARIOS = [ports_in_a_match, svidgate_deleted, only_half_of_it, open_on_failure, image_that_does_not_come, migration,
             who_may_write_in_the_namespace, what_is_answered_without_us]
