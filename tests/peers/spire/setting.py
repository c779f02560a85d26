"""What most scenarios stand on: two federated trust domains, their workloads, and a gateway in each."""

import subprocess

from lab import REPOSITORY

from .domain import WebAuthority, federated
from .gateway import UID, Gateway
from .people import Upstream, Workload

WEB, READER, CALLER, OTHER, EDGE = 9002, 9003, 9004, 9005, 9006

SHOP_RULES = [
    {"name": "web-does-all", "effect": "allow", "from": ["spiffe://shop.example/ns/shop/sa/web"]},
    {"name": "reader-reads", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/sa/reader"],
     "to": [{"methods": ["GET"]}]},
    {"name": "caller-calls", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/sa/caller"],
     "to": [{"methods": ["POST"], "paths": ["/grpc.health.v1.Health/**"]}]},
]
PARTNER_RULES = [
    {"name": "reader-does-all", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/sa/reader"]},
    {"name": "web-reads", "effect": "allow", "from": ["spiffe://shop.example/ns/shop/sa/web"], "to": [{"methods": ["GET"]}]},
]


class Setting:
    """Two trust domains with everybody registered. A gateway is started when it is first asked for."""

    def __init__(self, suite, lab, folder="", web=None, **settings):
        self.lab, self.folder = lab, folder
        self.web_authority = web or WebAuthority(lab)
        self.shop, self.partner = federated(lab, self.web_authority, folder, **settings)
        shop, partner = self.shop, self.partner
        self.gateway_entry = shop.register("/gateway", UID, partner.name)
        shop.register("/ns/shop/sa/web", WEB, partner.name)
        shop.register("/ns/shop/sa/other", OTHER, partner.name)
        # What it brings outlives most SVIDs here, and is to end by itself.
        shop.register("/ns/edge/sa/gateway", EDGE, partner.name, ttl=3600)
        partner.register("/gateway", UID, shop.name)
        partner.register("/ns/billing/sa/reader", READER, shop.name)
        partner.register("/ns/billing/sa/caller", CALLER, shop.name)
        self.web, self.other, self.edge = (Workload(lab, shop, uid) for uid in (WEB, OTHER, EDGE))
        self.reader, self.caller = Workload(lab, partner, READER), Workload(lab, partner, CALLER)
        self._upstream, self._gateways = None, {}
        suite.say("two servers, two agents, seven entries")

    @property
    def upstream(self):
        if self._upstream is None:
            self._upstream = Upstream(self.lab)
        return self._upstream

    @property
    def shop_gateway(self):
        """Of shop.example, whose partner's endpoint has the profile `https_web`."""
        return self._gateway("shop", self.shop, self.partner, SHOP_RULES)

    @property
    def partner_gateway(self):
        """Of partner.example, whose partner's endpoint has the profile `https_spiffe`."""
        return self._gateway("partner", self.partner, self.shop, PARTNER_RULES)

    def another(self, name, documents, rules):
        """One of shop.example beside it, with listeners and rules of its own."""
        return self._gateway(name, self.shop, self.partner, rules, name=name, documents=documents)

    def _gateway(self, key, own, partner, rules, **more):
        if key not in self._gateways:
            # Everybody has an SVID before the gateway stands.
            own.fetch(UID, f"{own.home.name}-gateway")
            self._gateways[key] = Gateway(self.lab, own, partner, self.upstream, rules, **more)
        return self._gateways[key]

    def files_of(self, domain, uid, name):
        """The SVID that `uid` has now, to be kept when it is no longer good."""
        return Workload(self.lab, files=domain.fetch(uid, f"{self.folder}{name}"))


def pinned(module):
    """The version of a module in go.mod."""
    listed = (REPOSITORY / "tests" / "peers" / "spire" / "go.mod").read_text()
    return next(line.split()[1] for line in listed.splitlines() if line.split()[:1] == [module])


def python_spiffe():
    """The Python with `spiffe`, where `build.sh` could get it."""
    python = REPOSITORY / "target" / "peers" / "spire.python" / "bin" / "python"
    return python if python.exists() and subprocess.run([python, "-c", "import spiffe"], timeout=60).returncode == 0 else None
