"""The control plane: etcd, kube-apiserver, istiod, a registry with our image; and what is asked of them."""

import base64
import json
import re
import subprocess
from pathlib import Path

from lab import REPOSITORY, TARGET, Kubernetes, module, until

from .network import NODE

BIN = TARGET / "bin"
CAUTION = "EnvoyFilter exposes internal implementation details"
"""What Istio's webhook says of each EnvoyFilter."""
SYSTEM, SHOP = "istio-system", "shop"

# Where each kind lives; the last word says whether in a namespace.
CORE, NETWORKING, SECURITY, EXTENSIONS = (
    "/api/v1", "/apis/networking.istio.io", "/apis/security.istio.io/v1", "/apis/extensions.istio.io/v1alpha1")
KINDS = {
    "Namespace": f"{CORE}/namespaces/{{name}}",
    "Node": f"{CORE}/nodes/{{name}}",
    "Service": f"{CORE}/namespaces/{{namespace}}/services/{{name}}",
    "ServiceAccount": f"{CORE}/namespaces/{{namespace}}/serviceaccounts/{{name}}",
    "Pod": f"{CORE}/namespaces/{{namespace}}/pods/{{name}}",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{name}",
    "ConfigMap": f"{CORE}/namespaces/{{namespace}}/configmaps/{{name}}",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}",
    "ValidatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{name}",
    "EnvoyFilter": f"{NETWORKING}/v1alpha3/namespaces/{{namespace}}/envoyfilters/{{name}}",
    "Sidecar": f"{NETWORKING}/v1/namespaces/{{namespace}}/sidecars/{{name}}",
    "PeerAuthentication": f"{SECURITY}/namespaces/{{namespace}}/peerauthentications/{{name}}",
    "AuthorizationPolicy": f"{SECURITY}/namespaces/{{namespace}}/authorizationpolicies/{{name}}",
    "VirtualService": f"{NETWORKING}/v1/namespaces/{{namespace}}/virtualservices/{{name}}",
    "DestinationRule": f"{NETWORKING}/v1/namespaces/{{namespace}}/destinationrules/{{name}}",
    "WasmPlugin": f"{EXTENSIONS}/namespaces/{{namespace}}/wasmplugins/{{name}}",
    "TrafficExtension": f"{EXTENSIONS}/namespaces/{{namespace}}/trafficextensions/{{name}}",
    "Gateway": "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/gateways/{name}",
    "networking.istio.io/v1 Gateway": f"{NETWORKING}/v1/namespaces/{{namespace}}/gateways/{{name}}",
}
"""By kind, and by version and kind where two have one name."""

MESH = """
trustDomain: cluster.local
rootNamespace: istio-system
ingressControllerMode: "OFF"
enablePrometheusMerge: false
enableTracing: false
accessLogFile: /dev/stdout
accessLogEncoding: JSON
accessLogFormat: '{"log":"request","path":"%REQ(:PATH)%","status":"%RESPONSE_CODE%","details":"%RESPONSE_CODE_DETAILS%","svidgate":"%FILTER_STATE(wasm.svidgate:PLAIN)%"}'
defaultConfig:
  discoveryAddress: NODE:15012
defaultProviders: {}
"""


def istio_source():
    """The folder of Istio's module: its CRDs and the template of its proxies' bootstrap are not built into the programs."""
    said = subprocess.run(["go", "mod", "download", "-json", "istio.io/istio"], cwd=REPOSITORY / "tests/peers/istio", check=True,
                          stdout=subprocess.PIPE, timeout=600).stdout
    return Path(json.loads(said)["Dir"])


def manifest(name, bundle, digest, **replaced):
    """The resources of a manifest of envoy/mesh, filled in. `replaced` has texts of it and what is written instead."""
    text = (REPOSITORY / "envoy/mesh" / name).read_text()
    values = {
        "registry.example/team/svidgate@sha256:${IMAGE_DIGEST}": f"{NODE}:5000/team/svidgate@{digest}",
        "${BUNDLE}": json.dumps(bundle),
    }
    for old, new in values.items():
        text = text.replace(old, new)
    for old, new in replaced.get("texts", {}).items():
        if old not in text:
            raise LookupError(f"`{old}` is not in {name}")
        text = text.replace(old, new)
    return [part for part in re.split(r"^---$", text, flags=re.M) if "kind:" in part]


