"""Callers that come through a hop, each with a token that SPIRE's agent has given it."""

import base64
import json
import os
import time

from lab import until

from .domain import decoded
from .gateway import ENDPOINT, OWN_BUNDLE, UNTRUSTED
from .people import CLIENT
from .rotation import REFRESH
from .setting import CALLER, EDGE, OTHER, READER, WEB

AUDIENCE, LONG, LONGER, BRIEF = (f"spiffe://shop.example/ns/shop/sa/{name}" for name in ("orders", "ledger", "archive", "stock"))
"""Who we are to callers. An agent keeps tokens by id and audience, whichever entry they are of: another lifetime is for another."""

LONG_WEB, LONG_READER, LONGER_WEB, BRIEF_WEB = 9016, 9017, 9018, 9019
"""Web and reader once more: with tokens of an hour, which outlive their authority, of 90 seconds, and of 5."""

WEB_ID, READER_ID = "spiffe://shop.example/ns/shop/sa/web", "spiffe://partner.example/ns/billing/sa/reader"
EDGE_ID = "spiffe://shop.example/ns/edge/sa/gateway"

HOPS = [{
    "name": "edge", "peers": [EDGE_ID], "assertion": "jwt_svid", "except": ["spiffe://shop.example/ns/shop/sa/other"],
    "callers": ["spiffe://shop.example/ns/shop/**", "spiffe://partner.example/ns/billing/**"],
}]
RULES = [
    {"name": "web-does-all", "effect": "allow", "from": [WEB_ID], "via": ["edge"]},
    {"name": "reader-reads", "effect": "allow", "from": [READER_ID], "via": ["edge"], "to": [{"methods": ["GET"]}]},
    {"name": "caller-calls", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/sa/caller"], "via": ["edge"],
     "to": [{"methods": ["POST"], "paths": ["/grpc.health.v1.Health/**"]}]},
    {"name": "other-reads-itself", "effect": "allow", "from": ["spiffe://shop.example/ns/shop/sa/other"], "to": [{"methods": ["GET"]}]},
]


def listener(federation=None, **tokens):
    """A document for tokens, by whatever brings the partner's keys."""
    members = {**OWN_BUNDLE, "hops": HOPS, "jwt_svid": {"audiences": [AUDIENCE, LONG, LONGER, BRIEF], **tokens}}
    return {**members, **({"federation": [federation]} if federation else {})}, UNTRUSTED, {}


MAX_STREAM, LEEWAY = 10, 1

DOCUMENTS = {
    "agent": listener(max_lifetime="2h"),
    "endpoint": listener(ENDPOINT, max_lifetime="2h"),
    "short": listener(max_lifetime="60s", max_stream=f"{MAX_STREAM}s", leeway=f"{LEEWAY}s"),
}


def behind_the_edge(setting):
    """The gateway that edge brings callers to, once it knows both trust domains' keys."""
    gateway = setting.another("tokens", DOCUMENTS, RULES)
    token = Token(setting, setting.partner, READER, "first")
    for listener in DOCUMENTS:
        until(f"the partner's JWT keys at `{listener}`",
              lambda: setting.edge.ask(gateway, listener, bearer=token.renewed().file).startswith("200"), 30, 0.5)
    return gateway


class Token:
    """One of a workload, in a file for whoever brings it."""

    def __init__(self, setting, domain, uid, name, audience=AUDIENCE):
        self._domain, self._uid, self._audience = domain, uid, audience
        self.file = setting.lab.folder / f"{name}.token"
        self.renewed()

    def renewed(self):
        """The one that the agent gives now, which may be the same."""
        self.text, self.bundles = self._domain.fetch_token(self._uid, self._audience)
        self.file.write_text(self.text)
        return self

    @property
    def header(self):
        return json.loads(decoded(self.text.split(".")[0]))

    @property
    def claims(self):
        return json.loads(decoded(self.text.split(".")[1]))


class Renewed:
    """A token that is asked for every second, by a process of its own."""

    def __init__(self, setting, domain, uid, name):
        folder = setting.lab.folder / f"tokens-{name}"
        folder.mkdir()
        os.chown(folder, uid, uid)
        self.file = folder / "token"
        self.process = setting.lab.start(f"tokens-{name}", CLIENT, "tokens", "-socket", domain.socket, "-audience", AUDIENCE,
                                         "-into", self.file, uid=uid)
        until(f"a token for {name}", self.file.exists, 20, 0.1)

    @property
    def key(self):
        """What the key of the token that there is now is called."""
        return json.loads(decoded(self.file.read_text().split(".")[0]))["kid"]

    def end(self):
        """How many there were."""
        self.process.stop()
        return json.loads(self.process.output().splitlines()[-1])["tokens"]


