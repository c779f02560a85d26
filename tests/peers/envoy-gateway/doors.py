"""Each door that a mistake or the owner of a route opens; and the lock that keeps it shut.

Each is looked at without the lock first: a door that does not open there shows nothing of the lock.
"""

import re

from lab import module

from .gateway import MISTAKE, https, on_the_route, plain
from .updates import Load

OPEN = "what comes of it without the lock: "
SHUT = ("403", "closed")


def http_filter_alone(gateway, **options):
    """The extension without the network filter: a gate by itself."""
    return [one for one in gateway.extension(**options) if not (isinstance(one, str) and "name: svidgate-connection" in one)]


def without_and_with(suite, gateway, name, resources, known):
    """A row of what somebody without a rule gets without the lock, and of everybody with it. No document need be at work."""
    for lock in (False, True):
        gateway.apply(*(gateway.lock() if lock else ()), *resources, at_work=())
        came = gateway.ask(gateway.people.other)
        if not lock:
            suite.row(f"{name}/other, no lock", "GET /orders/1", "200", came, known=OPEN + known)
            gateway.guard_says(f"{name}, no lock", "not_guarded")
        else:
            suite.row(f"{name}, locked/other", "GET /orders/1", True, came, came in SHUT)
            gateway.nobody_gets_through(f"{name}, locked/nobody", name)


def first_attached_with_a_mistake(suite, gateway):
    """Routes enable a filter that the refused listener would have brought."""
    for lock in (False, True):
        gateway.apply(*(gateway.lock() if lock else ()))
        suite.row(f"first attach{', locked' * lock}/before", "other: GET /orders/1", "403" if lock else "200", gateway.ask(gateway.people.other))
        before = gateway.refused_updates()
        gateway.apply(*(gateway.lock() if lock else ()), *gateway.extension(texts=MISTAKE), taken=False)
        came = gateway.ask(gateway.people.other)
        if not lock:
            suite.row("first attach with a mistake/other, no lock", "GET /orders/1", "200", came, known=OPEN + "the listener is refused, its routes are taken")
            gateway.guard_says("first attach with a mistake, no lock", "not_guarded")
        else:
            suite.row("first attach with a mistake, locked/other", "GET /orders/1", "403", came)
            gateway.nobody_gets_through("first attach with a mistake, locked/nobody", "EnvoyExtensionPolicy")
            suite.row("first attach with a mistake, locked/what tells", "Envoy Gateway's own xds_nack_total", "above before",
                      f"{before:g}, then {gateway.refused_updates():g}", gateway.refused_updates() > before)
    gateway.apply(*gateway.lock(), *gateway.extension())
    suite.row("first attach/mended, client", "GET /orders/1", "200", gateway.ask(gateway.people.client))


def renamed_with_a_mistake(suite, gateway):
    new = {"name: svidgate                          # never rename": "name: other                          # never rename", **MISTAKE}
    for lock in (False, True):
        locks = gateway.lock() if lock else ()
        gateway.apply(*locks, *gateway.extension())
        suite.row(f"rename{', locked' * lock}/before", "other: GET /orders/1", "closed", gateway.ask(gateway.people.other))
        gateway.apply(*locks, *http_filter_alone(gateway))
        gateway.apply(*locks, *http_filter_alone(gateway, texts=new), taken=False)
        came = gateway.ask(gateway.people.other)
        if not lock:
            suite.row("renamed with a mistake/other, no lock", "GET /orders/1, the HTTP filter alone", "200", came,
                      known=OPEN + "the old listener has no filter of the new name, which its routes enable")
            gateway.guard_says("renamed with a mistake, no lock", "not_guarded")
            gateway.apply(*gateway.extension())
            gateway.apply(*gateway.extension(texts=new), taken=False)
            suite.row("renamed with a mistake/client asks for more, no lock", "GET /admin, with the network filter in front", "200",
                      gateway.ask(gateway.people.client, "/admin"), known=OPEN + "who has any rule may send any request")
            gateway.guard_says("renamed with a mistake, no lock, with the network filter", "not_guarded")
        else:
            suite.row("renamed with a mistake, locked/other", "GET /orders/1", "403", came)
            suite.row("renamed with a mistake, locked/client asks for more", "GET /admin", "403", gateway.ask(gateway.people.client, "/admin"))
            gateway.nobody_gets_through("renamed with a mistake, locked/nobody", "the HTTP filter alone, and the lock")


