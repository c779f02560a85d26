"""Authorities that are replaced, by hand and by time, while clients go on."""

import os
import time
from pathlib import Path

from lab import until

from .decisions import sign
from .domain import SPIFFE, TrustDomain, pem_of
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
    below_an_upstream(suite, here, gateway, "upstream authority")
    loads = everybody(here, gateway, OWN_WITH_CHAINS, ["agent", "endpoint"], every="100ms")
    intermediates_rotate(suite, here, gateway, loads, "rotation by time", [here.shop, here.partner])


def nested(suite, setting):
    """shop.example has two servers: one that signs with the trust domain's root, and one below it, whose upstream authority is the
    first. It has its own identity from an agent of the first, and signs for all workloads here but one."""
    lab = setting.lab
    root = TrustDomain(lab, "shop.example", SPIFFE, setting.web_authority, "nested-root", svid_ttl="10m")
    root.start_server()
    root.join_agent()
    root.register("/nested", os.geteuid(), downstream=True)
    root.register("/ns/shop/sa/web", WEB)
    root.fetch(os.geteuid(), "nested-server")
    plugin = (f'UpstreamAuthority "spire" {{ plugin_data {{ server_address = "127.0.0.1" server_port = "{root.port}" '
              f'workload_api_socket = "{root.socket}" }} }}')
    here = Setting(suite, lab, "nested-", setting.web_authority, ca_ttl="2m", svid_ttl="40s", agent_ttl="10m", shop_plugins=plugin)
    suite.row("nested: what the bundle has", "`bundle show` at both servers", "the root, no intermediate",
              "the root, no intermediate" if here.shop.certificates() == root.certificates() else here.shop.bundle())
    gateway, theirs = here.shop_gateway, here.partner_gateway
    until("the bundle is known", lambda: Workload(lab, root, WEB).ask(gateway, "agent").startswith("200"), 30, 0.5)
    suite.row("nested: a workload of the root server", "GET / as web through both filters, without `xfcc: own`", "200 rule.allowed",
              Workload(lab, root, WEB).ask(gateway, "agent"))
    below_an_upstream(suite, here, gateway, "nested")
    until("the partner knows our bundle", lambda: here.web.ask(theirs, "both-xfcc").startswith("200"), 30, 0.5)
    suite.row("nested: foreign", "POST / as web at the partner's gateway, `xfcc: own`", "403 rule.none_matched",
              here.web.ask(theirs, "both-xfcc", method="POST"))
    loads = everybody(here, gateway, OWN_WITH_CHAINS, [], every="100ms")
    for protocol in ("http1", "http2"):
        loads[f"foreign, {protocol}, both-xfcc"] = here.web.load(theirs, "both-xfcc", protocol, every="100ms")
    intermediates_rotate(suite, here, gateway, loads, "nested", [here.shop])


OWN_WITH_CHAINS = ["xfcc", "both-xfcc", "proxy"]
"""Listeners that know an issuer which stands in no bundle: the proxy shows the chain, or has verified it."""

ROTATIONS = 230
"""Seconds in which an authority of two minutes is replaced twice."""


def intermediates_rotate(suite, here, gateway, loads, what, domains):
    """Two rotations of the authorities of `domains`, whose `ca_ttl` is two minutes, under load."""
    seen = {domain: {domain.authorities()["active"]} for domain in domains}
    ended = ended_by_agent(gateway)
    end = time.time() + ROTATIONS
    while time.time() < end:
        for domain, authorities in seen.items():
            authorities.add(domain.authorities()["active"])
        time.sleep(5)
    for domain, authorities in seen.items():
        suite.row(f"{what}: authorities of {domain.name}", f"{ROTATIONS} s with `ca_ttl = 2m`", "3 or more, one after another",
                  len(authorities), len(authorities) >= 3)
    rows_of(suite, loads, what)
    agent_connections_kept(suite, gateway, what, ended)
    # Nobody may have shown the newest issuer yet, so one SVID shows it here and is asked for there.
    newest = here.files_of(here.shop, WEB, "web-at-the-end")
    suite.row(f"{what}: own, the newest issuer", "GET / as web through both filters, `xfcc: own`", "200 rule.allowed",
              newest.ask(gateway, "both-xfcc"))
    time.sleep(2)
    suite.row(f"{what}: own, the newest issuer, learned", "GET / as web through both filters, without `xfcc: own`",
              "200 rule.allowed", newest.ask(gateway, "agent"))


