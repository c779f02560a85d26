"""Both ways of placing svidgate: who gets what, by TLS's settings, and what is answered without it."""

import socket
import ssl

from .gateway import on_the_route
from .people import HOST, WAYS

CLOSED = {way: "closed" for way in WAYS}
ALLOWED = {**{way: "200" for way in WAYS}, "plain text": "closed"}
DENIED = {**{way: "403" for way in WAYS}, "plain text": "closed"}

PLACINGS = ("patch", "extension")


def placed(gateway, placing, lock=True, more=(), **options):
    """One of the manifests, and the lock."""
    base = {name: options.pop(name) for name in ("listeners", "route", "filters", "rules", "backend") if name in options}
    gateway.apply(*(gateway.lock() if lock else ()), *getattr(gateway, placing)(**options), *more, **base)


def decisions(suite, gateway, placing):
    people = gateway.people
    placed(gateway, placing)
    suite.row(f"{placing}/filters", "of HTTP, in their order", True, gateway.filters(), all(
        names[-2:] == ["svidgate.lock", "envoy.filters.http.router"] and (names[0] == "svidgate.request" or placing == "extension") for names in gateway.filters()))
    suite.row(f"{placing}/client", "GET /orders/1, each way", ALLOWED, gateway.ways(people.client))
    suite.row(f"{placing}/client asks for more", "GET /admin, each way", DENIED, gateway.ways(people.client, "/admin"))
    suite.row(f"{placing}/client posts", "POST /orders/1", "403", gateway.ask(people.client, "/orders/1", 10443, "h2", "-X", "POST"))
    for name, reason in {"other": "rule.none_matched", "two URI SANs": "svid.multiple_uri_sans", "no URI SAN": "svid.no_uri_san",
                         "partner": "federation.unknown_trust_domain", "stranger": "federation.unknown_trust_domain",
                         "forged": "svid.unknown_authority"}.items():
        mark = gateway.mark()
        suite.row(f"{placing}/{name}", "GET /orders/1, each way", CLOSED, gateway.ways(people.strangers[name]))
        suite.row(f"{placing}/{name}, reason", "the access log", [reason], gateway.reasons(mark, reason))
    gateway.nobody_gets_through(f"{placing}/nobody", "manifest and lock")


def by_patch(suite, gateway):
    decisions(suite, gateway, "patch")


def by_extension(suite, gateway):
    decisions(suite, gateway, "extension")


def ports_of_the_proxy(suite, gateway):
    """Every listener that Envoy Gateway gives Envoy."""
    placed(gateway, "patch")
    ports = gateway.ports()
    ready = [port for name, port in ports.items() if "ready" in name]
    suite.row("ports/listeners", "of Envoy", True, sorted(ports), len(ports) == 2 and len(ready) == 1 and "edge/edge/https" in ports)
    suite.row("ports/readiness", "GET /ready, plain text, nobody", "200", gateway.ask(None, "/ready", ready[0], "plain text"))
    gateway.nobody_gets_through("ports/nobody", "manifest and lock", [10443, *ready], but=[f"{ready[0]}: 500"])


def extension_alone(suite, gateway):
    """Where EnvoyPatchPolicy is not to be had: the HTTP filter, and the lock on the Gateway."""
    extension = [one for one in gateway.extension(code="HTTP") if not (isinstance(one, str) and "kind: EnvoyPatchPolicy" in one)]
    gateway.apply(*[one for one in gateway.lock() if "kind: SecurityPolicy" in one], *extension)
    suite.row("extension alone/client", "GET /orders/1, each way", ALLOWED, gateway.ways(gateway.people.client))
    suite.row("extension alone/other", "GET /orders/1, each way", DENIED, gateway.ways(gateway.people.other))
    gateway.nobody_gets_through("extension alone/nobody", "the HTTP filter by HTTP code, the lock on the Gateway")


def mode(name, authorities=True):
    refs = ", caCertificateRefs: [ { group: '', kind: ConfigMap, name: authorities } ]" if authorities else ""
    return {"clientValidation:\n      mode: RequireAny ": f"clientValidation:\n      {{ mode: {name}{refs} }} "}


