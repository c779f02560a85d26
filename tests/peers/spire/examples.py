"""The configurations of `envoy/federation`, as they stand, beside real SPIRE. What is another: the names of the trust domains,
and where https_spiffe wants its partner to be the one whose endpoint has that profile, they change places."""

import json
import os
import re

from lab import Envoy, REPOSITORY, module, until

from .gateway import UID
from .setting import READER, WEB

EXAMPLES = ["workload-api.yaml", "https-web.yaml", "https-spiffe.yaml", "https-spiffe-agent.yaml"]


class Renewed:
    """Somebody whose files have the SVID of the moment: Envoys that start take longer than an SVID lives."""

    def __init__(self, setting, domain, uid, name):
        self._now = lambda: setting.files_of(domain, uid, name).files

    @property
    def files(self):
        return self._now()


class Example:
    """An Envoy with an example, in which `prod.example` is `own` and `partner.example` is `partner`."""

    def __init__(self, setting, name, own, partner, **values):
        home = setting.lab.folder / f"example-{name.removesuffix('.yaml')}"
        home.mkdir()
        os.chown(home, UID, UID)
        server = own.fetch(UID, f"{home.name}-server")
        text = (REPOSITORY / "envoy" / "federation" / name).read_text()
        text = text.replace("prod.example", "OWN").replace("partner.example", partner.name).replace("OWN", own.name)
        values = {"HOME": home, "MODULE": module(), "AGENT_SOCKET": own.socket, "SERVER_CERTIFICATE": f"{server}.pem",
                  "SERVER_KEY": f"{server}.key", "ENDPOINT_HOST": "localhost", "ENDPOINT_ADDRESS": "127.0.0.1",
                  "ENDPOINT_PORT": partner.endpoint_port, **values}
        text = re.sub(r"\$\{([A-Z_]+)\}", lambda found: str(values.get(found[1], found[0])), text)
        self.envoy = Envoy(setting.lab, home.name, text, uid=UID)
        self.setting, self.home = setting, home

    def ask(self, who, *arguments):
        """The status that curl gets, and the reason in the access log."""
        path, files = f"/{os.urandom(4).hex()}", who.files
        code, said = self.setting.lab.call(
            "curl", "-sk", "--max-time", "10", "--cert", f"{files}.pem", "--key", f"{files}.key", "-o", "/dev/null",
            "-w", "%{http_code}", *arguments, f"https://localhost:{self.envoy.port('web')}{path}")
        log = self.home / "web.requests.log"

        def recorded():
            return [json.loads(line) for line in log.read_text().splitlines() if path in line] if log.exists() else []

        line = until("a line in the access log", recorded, 5)[0]
        return f"{said if code == 0 else 'closed'} {json.loads(line['svidgate'])['reason']}"

    def learnt(self, who):
        """Asks until somebody is let in, and what came at last."""
        answer = ""

        def let_in():
            nonlocal answer
            answer = self.ask(who)
            return answer.startswith("200")

        until("the bundle was read", let_in, 30, 0.5)
        return answer


def guarded(suite, name, example):
    """A row: what `svidgate guard` says of it as it runs."""
    suite.row(f"{name}: guard", "svidgate guard --admin", "guarded", str(example.envoy.judged()))


def examples(suite, setting):
    """Each example lets in whom it names, and nobody else."""
    shop, partner = setting.shop, setting.partner
    shop.register("/ns/billing/web", 9016, partner.name)
    web = Renewed(setting, shop, WEB, "example-web")
    reader = Renewed(setting, partner, READER, "example-reader")
    # For the examples in which shop.example is the partner.
    billing = Renewed(setting, shop, 9016, "example-billing")
    outsider = Renewed(setting, partner, UID, "example-outsider")
    trust = setting.lab.folder / "trust"
    trust.mkdir()
    trust.chmod(0o755)
    keys = json.loads(shop.bundle())
    keys["keys"] = [key for key in keys["keys"] if key["use"] == "x509-svid"]
    (trust / "bundles.json").write_text(json.dumps({"trust_domains": {shop.name: keys}}))

    by_agent = Example(setting, "workload-api.yaml", shop, partner)
    suite.row("workload-api.yaml: own", "GET as web", "200 rule.allowed", by_agent.learnt(web))
    suite.row("workload-api.yaml: foreign", "GET as reader", "200 rule.allowed", by_agent.learnt(reader))
    suite.row("workload-api.yaml: another method", "POST as reader", "403 rule.none_matched", by_agent.ask(reader, "-X", "POST"))
    suite.row("workload-api.yaml: out of scope", "GET as the partner's gateway", "403 federation.out_of_scope", by_agent.ask(outsider))
    guarded(suite, "workload-api.yaml", by_agent)

    by_web = Example(setting, "https-web.yaml", shop, partner, WEB_CA=setting.web_authority.pem)
    suite.row("https-web.yaml: foreign", "GET as reader", "200 rule.allowed", by_web.learnt(reader))
    suite.row("https-web.yaml: out of scope", "GET as the partner's gateway", "403 federation.out_of_scope", by_web.ask(outsider))
    suite.row("https-web.yaml: own", "GET as web, of whom its document has no key", "403 federation.bundle_empty", by_web.ask(web))
    guarded(suite, "https-web.yaml", by_web)

    for name in ("https-spiffe.yaml", "https-spiffe-agent.yaml"):
        example = Example(setting, name, partner, shop, TRUST=trust)
        suite.row(f"{name}: foreign", "GET as shop.example/ns/billing/web", "200 rule.allowed", example.learnt(billing))
        suite.row(f"{name}: out of scope", "GET as web", "403 federation.out_of_scope", example.ask(web))
        guarded(suite, name, example)
        example.envoy.stop()
    by_agent.envoy.stop()
    by_web.envoy.stop()