def below_an_upstream(suite, here, gateway, what):
    """SVIDs whose issuer stands in no bundle: the HTTP filter sees the chain, the network filter does not."""
    suite.row(f"{what}: nothing learned yet", "GET / as web through both filters, without `xfcc: own`",
              "closed svid.unknown_authority", here.web.ask(gateway, "agent"))
    suite.row(f"{what}: without a rule", "GET / as other through both filters, `xfcc: own`", "403 rule.none_matched",
              here.other.ask(gateway, "both-xfcc"))
    for protocol, allowed in (("http1", "200"), ("http2", "200"), ("grpc", "OK")):
        suite.row(f"{what}: `xfcc: own` and `mark_passed`, {protocol}", "GET / as web through both filters",
                  f"{allowed} rule.allowed", here.web.ask(gateway, "both-xfcc", protocol))
    # What one worker has learned the others have a second later.
    time.sleep(2)
    suite.row(f"{what}: learned", "GET / as web through both filters, without `xfcc: own`", "200 rule.allowed",
              here.web.ask(gateway, "agent"))
    suite.row(f"{what}: learned, without a rule", "GET / as other through both filters, without `xfcc: own`",
              "closed rule.none_matched", here.other.ask(gateway, "agent"))
    for name, who, seen, unseen in forged_chains(here):
        for listener, expected, how in (("both-xfcc", f"403 {seen}", "with"), ("agent", f"closed {unseen}", "without")):
            before = here.upstream.count()
            came = who.ask(gateway, listener)
            suite.row(f"{what}: {name}, {how} `xfcc: own`", "GET / through both filters, with its chain", f"{expected}, 0 upstream",
                      f"{came}, {here.upstream.count() - before} upstream")


def forged_chains(here):
    """Who has a chain for web's id that leads to no authority of ours, and what is to be said of it, where the chain is seen and
    where it is not."""
    lab, web = here.lab, here.shop.id("/ns/shop/sa/web")
    folder = lab.folder / f"{here.folder}forged"
    folder.mkdir()

    def workload(name, pem, key):
        leaf = sign(lab, f"{folder.name}/{name}", pem, key, web)
        with open(f"{leaf}.pem", "a") as chain:
            chain.write(Path(pem).read_text())
        return Workload(lab, files=leaf)

    pem, key = here.partner.signing_key(lab)
    real = here.files_of(here.shop, WEB, "web-to-copy").files
    return [
        ("our id, signed by the partner's authority", workload("by-partner", pem, key),
         "svid.unknown_authority", "svid.unknown_authority"),
        ("our id, below names of our issuers with other keys",
         workload("by-copy", *copied(lab, folder, real, here.shop.certificates()[0])), "svid.bad_signature", "svid.unknown_authority"),
        ("our id, below an SVID of ours", workload("by-svid", f"{real}.pem", f"{real}.key"),
         "svid.signing_certificate", "svid.unknown_authority"),
    ]


def copied(lab, folder, real, authority):
    """The intermediate that has signed an SVID and its authority, as far as anybody can copy them: to the byte but for their keys,
    what identifies these, and the signatures. Certificate and key of the intermediate."""
    call = lambda *argv: lab.output_of("openssl", *argv, folder=folder)
    (folder / "real.pem").write_text("-----BEGIN" + Path(f"{real}.pem").read_text().split("-----BEGIN")[2])
    (folder / "authority.pem").write_text(pem_of("CERTIFICATE", authority))
    (folder / "extensions").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                                       "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    new = ["-days", "1", "-clrext", "-extfile", "extensions"]
    for name, copy in (("authority", "root"), ("real", "self")):
        call("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{copy}.key")
        call("x509", "-in", f"{name}.pem", "-key", f"{copy}.key", *new, "-out", f"{copy}.pem")
    # openssl signs with another's key only what has signed itself.
    call("x509", "-in", "self.pem", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "1", *new, "-out", "copy.pem")
    return folder / "copy.pem", folder / "self.key"
