"""Pods with Istio's agent, its Envoy and an app behind the packet filter of Istio; and identities of callers."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from lab import NeverCame, judged, until
from lab.envoy import binary

from .cluster import BIN, SHOP
from .network import NODE, Namespace

OLD_ENVOY = "1.37.0"
"""One whose wasm filters do not see the peer's certificate."""

PROXY = 1337
"""Istio's own user, whose connections the packet filter leaves alone."""

PORTS = {8080: "http", 8081: "http", 9090: "tcp", 9091: "banner", 7070: "http", 7071: "banner", 6060: "http"}
"""What the app serves. Services name 8080, 8081, 9090 and 9091; 7070 and 7071 are in none; 6060 is excluded from the mesh."""


def environment(name, namespace, account, ip, trust_domain="cluster.local", **more):
    return {
        "POD_NAME": name, "POD_NAMESPACE": namespace, "INSTANCE_IP": ip, "SERVICE_ACCOUNT": account, "TRUST_DOMAIN": trust_domain,
        "CA_ADDR": f"{NODE}:15012", "ISTIOD_SAN": "istiod.istio-system.svc", "PILOT_CERT_PROVIDER": "istiod",
        "ISTIO_META_CLUSTER_ID": "Kubernetes", "ISTIO_META_INTERCEPTION_MODE": "REDIRECT", "PEER_METADATA_DISCOVERY": "false",
        "WASM_INSECURE_REGISTRIES": f"{NODE}:5000", **more}


def home_of(cluster, name, namespace, account, pod=None):
    """The folder of an agent, as the injector mounts it."""
    home = cluster.home / name
    shutil.rmtree(home, ignore_errors=True)
    for folder in ("var/run/secrets/tokens", "var/run/secrets/istio", "var/run/secrets/workload-spiffe-uds",
                   "var/lib/istio/envoy", "var/lib/istio/data", "etc/istio/proxy", "certs"):
        (home / folder).mkdir(parents=True)
    (home / "var/run/secrets/tokens/istio-token").write_text(cluster.token(namespace, account, pod))
    (home / "var/run/secrets/istio/root-cert.pem").write_text(cluster.root)
    shutil.copy(cluster.source / "tools/packaging/common/envoy_bootstrap.json", home / "var/lib/istio/envoy/envoy_bootstrap_tmpl.json")
    subprocess.run(["chown", "-R", f"{PROXY}:{PROXY}", str(home)], check=True, timeout=10)
    return home


class Identity:
    """What a workload elsewhere has: the certificate that istiod gave it, by an agent of its own."""

    def __init__(self, cluster, name, namespace, account, number):
        home = home_of(cluster, name, namespace, account)
        settings = environment(name, namespace, account, NODE, DISABLE_ENVOY="true", OUTPUT_CERTS=str(home / "certs"))
        settings["PROXY_CONFIG"] = json.dumps({"discoveryAddress": f"{NODE}:15012", "statusPort": 16000 + number})
        agent = cluster.lab.start(name, BIN / "pilot-agent", "proxy", "sidecar", "--domain", f"{namespace}.svc.cluster.local",
                                  environment=settings, folder=home)
        self.name, self.certificate, self.key = name, home / "certs/cert-chain.pem", home / "certs/key.pem"
        until(f"a certificate for {name}", lambda: self.certificate.exists() and self.key.exists() and self.key.stat().st_size, 30)
        agent.kill()


