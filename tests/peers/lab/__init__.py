"""What every suite of real peers stands on: processes, waiting, Envoy, and rows that become a table and a record.

Standard library only. A suite is a package beside this one, run from the root of the repository with
`PYTHONPATH=tests/peers python3 -B -m SUITE [WORDS]`; WORDS choose scenarios. It has a `__main__.py` like

    def at_the_door(suite, lab):
        suite.row("door/own id", did="GET / as web", expected="200", came=ask(...))

    sys.exit(run("mysuite", [at_the_door], versions=..., vouches_for=["envoy/mesh/x.yaml"]))

Nothing of what a suite has started outlives it: not after a failure, not after Ctrl-C, not after SIGKILL.
"""

from .authority import Authority
from .envoy import Envoy, access_log, module, records_of, size_of
from .guard import judged
from .kubernetes import Kubernetes
from .network import free_port, own_network
from .place import REPOSITORY, TARGET
from .processes import Lab, Process
from .suite import Suite, run
from .waiting import NeverCame, until
from .xfcc import element

__all__ = [
    "Authority", "Envoy", "Kubernetes", "Lab", "NeverCame", "Process", "REPOSITORY", "Suite", "TARGET", "access_log", "element",
    "free_port", "judged", "module", "own_network", "records_of", "run", "size_of", "until",
]
