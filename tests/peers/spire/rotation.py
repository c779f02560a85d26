"""Authorities that are replaced, by hand and by time, while clients go on."""

import time

from lab import until

from .decisions import sign
from .people import Workload
from .setting import READER, WEB, Setting

LONG_WEB, LONG_READER = 9012, 9013
"""The same ids with SVIDs of an hour, which outlive their authority."""

REFRESH = 12
"""Seconds within which everybody has a new bundle: the hint says 10, an agent asks every second, a tick is one more."""

PROTOCOLS = ("http1", "http2", "grpc")


def everybody(setting, gateway, own_listeners, foreign_listeners, every="50ms"):
    """Clients of both trust domains that keep their connections, each with a name."""
    loads = {}
    for protocol in PROTOCOLS:
        foreign = setting.caller if protocol == "grpc" else setting.reader
        for listener in own_listeners:
            loads[f"own, {protocol}, {listener}"] = setting.web.load(gateway, listener, protocol, every=every)
        for listener in foreign_listeners:
            loads[f"foreign, {protocol}, {listener}"] = foreign.load(gateway, listener, protocol, every=every)
    return loads


def rows_of(suite, loads, what):
    for name, load in loads.items():
        sent = load.end()
        suite.row(f"{what}: {name}", f"go-spiffe, {sent['svids']} SVIDs, {sent['handshakes']} connections", "all allowed",
                  load.came(), load.all_allowed)


def rotation_by_hand(suite, setting):
    """prepare, activate, taint, revoke on both servers. SVIDs live 60 s, and those of before have ended when their authority is
    revoked, but for two that were kept."""
    gateway = setting.shop_gateway
    shop, partner = setting.shop, setting.partner
    shop.register("/ns/shop/sa/web", LONG_WEB, partner.name, ttl=3600)
    partner.register("/ns/billing/sa/reader", LONG_READER, shop.name, ttl=3600)
    old_web = setting.files_of(shop, LONG_WEB, "web-of-before")
    old_reader = setting.files_of(partner, LONG_READER, "reader-of-before")
    until("the partner is known", lambda: setting.reader.ask(gateway, "endpoint").startswith("200"), 30, 0.5)
    downloads = {(name, protocol): who.stream(gateway, listener, protocol) for protocol in ("http1", "http2")
                 for name, who, listener in (("own", old_web, "agent"), ("foreign, agent", old_reader, "agent"),
                                             ("foreign, endpoint", old_reader, "endpoint"))}
    loads = everybody(setting, gateway, ["agent"], ["agent", "endpoint"])
    ended = ended_by_agent(gateway)
    old = {domain: domain.authorities()["active"] for domain in (shop, partner)}
    for domain in old:
        domain.ask("localauthority", "x509", "prepare")
    time.sleep(REFRESH)
    for domain in old:
        domain.ask("localauthority", "x509", "activate", "-authorityID", domain.authorities()["prepared"])
    for domain, authority in old.items():
        domain.ask("localauthority", "x509", "taint", "-authorityID", authority)
    tainted = time.time()

    def renewed():
        return all(authority_of(setting, who) != authority_of(setting, before) for who, before in (
            (setting.files_of(shop, LONG_WEB, "web-after"), old_web),
            (setting.files_of(partner, LONG_READER, "reader-after"), old_reader)))

    until("SPIRE renews what a tainted authority has issued", renewed, 30, 0.5)
    suite.say(f"SVIDs of the new authorities {time.time() - tainted:.1f} s after the old were tainted")
    # Until the last SVID of 60 s has ended, but for those that were kept.
    time.sleep(max(0, 62 + 10 - (time.time() - tainted)))
    suite.row("tainted: downloads of before", "nothing in a bundle marks a tainted authority", "6 go on",
              f"{sum(one.goes_on and one.status == 200 for one in downloads.values())} go on")
    for domain, authority in old.items():
        domain.ask("localauthority", "x509", "revoke", "-authorityID", authority)
    revoked = time.time()
    for (name, protocol), download in downloads.items():
        # Our server asks the partner's endpoint every 10 s, and what it found goes by the agent to the gateway: 10 to 15 s were
        # seen. The gateway asks the endpoint itself as often.
        within = {"own": 5, "foreign, endpoint": REFRESH + 3, "foreign, agent": 2 * REFRESH}[name]
        seconds = download.cut_after(revoked, 30)
        suite.row(f"revoked: download cut, {name}, {protocol}", "a download with an SVID of before", f"within {within} s",
                  f"{seconds:.1f} s", seconds <= within)
    for name, who, listener in (("own", old_web, "agent"), ("foreign, agent", old_reader, "agent"),
                                ("foreign, endpoint", old_reader, "endpoint")):
        suite.row(f"revoked: SVID of before, {name}", "GET / with it", "closed svid.unknown_authority",
                  who.ask(gateway, listener))
    for name, who in (("own", Workload(setting.lab, shop, LONG_WEB)), ("foreign", Workload(setting.lab, partner, LONG_READER))):
        suite.row(f"revoked: SVID of after, {name}", "GET / with it", "200 rule.allowed", who.ask(gateway, "agent"))
    rows_of(suite, loads, "rotation by hand")
    agent_connections_kept(suite, gateway, "rotation by hand", ended)


