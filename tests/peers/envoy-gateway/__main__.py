"""`make envoy-gateway-test`: who gets through a real Envoy Gateway with each of our manifests for it."""

import subprocess
import sys

from lab import TARGET, module, own_network, run
from lab.envoy import binary

from . import doors, hops, placing, updates
from .gateway import MANIFESTS, Gateway

SCENARIOS = [*placing.SCENARIOS, *hops.SCENARIOS, *doors.SCENARIOS, *updates.SCENARIOS]

VERSIONS = {"envoy-gateway": "1.9.1", "docker-registry": "2.8.2"}


def debian():
    """A registry, from Debian's package, unpacked below target/peers."""
    folder = TARGET / "debian"
    if not (folder / "usr/bin/docker-registry").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run("apt-get download docker-registry && dpkg -x docker-registry_*.deb . && rm docker-registry_*.deb",
                       shell=True, check=True, cwd=folder, timeout=300)
    return folder


if __name__ == "__main__":
    # What is fetched is fetched first: later there is no way out.
    packages = debian()
    module()
    binary()
    # Envoy Gateway wants fixed ports.
    own_network()
    sys.exit(run("envoy-gateway", SCENARIOS, VERSIONS, [f"envoy/mesh/{name}" for name in MANIFESTS],
                 prepare=lambda suite, lab: Gateway(suite, lab, packages)))
