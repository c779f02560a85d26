"""`make cert-manager-test`: certificates that cert-manager issues with a SPIFFE id, at a gateway."""

import json
import subprocess
import sys
from pathlib import Path

from lab import REPOSITORY, TARGET, module, own_network, run
from lab.envoy import binary

from .cluster import Cluster
from .issuers import SCENARIOS, Setting

VERSION = "v1.21.2"
HOME = REPOSITORY / "tests/peers/cert-manager"


def debian():
    """etcd, from Debian's package, unpacked below target/peers."""
    folder = TARGET / "debian"
    if not (folder / "usr/bin/etcd").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run("apt-get download etcd-server && dpkg -x etcd-server_*.deb . && rm etcd-server_*.deb", shell=True, check=True,
                       cwd=folder, timeout=300)
    return folder


def source():
    """The folder of cert-manager's module: its CRDs are not built into the program."""
    said = subprocess.run(["go", "mod", "download", "-json", "github.com/cert-manager/cert-manager"], cwd=HOME, check=True,
                          stdout=subprocess.PIPE, timeout=600).stdout
    found = json.loads(said)
    if found["Version"] != VERSION:
        sys.exit(f"cert-manager: go.mod has {found['Version']}, the record would say {VERSION}")
    return Path(found["Dir"])


if __name__ == "__main__":
    # What is fetched is fetched first: later there is no way out.
    packages, crds = debian(), source() / "deploy/crds"
    module()
    binary()
    # etcd and kube-apiserver have fixed ports here.
    own_network()
    sys.exit(run("cert-manager", SCENARIOS, {"cert-manager": VERSION, "kubernetes": "1.36.1", "etcd": "3.4.23"},
                 prepare=lambda suite, lab: Setting(Cluster(lab, packages, crds))))