def client_validation(suite, gateway):
    """Each mode. Envoy refuses in the handshake what it verifies itself; svidgate verifies all of them."""
    for name in ("Request", "RequireAny", "VerifyIfGiven", "RequireAndVerify"):
        placed(gateway, "patch", texts=mode(name))
        suite.row(f"{name}/client", "GET /orders/1, each way", ALLOWED, gateway.ways(gateway.people.client))
        mark = gateway.mark()
        suite.row(f"{name}/stranger", "GET /orders/1, each way", CLOSED, gateway.ways(gateway.people.strangers["stranger"]))
        reasons = gateway.reasons(mark, None if "Verify" in name else "federation.unknown_trust_domain")
        suite.row(f"{name}/who refused the stranger", "svidgate's reasons in the access log",
                  [] if "Verify" in name else ["federation.unknown_trust_domain"], reasons)
        gateway.nobody_gets_through(f"{name}/nobody", "manifest and lock")


def no_client_certificate_asked_for(suite, gateway):
    """Without the ClientTrafficPolicy nobody has an identity."""
    patch = [one for one in gateway.patch() if "kind: ClientTrafficPolicy" not in one]
    gateway.apply(*gateway.lock(), *patch)
    mark = gateway.mark()
    suite.row("no clientValidation/client", "GET /orders/1, each way", CLOSED, gateway.ways(gateway.people.client))
    suite.row("no clientValidation/reason", "the access log", ["connection.no_certificate"], gateway.reasons(mark, "connection.no_certificate"))
    gateway.nobody_gets_through("no clientValidation/nobody", "the Gateway asks for no certificate")


def forwarded_certificates(suite, gateway):
    """x-forwarded-client-cert: what a client sends, and what the app gets."""
    lie = "By=spiffe://prod.example/x;URI=spiffe://prod.example/ns/edge/sa/client"
    settings = {"the default": "", "SanitizeSet": "SanitizeSet", "AppendForward": "AppendForward"}
    for name, setting in settings.items():
        texts = {} if not setting else {"      mode: RequireAny ": (
            f"      mode: RequireAny\n  headers: {{ xForwardedClientCert: {{ mode: {setting}, certDetailsToAdd: [ URI, Cert, Chain ] }} }} ")}
        placed(gateway, "patch", texts=texts)
        before = len(gateway.app.reached)
        suite.row(f"XFCC {name}/client lies", "GET /orders/1 with x-forwarded-client-cert", "200", gateway.ask(
            gateway.people.client, "/orders/1", 10443, "h2", "-H", f"x-forwarded-client-cert: {lie}"))
        got = gateway.app.reached[before:][0][1].get("x-forwarded-client-cert", "")
        came = {"the lie": lie in got, "the certificate": "Cert=" in got}
        suite.row(f"XFCC {name}/the app gets", "x-forwarded-client-cert", {
            "the lie": setting == "AppendForward", "the certificate": setting != ""}, came)
        suite.row(f"XFCC {name}/other lies", "GET /orders/1 with x-forwarded-client-cert", "closed", gateway.ask(
            gateway.people.other, "/orders/1", 10443, "h2", "-H", f"x-forwarded-client-cert: {lie}"))
    own = {"mark_passed: true ": "xfcc: own\n                  mark_passed: true "}
    sanitized = {"      mode: RequireAny ": "      mode: RequireAny\n  headers: { xForwardedClientCert: { mode: SanitizeSet, certDetailsToAdd: [ URI, Cert, Chain ] } } "}
    placed(gateway, "patch", texts={**own, **sanitized})
    suite.row("XFCC SanitizeSet, xfcc: own/client", "GET /orders/1, each way", ALLOWED, gateway.ways(gateway.people.client))
    gateway.nobody_gets_through("XFCC SanitizeSet, xfcc: own/nobody", "manifest and lock")