def renamed_without_a_mistake(suite, gateway):
    """Until the module has come under its new name, the listener from before has no such filter."""
    new = {"name: svidgate                          # never rename": "name: other                          # never rename"}
    gateway.apply(*gateway.lock(), *http_filter_alone(gateway))
    others = [Load(gateway.people.other, keep) for keep in (True, False)]
    gateway.apply(*gateway.lock(), *http_filter_alone(gateway, texts=new))
    came = [load.stop() for load in others]
    suite.row("renamed, locked/other", "GET /orders/1 all the while", "403 alone", str(came), all(set(one) == {"403"} for one in came))
    suite.row("renamed, locked/client", "GET /orders/1 afterwards", "200", gateway.ask(gateway.people.client))
    gateway.nobody_gets_through("renamed, locked/nobody", "the HTTP filter alone, and the lock")


def mistake_in_an_update(suite, gateway):
    """Under the same name: what ran before goes on."""
    for placing in ("patch", "extension"):
        gateway.apply(*gateway.lock(), *getattr(gateway, placing)())
        before, said_before = gateway.refused_updates(), len(gateway.process.output())
        rejected = gateway.stat("listener_manager.lds.update_rejected")
        gateway.apply(*gateway.lock(), *getattr(gateway, placing)(texts=MISTAKE), taken=False)
        suite.row(f"mistake, {placing}/what ran before goes on", "client: GET /orders/1, GET /admin; other", ("200", "403", "closed"), (
            gateway.ask(gateway.people.client), gateway.ask(gateway.people.client, "/admin"), gateway.ask(gateway.people.other)))
        said = gateway.process.output()[said_before:]
        suite.row(f"mistake, {placing}/the log", "each mistake with its place", True, "svidgate: configuration: mark_pased" in said)
        suite.row(f"mistake, {placing}/Envoy's own count", "listener_manager.lds.update_rejected", "above before", "above before" if
                  gateway.stat("listener_manager.lds.update_rejected") > rejected else "as before")
        suite.row(f"mistake, {placing}/what tells", "xds_nack_total", "above before", f"{before:g}, then {gateway.refused_updates():g}",
                  gateway.refused_updates() > before)
        gateway.nobody_gets_through(f"mistake, {placing}/nobody", "the update was refused")


def first_attached_by_patch_with_a_mistake(suite, gateway):
    """The listener before stays: it lets through what it let through before, or with the lock nothing."""
    gateway.apply()
    gateway.apply(*gateway.patch(texts=MISTAKE), taken=False)
    suite.row("first attach by patch with a mistake/other, no lock", "GET /orders/1", "200", gateway.ask(gateway.people.other),
              known=OPEN + "the listener from before svidgate goes on")
    gateway.guard_says("first attach by patch with a mistake, no lock", "not_guarded")
    gateway.apply(*gateway.lock())
    gateway.apply(*gateway.lock(), *gateway.patch(texts=MISTAKE), taken=False)
    gateway.nobody_gets_through("first attach by patch with a mistake, locked/nobody", "EnvoyPatchPolicy")


