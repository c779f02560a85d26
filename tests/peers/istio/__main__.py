"""`make istio-test`: who gets through which port of a workload in Istio, with each of our manifests for it."""

import subprocess
import sys

from lab import TARGET, module, run
from lab.envoy import binary
from spire.setting import pinned

from . import ambient, doors, edge, lifecycle, shapes, spire_beside, waypoint
from .network import own_node
from .setting import Setting
from .workload import OLD_ENVOY

# A CA that is plugged in stays for those that follow.
SCENARIOS = [*shapes.SCENARIOS, *doors.SCENARIOS, *edge.SCENARIOS, lifecycle.updates_and_mistakes, *waypoint.SCENARIOS, *ambient.SCENARIOS,
             lifecycle.plugged_in_ca, lifecycle.older_envoy, *spire_beside.SCENARIOS]

MANIFESTS = [f"envoy/mesh/istio-{name}.yaml" for name in (
    "access-log", "envoy-1.37", "lock", "tcp", "traffic-extension", "wasm-plugin", "waypoint", "waypoint-lock")]

VERSIONS = {"istio": "1.31 (eed52ebb66ad)", "kubernetes": "1.36.1", "etcd": "3.4.23", "docker-registry": "2.8.2",
            "spire": pinned("github.com/spiffe/spire")}


def debian():
    """etcd and a registry, from Debian's packages, unpacked below target/peers."""
    folder = TARGET / "debian"
    if not (folder / "usr/bin/docker-registry").exists() or not (folder / "usr/bin/etcd").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run("apt-get download etcd-server docker-registry && for one in *.deb; do dpkg -x $one .; done && rm *.deb",
                       shell=True, check=True, cwd=folder, timeout=300)
    return folder


if __name__ == "__main__":
    # What is fetched is fetched first: later there is no way out.
    packages = debian()
    module()
    for version in (None, OLD_ENVOY):
        binary(version)
    own_node()
    sys.exit(run("istio", SCENARIOS, VERSIONS, MANIFESTS, prepare=lambda suite, lab: Setting(suite, lab, packages)))
