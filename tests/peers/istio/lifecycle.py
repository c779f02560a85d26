"""Documents that change, documents with mistakes, another CA, an older Envoy."""

import json

from lab import until

from .setting import NOTHING, cleared, gated
from .shapes import CLOSED, HTTP
from .workload import OLD_ENVOY, Pod


MISTAKE = {"mark_passed: true": "mark_pased: true"}
"""A member that svidgate does not know. To Kubernetes and Istio a document is any object."""


def updates_and_mistakes(suite, setting):
    gated(setting)
    cluster, pod = setting.cluster, setting.pod
    setting.put(*setting.plugins(texts={"/orders/**": "/other/**"}))
    suite.row("update/other rules", "web: GET /orders/1, GET /other/1", ("403", "200"),
              (setting.ask(setting.web, 8080), setting.ask(setting.web, 8080, path="/other/1")))
    mark = pod.mark()
    came = [cluster.try_apply(one) for one in setting.plugins(texts=MISTAKE)]
    suite.row("mistake/kube-apiserver and istiod", "a member that is not known", [(200, "")] * 2, came)
    said = "svidgate: configuration: mark_pased"
    until("the proxy's log of the mistake", lambda: said in pod.log()[mark:], 30)
    suite.row("mistake/the log", "each mistake with its place", True, said in pod.log()[mark:])
    suite.row("mistake/what ran before goes on", "web: GET /orders/1, GET /other/1; other", ("403", "200", "closed"),
              (setting.ask(setting.web, 8080), setting.ask(setting.web, 8080, path="/other/1"), setting.ask(setting.other, 8080)))
    refused = until("the counter", lambda: sum(pod.stat("documents_refused_total").values()), 10)
    suite.row("mistake/what tells", "svidgate_documents_refused_total", "above 0", refused, refused > 0)
    setting.nobody_gets_through("mistake/nobody at the app's ports", "the update was refused", guard="not_known")
    setting.put(*setting.plugins())
    suite.row("mistake/mended", "web: GET /orders/1", "200", setting.ask(setting.web, 8080))

    cluster.apply(*setting.plugins(texts=MISTAKE))
    pod.restart()
    until("the proxy runs", lambda: pod.admin("/server_info"), 60, 0.3)
    until("the proxy's log of the mistake", lambda: said in pod.log(), 60)
    suite.row("mistake at the start/web", "GET /orders/1", True, setting.ask(setting.web, 8080) in NOTHING)
    setting.nobody_gets_through("mistake at the start/nobody at the app's ports", "the first document has a mistake",
                                guard="not_known")
    suite.row("mistake at the start/readiness", "GET 15021/healthz/ready", "not what tells of it", str(pod.ready()), True)
    setting.put(*setting.plugins())
    suite.row("mistake at the start/mended", "web: GET /orders/1", "200", until("web is let in", lambda: (
        setting.ask(setting.web, 8080) == "200") and "200", 30))


def plugged_in_ca(suite, setting):
    """An intermediate of a root, in place of a CA of istiod's own."""
    cleared(setting)
    cluster, home = setting.cluster, setting.cluster.home / "cacerts"
    home.mkdir()
    openssl = lambda *argv: setting.lab.output_of("openssl", *argv, folder=home)
    extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root-key.pem", "-out", "root-cert.pem", "-days", "30", "-subj",
            "/O=Test/CN=Root", *extensions)
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca.csr", "-subj", "/O=Test/CN=Intermediate", *extensions)
    openssl("x509", "-req", "-in", "ca.csr", "-CA", "root-cert.pem", "-CAkey", "root-key.pem", "-CAcreateserial", "-days", "20", "-out",
            "ca-cert.pem", "-copy_extensions", "copy")
    (home / "cert-chain.pem").write_text((home / "ca-cert.pem").read_text() + (home / "root-cert.pem").read_text())
    cluster.start_istiod(home)
    setting.identities()
    setting.pod.end()
    setting.pod = Pod(cluster, "orders-1", 2, dual_stack=True).start()
    until("the workload's proxy has started", lambda: setting.pod.admin("/ready"), 60, 0.3)
    setting.put(*setting.lock(), *setting.log(), *setting.plugins(), connection=True, request=True, lock=True)
    mark = setting.pod.mark()
    suite.row("plugged-in CA/the bundle has the root alone", "web: GET /orders/1", "closed", setting.ask(setting.web, 8080))
    suite.row("plugged-in CA/reason", "the access log", ["svid.unknown_authority"], setting.pod.reasons(mark, "svid.unknown_authority"))
    intermediate = json.dumps((home / "ca-cert.pem").read_text())
    setting.put(*setting.plugins(texts={"# intermediates: [ ${INTERMEDIATE} ]": f"intermediates: [ {intermediate} ]"}))
    suite.row("plugged-in CA/with intermediates/web at 8080", "GET /orders/1, each ALPN", HTTP, setting.ways(setting.web, 8080))
    suite.row("plugged-in CA/with intermediates/other at 8080", "GET /orders/1, each ALPN", CLOSED, setting.ways(setting.other, 8080))
    setting.nobody_gets_through("plugged-in CA/nobody at the app's ports", "STRICT, detected")
    setting.nobody_gets_through("IPv6/a pod whose packet filter is for both", "istio-iptables --dual-stack, over IPv6",
                                address=setting.pod.ip6)


def older_envoy(suite, setting):
    """1.37, which does not show a wasm filter the peer's certificate."""
    cleared(setting)
    setting.pod.end()
    intermediate = json.dumps((setting.cluster.home / "cacerts/ca-cert.pem").read_text())
    texts = {"# intermediates: [ ${INTERMEDIATE} ]": f"intermediates: [ {intermediate} ]"}
    # It does not bear being given a first configuration by discovery while it runs: that is there before it starts.
    resources = [*setting.lock(), *setting.log(), *setting.plugins(texts=texts)]
    setting.cluster.apply(*resources)
    setting.pod = Pod(setting.cluster, "orders-2", 3, envoy=OLD_ENVOY).start()
    until("the workload's proxy has started", lambda: setting.pod.admin("/ready"), 60, 0.3)
    setting.put(*resources, connection=True, request=True, lock=True)
    mark = setting.pod.mark()
    suite.row("Envoy 1.37/without the EnvoyFilter", "web: GET /orders/1", "closed", setting.ask(setting.web, 8080))
    suite.row("Envoy 1.37/reason", "the access log", ["connection.certificate_unreadable"],
              setting.pod.reasons(mark, "connection.certificate_unreadable"))
    setting.nobody_gets_through("Envoy 1.37/without the EnvoyFilter, nobody", "STRICT, detected")
    setting.cluster.apply(*setting.cluster.manifest("istio-envoy-1.37.yaml"))
    setting.pod.settled("with set_filter_state", lambda chains: all("envoy.filters.network.set_filter_state" in network for *_, network, _ in chains))
    suite.row("Envoy 1.37/web at 8080", "GET /orders/1, each ALPN", HTTP, setting.ways(setting.web, 8080))
    suite.row("Envoy 1.37/other at 8080", "GET /orders/1, each ALPN", CLOSED, setting.ways(setting.other, 8080))
    setting.nobody_gets_through("Envoy 1.37/nobody at the app's ports", "STRICT, detected")
    cleared(setting)