def path_of(resource):
    """Where a resource lives, which is a dict or text."""
    if isinstance(resource, dict):
        kind, metadata = resource["kind"], resource["metadata"]
        kind = kind if f"{resource['apiVersion']} {kind}" not in KINDS else f"{resource['apiVersion']} {kind}"
    else:
        kind = re.search(r"^kind: (\S+)", resource, re.M)[1]
        metadata = {key: value for key, value in re.findall(r"^  (name|namespace): (\S+)", resource, re.M)[:2]}
    return KINDS[kind].format(name=metadata["name"], namespace=metadata.get("namespace", "default"))


class Cluster(Kubernetes):
    """All of it, and the pods of the suite's workloads."""

    def __init__(self, lab, debian):
        super().__init__(lab, lab.folder / "cluster", debian)
        self.source = istio_source()
        self._start_registry(debian)
        self.istiod = self.plugged = None
        self.ambient = False

    def _start_registry(self, debian):
        (self.home / "registry.yml").write_text(json.dumps({
            "version": 0.1, "log": {"level": "warn"}, "storage": {"filesystem": {"rootdirectory": str(self.home / "registry")}},
            "http": {"addr": "0.0.0.0:5000"}}))
        self.registry = self.lab.start("registry", debian / "usr/bin/docker-registry", "serve", self.home / "registry.yml")
        until("the registry answers", lambda: subprocess.run(
            ["curl", "-sf", "127.0.0.1:5000/v2/"], stdout=subprocess.DEVNULL, timeout=5).returncode == 0)
        said = self.lab.output_of(REPOSITORY / "target/image/debug/svidgate-image", "push", "--module", module(),
                                  "127.0.0.1:5000/team/svidgate", folder=REPOSITORY, within=120)
        self.digest = re.search(r"^\S+ (sha256:[0-9a-f]{64})$", said, re.M)[1]

    # Kubernetes

    def try_apply(self, resource):
        """Server-side apply with strict validation: the status, and what is wrong or warned of."""
        status, said = self.put(path_of(resource), resource)
        return status, "" if CAUTION in said and status in (200, 201) else said

    def apply(self, *resources):
        for resource in resources:
            status, said = self.try_apply(resource)
            if status not in (200, 201) or said:
                raise RuntimeError(f"{path_of(resource)}: {status} {said}")

    def delete(self, *resources):
        """Whether they are there or not."""
        for resource in resources:
            status, said = self.ask("DELETE", path_of(resource))
            if status not in (200, 404):
                raise RuntimeError(f"{path_of(resource)}: {status} {said}")

    def token(self, namespace, account, pod=None):
        spec = {"audiences": ["istio-ca"], "expirationSeconds": 43200}
        if pod:
            uid = json.loads(self.ask("GET", f"{CORE}/namespaces/{namespace}/pods/{pod}")[1])["metadata"]["uid"]
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid}
        status, said = self.ask("POST", f"{CORE}/namespaces/{namespace}/serviceaccounts/{account}/token", json.dumps({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}))
        if status != 201:
            raise RuntimeError(f"no token for {account}: {status} {said}")
        return json.loads(said)["status"]["token"]

    def pod(self, name, account, ip, labels, ports=(), namespace=SHOP):
        """A Pod that runs, as Kubernetes would say it; what runs is the suite's affair."""
        resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {
            "nodeName": "node", "serviceAccountName": account,
            "containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": port} for port in ports]}]}}
        self.ask("DELETE", path_of(resource) + "?gracePeriodSeconds=0")
        self.apply(resource)
        status, said = self.ask("PATCH", path_of(resource) + "/status", json.dumps({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}]}}), "application/merge-patch+json")
        if status != 200:
            raise RuntimeError(f"the status of {name}: {status} {said}")

    def objects(self):
        """What there is before istiod: namespaces, accounts, Istio's CRDs."""
        self.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}})
        for namespace in (SYSTEM, SHOP, "elsewhere"):
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for namespace, account in ((SHOP, "orders"), (SHOP, "web"), (SHOP, "other"), ("elsewhere", "web"), (SHOP, "waypoint")):
            self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}})
        self.crds("manifests/charts/base/files/crd-all.gen.yaml")

    def crds(self, path):
        """The CRDs of a file that Istio's module has."""
        for crd in re.split(r"^---$", (self.source / path).read_text(), flags=re.M):
            if "kind: CustomResourceDefinition" in crd:
                status, said = self.ask("PATCH", KINDS["CustomResourceDefinition"].format(
                    name=re.search(r"^  name: (\S+)", crd, re.M)[1]) + "?fieldManager=suite", crd, "application/apply-patch+yaml")
                if status not in (200, 201):
                    raise RuntimeError(f"a CRD of {path}: {status} {said}")

    # istiod

    def start_istiod(self, plugged=None, ambient=False, mesh=""):
        """istiod, with a CA of its own or one that is plugged in (a folder like the secret `cacerts`), which stays so.

        `ambient` is for what speaks HBONE; `mesh` is written in place of the trust domain.
        """
        if self.istiod:
            self.istiod.stop()
        self.plugged = plugged = plugged or self.plugged
        self.ambient = ambient
        text = MESH.replace("NODE", NODE)
        (self.home / "mesh.yaml").write_text(text.replace("trustDomain: cluster.local", mesh) if mesh else text)
        self.istiod = self.lab.start(
            "istiod", BIN / "pilot-discovery", "discovery", f"--kubeconfig={self.kubeconfig}",
            f"--meshConfig={self.home}/mesh.yaml", "--domain=cluster.local", f"--httpAddr={NODE}:8080", f"--grpcAddr={NODE}:15010",
            f"--secureGRPCAddr={NODE}:15012", "--httpsAddr=127.0.0.1:15017", "--monitoringAddr=127.0.0.1:15014",
            "--ctrlz_address=127.0.0.1", folder=self.home, environment={
                "POD_NAME": "istiod-0", "POD_NAMESPACE": SYSTEM, "CLUSTER_ID": "Kubernetes", "ISTIOD_CUSTOM_HOST": "127.0.0.1",
                "VALIDATION_WEBHOOK_CONFIG_NAME": "istio-validator", "VALIDATION_ENABLED": "true",
                "ROOT_CA_DIR": str(plugged or self.home / "none"),
                # Filters that a stock Envoy does not have.
                "PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false",
                "PILOT_ENABLE_AMBIENT": str(ambient).lower()})
        until("istiod is ready", lambda: subprocess.run(
            ["curl", "-sf", f"{NODE}:8080/ready"], stdout=subprocess.DEVNULL, timeout=5).returncode == 0, 60, 0.5)
        path = f"{CORE}/namespaces/{SHOP}/configmaps/istio-ca-root-cert"

        def root():
            status, said = self.ask("GET", path)
            pem = json.loads(said)["data"].get("root-cert.pem") if status == 200 else None
            expected = (plugged / "root-cert.pem").read_text() if plugged else None
            return pem if not expected or pem == expected else None

        self.root = until("the mesh's root certificate", root, 60, 0.3)
        self.bundle = spiffe_bundle(self.root)
        rules = [{"apiGroups": [f"{group}.istio.io" for group in ("security", "networking", "telemetry", "extensions")],
                  "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["*"]}]
        self.apply({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "istio-validator-istio-system"}, "webhooks": [{
                "name": "rev.validation.istio.io", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "clientConfig": {"caBundle": base64.b64encode(self.root.encode()).decode(), "url": "https://127.0.0.1:15017/validate"},
                "rules": rules}]})

    def manifest(self, name, texts=None, digest=None):
        return manifest(name, self.bundle, digest or self.digest, texts=texts or {})


def spiffe_bundle(pem):
    """The SPIFFE bundle of RSA certificates, as the manifests want it filled in."""
    keys = []
    for certificate in re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.S):
        said = subprocess.run(["openssl", "x509", "-noout", "-modulus"], input=certificate, check=True, stdout=subprocess.PIPE,
                              text=True, timeout=10).stdout
        modulus = base64.urlsafe_b64encode(bytes.fromhex(said.strip().partition("=")[2])).rstrip(b"=").decode()
        keys.append({"use": "x509-svid", "kty": "RSA", "n": modulus, "e": "AQAB",
                     "x5c": ["".join(certificate.splitlines()[1:-1])]})
    return {"spiffe_sequence": 1, "keys": keys}