class Proxy:
    """A pod with Istio's agent and its Envoy."""

    role, listener = "sidecar", "virtualInbound"
    """What the agent is started as, and the listener that all of what comes in goes through."""

    def __init__(self, cluster, name, number, account, labels, ports=(), envoy=None, namespace=SHOP, **settings):
        self.cluster, self.name, self.labels, self._domain = cluster, name, labels, f"{namespace}.svc.cluster.local"
        self.namespace = Namespace(cluster.lab, name, number)
        self.ip, self.ip6 = self.namespace.ip, self.namespace.ip6
        cluster.pod(name, account, self.ip, labels, ports, namespace)
        self.home = home_of(cluster, name, namespace, account, name)
        self.settings = environment(
            name, namespace, account, self.ip, ISTIO_META_WORKLOAD_NAME=labels.get("app", account),
            ISTIO_METAJSON_LABELS=json.dumps(labels), OUTPUT_CERTS=str(self.home / "certs"), **settings)
        self.settings["PROXY_CONFIG"] = json.dumps({
            "discoveryAddress": f"{NODE}:15012", "binaryPath": str(binary(envoy)), "statusPort": 15020, "concurrency": 1})
        self.agent = None

    def start(self):
        """Starts agent and Envoy."""
        self._log = Path(self.cluster.lab.folder / f"{self.name}.log")
        self._begun = self._log.stat().st_size if self._log.exists() else 0
        # Envoy opens /dev/stdout anew, as a user who is not root.
        self._log.touch()
        os.chown(self._log, PROXY, PROXY)
        self.agent = self.namespace.start(
            self.name, BIN / "pilot-agent", "proxy", self.role, "--domain", self._domain, "--proxyLogLevel=warning",
            "--proxyComponentLogLevel=wasm:info", uid=PROXY, environment=self.settings, folder=self.home)
        return self

    def restart(self):
        """Agent and Envoy anew, as after a crash."""
        self.agent.kill()
        return self.start()

    def end(self):
        """All of it, and its network."""
        self.namespace.end()

    def ready(self):
        """What the kubelet asks."""
        return self.admin("/ready", 15021, "/healthz/ready") is not None

    def admin(self, path, port=15000, instead=None):
        """An answer of Envoy's admin interface, or None."""
        ended = subprocess.run(self.namespace.inside("curl", "-sf", "--max-time", "5", f"http://127.0.0.1:{port}{instead or path}"),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=15)
        return ended.stdout.decode() if ended.returncode == 0 else None

    def judged(self):
        """What `svidgate guard` says of it, from within its network."""
        return judged("http://127.0.0.1:15000", self.namespace.inside())

    def chains(self, of=None):
        """The filter chains of what comes in, or of another listener: (port, ALPNs, TLS, network filters, HTTP filters) of each."""
        dump = self.admin("/config_dump?resource=dynamic_listeners")
        found = []
        for listener in json.loads(dump)["configs"] if dump else []:
            active = listener.get("active_state", {}).get("listener", {})
            if active.get("name") != (of or self.listener):
                continue
            for chain in active["filter_chains"] + [active.get("default_filter_chain") or {"filters": []}]:
                match = chain.get("filter_chain_match", {})
                requests = [one["name"] for one in chain["filters"] for one in
                            one.get("typed_config", {}).get("http_filters", [])]
                found.append((match.get("destination_port"), tuple(match.get("application_protocols", ())),
                              match.get("transport_protocol") == "tls", [one["name"] for one in chain["filters"]], requests))
        return [one for one in found if one[3] and one[0] != 15006]

    def warming(self):
        """Whether a listener waits for something, or an update of it was refused."""
        dump = self.admin("/config_dump?resource=dynamic_listeners")
        return [key for listener in json.loads(dump)["configs"] if dump for key in ("warming_state", "error_state") if key in listener]

    def settled(self, what, condition, within=45):
        """Waits until the filter chains are so."""
        def so():
            chains = self.chains()
            return chains and condition(chains)
        return until(f"filter chains {what}", so, within, 0.25)

    def has(self, connection=None, request=None, lock=None, within=45):
        """Waits until each chain has, or has not, the filters whose names end or begin so. Nothing is asked of what is None."""
        def so(chains):
            for _, _, _, network, requests in chains:
                http = "envoy.filters.network.http_connection_manager" in network
                if connection is not None and any("svidgate" in one and "lock" not in one for one in network) != connection:
                    return False
                if http and request is not None and any("svidgate" in one and "lock" not in one for one in requests) != request:
                    return False
                if lock is not None and ("svidgate.lock" in (requests if http else network)) != lock:
                    return False
            return True
        self.settled(f"with connection={connection} request={request} lock={lock}", so, within)

    def own_ids(self):
        """The URI SANs of the certificate that the proxy serves with."""
        certificates = json.loads(self.admin("/certs") or "{}").get("certificates", [])
        return sorted({san["uri"] for one in certificates for leaf in one.get("cert_chain", []) for san in leaf["subject_alt_names"]})

    def stat(self, pattern):
        """Counters and gauges whose names match."""
        said = self.admin(f"/stats?filter={pattern}") or ""
        return {name: int(value) for name, _, value in (line.rpartition(": ") for line in said.splitlines()) if value.isdigit()}

    def version(self, version, plugins, within=45):
        """Waits until these plugins, by their root ids, have a document of this version, and it is at work."""
        def at_work():
            log = self.log()
            return all(re.search(rf'wasm log .*{re.escape(plugin)}.* configured: version="{version}"', log) for plugin in plugins) and 1 in [
                value for key, value in self.stat("policy_info").items() if key.endswith(f"policy_info.{version}")]
        until(f"document {version} at work in {' and '.join(plugins)}", at_work, within, 0.25)
        # Of a plugin in two filter chains the one may have it a moment before the other.
        time.sleep(0.5)

    def log(self):
        return self.agent.output()[self._begun:]

    def records(self, since=0):
        """Access-log lines with a record of svidgate, from this offset of the log on."""
        found = []
        for line in self.log()[since:].splitlines():
            if line.startswith("{") and '"svidgate":' in line:
                entry = json.loads(line)
                if entry["svidgate"] and entry["svidgate"] != "-":
                    found.append(json.loads(entry["svidgate"]))
        return found

    def reasons(self, since, wanted, within=8):
        """The reasons in the log from this offset on, once the wanted one is among them."""
        def come():
            found = [record["reason"] for record in self.records(since)]
            return found if wanted in found else None
        try:
            return sorted(set(until("", come, within, 0.2)))
        except NeverCame:
            return sorted({record["reason"] for record in self.records(since)})

    def mark(self):
        return len(self.log())