def tokens(suite, setting):
    """What SPIRE issues, who gets in by it, and what is refused."""
    gateway, upstream, edge = behind_the_edge(setting), setting.upstream, setting.edge
    shop, partner = setting.shop, setting.partner
    web, reader = Token(setting, shop, WEB, "web"), Token(setting, partner, READER, "reader")
    what_spire_issues(suite, setting, web)
    caller, other = Token(setting, partner, CALLER, "caller"), Token(setting, shop, OTHER, "other")
    elsewhere = Token(setting, shop, WEB, "for-somebody-else", "spiffe://shop.example/ns/shop/sa/payments")
    denied = lambda reason: {"http1": f"403 {reason}", "http2": f"403 {reason}", "grpc": f"PermissionDenied {reason}"}
    cases = [
        ("own", web, "GET", {"http1": "200 rule.allowed", "http2": "200 rule.allowed", "grpc": "OK rule.allowed"}),
        ("foreign", reader, "GET", {"http1": "200 rule.allowed", "http2": "200 rule.allowed"}),
        ("foreign, another method", reader, "POST", {"http1": "403 rule.none_matched", "http2": "403 rule.none_matched"}),
        ("foreign, gRPC by rule", caller, "GET", {"grpc": "OK rule.allowed", "http1": "403 rule.none_matched"}),
        ("for another audience", elsewhere, "GET", denied("token.wrong_audience")),
        ("whom the hop may not bring", other, "GET", denied("assertion.not_allowed")),
        ("none", None, "GET", denied("assertion.missing")),
        *((name, token, "GET", {"http1": denied(reason)["http1"]}) for name, token, reason in forgeries(setting, web)),
    ]
    for name, token, method, outcomes in cases:
        for protocol, expected in outcomes.items():
            for listener in ("agent", "endpoint"):
                before = upstream.count()
                came = edge.ask(gateway, listener, protocol, method, bearer=token and token.file)
                suite.row(f"token, {name}, {protocol}, keys by {listener}", f"{method} / by edge, through both filters",
                          f"{expected}, {int(expected.endswith('rule.allowed'))} upstream", f"{came}, {upstream.count() - before} upstream")
    _, record = edge.asked(gateway, "agent", bearer=reader.file)
    suite.row("token: record", "GET / by edge for reader", (READER_ID, EDGE_ID, "token"),
              tuple(record.get(member) for member in ("id", "via", "evidence")))
    came, record = setting.other.asked(gateway, "agent", bearer=web.file)
    suite.row("token of a peer that is no hop", "GET / as other, with web's token: it is who it is", "200 rule.allowed as other",
              f"{came} as {record.get('id', '').rpartition('/')[2]}")
    suite.row("token of a peer that is no hop, for more", "POST / as other, with web's token", "403 rule.none_matched",
              setting.other.ask(gateway, "agent", method="POST", bearer=web.file))
    suite.row("token of a peer without a rule of its own", "GET / as web, with its own token", "closed rule.none_matched",
              setting.web.ask(gateway, "agent", bearer=web.file))
    suite.row("gateway behind the edge: guard", "svidgate guard --admin", "guarded", str(gateway.envoy.judged()))
    lives(suite, setting, gateway)


def what_spire_issues(suite, setting, token):
    suite.row("SPIRE: header of a token", "FetchJWTSVID", {"alg": "ES256", "typ": "JWT", "kid": "of the active authority"},
              {**token.header, "kid": "of the active authority" if token.header["kid"] == setting.shop.authorities("jwt")["active"]
               else token.header["kid"]})
    claims = token.claims
    suite.row("SPIRE: claims of a token", "FetchJWTSVID, `default_jwt_svid_ttl = 60s`", (["aud", "exp", "iat", "sub"], [AUDIENCE], 60, WEB_ID),
              (sorted(claims), claims["aud"], claims["exp"] - claims["iat"], claims["sub"]))
    keys = {name: sorted({tuple(sorted(key)) for key in bundle["keys"]}) for name, bundle in token.bundles.items()}
    plain = [("crv", "kid", "kty", "x", "y")]
    suite.row("SPIRE: keys by FetchJWTBundles", "members of each key, by trust domain",
              {"spiffe://shop.example": plain, "spiffe://partner.example": plain}, keys)
    answer = json.loads(setting.lab.output_of("curl", "-s", "--cacert", setting.web_authority.pem,
                                              f"https://localhost:{setting.partner.endpoint_port}/"))
    listed = sorted({(key["use"], *sorted(key)) for key in answer["keys"] if "x5c" not in key})
    suite.row("SPIRE: JWT keys of an endpoint", "members of each key", [("jwt-svid", "crv", "kid", "kty", "use", "x", "y")], listed)


