"""Envoy Gateway on this machine: its control plane, the Envoy that it starts, and the resources that it reads from a file."""

import base64
import hashlib
import json
import os
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from lab import REPOSITORY, TARGET, judged, module, records_of, size_of, until
from lab.envoy import binary, version

from .people import HOST, WAYS, App, Files, People, ask

E, G = "gateway.envoyproxy.io/v1alpha1", "gateway.networking.k8s.io/v1"
EDGE = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}
ORDERS = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "orders"}
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

MESH = REPOSITORY / "envoy" / "mesh"
LOCK, PATCH, EXTENSION = "envoy-gateway-lock.yaml", "envoy-gateway-patch.yaml", "envoy-gateway.yaml"
MANIFESTS = (LOCK, PATCH, EXTENSION)

NOTHING = ("closed", "refused", "silence", "403")
"""What comes back to somebody who does not get through."""

MISTAKE = {"mark_passed: true": "mark_pased: true"}
"""A member that svidgate does not know. To Kubernetes and Envoy Gateway a document is any object."""

RECORD = {"svidgate": "%FILTER_STATE(wasm.svidgate:PLAIN)%", "code": "%RESPONSE_CODE%", "details": "%RESPONSE_CODE_DETAILS%",
          "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "tls": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"}


def resource(kind, name, spec=None, api=E, namespace="edge", **members):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **({"spec": spec} if spec else {}), **members}


def base64_of(path):
    return base64.b64encode(path.read_bytes()).decode()


