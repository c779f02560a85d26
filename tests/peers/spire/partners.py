"""What a partner does: it is built anew, has very many authorities, or rotates its keys for JWTs."""

import json
import shutil
import time

from lab import until

from .agents import lines, said
from .decisions import sign
from .gateway import UID
from .people import CLIENT, Workload
from .rotation import LONG_READER, REFRESH
from .setting import READER, WEB, Setting

EVENTS = "wasmcustom.svidgate.source_events_total."


def rebuilt_partner(suite, setting):
    """partner.example loses its database: another authority, and a sequence that begins at 1 again."""
    here = Setting(suite, setting.lab, "rebuilt-", setting.web_authority)
    gateway, shop, partner = here.shop_gateway, here.shop, here.partner
    partner.register("/ns/billing/sa/reader", LONG_READER, shop.name, ttl=3600)
    old = here.files_of(partner, LONG_READER, "reader-of-before")
    before = gateway.envoy.stat(EVENTS + "updated")
    partner.ask("localauthority", "x509", "prepare")
    until("the endpoint's second bundle", lambda: lines(gateway, "new content from", "partner_bundle", "sequence 2")
          or gateway.envoy.stat(EVENTS + "updated") > before + 1, 30)
    time.sleep(REFRESH)
    for listener in ("agent", "endpoint"):
        suite.row(f"before, {listener}", "GET / as reader", "200 rule.allowed", old.ask(gateway, listener))

    partner.agent.stop()
    partner.server.stop()
    shutil.rmtree(partner.home / "data")
    partner.start_server(shop)
    partner.learn(shop.name, shop.bundle())
    partner.join_agent()
    partner.register("/ns/billing/sa/reader", READER, shop.name)
    new = Workload(setting.lab, partner, READER)
    came = until("SPIRE takes the new bundle", lambda: (one := new.ask(gateway, "agent")).startswith("200") and one, 60, 1)
    suite.row("rebuilt, by the Workload API: new SVID", "GET /", "200 rule.allowed", came)
    suite.row("rebuilt, by the Workload API: old SVID", "GET /", "closed svid.unknown_authority", old.ask(gateway, "agent"))
    suite.row("rebuilt, by the endpoint: line", "the endpoint answers with a lower sequence", "said",
              said(gateway, 0, "sequence 1 is lower than 2, which is held, with 0 of the 2 authorities", "raise `epoch`", within=30))
    rollbacks = gateway.envoy.stat(EVENTS + "rollback")
    suite.row("rebuilt, by the endpoint: counter", "`rollback` of `svidgate_source_events_total`", "1 or more", rollbacks, rollbacks >= 1)
    suite.row("rebuilt, by the endpoint: new SVID", "GET /", "closed svid.unknown_authority", new.ask(gateway, "endpoint"))
    suite.row("rebuilt, by the endpoint: old SVID", "GET /; until `max_staleness`, as the docs say", "200 rule.allowed",
              old.ask(gateway, "endpoint"))

    endpoint = {"cluster": "partner_bundle", "path": "/", "authority": "localhost"}
    gateway.change("endpoint", version="epoch 1", federation=[{"bundle": {"endpoint": {**endpoint, "epoch": 1}}}])
    came = until("the new epoch", lambda: (one := new.ask(gateway, "endpoint")).startswith("200") and one, 30, 0.5)
    suite.row("rebuilt, `epoch: 1`: new SVID", "a new document, nothing started anew", "200 rule.allowed", came)
    suite.row("rebuilt, `epoch: 1`: old SVID", "GET /", "closed svid.unknown_authority", old.ask(gateway, "endpoint"))
    gateway.change("endpoint")
    time.sleep(3)
    suite.row("rebuilt, `epoch` put back: new SVID", "GET /", "200 rule.allowed", new.ask(gateway, "endpoint"))
    suite.row("rebuilt, `epoch` put back: old SVID", "GET /", "closed svid.unknown_authority", old.ask(gateway, "endpoint"))


