"""A real Envoy with the module: started, asked by its admin interface, its access log read."""

import hashlib
import json
import os
import subprocess
import urllib.request

from .guard import judged
from .place import REPOSITORY
from .waiting import until

MODULE = REPOSITORY / "target" / "wasm32-wasip1" / "release" / "svidgate.wasm"
DEFAULT_VERSION = "1.40.0"


def version():
    """The version of Envoy that suites run, as the Makefile chooses it."""
    return os.environ.get("ENVOY_VERSION", DEFAULT_VERSION)


def binary(of_version=None):
    """The path of Envoy's binary."""
    script = REPOSITORY / "envoy" / "get-envoy.sh"
    return subprocess.run([script, of_version or version()], check=True, stdout=subprocess.PIPE, text=True,
                          timeout=900).stdout.strip()


def module():
    """The path of the built module."""
    if not MODULE.exists():
        raise FileNotFoundError(f"{MODULE.relative_to(REPOSITORY)} is missing: run `make wasm`")
    return MODULE


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def access_log(path, **members):
    """A file access log for listener or connection manager, one JSON object a line. `records_of` reads it."""
    members = {"svidgate": "%FILTER_STATE(wasm.svidgate:PLAIN)%", "status": "%RESPONSE_CODE%",
               "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", **members}
    return [{"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": str(path), "log_format": {"json_format": members}}}]


def size_of(path):
    """How much there is of an access log now: `since` for what comes after."""
    return path.stat().st_size if path.exists() else 0


def records_of(path, since=0):
    """The whole lines of an access log from a byte on, the record of svidgate as an object in each (or None)."""
    if not path.exists():
        return []
    with open(path, "rb") as log:
        log.seek(since)
        text = log.read()
    lines = [json.loads(line) for line in text[:text.rfind(b"\n") + 1].splitlines()]
    for line in lines:
        line["svidgate"] = json.loads(line["svidgate"]) if line.get("svidgate") else None
    return lines


class Envoy:
    """One that has begun to serve. `configuration` is a dict, or the text of a YAML file."""

    def __init__(self, lab, name, configuration, uid=None, of_version=None, concurrency=1, within=90, ready=True):
        home = lab.folder / name
        home.mkdir(exist_ok=True)
        if uid is not None:
            os.chown(home, uid, uid)
        text = configuration if isinstance(configuration, str) else json.dumps(configuration, indent=1)
        (home / "envoy.yaml").write_text(text)
        address = home / "admin.address"
        address.unlink(missing_ok=True)
        # Access logs are flushed often: they are read by those who wait for them.
        self.process = lab.start(
            name, binary(of_version), "-c", home / "envoy.yaml", "--concurrency", str(concurrency), "--disable-hot-restart",
            "--use-dynamic-base-id", "--admin-address-path", address, "--file-flush-interval-msec", "50", uid=uid)
        self.name = name

        def serving():
            if not self.process.running:
                raise RuntimeError(f"Envoy `{name}` has ended: {self.process.output()[-3000:]}")
            if not (address.exists() and address.read_text()):
                return False
            self.admin = address.read_text()
            try:
                return not ready or self.ask("/ready").strip() == "LIVE"
            except OSError:  # not listening yet, or busy with a module
                return False

        until(f"Envoy `{name}` is ready", serving, within)

    def ask(self, path, method="GET", within=10):
        """One answer of the admin interface."""
        request = urllib.request.Request(f"http://{self.admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=within) as answer:
            return answer.read().decode()

    def port(self, listener):
        """Where a listener that took any free port is."""
        found = json.loads(self.ask("/listeners?format=json"))["listener_statuses"]
        ports = [one["local_address"]["socket_address"]["port_value"] for one in found if one["name"] == listener]
        if not ports:
            raise LookupError(f"Envoy `{self.name}` has no listener `{listener}`: {found}")
        return ports[0]

    def stat(self, name):
        """A counter or gauge by its whole name, 0 where there is none."""
        for line in self.ask(f"/stats?filter=^{name.replace('.', '%5C.')}$").splitlines():
            return int(line.rpartition(": ")[2])
        return 0

    def stats(self, pattern):
        """Counters and gauges whose names match the regular expression, by name."""
        lines = (line.rpartition(": ") for line in self.ask(f"/stats?filter={pattern}").splitlines())
        return {name: int(value) for name, _, value in lines if value.isdigit()}

    def judged(self):
        """What `svidgate guard` says of it."""
        return judged(f"http://{self.admin}")

    def log(self):
        return self.process.output()

    def stop(self):
        self.process.stop()
