"""What scenarios share: the cluster, callers, the workload, and the shapes of services and of mTLS."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

from lab import until

from .callers import WAYS, ask
from .cluster import SHOP, SYSTEM, Cluster
from .network import NODE
from .workload import PORTS, Identity, Pod

MESH_PORTS = (15000, 15001, 15004, 15006, 15008, 15010, 15020, 15021, 15053, 15090)
"""What the mesh itself has a number for, in a pod."""

LABELS = {"app": "orders"}

NOTHING = ("closed", "refused", "silence", "403")
"""What comes back to somebody who does not get through."""


def service(*ports):
    """The Service of the workload: (name, port, target port) of each."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders", "namespace": SHOP}, "spec": {
        "selector": LABELS, "ports": [{"name": name, "port": port, "targetPort": target} for name, port, target in ports]}}


# The first word of a port's name is its protocol; another word leaves it to be detected.
DETECTED = service(("web", 80, 8080), ("more", 81, 8081), ("ledger", 90, 9090), ("greeter", 91, 9091))
NAMED = service(("http-web", 80, 8080), ("http-more", 81, 8081), ("tcp-ledger", 90, 9090), ("tcp-greeter", 91, 9091))


def mtls(mode):
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": SHOP},
            "spec": {"mtls": {"mode": mode}}}


class Setting:
    def __init__(self, suite, lab, debian):
        self.suite, self.lab, self.documents = suite, lab, 0
        self.cluster = Cluster(lab, debian)
        suite.say("kube-apiserver, etcd and the registry are up, the image is pushed")
        self.cluster.objects()
        self.cluster.start_istiod()
        suite.say("istiod is up")
        self.identities()
        self.cluster.apply(mtls("STRICT"), DETECTED)
        self.pod = Pod(self.cluster).start()
        until("the workload's proxy has started", lambda: self.pod.admin("/ready"), 60, 0.3)
        suite.say("callers have their certificates, the workload's proxy runs")

    def identities(self):
        """Callers: `web` has a rule; `other` is in the same trust domain and has none; `elsewhere` differs by its namespace."""
        cluster = self.cluster
        self.web, self.other = (Identity(cluster, name, SHOP, name, number) for number, name in enumerate(("web", "other")))
        self.elsewhere = Identity(cluster, "elsewhere", "elsewhere", "web", 2)

    # Manifests

    def filled(self, name, texts=None, digest=None):
        """A manifest whose document has a version that none had before, so that it can be waited for."""
        self.documents += 1
        return self.cluster.manifest(name, {'version: "1"': f'version: "{self.documents}"', **(texts or {})}, digest)

    def plugins(self, **options):
        return self.filled("istio-wasm-plugin.yaml", **options)

    def extensions(self):
        """Those for SPIRE, with the bundle of Istio's own CA in place of the agent's: what differs is where bundles come from."""
        resources = self.filled("istio-traffic-extension.yaml", texts={
            "authorities: { workload_api: { cluster: sds-grpc } }": f"bundle: {{ inline: {json.dumps(self.cluster.bundle)} }}",
            "namespace: billing": f"namespace: {SHOP}", "app: invoices": "app: orders",
            "trust_domain: prod.example": "trust_domain: cluster.local", "/invoices/**": "/orders/**",
            "spiffe://partner.example/ns/billing/**": "spiffe://cluster.local/ns/shop/sa/web"})
        return [re.sub(r"^      (max_staleness: .*\n|federation:\n(        .*\n)+)", "", text, flags=re.M) for text in resources]

    def both(self, **options):
        """HTTP and TCP."""
        return self.filled("istio-tcp.yaml", **options)

    def lock(self):
        return self.cluster.manifest("istio-lock.yaml")

    def log(self):
        return self.cluster.manifest("istio-access-log.yaml")

    def put(self, *resources, connection=None, request=None, lock=None, works=True):
        """Applies them, and waits until the proxy has them, and until their document is at work unless it never will be."""
        self.cluster.apply(*resources)
        self.pod.has(connection, request, lock)
        text = "\n".join(map(str, resources))
        for version in set(re.findall(r'^ +version: "(\w+)"', text, re.M)) if works else ():
            self.pod.version(version, sorted(set(re.findall(r"^ +(?:pluginName|root_id): (\S+)", text, re.M))))

    def take(self, *resources, connection=None, request=None, lock=None):
        self.cluster.delete(*resources)
        self.pod.has(connection, request, lock)

    # Callers

    def ask(self, identity, port, way="istio-http/1.1", path="/orders/1", **more):
        return ask(self.pod.ip, port, identity, way, path, **more)

    def ways(self, identity, port, path="/orders/1", ways=WAYS, address=None):
        """What comes of each way, at once."""
        with ThreadPoolExecutor(len(ways)) as pool:
            came = pool.map(lambda way: ask(address or self.pod.ip, port, identity, way, path), ways)
            return dict(zip(ways, came))

    def nobody_gets_through(self, name, did, ports=None, but=(), address=None, callers=None):
        """A row: of everybody without a rule, at every port of the workload, in every way, nothing reaches the app and nothing
        of the app comes back. `but` names what is expected to answer all the same, as `port: what`."""
        callers = callers or {"other": self.other, "elsewhere": self.elsewhere, "without a certificate": None}
        ports = ports or (8080, 8081, 9090, 9091, 7070, 7071)
        before = len(self.pod.reached())
        # Where a server speaks first, who says nothing may hear something.
        tries = [(who, port, way, payload) for who in callers for port in ports for way in WAYS
                 for payload in ((None, b"") if PORTS.get(port) == "banner" else (None,))]
        with ThreadPoolExecutor(24) as pool:
            came = list(pool.map(lambda one: ask(address or self.pod.ip, one[1], callers[one[0]], one[2], payload=one[3]), tries))
        answered = sorted({f"{port}: {what}" for (_, port, *_), what in zip(tries, came) if what not in NOTHING})
        reached = [one for one in self.pod.reached()[before:] if one["got"] != "connection"]
        self.suite.row(name, f"{did}: {len(tries)} tries of {', '.join(callers)} at {', '.join(map(str, ports))}, each ALPN, plain text",
                       f"answers: {sorted(but)}, reached the app: []", f"answers: {answered}, reached the app: {reached[:3]}")
        self.guard_says(name, "guarded")

    def guard_says(self, name, expected):
        """A row: what `svidgate guard` makes of the proxy as it is. `guarded` stands for `shut`, too: nobody gets past the gate."""
        came = self.pod.judged()
        self.suite.row(f"{name}: guard", "svidgate guard --admin", expected, came,
                       came.keeps_shut if expected == "guarded" else came.verdict == expected)


def cleared(setting):
    """Nothing of ours at the workload."""
    everything = [*setting.plugins(), *setting.extensions(), *setting.both(), *setting.lock(), *setting.log(),
                  *setting.cluster.manifest("istio-envoy-1.37.yaml")]
    setting.cluster.delete(*everything)
    setting.cluster.apply(mtls("STRICT"), DETECTED)
    setting.pod.has(connection=False, request=False, lock=False)


def gated(setting):
    """Both plugins and the lock, in a namespace of mTLS alone, protocols detected."""
    cleared(setting)
    setting.put(*setting.lock(), *setting.log(), *setting.plugins(), connection=True, request=True, lock=True)


__all__ = ["DETECTED", "LABELS", "MESH_PORTS", "NAMED", "NODE", "SHOP", "SYSTEM", "Setting", "WAYS", "cleared", "gated", "mtls", "service"]