def forgeries(setting, real):
    """Tokens that name web, and what is to be said of them."""
    lab = setting.lab
    theirs, key = setting.partner.jwt_key(lab)
    claims = real.claims
    head, _, signature = real.text.split(".")
    return [(name, Forged(lab, name, text), reason) for name, text, reason in (
        ("our id, by the partner's key", signed_by(lab, key, {**real.header, "kid": theirs}, claims), "token.unknown_key"),
        ("our id, by the partner's key under our name", signed_by(lab, key, real.header, claims), "token.bad_signature"),
        ("of ours, with a later end", f"{head}.{encoded({**claims, 'exp': claims['exp'] + 600})}.{signature}", "token.bad_signature"),
    )]


class Forged:
    def __init__(self, lab, name, text):
        self.file = lab.folder / f"{name}.token"
        self.file.write_text(text)


def encoded(value):
    """A part of a token: JSON, or bytes as they are."""
    value = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def signed_by(lab, key, header, claims):
    """A token with ES256. What openssl signs has r and s in DER; a token has them side by side."""
    what, text = f"{encoded(header)}.{encoded(claims)}", lab.folder / "to-sign"
    text.write_text(what)
    lab.output_of("openssl", "dgst", "-sha256", "-sign", key, "-out", lab.folder / "signed", text)
    der = (lab.folder / "signed").read_bytes()
    end = 4 + der[3]
    sides = (int.from_bytes(side, "big").to_bytes(32, "big") for side in (der[4:end], der[end + 2:]))
    return f"{what}.{encoded(b''.join(sides))}"


def lives(suite, setting, gateway):
    """Tokens of a minute: requests go on by new ones, a stream goes on past its token and no longer than `max_stream`."""
    edge, shop = setting.edge, setting.shop
    shop.register("/ns/shop/sa/web", LONGER_WEB, jwt_ttl=90)
    longer = Token(setting, shop, LONGER_WEB, "web-of-90-seconds", LONGER)
    suite.row("token of 90 s, `max_lifetime: 60s`", "GET /", "403 token.lifetime_too_long",
              edge.ask(gateway, "short", bearer=longer.file))
    suite.row("token of 90 s, `max_lifetime: 2h`", "GET /", "200 rule.allowed", edge.ask(gateway, "agent", bearer=longer.file))
    shop.register("/ns/shop/sa/web", BRIEF_WEB, jwt_ttl=5)
    brief = Token(setting, shop, BRIEF_WEB, "web-of-5-seconds", BRIEF)
    suite.row("token of 5 s", "GET /", "200 rule.allowed, lives 5 s",
              f"{edge.ask(gateway, 'short', bearer=brief.file)}, lives {brief.claims['exp'] - brief.claims['iat']} s")
    renewed = {"own": Renewed(setting, shop, WEB, "web"), "foreign": Renewed(setting, setting.partner, READER, "reader")}
    loads = {(name, protocol): edge.load(gateway, "short", protocol, bearer=one.file)
             for name, one in renewed.items() for protocol in ("http1", "http2")}
    token = Token(setting, shop, WEB, "web-that-ends")
    ends = token.claims["exp"]
    streams = {(protocol, listener): edge.stream(gateway, listener, protocol, bearer=token.file)
               for protocol in ("http1", "http2") for listener in ("short", "agent")}
    suite.row("token of a minute, before its end", "GET /", "200 rule.allowed", edge.ask(gateway, "short", bearer=token.file))
    time.sleep(max(0, ends + LEEWAY + 2 - time.time()))
    suite.row("token of a minute, after its end", f"GET /, `leeway: {LEEWAY}s`", "403 token.expired",
              edge.ask(gateway, "short", bearer=token.file))
    suite.row("streams after their token's end", "downloads, HTTP/1.1 and HTTP/2, two listeners", "4 go on",
              f"{sum(one.goes_on and one.status == 200 for one in streams.values())} go on")
    due = ends + LEEWAY + MAX_STREAM
    for protocol in ("http1", "http2"):
        # A tick a second looks at what is under way, and ends one thing of a connection.
        seconds = streams[protocol, "short"].cut_after(due, 10)
        suite.row(f"stream past its token, {protocol}", f"`max_stream: {MAX_STREAM}s`, `leeway: {LEEWAY}s`", "cut at most 3 s after that",
                  f"cut {seconds:.1f} s after", -0.1 <= seconds <= 3)
        suite.row(f"stream past its token, {protocol}, `max_stream` not written", "an hour, as the docs say", "goes on",
                  "goes on" if streams[protocol, "agent"].goes_on else "cut")
        streams[protocol, "agent"].stop()
    rows_of(suite, "tokens renewed", loads, renewed)


def rows_of(suite, what, loads, renewed):
    for name, load in loads.items():
        load.end()
        suite.row(f"{what}: {', '.join(name)}", "requests on a connection that is kept", "all allowed", load.came(), load.all_allowed)
    for name, one in renewed.items():
        count = one.end()
        suite.row(f"{what}: {name}, how many", "FetchJWTSVID every second", "2 or more", count, count >= 2)


