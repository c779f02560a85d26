"""A real kube-apiserver with etcd, which lets whoever has its one token do everything; and what is asked of it.

No kubelet, no scheduler: what a pod would run is the suite's affair. Both have fixed ports, so in a network of the suite's own.
"""

import json
import ssl
import urllib.error
import urllib.request

from .place import TARGET
from .waiting import until

TOKEN = "admin"


class Kubernetes:
    """`home` is a folder for what they write; `debian` one in which Debian's package of etcd is unpacked."""

    def __init__(self, lab, home, debian):
        self.lab, self.home = lab, home
        self.home.mkdir()
        self.warning = None
        """What the last answer warned of."""
        self._tls = ssl.create_default_context()
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._start(debian)

    def _start(self, debian):
        home = self.home
        self.lab.output_of("openssl", "genrsa", "-out", home / "sa.key", "2048")
        self.lab.output_of("openssl", "rsa", "-in", home / "sa.key", "-pubout", "-out", home / "sa.pub")
        (home / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        self.lab.start("etcd", debian / "usr/bin/etcd", "--data-dir", home / "etcd", "--listen-client-urls", client,
                       "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                       "--initial-cluster", f"default={peer}", "--unsafe-no-fsync")
        issuer = "https://kubernetes.default.svc.cluster.local"
        self.lab.start(
            "kube-apiserver", TARGET / "bin/kube-apiserver", f"--etcd-servers={client}", "--bind-address=127.0.0.1",
            "--secure-port=6443", f"--cert-dir={home}", f"--service-account-issuer={issuer}",
            f"--service-account-key-file={home}/sa.pub", f"--service-account-signing-key-file={home}/sa.key",
            f"--api-audiences={issuer},istio-ca", "--service-cluster-ip-range=198.19.0.0/16", "--authorization-mode=AlwaysAllow",
            f"--token-auth-file={home}/tokens.csv", "--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount",
            "--advertise-address=127.0.0.1", "--watch-cache=false")
        until("kube-apiserver is ready", lambda: self.ask("GET", "/readyz")[0] == 200, 120, 0.5)
        self.kubeconfig = home / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}))

    def ask(self, method, path, body=None, kind="application/json"):
        """The status and the body of its answer; 0 where there is none."""
        request = urllib.request.Request(f"https://127.0.0.1:6443{path}", method=method, data=body and body.encode(), headers={
            "authorization": f"Bearer {TOKEN}", "content-type": kind})
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=20) as answer:
                self.warning = answer.headers.get("warning")
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError as error:
            return 0, str(error)

    def put(self, path, resource):
        """Server-side apply with strict validation of a dict or YAML: the status, and what is wrong or warned of."""
        text = json.dumps(resource) if isinstance(resource, dict) else resource
        status, said = self.ask("PATCH", f"{path}?fieldManager=suite&force=true&fieldValidation=Strict", text,
                                "application/apply-patch+yaml")
        if status not in (200, 201):
            return status, json.loads(said).get("message", said) if status else said
        return status, self.warning or ""
