"""Who gets through with what cert-manager has issued, and what the document needs for it."""

import base64

from .gateway import Gateway, Peer, certificates

WEB, OTHER = "spiffe://prod.example/ns/shop/sa/web", "spiffe://prod.example/ns/shop/sa/other"

USAGES = ["digital signature", "client auth"]
"""What a Certificate for an SVID asks for. By default it would be `digital signature` and `key encipherment`, for any purpose."""


class Setting:
    """A root, an issuer below it, and a workload with a certificate of that."""

    def __init__(self, cluster):
        self.cluster, self.lab = cluster, cluster.lab
        cluster.issuer("selfsigned", selfSigned={})
        self.root = cluster.authority("root", "selfsigned", duration="87600h")
        self.issuing = cluster.authority("issuing", "root", duration="720h")
        self.web = svid(cluster, "web", "issuing")

    def gateway(self, name, intermediates):
        """`ca.crt` is its bundle."""
        return Gateway(self.lab, name, self.issuing["ca.crt"], self.web, intermediates)


def svid(cluster, name, issuer, uri=WEB):
    """Somebody with a certificate for an id."""
    return Peer(cluster.lab, name, cluster.certificate(name, issuer, uris=[uri], usages=USAGES))


def what_it_issues(suite, setting):
    """What is in a secret, and each shape of a certificate at the gateway."""
    cluster, root, issuing, web = setting.cluster, setting.root, setting.issuing, setting.web
    secret, request = cluster.secret("web"), cluster.request("web")
    names = {certificates(issuing["tls.crt"])[0]: "issuing", certificates(root["tls.crt"])[0]: "root"}
    suite.row("secret: chain", "`tls.crt` of a certificate below two authorities", "leaf, issuing",
              ", ".join(names.get(one, "leaf") for one in certificates(secret["tls.crt"])))
    suite.row("secret: CA", "`ca.crt` of that, and of its issuer", "the root, the root", ", ".join(
        "the root" if one["ca.crt"] == root["tls.crt"] else "another" for one in (secret, issuing)))
    came = [base64.b64decode(request["status"][key]).decode() for key in ("certificate", "ca")]
    suite.row("secret: as the CertificateRequest has it", "`status.certificate` and `status.ca`", "the same",
              "the same" if came == [secret["tls.crt"], secret["ca.crt"]] else came)
    suite.row("certificate: extensions", "openssl x509 -ext", "Digital Signature; TLS Web Client Authentication; CA:FALSE; "
              f"URI:{WEB}", web.extensions())

    gateway = setting.gateway("gateway", issuing["tls.crt"])
    by_root = svid(cluster, "web-of-root", "root")
    other = svid(cluster, "other", "issuing", OTHER)
    for listener, who, name, expected in (
        ("bare", by_root, "CA issuer that is the root, nothing written", "200 rule.allowed, 1 upstream"),
        ("bare", web, "CA issuer below another, nothing written", "closed svid.unknown_authority, 0 upstream"),
        ("list", web, "CA issuer below another, its certificate in `intermediates`", "200 rule.allowed, 1 upstream"),
        ("list", other, "the same, without a rule", "closed rule.none_matched, 0 upstream"),
        ("xfcc", other, "CA issuer below another, `xfcc: own`, without a rule", "403 rule.none_matched, 0 upstream"),
        ("xfcc", web, "CA issuer below another, `xfcc: own`", "200 rule.allowed, 1 upstream"),
    ):
        suite.row(name, "GET / through both filters", expected, gateway.ask(listener, who))
    suite.row("gateway: guard", "svidgate guard --admin", "guarded", str(gateway.envoy.judged()))

    shapes = (
        ("no `usages`", {"usages": None}, "200 rule.allowed, 1 upstream"),
        ("`usages: [digital signature, server auth]`", {"usages": ["digital signature", "server auth"]},
         "closed svid.key_usage, 0 upstream"),
        # Such a key cannot sign a handshake, either.
        ("`usages: [key encipherment, client auth]`", {"usages": ["key encipherment", "client auth"]}, "closed TLS, 0 upstream"),
        ("`dnsNames` beside the id", {"dnsNames": ["web.shop.svc"], "commonName": "web"}, "200 rule.allowed, 1 upstream"),
        ("`privateKey` of ECDSA P-256", {"privateKey": {"algorithm": "ECDSA", "size": 256}}, "200 rule.allowed, 1 upstream"),
        ("two `uris`", {"uris": [WEB, OTHER]}, "closed svid.multiple_uri_sans, 0 upstream"),
        ("`isCA: true`", {"isCA": True, "commonName": "web", "usages": [*USAGES, "cert sign"]}, "closed svid.is_ca, 0 upstream"),
    )
    for number, (name, spec, expected) in enumerate(shapes):
        spec = {key: value for key, value in {"uris": [WEB], "usages": USAGES, **spec}.items() if value is not None}
        peer = Peer(cluster.lab, f"shape-{number}", cluster.certificate(f"shape-{number}", "issuing", **spec))
        suite.row(f"certificate: {name}", "GET / through both filters, with `intermediates`", expected, gateway.ask("list", peer))

    # Who may make issuers makes some of our names.
    for name, issuer, common_name in (("stranger-root", "selfsigned", "root"), ("stranger", "stranger-root", "issuing")):
        cluster.authority(name, issuer, commonName=common_name)
    forged = svid(cluster, "forged", "stranger")
    for listener, expected in (("bare", "closed svid.unknown_authority"), ("list", "closed svid.bad_signature"),
                               ("xfcc", "403 svid.bad_signature")):
        suite.row(f"forged: our id below authorities of our names, {listener}", "GET / through both filters", f"{expected}, 0 upstream",
                  gateway.ask(listener, forged))


def issuer_that_is_renewed(suite, setting):
    """The certificate of a CA issuer is renewed, with a new key: a list in the document has the old one."""
    cluster, root, before, old = setting.cluster, setting.root, setting.issuing, setting.web
    issuing = cluster.renew("issuing")
    suite.row("renewed issuer: its key", "`cmctl renew issuing`", "another, below the same root", "another, below the same root"
              if issuing["tls.key"] != before["tls.key"] and issuing["ca.crt"] == root["tls.crt"] else "the same")
    web = svid(cluster, "web-of-after", "issuing")
    gateway = setting.gateway("gateway-of-before", before["tls.crt"])
    suite.row("renewed issuer: `intermediates` has the old, an SVID of before", "GET / through both filters",
              "200 rule.allowed, 1 upstream", gateway.ask("list", old))
    suite.row("renewed issuer: `intermediates` has the old, an SVID of after", "GET / through both filters",
              "closed svid.bad_signature, 0 upstream", gateway.ask("list", web))
    suite.row("renewed issuer: `xfcc: own`, an SVID of after", "GET / through both filters", "200 rule.allowed, 1 upstream",
              gateway.ask("xfcc", web))
    gateway.stop()
    gateway = setting.gateway("gateway-of-both", before["tls.crt"] + issuing["tls.crt"])
    for name, who in (("before", old), ("after", web)):
        suite.row(f"renewed issuer: `intermediates` has both, an SVID of {name}", "GET / through both filters",
                  "200 rule.allowed, 1 upstream", gateway.ask("list", who))
    gateway.stop()


SCENARIOS = [what_it_issues, issuer_that_is_renewed]
