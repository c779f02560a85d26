"""kube-apiserver with etcd, cert-manager's controllers, and what is asked of them."""

import base64
import json

from lab import TARGET, Kubernetes, until

NAMESPACE = "shop"
GROUP = "cert-manager.io/v1"

ISSUED = f"/apis/{GROUP}/namespaces/{NAMESPACE}"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


class Cluster(Kubernetes):
    """All of it, and one namespace."""

    def __init__(self, lab, debian, crds):
        super().__init__(lab, lab.folder / "cluster", debian)
        for crd in crds.glob("*.yaml"):
            group, _, plural = crd.stem.partition("_")
            self.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}", crd.read_text())
        self.apply(f"/api/v1/namespaces/{NAMESPACE}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        until("its resources are served", lambda: self.ask("GET", f"{ISSUED}/issuers")[0] == 200, 30, 0.3)
        self.controllers = lab.start("cert-manager", TARGET / "bin/cert-manager", self.kubeconfig)

    def get(self, path):
        """An object, or None where there is none."""
        status, said = self.ask("GET", path)
        if status not in (200, 404):
            raise RuntimeError(f"{path}: {status} {said}")
        return json.loads(said) if status == 200 else None

    def apply(self, path, resource):
        status, said = self.put(path, resource)
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
        status, said = self.ask("PATCH", f"{path}/status", json.dumps({"status": {
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
