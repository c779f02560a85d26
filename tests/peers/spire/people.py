"""Clients: one request or many, and what came of them at the client, in the gateway's records and at the upstream."""

import json
import signal
import time
import urllib.request

from lab import NeverCame, TARGET, free_port, records_of, size_of, until

CLIENT = TARGET / "bin" / "spire-client"


class Upstream:
    """Counts what reaches it."""

    def __init__(self, lab):
        self.port = free_port()
        self.process = lab.start("upstream", CLIENT, "upstream", "-address", f"127.0.0.1:{self.port}")
        until("the upstream answers", self._answers, 10)

    def _answers(self):
        try:
            self.count()
            return True
        except OSError:
            return False

    def count(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count", timeout=5) as answer:
            return int(answer.read())


class Workload:
    """Somebody with an identity: by an agent's socket and a uid, or by files."""

    def __init__(self, lab, domain=None, uid=None, files=None):
        self.lab, self.domain, self.uid, self.files = lab, domain, uid, files

    def _who(self, gateway):
        if self.files:
            return ["-svid", self.files]
        return ["-socket", self.domain.socket, "-server", gateway.own.id("/gateway")]

    def ask(self, gateway, listener, protocol="http1", method="GET", path="/", bearer=None):
        """One request on a connection of its own: `OUTCOME REASON`, where the outcome is a status or `closed`."""
        return self.asked(gateway, listener, protocol, method, path, bearer)[0]

    def asked(self, gateway, listener, protocol="http1", method="GET", path="/", bearer=None):
        """The same, and its record. `bearer` is a file with a token that it shows."""
        asked = Asked(gateway, listener)
        code, said = self.lab.call(
            CLIENT, "ask", *self._who(gateway), "-address", f"127.0.0.1:{gateway.ports[listener]}", "-protocol", protocol,
            "-from", f"127.0.0.1:{asked.port}", "-method", method, "-path", path, *showing(bearer), uid=self.uid)
        if code != 0:
            return f"no request: {said.strip()}", {}
        outcome = json.loads(said.splitlines()[-1])["outcome"] or "closed"
        record = asked.record()
        return f"{outcome} {record['reason']}", record

    def curl(self, gateway, listener, *arguments):
        """The same by curl."""
        asked = Asked(gateway, listener)
        code, said = self.lab.call(
            "curl", "-sk", "--max-time", "10", "--cert", f"{self.files}.pem", "--key", f"{self.files}.key", "-o", "/dev/null", "-w",
            "%{http_code}", "--local-port", asked.port, *arguments, f"https://127.0.0.1:{gateway.ports[listener]}/")
        return f"{'closed' if code else said} {asked.record()['reason']}"

    def load(self, gateway, listener, protocol="http1", name=None, every="20ms", fresh=False, bearer=None, method="GET"):
        """Requests one after another, until `Load.end`."""
        return Load(self.lab.start(
            name or f"load-{listener}-{protocol}-{self.uid}-{free_port()}", CLIENT, "load", *self._who(gateway),
            "-address", f"127.0.0.1:{gateway.ports[listener]}", "-protocol", protocol, "-every", every, "-method", method,
            *(["-fresh"] if fresh else []), *showing(bearer), uid=self.uid))

    def stream(self, gateway, listener, protocol="http1", path="/slow", bearer=None):
        """A download without end."""
        return Stream(self.lab.start(
            f"stream-{listener}-{protocol}-{free_port()}", CLIENT, "stream", *self._who(gateway),
            "-address", f"127.0.0.1:{gateway.ports[listener]}", "-protocol", protocol, "-path", path, *showing(bearer), uid=self.uid))


def showing(bearer):
    """How a client is told to show a token."""
    return ["-bearer", bearer] if bearer else []


class Asked:
    """What the gateway records of one connection, which is told from others by the port that it comes from."""

    def __init__(self, gateway, listener):
        self.port = free_port()
        self._logs = [(log, size_of(log)) for log in (gateway.log_of(listener, what) for what in ("requests", "connections"))]

    def record(self):
        """That of the request if there was one, else of the connection; `TLS` as its reason where Envoy's own lock refused it."""

        def recorded():
            for log, since in self._logs:
                for record in records_of(log, since):
                    if record["peer"].endswith(f":{self.port}"):
                        if record["svidgate"]:
                            return record["svidgate"]
                        if record.get("tls"):
                            return {"reason": "TLS"}
            return None

        try:
            return until("a record", recorded, 3, 0.05)
        except NeverCame:
            return {"reason": "no record"}


class Load:
    """A client that goes on."""

    def __init__(self, process):
        self.process, self.sum = process, None

    def end(self):
        """Stops it: what it says of all its requests."""
        if self.process.running:
            self.process.send(signal.SIGTERM)
        self.process.wait(20)
        lines = self.process.output().splitlines()
        self.sum = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
        if self.sum is None:
            raise RuntimeError(f"{self.process.name} has said nothing: {self.process.output()[-500:]}")
        return self.sum

    def came(self):
        """`N requests, all allowed`, or what else there was."""
        sent = self.sum or self.end()
        bad = {outcome: count for outcome, count in sent["outcomes"].items() if outcome not in ("200", "OK")}
        return f"{sent['requests']} requests, " + (f"of them {bad}" if bad else "all allowed")

    @property
    def all_allowed(self):
        sent = self.sum or self.end()
        return sent["requests"] > 10 and set(sent["outcomes"]) <= {"200", "OK"}


class Stream:
    """A download."""

    def __init__(self, process):
        self.process = process
        until("a download has begun", lambda: self._events(), 15)

    def _events(self):
        return [json.loads(line) for line in self.process.output().splitlines() if line.startswith("{")]

    @property
    def status(self):
        return self._events()[0]["status"]

    @property
    def goes_on(self):
        return self.process.running

    def cut_after(self, since, within):
        """Seconds from `since` (`time.time()`) to its end; `NeverCame` where it goes on."""
        until("the download is cut", lambda: len(self._events()) > 1, within - (time.time() - since) + 1)
        return self._events()[1]["at"] - since

    def stop(self):
        self.process.stop()
