"""Who gets through, by which protocol, and what reaches the upstream."""

import shutil

from lab import until

from .people import Workload
from .setting import READER, WEB, python_spiffe


def decisions(suite, setting):
    """Allowed, another method, another id, foreign by rule and forged, through both filters, HTTP/1.1, HTTP/2 and gRPC."""
    gateway, upstream = setting.shop_gateway, setting.upstream
    until("the partner is known", lambda: setting.reader.ask(gateway, "endpoint").startswith("200"), 30, 0.5)
    forged = forgeries(setting)
    cases = [
        ("own", setting.web, "GET", {"http1": "200 rule.allowed", "http2": "200 rule.allowed", "grpc": "OK rule.allowed"}),
        ("own, another id", setting.other, "GET", dict.fromkeys(("http1", "http2", "grpc"), "closed rule.none_matched")),
        ("foreign by rule", setting.reader, "GET",
         {"http1": "200 rule.allowed", "http2": "200 rule.allowed", "grpc": "PermissionDenied rule.none_matched"}),
        ("foreign, another method", setting.reader, "POST",
         {"http1": "403 rule.none_matched", "http2": "403 rule.none_matched"}),
        ("foreign, gRPC by rule", setting.caller, "GET",
         {"grpc": "OK rule.allowed", "http1": "403 rule.none_matched", "http2": "403 rule.none_matched"}),
        *((name, who, "GET", dict.fromkeys(("http1", "http2", "grpc"), expected)) for name, who, expected in forged),
    ]
    for name, who, method, outcomes in cases:
        for protocol, expected in outcomes.items():
            for listener in ("agent", "endpoint"):
                before = upstream.count()
                came = who.ask(gateway, listener, protocol, method)
                came += f", {upstream.count() - before} upstream"
                expected_whole = f"{expected}, {int(expected.endswith('allowed'))} upstream"
                suite.row(f"{name}, {protocol}, bundle by {listener}", f"{method} / through both filters", expected_whole, came)
    suite.row("gateway of shop.example: guard", "svidgate guard --admin", "guarded", str(gateway.envoy.judged()))


def forgeries(setting):
    """Who has a certificate that names somebody else's id, and what is to be said of it."""
    lab = setting.lab
    pem, key = setting.partner.signing_key(lab)
    ours = sign(lab, "ours-by-partner", pem, key, setting.shop.id("/ns/shop/sa/web"))
    # A server of our trust domain's name that nobody trusts.
    lab.output_of("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                  lab.folder / "rogue.key", "-out", lab.folder / "rogue.pem", "-days", "1", "-subj", "/C=US/O=SPIFFE",
                  "-addext", "subjectAltName=URI:spiffe://shop.example")
    rogue = sign(lab, "ours-by-a-rogue", lab.folder / "rogue.pem", lab.folder / "rogue.key", setting.shop.id("/ns/shop/sa/web"))
    stranger = sign(lab, "stranger", lab.folder / "rogue.pem", lab.folder / "rogue.key", "spiffe://stranger.example/x")
    return [
        ("our id, signed by the partner's authority", Workload(lab, files=ours), "closed svid.unknown_authority"),
        ("our id, signed by nobody we know", Workload(lab, files=rogue), "closed svid.unknown_authority"),
        ("unknown trust domain", Workload(lab, files=stranger), "closed federation.unknown_trust_domain"),
    ]


def sign(lab, name, pem, key, spiffe_id):
    """A leaf for `spiffe_id` by this authority: the path without `.pem` and `.key`."""
    leaf = lab.folder / name
    lab.output_of("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{leaf}.key",
                  "-out", f"{leaf}.csr", "-subj", "/C=US/O=SPIRE")
    extensions = lab.folder / f"{name}.extensions"
    extensions.write_text(f"subjectAltName=URI:{spiffe_id}\nkeyUsage=critical,digitalSignature\n"
                          "extendedKeyUsage=clientAuth,serverAuth\nbasicConstraints=critical,CA:FALSE\n"
                          "authorityKeyIdentifier=keyid\n")
    lab.output_of("openssl", "x509", "-req", "-in", f"{leaf}.csr", "-CA", pem, "-CAkey", key, "-set_serial", "0x1234567890",
                  "-days", "1", "-out", f"{leaf}.pem", "-extfile", extensions)
    return leaf