def session(who, kept=None, version=ssl.TLSVersion.TLSv1_2):
    """One request, with a session that was kept: the status, whether it was resumed, and the session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, version
    context.load_cert_chain(f"{who}.pem", f"{who}.key")
    if kept:
        context = kept[0]
    with socket.create_connection(("127.0.0.1", 10443), 6) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=HOST, session=kept and kept[1]) as secured:
                secured.sendall(f"GET /orders/1 HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
                data = secured.recv(65536)
                return data[9:12].decode() or "closed", secured.session_reused, (context, secured.session)
        except OSError:
            return "closed", False, None


def resumption(suite, gateway):
    """Off unless the ClientTrafficPolicy has it. Either way it is the document of the day that decides."""
    on = {"      mode: RequireAny ": "      mode: RequireAny\n    session: { resumption: { stateless: {}, stateful: {} } } "}
    for name, version in {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}.items():
        gateway.forget()
        placed(gateway, "patch")
        status, _, kept = session(gateway.people.client, version=version)
        again, resumed, _ = session(gateway.people.client, kept, version)
        suite.row(f"resumption, {name}/the default", "two connections", ("200", "200", False), (status, again, resumed))
        placed(gateway, "patch", texts=on)
        status, _, kept = session(gateway.people.client, version=version)
        again, resumed, kept = session(gateway.people.client, kept, version)
        suite.row(f"resumption, {name}/switched on", "two connections", ("200", "200", True), (status, again, resumed))
        gateway.nobody_gets_through(f"resumption, {name}/nobody", "switched on")
        placed(gateway, "patch", texts={**on, "sa/client": "sa/somebody"})
        came, resumed, _ = session(gateway.people.client, kept, version)
        suite.row(f"resumption, {name}/the rule is gone", "the session from before", "closed", came)


def answered_without(suite, gateway):
    """What Envoy Gateway answers by itself, and what it changes behind svidgate."""
    cors = on_the_route("SecurityPolicy", "cors", {"cors": {"allowOrigins": ["https://app.example"], "allowMethods": ["GET"]}})
    preflight = ("-X", "OPTIONS", "-H", "origin: https://app.example", "-H", "access-control-request-method: GET")
    expected = {"patch": {"unrouted host": "404", "normalised path": "307", "preflight": "403"},
                "extension": {"unrouted host": "403", "normalised path": "307", "preflight": "200"}}
    client = gateway.people.client
    for placing in PLACINGS:
        placed(gateway, placing, more=[cors])
        before = len(gateway.app.reached)
        came = {"unrouted host": gateway.ask(client, "/orders/1", host="nowhere.example"),
                "normalised path": gateway.ask(client, "/orders%2F..%2Fadmin"),
                "preflight": gateway.ask(client, "/admin", 10443, "h2", *preflight)}
        suite.row(f"answered without/{placing}", "client: a host of no route, an escaped slash, a preflight of /admin", expected[placing], came)
        suite.row(f"answered without/{placing}, the app", "what reached it", [], gateway.app.reached[before:])
        suite.row(f"answered without/{placing}, dots", "client: /orders/../admin, /orders//1, /orders/%2e%2e/admin", ["403", "200", "403"], [
            gateway.ask(client, path) for path in ("/orders/../admin", "/orders//1", "/orders/%2e%2e/admin")])
        gateway.nobody_gets_through(f"answered without/{placing}, nobody", "CORS on the route")
    for placing in PLACINGS:
        placed(gateway, placing, filters=[{"type": "URLRewrite", "urlRewrite": {"path": {
            "type": "ReplaceFullPath", "replaceFullPath": "/admin/1"}}}])
        before = len(gateway.app.reached)
        suite.row(f"rewritten/{placing}", "client: GET /orders/1, which the route rewrites to /admin/1", ("200", ["/admin/1"]),
                  (gateway.ask(client), [path for path, _ in gateway.app.reached[before:]]))
        suite.row(f"rewritten/{placing}, asked for itself", "client: GET /admin/1", "403", gateway.ask(client, "/admin/1"))


SCENARIOS = [by_patch, by_extension, ports_of_the_proxy, extension_alone, client_validation, no_client_certificate_asked_for, forwarded_certificates, resumption,
             answered_without]
