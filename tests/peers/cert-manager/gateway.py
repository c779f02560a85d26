"""Peers that have what is in a secret, and an Envoy with both filters in front of an app."""

import base64
import json
import re
import sys

from lab import Envoy, NeverCame, REPOSITORY, access_log, free_port, module, records_of, size_of, until

TYPE = "type.googleapis.com/"
RULES = [{"name": "web-does-all", "effect": "allow", "from": ["spiffe://prod.example/ns/shop/sa/web"]}]


def certificates(pem):
    """Each certificate of a chain."""
    return re.findall(r"-----BEGIN CERTIFICATE-----\n.+?-----END CERTIFICATE-----\n", pem, re.S)


class Peer:
    """Somebody with the certificate, its chain and the key of a secret."""

    def __init__(self, lab, name, secret):
        self.lab = lab
        home = lab.folder / f"peer-{name}"
        home.mkdir()
        self.certificate, self.key = home / "tls.crt", home / "tls.key"
        self.certificate.write_text(secret["tls.crt"])
        self.key.write_text(secret["tls.key"])

    def extensions(self):
        """What its leaf says, as openssl tells it."""
        said = self.lab.output_of("openssl", "x509", "-in", self.certificate, "-noout", "-ext",
                                  "basicConstraints,keyUsage,extendedKeyUsage,subjectAltName")
        return "; ".join(line.strip() for line in said.splitlines() if line.startswith("    "))


class Gateway:
    """Three listeners, of which `bare` has the bundle alone, `list` `intermediates` as well, and `xfcc` says `xfcc: own`."""

    def __init__(self, lab, name, root, own, intermediates):
        self.lab, self.home = lab, lab.folder / name
        self.home.mkdir()
        self.documents = {
            "bare": {},
            "list": {"intermediates": certificates(intermediates)},
            "xfcc": {"xfcc": "own"},
        }
        self.ports = {listener: free_port() for listener in self.documents}
        self._app = free_port()
        self._reached = self.home / "app.log"
        self._process = lab.start(f"{name}-app", sys.executable, "-B", REPOSITORY / "tests/peers/istio/app.py", self._reached,
                                  f"{self._app}=http")
        self._base = {"trust_domain": "prod.example", "bundle": {"inline": self._bundle(root)}, "mark_passed": True,
                      "rules": RULES}
        self.envoy = Envoy(lab, name, {
            "node": {"id": name, "cluster": name}, "admin": {"address": at(0)},
            "static_resources": {"listeners": [self._listener(listener, own) for listener in self.documents], "clusters": [
                {"name": "app", "connect_timeout": "1s", "load_assignment": {"cluster_name": "app", "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": at(self._app)}}]}]}}]}})

    def _bundle(self, pem):
        """The SPIFFE bundle of one authority, whose key is RSA."""
        modulus = self.lab.output_of("openssl", "x509", "-noout", "-modulus", text=pem).strip().partition("=")[2]
        number = base64.urlsafe_b64encode(bytes.fromhex(modulus)).rstrip(b"=").decode()
        return {"keys": [{"use": "x509-svid", "kty": "RSA", "n": number, "e": "AQAB", "x5c": ["".join(pem.splitlines()[1:-1])]}]}

    def _log(self, listener, what):
        return self.home / f"{listener}.{what}.log"

    def _listener(self, name, own):
        document = json.dumps({"version": name, **self._base, **self.documents[name]})

        def filter_of(stage, kind):
            return typed(f"svidgate.{stage}", kind, config={
                "name": f"{name}.{stage}", "root_id": f"svidgate.{stage}", "failure_policy": "FAIL_RELOAD",
                "vm_config": {"vm_id": "svidgate", "runtime": "envoy.wasm.runtime.v8",
                              "code": {"local": {"filename": str(module())}}},
                "configuration": {"@type": TYPE + "google.protobuf.StringValue", "value": document}})

        routes = [{"name": "app", "match": {"prefix": "/"}, "route": {"cluster": "app"}}]
        manager = typed(
            "envoy.filters.network.http_connection_manager",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix=name, access_log=access_log(self._log(name, "requests")), forward_client_cert_details="SANITIZE_SET",
            set_current_client_cert_details={"cert": True, "chain": True},
            route_config={"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": routes}]},
            http_filters=[
                filter_of("request", "envoy.extensions.filters.http.wasm.v3.Wasm"), lock(),
                typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
            ])
        tls = typed("envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    require_client_certificate=True, common_tls_context={
                        "tls_certificates": [{"certificate_chain": {"filename": str(own.certificate)},
                                              "private_key": {"filename": str(own.key)}}],
                        "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}})
        return {
            "name": name, "address": at(self.ports[name]), "access_log": access_log(
                self._log(name, "connections"), tls="%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"),
            "filter_chains": [{"transport_socket": tls, "filters": [
                filter_of("connection", "envoy.extensions.filters.network.wasm.v3.Wasm"), manager]}],
        }

    def _count(self):
        lines = self._reached.read_text().splitlines() if self._reached.exists() else []
        return sum(json.loads(line)["got"] == "request" for line in lines)

    def ask(self, listener, peer):
        """One request: `STATUS REASON, N upstream`, where the status is `closed` if there is none, and the reason `TLS` where the
        handshake has failed."""
        logs = [(log, size_of(log)) for log in (self._log(listener, what) for what in ("requests", "connections"))]
        port, before = free_port(), self._count()
        code, said = self.lab.call(
            "curl", "-sk", "--max-time", "10", "--cert", peer.certificate, "--key", peer.key, "-o", "/dev/null", "-w", "%{http_code}",
            "--local-port", port, f"https://127.0.0.1:{self.ports[listener]}/")

        def recorded():
            lines = [line for log, since in logs for line in records_of(log, since) if line["peer"].endswith(f":{port}")]
            reasons = (line["svidgate"]["reason"] if line["svidgate"] else "TLS" if line.get("tls") else None for line in lines)
            return next(filter(None, reasons), None)

        try:
            reason = until("a record", recorded, 5, 0.05)
        except NeverCame:
            reason = "no record"
        return f"{'closed' if code else said} {reason}, {self._count() - before} upstream"

    def stop(self):
        self.envoy.stop()
        self._process.stop()


def typed(name, kind, **members):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **members}}


def at(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def lock():
    """Refuses what svidgate has not let pass."""
    passed = {"filter_state": {"key": "wasm.svidgate.passed", "string_match": {"safe_regex": {"regex": ".+"}}}}
    return typed("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC", rules={
        "action": "ALLOW", "policies": {"svidgate-has-decided": {"permissions": [{"any": True}], "principals": [passed]}}})