def profiles(suite, setting):
    """Both profiles of bundle endpoints, at the path `/`, and the Workload API, from either side."""
    gateway = setting.partner_gateway
    until("the endpoint of shop.example was read", lambda: setting.web.ask(gateway, "endpoint").startswith("200"), 30, 0.5)
    for listener, how in (("agent", "the Workload API"), ("endpoint", "https_spiffe, trust in it by SDS, no file"),
                          ("second-lock", "the Workload API, behind Envoy's validator by SDS `ALL`"),
                          ("proxy", "`chain: proxy` behind SDS `ALL`"), ("xfcc", "the HTTP filter with `xfcc: own`")):
        suite.row(f"foreign, bundle by {how}", "GET / as web at the partner's gateway", "200 rule.allowed",
                  setting.web.ask(gateway, listener))
    suite.row("foreign, POST, https_spiffe", "POST / as web at the partner's gateway", "403 rule.none_matched",
              setting.web.ask(gateway, "endpoint", method="POST"))
    pem, key = setting.shop.signing_key(setting.lab)
    forged = Workload(setting.lab, files=sign(setting.lab, "partner-by-shop", pem, key, setting.partner.id("/ns/billing/sa/reader")))
    suite.row("forged, https_spiffe", "GET / with their id, signed by our authority", "closed svid.unknown_authority",
              forged.ask(gateway, "endpoint"))
    suite.row("forged, SDS `ALL`", "the same at the second lock", "closed TLS", forged.ask(gateway, "second-lock"))
    shop = setting.shop_gateway
    for listener in ("second-lock", "proxy", "xfcc"):
        suite.row(f"own, {listener}", "GET / as web at our gateway", "200 rule.allowed", setting.web.ask(shop, listener))
    # The endpoint says so with 404 for any other path.
    other = setting.lab.call("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}",
                             f"https://localhost:{setting.partner.endpoint_port}/bundle.json")[1]
    suite.row("bundle endpoint, another path", "GET /bundle.json", "404", other)
    suite.row("gateway of partner.example: guard", "svidgate guard --admin", "guarded", str(gateway.envoy.judged()))


def clients(suite, setting):
    """Clients that know nothing of SPIFFE, with fetched SVIDs, and PyPI's `spiffe`."""
    gateway = setting.shop_gateway
    web = setting.files_of(setting.shop, WEB, "web-now")
    reader = setting.files_of(setting.partner, READER, "reader-now")
    for protocol in ("--http1.1", "--http2"):
        suite.row(f"curl {protocol}, own", "GET / with a fetched SVID", "200 rule.allowed", web.curl(gateway, "agent", protocol))
        suite.row(f"curl {protocol}, foreign", "GET / with a fetched SVID", "200 rule.allowed",
                  reader.curl(gateway, "agent", protocol))
        suite.row(f"curl {protocol}, foreign, POST", "POST / with a fetched SVID", "403 rule.none_matched",
                  reader.curl(gateway, "agent", protocol, "-X", "POST"))
    python = python_spiffe()
    if python is None:
        suite.say("PyPI's `spiffe` is not here (build.sh could not get it): not run")
        return
    script = shutil.copy(__file__.replace("decisions.py", "python_client.py"), setting.lab.folder)
    code, said = setting.lab.call(python, script, setting.partner.socket, gateway.ports["agent"], uid=READER, within=60)
    suite.row("PyPI's `spiffe`, foreign", "GET / and POST / with its X509Source", "200 403", said.strip() if code == 0 else said[-300:])