def module_that_does_not_come(suite, gateway):
    missing = {f"team/svidgate@{gateway.digest}": "team/svidgate@sha256:" + "0" * 64}
    gateway.apply(*http_filter_alone(gateway, texts=missing), at_work=())
    suite.row("no image, failOpen: false, no lock/client", "GET /orders/1", "500", gateway.ask(gateway.people.client))
    # Nothing of ours stands there: Envoy Gateway has its routes answer 500.
    gateway.nobody_gets_through("no image, failOpen: false, no lock/nobody", "an image that is not in the registry", but=["10443: 500"],
                                guard="not_guarded")
    gateway.apply(*gateway.lock(), *http_filter_alone(gateway, texts=missing), at_work=())
    gateway.nobody_gets_through("no image, failOpen: false, locked/nobody", "an image that is not in the registry")
    without_and_with(suite, gateway, "no image, failOpen: true", http_filter_alone(gateway, texts={**missing, "failOpen: false": "failOpen: true"}),
                     "never write `failOpen: true`")
    gone = {str(module()): "/nowhere/svidgate.wasm"}
    gateway.apply(*gateway.lock())
    gateway.apply(*gateway.lock(), *gateway.patch(texts=gone), taken=False)
    suite.row("no file, by patch/client", "GET /orders/1", "403", gateway.ask(gateway.people.client))
    gateway.nobody_gets_through("no file, by patch/nobody", "a module that is not there")


def empty_policy_on_a_route(suite, gateway):
    """An EnvoyExtensionPolicy of the route's takes the place of the Gateway's."""
    empty = on_the_route("EnvoyExtensionPolicy", "anything", {})
    alone = http_filter_alone(gateway)
    without_and_with(suite, gateway, "empty policy on a route", [*alone, empty], "the route has no svidgate")
    gateway.apply(*gateway.lock(), *gateway.extension(), empty, at_work=())
    suite.row("empty policy on a route, locked/client", "GET /orders/1 and GET /admin", ("403", "403"),
              (gateway.ask(gateway.people.client), gateway.ask(gateway.people.client, "/admin")))
    gateway.apply(*gateway.patch(), empty)
    suite.row("empty policy on a route, by patch, no lock", "client: GET /orders/1, GET /admin; other", ("200", "403", "closed"), (
        gateway.ask(gateway.people.client), gateway.ask(gateway.people.client, "/admin"), gateway.ask(gateway.people.other)))


def security_policy_on_a_route(suite, gateway):
    """A route's own SecurityPolicy takes off the lock on the Gateway. It does not take off the one on the listener."""
    empty = on_the_route("EnvoyExtensionPolicy", "anything", {})
    allows = on_the_route("SecurityPolicy", "anything", {"authorization": {"defaultAction": "Allow"}})
    alone = http_filter_alone(gateway)
    half = [one for one in gateway.lock() if "kind: SecurityPolicy" in one]
    gateway.apply(*half, *alone, empty, at_work=())
    mark = gateway.mark()
    suite.row("the lock on the Gateway alone/other", "empty EnvoyExtensionPolicy on the route", "403", gateway.ask(gateway.people.other))
    suite.row("the lock on the Gateway alone/reason", "the access log, without a record of svidgate's", ["rbac_access_denied"], gateway.details(mark))
    gateway.apply(*half, *alone, empty, allows, at_work=())
    suite.row("the lock on the Gateway alone/other, the route has a SecurityPolicy", "GET /orders/1", "200", gateway.ask(gateway.people.other),
              known=OPEN + "a route's SecurityPolicy takes the place of the Gateway's; that is why there is one on the listener")
    gateway.guard_says("the lock on the Gateway alone, the route has a SecurityPolicy", "not_guarded")
    gateway.apply(*gateway.lock(), *alone, empty, allows, at_work=())
    suite.row("route's own SecurityPolicy, locked/other", "GET /orders/1", "403", gateway.ask(gateway.people.other))
    mark = gateway.mark()
    gateway.ask(gateway.people.other)
    suite.row("route's own SecurityPolicy, locked/reason", "the access log, without a record of svidgate's", ["rbac_access_denied"], gateway.details(mark))
    gateway.nobody_gets_through("route's own SecurityPolicy, locked/nobody", "empty EnvoyExtensionPolicy and SecurityPolicy with Allow on the route")
    gateway.apply(*gateway.lock(), *gateway.patch(), empty, allows)
    suite.row("route's own policies, by patch/client", "GET /orders/1, GET /admin", ("200", "403"),
              (gateway.ask(gateway.people.client), gateway.ask(gateway.people.client, "/admin")))
    gateway.nobody_gets_through("route's own policies, by patch/nobody", "empty EnvoyExtensionPolicy and SecurityPolicy with Allow on the route")


