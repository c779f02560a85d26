"""`make spire-test`: all scenarios, or those whose names have one of the words."""

import os
import sys

from lab import run

from .agents import agent_away, entries
from .decisions import clients, decisions, profiles
from .examples import EXAMPLES, examples
from .partners import jwt_rotation, lifetimes, many_authorities, rebuilt_partner
from .rotation import nested, rotation_by_hand, time_passes
from .setting import Setting, pinned
from .tokens import token_rotation, tokens

if os.geteuid() != 0:
    sys.exit("spire: SPIRE tells workloads by their uid, so this needs root")

sys.exit(run(
    "spire",
    [decisions, profiles, clients, tokens, examples, lifetimes, entries, agent_away, jwt_rotation, many_authorities,
     rotation_by_hand, token_rotation, rebuilt_partner, time_passes, nested],
    versions={"spire": pinned("github.com/spiffe/spire"), "go-spiffe": pinned("github.com/spiffe/go-spiffe/v2")},
    vouches_for=[f"envoy/federation/{name}" for name in EXAMPLES],
    prepare=Setting,
))