def many_authorities(suite, setting):
    """A foreign bundle of 300 authorities is one like others; one of 1,100 hurts its own trust domain alone."""
    lab, shop, partner, gateway = setting.lab, setting.shop, setting.partner, setting.shop_gateway
    until("the partner is known", lambda: setting.reader.ask(gateway, "agent").startswith("200"), 30, 0.5)

    def bundle_of(count):
        """A bundle with so many authorities: its folder."""
        folder = lab.folder / f"many-{count}"
        folder.mkdir()
        lab.output_of(CLIENT, "authorities", "-trust-domain", "many.example", "-count", count, "-folder", folder)
        return folder

    gateway.change("agent", federation=[{}, {"trust_domain": "many.example"}], version="with many.example")
    many = bundle_of(300)
    shop.learn("many.example", (many / "bundle.json").read_text())
    shop.update(setting.gateway_entry, "/gateway", UID, partner.name, "many.example")
    member = Workload(lab, files=sign(lab, "many-member", many / "ca.pem", many / "ca.key", "spiffe://many.example/x"))
    # No rule names it, so who is verified is refused by the rules and nobody else.
    came = until("300 authorities are known", lambda: (one := member.ask(gateway, "agent")).endswith("none_matched") and one, 30, 0.5)
    suite.row("300 authorities: verified by the last", "GET / as many.example/x, for which there is no rule",
              "closed rule.none_matched", came)
    for name, who in (("own", setting.web), ("partner", setting.reader)):
        suite.row(f"300 authorities: {name}", "GET /", "200 rule.allowed", who.ask(gateway, "agent"))

    before = gateway.envoy.stat(EVENTS + "unusable_bundle")
    unusable = len(lines(gateway, "many.example", "1024"))
    shop.learn("many.example", (bundle_of(1100) / "bundle.json").read_text())
    until("the message with 1,100", lambda: gateway.envoy.stat(EVENTS + "unusable_bundle") > before, 30)
    suite.row("1,100 authorities: line", "`bundle set` of a trust domain above our bound", "said",
              said(gateway, unusable, "many.example", "1024"))
    suite.row("1,100 authorities: its own SVIDs", "GET / as before, by the bundle that there was", "closed rule.none_matched",
              member.ask(gateway, "agent"))
    # The others are followed all the while.
    partner.ask("localauthority", "x509", "prepare")
    time.sleep(REFRESH)
    old = partner.authorities()
    partner.ask("localauthority", "x509", "activate", "-authorityID", old["prepared"])
    partner.ask("localauthority", "x509", "taint", "-authorityID", old["active"])
    time.sleep(5)
    for name, who in (("own", setting.web), ("partner, of its new authority", setting.reader)):
        suite.row(f"1,100 authorities: {name}", "GET /", "200 rule.allowed", who.ask(gateway, "agent"))
    shop.update(setting.gateway_entry, "/gateway", UID, partner.name)
    gateway.change("agent")


def jwt_rotation(suite, setting):
    """Keys for JWTs are prepared, activated, tainted, revoked; SPIRE then lists them in another order at each answer."""
    gateway, partner = setting.shop_gateway, setting.partner
    until("the partner is known", lambda: setting.reader.ask(gateway, "endpoint").startswith("200"), 30, 0.5)
    for _ in range(3):
        old = partner.authorities("jwt")["active"]
        partner.ask("localauthority", "jwt", "prepare")
        partner.ask("localauthority", "jwt", "activate", "-authorityID", partner.authorities("jwt")["prepared"])
        partner.ask("localauthority", "jwt", "taint", "-authorityID", old)
    answers = {json.dumps(keys_for_jwts(setting)) for _ in range(20)}
    suite.row("JWT rotation: order", "20 answers of the bundle endpoint", "more than one order", len(answers), len(answers) > 1)
    # Two polls at least.
    before = gateway.envoy.stat(EVENTS + "unchanged")
    until("two polls", lambda: gateway.envoy.stat(EVENTS + "unchanged") >= before + 2, 45)
    same = gateway.envoy.stat(EVENTS + "same_sequence")
    suite.row("JWT rotation: noise", "two polls of the gateway", "0 counted, 0 lines",
              f"{same} counted, {len(lines(gateway, 'other content under the same sequence'))} lines")
    partner.ask("localauthority", "jwt", "revoke", "-authorityID", old)
    time.sleep(REFRESH)
    for listener in ("agent", "endpoint"):
        suite.row(f"JWT rotation: foreign, {listener}", "GET / after all that", "200 rule.allowed", setting.reader.ask(gateway, listener))


def keys_for_jwts(setting):
    answer = setting.lab.output_of("curl", "-s", "--cacert", setting.web_authority.pem,
                                   f"https://localhost:{setting.partner.endpoint_port}/")
    return [key["kid"] for key in json.loads(answer)["keys"] if key.get("use") == "jwt-svid"]


def lifetimes(suite, setting):
    """An SVID of 60 s lives 70: its notBefore is 10 s in the past."""
    gateway, shop, partner = setting.shop_gateway, setting.shop, setting.partner
    shop.register("/ns/shop/sa/web", 9014, partner.name, ttl=90)
    partner.register("/ns/billing/sa/reader", 9015, shop.name, ttl=90)
    gateway.change("endpoint", version="short lives", svid_max_lifetime="60s",
                   federation=[{"svid_max_lifetime": "60s", "bundle": {"endpoint": {
                       "cluster": "partner_bundle", "path": "/", "authority": "localhost"}}}])
    for name, domain, usual, longer in (("own", shop, WEB, 9014), ("foreign", partner, READER, 9015)):
        usual_files, long_files = (setting.files_of(domain, uid, f"{name}-of-{uid}") for uid in (usual, longer))
        suite.row(f"svid_max_lifetime 60s, {name}: SVID of 60 s", f"GET /, lives {lifetime(setting, usual_files)} s",
                  "200 rule.allowed, lives 70 s", f"{usual_files.ask(gateway, 'endpoint')}, lives {lifetime(setting, usual_files)} s")
        suite.row(f"svid_max_lifetime 60s, {name}: SVID of 90 s", f"GET /, lives {lifetime(setting, long_files)} s",
                  "closed svid.lifetime_too_long", long_files.ask(gateway, "endpoint"))
    gateway.change("endpoint")


def lifetime(setting, who):
    """Seconds from notBefore to notAfter."""
    dates = setting.lab.output_of("openssl", "x509", "-in", f"{who.files}.pem", "-noout", "-startdate", "-enddate")
    begin, end = (time.mktime(time.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y GMT")) for line in dates.splitlines())
    return int(end - begin)
