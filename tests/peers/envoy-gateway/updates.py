"""New documents under load."""

import http.client
import ssl
import threading
import time

from .people import HOST
from .placing import PLACINGS, placed


class Load:
    """Requests of one caller, one after the other, until told to stop; a new connection for each, or the same while it lasts."""

    def __init__(self, who, keep, path="/orders/1"):
        self.who, self.keep, self.path = who, keep, path
        self.came, self._end = {}, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(f"{self.who}.pem", f"{self.who}.key")
        connection = None
        while not self._end.is_set():
            try:
                connection = connection or http.client.HTTPSConnection("127.0.0.1", 10443, timeout=6, context=context)
                connection.request("GET", self.path, headers={"host": HOST})
                answer = connection.getresponse()
                answer.read()
                came = str(answer.status)
                last = not self.keep or answer.getheader("connection") == "close"
            except (OSError, http.client.HTTPException) as error:
                came, last = "closed", True
            self.came[came] = self.came.get(came, 0) + 1
            if last:
                connection.close()
                connection = None
            time.sleep(0.01)

    def stop(self):
        self._end.set()
        self._thread.join(15)
        return self.came


def updates_under_load(suite, gateway):
    """Six documents, each a new listener configuration, while clients ask."""
    for placing in PLACINGS:
        placed(gateway, placing)
        callers = {"client, new connections": Load(gateway.people.client, False), "client, one kept": Load(gateway.people.client, True),
                   "client asks for more, one kept": Load(gateway.people.client, True, "/admin"), "other": Load(gateway.people.other, False)}
        for _ in range(6):
            placed(gateway, placing)
        came = {name: caller.stop() for name, caller in callers.items()}
        expected = {"client, new connections": {"200"}, "client, one kept": {"200"}, "client asks for more, one kept": {"403"}, "other": {"closed"}}
        for name, counts in came.items():
            suite.row(f"updates/{placing}/{name}", "six documents while it asks", expected[name], counts, set(counts) == expected[name] and sum(counts.values()) > 20)
        gateway.nobody_gets_through(f"updates/{placing}/nobody", "after six documents")


def rule_taken_away(suite, gateway):
    """What is open is judged by the new document."""
    for placing in PLACINGS:
        placed(gateway, placing)
        kept = Load(gateway.people.client, True)
        time.sleep(1)
        placed(gateway, placing, texts={"sa/client": "sa/somebody"})
        before = dict(kept.came)
        time.sleep(1)
        after = kept.stop()
        suite.row(f"rule taken away/{placing}", "client on a connection from before", True, f"{before}, then {after}",
                  before.get("200", 0) > 5 and after.get("200") == before.get("200") and sum(after.values()) > sum(before.values()))
        gateway.nobody_gets_through(f"rule taken away/{placing}/nobody", "after the change")


SCENARIOS = [updates_under_load, rule_taken_away]