def own_svidgate_on_a_route(suite, gateway):
    """With a document of its own that lets everybody through, and leaves the mark."""
    theirs = [re.sub(r"targetRefs: .*", "targetRefs: [ { group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders } ]", one)
              .replace("sa/client", "sa/other").replace("  name: svidgate  ", "  name: theirs  ").replace("- name: svidgate  ", "- name: theirs  ")
              for one in gateway.extension() if isinstance(one, str) and "kind: EnvoyExtensionPolicy" in one]
    gateway.apply(*gateway.lock(), *gateway.extension(), *theirs, at_work=theirs)
    suite.row("own svidgate on a route, by extension/other", "GET /orders/1, with the network filter in front", "closed",
              gateway.ask(gateway.people.other))
    alone = http_filter_alone(gateway)
    gateway.apply(*gateway.lock(), *alone, *theirs, at_work=theirs)
    suite.row("own svidgate on a route, the HTTP filter alone/other", "GET /orders/1", "200", gateway.ask(gateway.people.other),
              known="whoever may write an EnvoyExtensionPolicy with a wasm plugin for a route writes its rules; by patch it does not")
    gateway.apply(*gateway.lock(), *gateway.patch(), *theirs)
    suite.row("own svidgate on a route, by patch/client", "GET /orders/1: both must please", "403", gateway.ask(gateway.people.client))
    gateway.nobody_gets_through("own svidgate on a route, by patch/nobody", "a svidgate of the route's own")


def other_listeners(suite, gateway):
    """Ones that the patches do not name: another port, plain text, and another name for the same."""
    listeners = [https(), https("more", 10444), plain()]
    gateway.apply(*gateway.patch(), listeners=listeners)
    other = gateway.people.other
    suite.row("other listeners/no lock", "other at 10443, 10444, and plain text at 10080", ["closed", "200", "200"], [
        gateway.ask(other), gateway.ask(other, port=10444), gateway.ask(other, "/orders/1", 10080, "plain text")],
        known=OPEN + "a patch goes to the listeners that it names")
    gateway.guard_says("other listeners, no lock", "not_guarded")
    gateway.apply(*gateway.lock(), *gateway.patch(), listeners=listeners)
    suite.row("other listeners, locked/client", "at 10443, 10444, and plain text at 10080", ["200", "403", "403"], [
        gateway.ask(gateway.people.client), gateway.ask(gateway.people.client, port=10444),
        gateway.ask(gateway.people.client, "/orders/1", 10080, "plain text")])
    gateway.nobody_gets_through("other listeners, locked/nobody", "two more listeners", (10443, 10444, 10080))
    said_before = len(gateway.process.output())
    gateway.apply(*gateway.lock(), *gateway.patch(), listeners=[https("renamed")], at_work=())
    suite.row("renamed listener, locked/what tells", "the status of the patches", "ResourceNotFound", "ResourceNotFound" if
              "reason: ResourceNotFound" in gateway.process.output()[said_before:] else "not a word")
    suite.row("renamed listener, locked/client", "GET /orders/1", "403", gateway.ask(gateway.people.client))
    gateway.nobody_gets_through("renamed listener, locked/nobody", "no patch finds it")
    allows = on_the_route("SecurityPolicy", "anything", {"authorization": {"defaultAction": "Allow"}})
    gateway.apply(*gateway.lock(), *gateway.patch(), allows, listeners=[https("renamed")], at_work=())
    suite.row("renamed listener, locked, and a SecurityPolicy on the route/other", "GET /orders/1", "200", gateway.ask(other),
              known="both at once: nothing of the patches is there, and the route has taken off the lock on the Gateway. Whoever renames a listener or "
                    "adds one names it in the patches first")
    gateway.guard_says("renamed listener, locked, and a SecurityPolicy on the route", "not_guarded")


SCENARIOS = [first_attached_with_a_mistake, renamed_with_a_mistake, renamed_without_a_mistake, mistake_in_an_update, first_attached_by_patch_with_a_mistake,
             module_that_does_not_come, empty_policy_on_a_route, security_policy_on_a_route, own_svidgate_on_a_route, other_listeners]