def token_rotation(suite, setting):
    """JWT authorities prepared, activated, tainted, revoked on both servers, while callers come with what their agents give them."""
    gateway, edge, shop, partner = behind_the_edge(setting), setting.edge, setting.shop, setting.partner
    shop.register("/ns/shop/sa/web", LONG_WEB, jwt_ttl=3600)
    partner.register("/ns/billing/sa/reader", LONG_READER, jwt_ttl=3600)
    web, reader = (Token(setting, domain, uid, f"long-{uid}", LONG) for domain, uid in ((shop, LONG_WEB), (partner, LONG_READER)))
    ways = {"own": (web, "agent"), "foreign, agent": (reader, "agent"), "foreign, endpoint": (reader, "endpoint")}
    old = {domain: domain.authorities("jwt")["active"] for domain in (shop, partner)}
    for name, (token, listener) in ways.items():
        suite.row(f"tokens, before: {name}", "GET / with a token of an hour", "200 rule.allowed",
                  edge.ask(gateway, listener, bearer=token.file))
    downloads = {(name, protocol): edge.stream(gateway, listener, protocol, bearer=token.file)
                 for name, (token, listener) in ways.items() for protocol in ("http1", "http2")}
    renewed = {"own": Renewed(setting, shop, WEB, "web-rotates"), "foreign": Renewed(setting, partner, READER, "reader-rotates"),
               "foreign, gRPC": Renewed(setting, partner, CALLER, "caller-rotates")}
    loads = {(name, protocol, listener): edge.load(gateway, listener, protocol, bearer=renewed[name].file, every="50ms")
             for name, protocols in (("own", ("http1", "http2", "grpc")), ("foreign", ("http1", "http2")), ("foreign, gRPC", ("grpc",)))
             for protocol in protocols for listener in ("agent", "endpoint")}
    for domain in old:
        domain.ask("localauthority", "jwt", "prepare")
    time.sleep(REFRESH)
    for domain in old:
        domain.ask("localauthority", "jwt", "activate", "-authorityID", domain.authorities("jwt")["prepared"])
    new = {domain: domain.authorities("jwt")["active"] for domain in old}
    activated = time.time()
    of = {"own": shop, "foreign": partner, "foreign, gRPC": partner}
    until("tokens of the new authorities", lambda: all(one.key == new[of[name]] for name, one in renewed.items()), 60, 0.5)
    suite.say(f"tokens of the new authorities {time.time() - activated:.1f} s after they were activated")
    for domain, authority in old.items():
        domain.ask("localauthority", "jwt", "taint", "-authorityID", authority)
    tainted = time.time()
    long = {shop: LONG_WEB, partner: LONG_READER}

    def key_of(domain):
        return json.loads(decoded(domain.fetch_token(long[domain], LONG)[0].split(".")[0]))["kid"]

    for domain in old:
        until(f"{domain.name}'s agent drops what a tainted authority has signed", lambda: key_of(domain) == new[domain], 30, 0.5)
    suite.say(f"tokens of an hour anew {time.time() - tainted:.1f} s after the old authorities were tainted")
    time.sleep(REFRESH)
    for name, (token, listener) in ways.items():
        suite.row(f"tokens, tainted: {name}", "GET / with the token of before: nothing marks a tainted authority", "200 rule.allowed",
                  edge.ask(gateway, listener, bearer=token.file))
    suite.row("tokens, tainted: downloads of before", "HTTP/1.1 and HTTP/2", "6 go on",
              f"{sum(one.goes_on and one.status == 200 for one in downloads.values())} go on")
    for domain, authority in old.items():
        domain.ask("localauthority", "jwt", "revoke", "-authorityID", authority)
    revoked = time.time()
    for (name, protocol), download in downloads.items():
        within = {"own": 5, "foreign, endpoint": REFRESH + 3, "foreign, agent": 2 * REFRESH}[name]
        seconds = download.cut_after(revoked, 30)
        suite.row(f"tokens, revoked: download cut, {name}, {protocol}", "a download by a token of before", f"within {within} s",
                  f"{seconds:.1f} s", seconds <= within)
    for name, (token, listener) in ways.items():
        suite.row(f"tokens, revoked: token of before, {name}", "GET / with it", "403 token.unknown_key",
                  edge.ask(gateway, listener, bearer=token.file))
    for name, (token, listener) in ways.items():
        suite.row(f"tokens, revoked: token of after, {name}", "GET / with it", "200 rule.allowed",
                  edge.ask(gateway, listener, bearer=token.renewed().file))
    rows_of(suite, "tokens rotate", loads, renewed)
