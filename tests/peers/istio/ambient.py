"""A sidecar that serves HBONE at 15008, with our manifests for sidecars."""

from lab import until

from . import hbone
from .doors import OPEN
from .network import NODE
from .setting import LABELS, cleared
from .waypoint import for_a_stock_envoy
from .waypoint import nobody_gets_through as nobody_in_a_tunnel
from .workload import PORTS, Pod

INNER_LISTENER = "main_internal"


def hbone_sidecar(suite, setting):
    """What comes in a tunnel has no TLS of its own in the sidecar, and the document says nowhere else who it is."""
    setting.pod.end()
    cluster = setting.cluster
    if not cluster.ambient:
        cluster.start_istiod(ambient=True)
    stock = for_a_stock_envoy(workloadSelector={"labels": LABELS})
    cluster.apply(stock)
    setting.pod = pod = Pod(cluster, "orders-3", 20, ISTIO_META_ENABLE_HBONE="true").start()
    until("the workload's proxy has started", lambda: pod.admin("/ready"), 60, 0.3)
    cleared(setting)
    until("HBONE is served", lambda: pod.chains(INNER_LISTENER), 30, 0.3)
    tunnels = [*(f"{pod.ip}:{port}" for port in PORTS), f"{NODE}:15012"]

    def ask(who, port=8080, **more):
        return hbone.ask(pod.ip, who, f"{pod.ip}:{port}", **more)

    def ways(who):
        return {inner: ask(who, inner=inner) for inner in ("http/1.1", "h2")}, ask(who, 9090, inner="tcp")

    suite.row("HBONE sidecar/before svidgate", "other in tunnels: HTTP/1.1 and HTTP/2 to 8080, TCP to 9090",
              ({"http/1.1": "200", "h2": "200"}, "'ledger'"), ways(setting.other), known=OPEN + "nothing of ours is there")
    plugins = setting.plugins()
    setting.put(*setting.log(), *plugins, connection=True, request=True)
    for _, _, _, network, requests in pod.chains(INNER_LISTENER):
        if not any("svidgate-connection" in one for one in network) or requests and not any("svidgate-request" in one for one in requests):
            suite.row("HBONE sidecar/chains within the tunnels", "each has both plugins", "both", f"{network} {requests}")
    mark = pod.mark()
    # In front of TCP, without the lock, the server is dialled at once, and svidgate waits for first bytes that never reach it.
    suite.row("HBONE sidecar/web in a tunnel", "GET /orders/1, TCP", ({"http/1.1": "closed", "h2": "closed"}, "silence"), ways(setting.web))
    suite.row("HBONE sidecar/reason of HTTP", "the proxy's log; the access log of tunnels is Istio's", True,
              '"reason":"connection.plaintext"' in pod.log()[mark:])
    nobody_in_a_tunnel(setting, "HBONE sidecar/nobody in a tunnel", "istio-wasm-plugin.yaml, no lock", tunnels)
    suite.row("HBONE sidecar/web without a tunnel", "GET /orders/1 at 8080, mutual TLS", "200", setting.ask(setting.web, 8080))
    setting.put(*setting.lock(), lock=True)
    suite.row("HBONE sidecar, locked/web in a tunnel", "the lock is in front of tunnels, too", ({"http/1.1": "403", "h2": "403"}, "403"),
              ways(setting.web))
    suite.row("HBONE sidecar, locked/web without a tunnel", "GET /orders/1 at 8080, mutual TLS", "200", setting.ask(setting.web, 8080))
    setting.take(*plugins, connection=False, request=False)
    nobody_in_a_tunnel(setting, "HBONE sidecar, svidgate deleted, locked/nobody in a tunnel", "the lock alone", tunnels)
    setting.put(*setting.both(), connection=True, request=True)
    suite.row("HBONE sidecar, istio-tcp.yaml/web in a tunnel", "GET /orders/1, TCP", ({"http/1.1": "403", "h2": "403"}, "403"), ways(setting.web))
    nobody_in_a_tunnel(setting, "HBONE sidecar, istio-tcp.yaml/nobody in a tunnel", "svidgate and lock", tunnels)
    setting.take(*setting.lock(), lock=False)
    nobody_in_a_tunnel(setting, "HBONE sidecar, istio-tcp.yaml, no lock/nobody in a tunnel", "svidgate alone", tunnels)
    suite.row("HBONE sidecar, istio-tcp.yaml, no lock/web in a tunnel", "GET /orders/1, TCP", True,
              set([*ways(setting.web)[0].values(), ways(setting.web)[1]]) <= {"403", "closed"})
    cleared(setting)
    cluster.delete(stock)


SCENARIOS = [hbone_sidecar]