class App:
    """What answers behind a proxy, in a pod's network: `seen` is what reached it."""

    def __init__(self, cluster, name, namespace, ports):
        self.seen = cluster.home / f"{name}.seen"
        self.seen.touch()
        namespace.start(f"{name}-app", "python3", "-B", Path(__file__).resolve().with_name("app.py"), self.seen,
                        *(f"{port}={kind}" for port, kind in ports.items()))

    def reached(self):
        """What has reached the app so far."""
        return [json.loads(line) for line in self.seen.read_text().splitlines()]


class Pod(Proxy):
    """The workload `orders`, or another app of that kind, behind its sidecar."""

    def __init__(self, cluster, name="orders-0", number=1, account="orders", app="orders", dual_stack=False, **more):
        super().__init__(cluster, name, number, account, {"app": app}, PORTS,
                         # The injector hands the probes of the app to the agent like this.
                         ISTIO_KUBE_APP_PROBERS=json.dumps({"/app-health/app/readyz": {"httpGet": {"path": "/readyz", "port": 8080}}}),
                         **more)
        # What the init container does with the injector's arguments. 6060 stands for
        # `traffic.sidecar.istio.io/excludeInboundPorts`.
        self.namespace.output_of(BIN / "pilot-agent", "istio-iptables", "-p", "15001", "-z", "15006", "-u", PROXY, "-m", "REDIRECT",
                                 "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020,6060", "--log_output_level=default:error",
                                 *(["--dual-stack"] if dual_stack else []))
        self.app = App(cluster, name, self.namespace, PORTS)

    def reached(self):
        return self.app.reached()