class Gateway:
    """All of it. `apply` gives Envoy Gateway a whole new set of resources."""

    def __init__(self, suite, lab, packages):
        self.suite, self.lab = suite, lab
        self.home = lab.folder / "gateway"
        self.files, self._generation, self._documents = self.home / "files", 0, 0
        self.files.mkdir(parents=True)
        self.people, self.app, self.code = People(lab), App(), Files(module())
        self.digest = self._registry(packages)
        suite.say("certificates are made, the image is in the registry")
        self.log = self.home / "access.log"
        self._start()
        suite.say("Envoy Gateway has started")

    def _registry(self, packages):
        (self.lab.folder / "registry.yml").write_text(json.dumps({
            "version": 0.1, "log": {"level": "warn"}, "storage": {"filesystem": {"rootdirectory": str(self.lab.folder / "registry")}},
            "http": {"addr": "127.0.0.1:5000"}}))
        self.lab.start("registry", packages / "usr/bin/docker-registry", "serve", self.lab.folder / "registry.yml")
        until("the registry answers", lambda: self.lab.call("curl", "-sf", "127.0.0.1:5000/v2/")[0] == 0)
        said = self.lab.output_of(REPOSITORY / "target/image/debug/svidgate-image", "push", "--module", module(), "127.0.0.1:5000/team/svidgate",
                                  folder=REPOSITORY, within=120)
        return re.search(r"^\S+ (sha256:[0-9a-f]{64})$", said, re.M)[1]

    def _start(self):
        home = self.home
        place = home / "data/envoy-versions" / version() / "bin"
        place.mkdir(parents=True)
        (place / "envoy").symlink_to(binary())
        program = TARGET / "bin/envoy-gateway"
        self.lab.output_of(program, "certgen", "--local", "--config-home", home / "config")
        self.certificates = home / "config/certs/envoy"
        (home / "gateway.yaml").write_text(json.dumps({
            "apiVersion": E, "kind": "EnvoyGateway", "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
            "provider": {"type": "Custom", "custom": {
                "resource": {"type": "File", "file": {"paths": [str(self.files)]}},
                "infrastructure": {"type": "Host", "host": {
                    "configHome": str(home / "config"), "dataHome": str(home / "data"), "stateHome": str(home / "state"),
                    "runtimeDir": str(home / "run")}}}},
            "logging": {"level": {"default": "info"}},
            "extensionApis": {"enableBackend": True, "enableEnvoyPatchPolicy": True}}))
        self.write(self.base())
        self.process = self.lab.start("envoy-gateway", program, "server", "--config-path", home / "gateway.yaml")
        until("Envoy has its first configuration", self._has_admin, 60)

    def _has_admin(self):
        if not self.process.running:
            raise RuntimeError(f"Envoy Gateway has ended: {self.process.output()[-3000:]}")
        return self.admin("/ready").strip() == "LIVE" and self.knows("edge/edge/https")

    # Resources

    def base(self, listeners=(), route=None, filters=(), rules=(), backend=None):
        """A Gateway that serves one app to everybody, or what is behind `backend` (a Backend's spec); nothing of ours."""
        people, sink = self.people, [{"type": "File", "file": {"path": str(self.home / "access.log")}}]
        name = "workload" if backend else "orders"
        behind = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name}
        log = lambda kind: {"type": kind, "format": {"type": "JSON", "json": {**RECORD, "log": kind, "generation": f"g{self._generation}"}},
                            "sinks": sink}
        return [
            {"apiVersion": G, "kind": "GatewayClass", "metadata": {"name": "eg"}, "spec": {
                "controllerName": "gateway.envoyproxy.io/gatewayclass-controller"}},
            resource("EnvoyProxy", "edge", {
                "provider": {"type": "Host", "host": {"envoyVersion": version()}}, "concurrency": 1,
                "extraArgs": ["--file-flush-interval-msec", "50", "--admin-address-path", str(self.home / "admin")], "logging": {"level": {"default": "info"}},
                "telemetry": {"accessLog": {"settings": [log("Route"), log("Listener")]}},
            }),
            resource("Gateway", "edge", api=G, spec={
                "gatewayClassName": "eg",
                "infrastructure": {"parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "edge"}},
                "listeners": list(listeners) or [https()]}),
            resource("Secret", "server", api="v1", type="kubernetes.io/tls", data={
                "tls.crt": base64_of(people.server.with_suffix(".pem")), "tls.key": base64_of(people.server.with_suffix(".key"))}),
            resource("ConfigMap", "authorities", api="v1", data={"ca.crt": people.own.certificate.read_text()}),
            # In a cluster `certgen` makes it: what Envoy shows to the server of modules.
            resource("Secret", "envoy", api="v1", namespace="envoy-gateway-system", type="kubernetes.io/tls", data={
                name: base64_of(self.certificates / name) for name in ("tls.crt", "tls.key", "ca.crt")}),
            resource("Backend", name, backend or at(self.app.port)),
            resource("HTTPRoute", "orders", api=G, spec=route or {
                "parentRefs": [{"name": "edge"}], "hostnames": [HOST], "rules": [*rules, {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [behind], "filters": [*filters, {
                        "type": "ResponseHeaderModifier",
                        "responseHeaderModifier": {"set": [{"name": "x-generation", "value": f"g{self._generation}"}]}}]}]}),
        ]

    def manifest(self, name, texts=None, code="Image"):
        """The resources of a manifest, filled in, with a version that no document had before."""
        self._documents += 1
        path = module()
        text = MESH.joinpath(name).read_text()
        values = {
            "registry.example/team/svidgate@sha256:${IMAGE_DIGEST}": f"127.0.0.1:5000/team/svidgate@{self.digest}",
            "${BUNDLE}": json.dumps(self.people.own.bundle()), "/svidgate/svidgate.wasm": str(path),
            'version: "1"': f'version: "{self._documents}"'}
        for old, new in values.items():
            text = text.replace(old, new)
        if code == "HTTP":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            text, count = re.subn(r"type: Image\n +image: .*", f'type: HTTP\n        http: {{ url: "{self.code.url}", sha256: "{digest}" }}', text)
            assert count == 1, name
        for old, new in (texts or {}).items():
            if old not in text:
                raise LookupError(f"`{old}` is not in {name}")
            text = text.replace(old, new)
        return [part for part in re.split(r"^---$", text, flags=re.M) if "kind:" in part]

    def lock(self):
        return self.manifest(LOCK)

    def patch(self, **options):
        return self.manifest(PATCH, **options)

    def extension(self, **options):
        """With what lets an Envoy on this machine reach Envoy Gateway's server of modules, which in a cluster is a Service."""
        at = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address"
        trusted = "/transport_socket/typed_config/common_tls_context/validation_context/trusted_ca/filename"
        return [*self.manifest(EXTENSION, **options), patches("modules", 0, (CLUSTER, "wasm_cluster", {
            "op": "replace", "path": at, "value": "127.0.0.1"}), (CLUSTER, "wasm_cluster", {
                "op": "replace", "path": trusted, "value": str(self.certificates / "ca.crt")}))]

    def write(self, resources):
        """All at once: Envoy Gateway never sees half of a change."""
        text = "\n---\n".join(one if isinstance(one, str) else json.dumps(one) for one in resources)
        new = self.home / "resources.new"
        new.write_text(text)
        os.replace(new, self.files / "resources.yaml")

    def apply(self, *resources, taken=True, at_work=None, within=60, **base):
        """Waits until Envoy has it: listener and routes, or routes alone where the listener is refused (`taken=False`).

        Then until the documents of `at_work` are: by default those of all resources, nothing where they never will be.
        """
        self._generation += 1
        mark = f"g{self._generation}"
        self.write([*self.base(**base), *resources])
        place = ("active_state",) if taken else ("error_state",)
        until(f"the listener of {mark} in {place[0]}", lambda: any(
            mark in json.dumps(one.get(state, {})) for one in self.listeners() for state in place), within, 0.2)
        if "route" not in base:
            until(f"the routes of {mark}", lambda: mark in self.admin("/config_dump?resource=dynamic_route_configs"), within, 0.2)
        versions = set(re.findall(r'^ +version: "(\w+)"', "\n".join(
            one for one in (resources if at_work is None else at_work) if isinstance(one, str)), re.M))
        for document in versions if taken else ():
            until(f"document {document} at work", lambda: re.search(rf"policy_info\.{document}: 1$", self.admin("/stats"), re.M), within, 0.25)
        time.sleep(0.5)  # workers have it a moment after the main thread

    def forget(self):
        """Takes all of ours away. Envoy Gateway merges what a file says into what it has: a member of a policy that is no longer
        there stays in force, and only with the policy it goes."""
        self.apply()

    # Envoy

    def admin(self, path):
        """An answer of Envoy's admin interface; nothing where there is none."""
        try:
            with urllib.request.urlopen(f"http://{self.home.joinpath('admin').read_text()}{path}", timeout=10) as answer:
                return answer.read().decode()
        except (OSError, ValueError):  # not there yet, or busy with a module
            return ""

    def listeners(self):
        said = self.admin("/config_dump?resource=dynamic_listeners")
        return json.loads(said).get("configs", []) if said else []

    def knows(self, name):
        return any(one.get("name") == name and "active_state" in one for one in self.listeners())

    def filters(self, port=10443):
        """The names of the filters of HTTP of the listener at a port, in their order."""
        chains = [chain for one in self.listeners() if "active_state" in one for listener in [one["active_state"]["listener"]]
                  if listener["address"]["socket_address"]["port_value"] == port
                  for chain in [*listener.get("filter_chains", []), *filter(None, [listener.get("default_filter_chain")])]]
        return [[one["name"] for one in network["typed_config"].get("http_filters", [])] for chain in chains for network in chain["filters"]
                if "http_filters" in network["typed_config"]]

    def refused_updates(self):
        """What Envoy Gateway itself tells of updates that Envoy refused."""
        with urllib.request.urlopen("http://127.0.0.1:19001/metrics", timeout=10) as answer:
            return sum(float(value) for value in re.findall(r"^xds_nack_total(?:\{.*\})? (\S+)$", answer.read().decode(), re.M))

    def stat(self, name):
        """A counter of Envoy by its whole name."""
        return sum(map(int, re.findall(rf"^{re.escape(name)}: (\d+)$", self.admin("/stats"), re.M)))

    def ports(self):
        """Of all listeners of Envoy, by name."""
        return {name: int(address.rpartition(":")[2]) for name, _, address in (
            line.partition("::") for line in self.admin("/listeners").splitlines())}

    def mark(self):
        time.sleep(0.2)
        return size_of(self.log)

    def reasons(self, mark, wanted=None):
        """What svidgate says in the access log from there on, once the wanted reason is in it, or after a second."""
        def said():
            return {line["svidgate"].get("reason") or line["svidgate"]["decision"] for line in records_of(self.log, mark) if line["svidgate"]}
        if wanted:
            until(f"`{wanted}` in the access log", lambda: wanted in said(), 10)
        else:
            time.sleep(1)
        return sorted(said())

    def details(self, mark):
        """How the details of requests begin on which svidgate has no record, once there are some."""
        return until("a request in the access log", lambda: sorted({line["details"].partition("_matched")[0] for line in records_of(self.log, mark)
                                                                    if line["log"] == "Route" and not line["svidgate"]}), 10)

    # Callers

    def ask(self, who, path="/orders/1", port=10443, way="http/1.1", *more, **options):
        return ask(who, path, port, way, *more, **options)

    def ways(self, who, path="/orders/1", port=10443):
        """What comes of each way, at once."""
        with ThreadPoolExecutor(len(WAYS)) as pool:
            return dict(zip(WAYS, pool.map(lambda way: ask(who, path, port, way), WAYS)))

    def nobody_gets_through(self, name, did, ports=(10443,), but=(), guard="guarded"):
        """A row: of everybody without a rule, at every port of the proxy, in every way, nothing reaches the app and nothing of the app
        comes back. `but` names what is expected to answer all the same, as `port: what`. And another: what the command makes of it."""
        before = len(self.app.reached)
        tries = [(who, port, way) for who in self.people.strangers for port in ports for way in WAYS]
        with ThreadPoolExecutor(8) as pool:
            came = list(pool.map(lambda one: ask(self.people.strangers[one[0]], "/orders/1", one[1], one[2]), tries))
        answered = sorted({f"{port}: {what}" for (_, port, _), what in zip(tries, came) if what not in NOTHING})
        self.suite.row(name, f"{did}: {len(tries)} tries of {', '.join(self.people.strangers)} at {', '.join(map(str, ports))}, "
                       f"each of {', '.join(WAYS)}", f"answers: {sorted(but)}, reached the app: []",
                       f"answers: {answered}, reached the app: {self.app.reached[before:][:3]}")
        self.guard_says(name, guard)

    def guard_says(self, name, expected):
        """A row: what `svidgate guard` makes of Envoy as it is, but for its health. `guarded` stands for `shut`, too: nobody gets past
        the gate."""
        came = judged(f"http://{self.home.joinpath('admin').read_text()}").besides("envoy-gateway-proxy-ready-0.0.0.0-19003")
        self.suite.row(f"{name}: guard", "svidgate guard --admin", expected, came,
                       came.keeps_shut if expected == "guarded" else came.verdict == expected)


def at(port, **more):
    """A server on this machine."""
    return {"endpoints": [{"ip": {"address": "127.0.0.1", "port": port}}], **more}


def https(name="https", port=10443):
    return {"name": name, "protocol": "HTTPS", "port": port, "tls": {"mode": "Terminate", "certificateRefs": [{"name": "server"}]}}


def plain(name="http", port=10080):
    return {"name": name, "protocol": "HTTP", "port": port}


def patches(name, priority, *operations):
    """An EnvoyPatchPolicy on the Gateway: (type, name of the resource, operation) of each."""
    return resource("EnvoyPatchPolicy", name, {"targetRef": EDGE, "type": "JSONPatch", "priority": priority, "jsonPatches": [
        {"type": kind, "name": of, "operation": operation} for kind, of, operation in operations]})


def on_the_route(kind, name, spec):
    """A policy that whoever owns the route may write."""
    return resource(kind, name, {"targetRefs": [ORDERS], **spec})
