"""kube-apiserver with etcd, cert-manager's controllers, and what is asked of them."""

import base64
import json
import ssl
import urllib.error
import urllib.request

from lab import TARGET, until

BIN = TARGET / "bin"
TOKEN = "admin"
NAMESPACE = "shop"
GROUP = "cert-manager.io/v1"

ISSUED = f"/apis/{GROUP}/namespaces/{NAMESPACE}"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


class Cluster:
    """All of it, and one namespace."""

    def __init__(self, lab, debian, crds):
        self.lab, self.home = lab, lab.folder / "cluster"
        self.home.mkdir()
        self._tls = ssl.create_default_context()
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._start_kubernetes(debian)
        for crd in crds.glob("*.yaml"):
            group, _, plural = crd.stem.partition("_")
            self.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}", crd.read_text())
        self.apply(f"/api/v1/namespaces/{NAMESPACE}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        until("its resources are served", lambda: self._ask("GET", f"{ISSUED}/issuers")[0] == 200, 30, 0.3)
        self.controllers = lab.start("cert-manager", BIN / "cert-manager", self.home / "kubeconfig")

    def _start_kubernetes(self, debian):
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
            "kube-apiserver", BIN / "kube-apiserver", f"--etcd-servers={client}", "--bind-address=127.0.0.1", "--secure-port=6443",
            f"--cert-dir={home}", f"--service-account-issuer={issuer}", f"--service-account-key-file={home}/sa.pub",
            f"--service-account-signing-key-file={home}/sa.key", "--service-cluster-ip-range=198.19.0.0/16",
            "--authorization-mode=AlwaysAllow", f"--token-auth-file={home}/tokens.csv", "--endpoint-reconciler-type=none",
            "--disable-admission-plugins=ServiceAccount", "--advertise-address=127.0.0.1")
        until("kube-apiserver is ready", lambda: self._ask("GET", "/readyz")[0] == 200, 120, 0.5)
        (home / "kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}))

    def _ask(self, method, path, body=None, kind="application/json"):
        """The status and the body of an answer of kube-apiserver; 0 where there is none."""
        request = urllib.request.Request(f"https://127.0.0.1:6443{path}", method=method, data=body and body.encode(), headers={
            "authorization": f"Bearer {TOKEN}", "content-type": kind})
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError as error:
            return 0, str(error)

    def get(self, path):
        """An object, or None where there is none."""
        status, said = self._ask("GET", path)
        if status not in (200, 404):
            raise RuntimeError(f"{path}: {status} {said}")
        return json.loads(said) if status == 200 else None

    def apply(self, path, resource):
        """Server-side apply with strict validation."""
        text = json.dumps(resource) if isinstance(resource, dict) else resource
        status, said = self._ask("PATCH", f"{path}?fieldManager=suite&force=true&fieldValidation=Strict", text,
                                 "application/apply-patch+yaml")
        if status not in (200, 201):
            raise RuntimeError(f"{path}: {status} {said}")

    # cert-manager

    def issuer(self, name, **spec):
        """An Issuer that is ready."""
        path = f"{ISSUED}/issuers/{name}"
        self.apply(path, {"apiVersion": GROUP, "kind": "Issuer", "metadata": {"name": name}, "spec": spec})
        until(f"the issuer {name} is ready", lambda: is_ready(self.get(path)), 30, 0.2)

    def certificate(self, name, issuer, **spec):
        """A Certificate that was issued, into the secret of its name."""
        path = f"{ISSUED}/certificates/{name}"
        self.apply(path, {"apiVersion": GROUP, "kind": "Certificate", "metadata": {"name": name}, "spec": {
            "secretName": name, "issuerRef": {"name": issuer, "kind": "Issuer"}, **spec}})
        until(f"the certificate {name} is issued", lambda: is_ready(self.get(path)), 30, 0.2)
        return self.secret(name)

    def authority(self, name, issuer, **spec):
        """A certificate that signs, and the Issuer of its name."""
        secret = self.certificate(name, issuer, isCA=True, **{"commonName": name, **spec})
        self.issuer(name, ca={"secretName": name})
        return secret

    def renew(self, name):
        """What `cmctl renew` does: the certificate is issued once more."""
        path = f"{ISSUED}/certificates/{name}"
        before = self.get(path)["status"]
        issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "renewed by hand",
                   "lastTransitionTime": "2026-01-01T00:00:00Z"}
        status, said = self._ask("PATCH", f"{path}/status", json.dumps({"status": {
            "conditions": [*before["conditions"], issuing]}}), "application/merge-patch+json")
        if status != 200:
            raise RuntimeError(f"{path}/status: {status} {said}")

        def renewed():
            now = self.get(path)
            return is_ready(now) and now["status"]["revision"] > before["revision"]

        until(f"the certificate {name} is issued again", renewed, 30, 0.2)
        return self.secret(name)

    def secret(self, name):
        """What is in a secret, as text."""
        found = self.get(f"{SECRETS}/{name}")
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    def request(self, name):
        """The last CertificateRequest of a Certificate."""
        requests = self.get(f"{ISSUED}/certificaterequests")["items"]
        revision = lambda one: int(one["metadata"]["annotations"]["cert-manager.io/certificate-revision"])
        own = [one for one in requests if one["metadata"]["annotations"]["cert-manager.io/certificate-name"] == name]
        return max(own, key=revision)


def is_ready(resource):
    """Whether it says that nothing is left to do for it as it is now."""
    conditions = {one["type"]: one for one in (resource or {}).get("status", {}).get("conditions", [])}
    ready, issuing = conditions.get("Ready"), conditions.get("Issuing")
    if not ready or (issuing and issuing["status"] == "True"):
        return False
    return ready["status"] == "True" and ready.get("observedGeneration", 0) >= resource["metadata"]["generation"]
