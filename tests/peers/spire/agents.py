"""What becomes of a gateway when its agent, or its entry there, is not as it should be."""

import time

from lab import NeverCame, until

from .gateway import UID, Gateway
from .setting import SHOP_RULES, WEB

LATE = 9011


def lines(gateway, *words):
    """Lines of svidgate in the gateway's log that have all of these words."""
    return [line for line in gateway.envoy.log().splitlines() if "svidgate" in line and all(word in line for word in words)]


def said(gateway, before, *words, within=15):
    """What a line with these words says, that came after the first `before` of them; or that none came."""
    try:
        until(f"a line with {words}", lambda: lines(gateway, *words)[before:], within)
        return "said"
    except NeverCame as error:
        return f"not said: {error}"


def agent_away(suite, setting):
    """The agent killed and started again, frozen and thawed, with news in between each time."""
    gateway, shop, partner = setting.shop_gateway, setting.shop, setting.partner
    until("the partner is known", lambda: setting.reader.ask(gateway, "agent").startswith("200"), 30, 0.5)

    def news():
        """Something new in the partner's bundle, and whether it reaches the gateway."""
        before = len(lines(gateway, "new content from the Workload API"))
        partner.ask("localauthority", "x509", "prepare")
        return before

    web = setting.files_of(shop, WEB, "web-before-the-agent-went")
    before = len(lines(gateway, "UNAVAILABLE")), len(lines(gateway, "answers again"))
    shop.agent.kill()
    suite.row("agent killed: line", "SIGKILL to the agent", "said",
              said(gateway, before[0], "gRPC status 14 UNAVAILABLE", "no agent answers at the socket"))
    for name, who in (("own, which has its SVID", web), ("foreign", setting.reader)):
        suite.row(f"agent killed: {name}", "GET /", "200 rule.allowed", who.ask(gateway, "agent"))
    shop.start_agent()
    suite.row("agent started again: line", "the same agent, its data kept", "said", said(gateway, before[1], "answers again", within=70))
    count = news()
    suite.row("agent started again: news", "the partner prepares an authority", "said",
              said(gateway, count, "new content from the Workload API", within=30))

    failures = len(lines(gateway, "failures in a row"))
    shop.agent.freeze()
    count = news()
    time.sleep(10)
    suite.row("agent frozen: nothing new", "SIGSTOP to the agent, the partner prepares an authority, 10 s",
              "0 lines, 0 failures", f"{len(lines(gateway, 'new content from the Workload API')) - count} lines, "
              f"{len(lines(gateway, 'failures in a row')) - failures} failures")
    suite.row("agent frozen: foreign", "GET /", "200 rule.allowed", setting.reader.ask(gateway, "agent"))
    shop.agent.thaw()
    suite.row("agent thawed: news", "SIGCONT to the agent", "said", said(gateway, count, "new content from the Workload API", within=30))


def entries(suite, setting):
    """The gateway's own entry: without `federatesWith`, deleted, made again, and made late."""
    gateway, shop, partner = setting.shop_gateway, setting.shop, setting.partner
    until("the partner is known", lambda: setting.reader.ask(gateway, "agent").startswith("200"), 30, 0.5)
    entry = setting.gateway_entry
    before = len(lines(gateway, "`federatesWith` is missing"))
    shop.update(entry, "/gateway", UID)
    until("the partner is gone", lambda: not setting.reader.ask(gateway, "agent").startswith("200"), 20, 0.5)
    suite.row("entry without federatesWith", "GET / as reader", "closed federation.bundle_missing",
              setting.reader.ask(gateway, "agent"))
    suite.row("entry without federatesWith: line", "that GET", "said", said(gateway, before, "`federatesWith` is missing"))
    suite.row("entry without federatesWith: own", "GET / as web", "200 rule.allowed", setting.web.ask(gateway, "agent"))
    shop.update(entry, "/gateway", UID, partner.name)
    came = until("the partner is back", lambda: (one := setting.reader.ask(gateway, "agent")).startswith("200") and one, 30, 0.5)
    suite.row("entry with federatesWith again", "GET / as reader", "200 rule.allowed", came)

    words = "gRPC status 7 PERMISSION_DENIED", "no registration entry for the workload that this proxy is"
    before = len(lines(gateway, *words)), len(lines(gateway, "answers again"))
    shop.forget(entry)
    suite.row("entry deleted: line", "`entry delete` of the gateway", "said", said(gateway, before[0], *words, within=30))
    suite.row("entry deleted: foreign", "GET /, by the bundle that there was", "200 rule.allowed", setting.reader.ask(gateway, "agent"))
    setting.gateway_entry = shop.register("/gateway", UID, partner.name)
    suite.row("entry made again", "`entry create`", "said", said(gateway, before[1], "answers again", within=70))

    late = Gateway(setting.lab, shop, partner, setting.upstream, SHOP_RULES, uid=LATE, name="late")
    suite.row("no entry yet: line", "a gateway starts before it has an entry", "said", said(late, 0, *words))
    time.sleep(20)
    shop.register("/gateway", LATE, partner.name)
    start = time.time()
    until("the late gateway has bundles", lambda: lines(late, "new content from the Workload API"), 60)
    seconds = time.time() - start
    # It asks every 5 s at most while it has nothing, and the agent looks for entries every second.
    suite.row("no entry yet: bundles after it is made", "a gateway 20 s without an entry, then `entry create`", "at most 10 s",
              f"{seconds:.1f} s", seconds <= 10)
    # Envoy itself waits longer for its own certificate: it asks for it again after up to 30 s.
    served = until("the late gateway serves", lambda: (one := setting.web.ask(late, "agent")).startswith("200") and one, 90, 0.5)
    suite.row("no entry yet: served in the end", "GET / as web", "200 rule.allowed", served)
    suite.row("no entry yet: guard", "svidgate guard --admin, of the late gateway", "guarded", str(late.envoy.judged()))
    late.envoy.stop()