def ended_by_agent(gateway):
    """How many connections the agent has ended: it does so to a client that it does not like."""
    return gateway.envoy.stat("cluster.spire_agent.upstream_cx_destroy_remote")


def agent_connections_kept(suite, gateway, what, before):
    suite.row(f"{what}: the agent keeps the gateway's connection", "SDS and Workload API on it, without pings", "0 ended by the agent",
              f"{ended_by_agent(gateway) - before} ended by the agent")


def authority_of(setting, who):
    """The key identifier of the authority that signed an SVID in files."""
    text = setting.lab.output_of("openssl", "x509", "-in", f"{who.files}.pem", "-noout", "-ext", "authorityKeyIdentifier")
    return text.split()[-1]


def time_passes(suite, setting):
    """Authorities of two minutes: SPIRE prepares the next at half of that, and takes it at 5/6. shop.example has an upstream
    authority, so its SVIDs come with an intermediate, which changes and is published nowhere."""
    lab = setting.lab
    root = lab.folder / "corporate"
    root.mkdir()
    lab.output_of("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                  root / "root.key", "-out", root / "root.pem", "-days", "2", "-subj", "/O=corporate/CN=root",
                  "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    plugin = (f'UpstreamAuthority "disk" {{ plugin_data {{ cert_file_path = "{root}/root.pem" '
              f'key_file_path = "{root}/root.key" }} }}')
    here = Setting(suite, lab, "time-", setting.web_authority, ca_ttl="2m", svid_ttl="40s", agent_ttl="10m", shop_plugins=plugin)
    gateway = here.shop_gateway
    until("the partner is known", lambda: here.reader.ask(gateway, "endpoint").startswith("200"), 30, 0.5)
    upstream_authority(suite, here, gateway)
    first = {domain: {domain.authorities()["active"]} for domain in (here.shop, here.partner)}
    loads = everybody(here, gateway, ["xfcc", "both-xfcc", "proxy"], ["agent", "endpoint"], every="100ms")
    ended = ended_by_agent(gateway)
    end = time.time() + 230
    while time.time() < end:
        for domain, seen in first.items():
            seen.add(domain.authorities()["active"])
        time.sleep(5)
    for domain, seen in first.items():
        suite.row(f"rotation by time: authorities of {domain.name}", "230 s with `ca_ttl = 2m`", "3 or more, one after another",
                  len(seen), len(seen) >= 3)
    rows_of(suite, loads, "rotation by time")
    agent_connections_kept(suite, gateway, "rotation by time", ended)
    # Nobody may have shown the newest issuer yet, so one SVID shows it here and is asked for there.
    newest = here.files_of(here.shop, WEB, "web-at-the-end")
    suite.row("rotation by time: own, the newest issuer", "GET / as web through both filters, `xfcc: own`", "200 rule.allowed",
              newest.ask(gateway, "both-xfcc"))
    time.sleep(2)
    suite.row("rotation by time: own, the newest issuer, learned", "GET / as web through both filters, without `xfcc: own`",
              "200 rule.allowed", newest.ask(gateway, "agent"))


def upstream_authority(suite, here, gateway):
    """An SVID whose issuer stands in no bundle: the HTTP filter sees the chain, the network filter does not."""
    suite.row("upstream authority: nothing learned yet", "GET / as web through both filters, without `xfcc: own`",
              "closed svid.unknown_authority", here.web.ask(gateway, "agent"))
    for protocol, allowed in (("http1", "200"), ("http2", "200"), ("grpc", "OK")):
        suite.row(f"upstream authority: `xfcc: own` and `mark_passed`, {protocol}", "GET / as web through both filters",
                  f"{allowed} rule.allowed", here.web.ask(gateway, "both-xfcc", protocol))
    # What one worker has learned the others have a second later.
    time.sleep(2)
    suite.row("upstream authority: learned", "GET / as web through both filters, without `xfcc: own`", "200 rule.allowed",
              here.web.ask(gateway, "agent"))
    pem, key = here.partner.signing_key(here.lab)
    forged = Workload(here.lab, files=sign(here.lab, "time-forged", pem, key, here.shop.id("/ns/shop/sa/web")))
    before = here.upstream.count()
    suite.row("upstream authority: our id, signed by the partner's authority", "GET / through both filters, `xfcc: own`",
              "403 svid.unknown_authority, 0 upstream",
              f"{forged.ask(gateway, 'both-xfcc')}, {here.upstream.count() - before} upstream")
