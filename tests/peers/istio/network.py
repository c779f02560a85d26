"""The network of the suite: a node, and pods that are namespaces of their own behind a pair of interfaces.

Istio wants fixed ports and sets up the packet filter of a pod, so nothing of this touches the machine's own network: the suite
moves into a namespace first, and what is mounted here is seen by its own processes only.
"""

import ctypes
import os
import subprocess
from pathlib import Path

from lab import own_network, until

CLONE_NEWNS = 0x00020000

NODE, NODE6 = "198.18.0.1", "fd00:198:18::1"
"""The node, and whoever calls from outside of a pod: addresses that are set aside for tests (RFC 2544, RFC 4193)."""


def address(number):
    """The addresses of a pod, IPv4 and IPv6."""
    return f"198.18.{number}.2", f"fd00:198:{number}::2"


def run(*argv):
    ended = subprocess.run([*map(str, argv)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=30)
    if ended.returncode != 0:
        raise RuntimeError(f"`{' '.join(map(str, argv))}` ended with {ended.returncode}: {ended.stdout}")


def own_node():
    """Moves the suite into a network and a view of the file system of its own."""
    own_network()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace of its own cannot be had (run as root)")
    run("mount", "--make-rprivate", "/")
    # Istio's agent keeps modules below /var/lib/istio, wherever it runs.
    run("mount", "-t", "tmpfs", "istio", "/var/lib")
    # From pod to pod, across the node.
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    run("ip", "address", "add", f"{NODE}/32", "dev", "lo")
    run("ip", "address", "add", f"{NODE6}/128", "dev", "lo", "nodad")


class Namespace:
    """The namespaces of one pod: network, processes and files. All that runs in them ends with the process that holds them."""

    def __init__(self, lab, name, number):
        self.lab = lab
        self.ip, self.ip6 = address(number)
        self._holder = lab.start(f"{name}-namespace", "unshare", "--net", "--pid", "--mount", "--fork", "--kill-child",
                                 "sh", "-c", "echo up; exec sleep 7200")
        until("the namespaces of a pod", lambda: "up" in self._holder.output())
        self.pid = int(until("its first process", lambda: self._child()))
        outside, gateway, gateway6 = f"veth{number}", f"198.18.{number}.1", f"fd00:198:{number}::1"
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", self.pid)
        run("ip", "address", "add", f"{gateway}/24", "dev", outside)
        run("ip", "address", "add", f"{gateway6}/64", "dev", outside, "nodad")
        run("ip", "link", "set", outside, "up")
        for argv in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{self.ip}/24", "dev", "eth0"],
            ["address", "add", f"{self.ip6}/64", "dev", "eth0", "nodad"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", gateway],
            ["-6", "route", "add", "default", "via", gateway6],
        ):
            run(*self.inside("ip", *argv))
        run(*self.inside("mount", "-t", "tmpfs", "istio", "/var/lib"))
        run(*self.inside("mkdir", "-p", "/var/lib/istio/data"))
        run(*self.inside("chown", "-R", "1337:1337", "/var/lib/istio"))

    def _child(self):
        children = f"/proc/{self._holder.pid}/task/{self._holder.pid}/children"
        with open(children) as text:
            return text.read().split()[:1][0] if os.path.exists(children) else None

    def inside(self, *argv, uid=None, folder="/"):
        """The command line of something that runs in it."""
        as_whom = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid is not None else []
        return ["nsenter", "-t", str(self.pid), "--net", "--pid", "--mount", *as_whom, "env", f"--chdir={folder}", *map(str, argv)]

    def start(self, name, *argv, uid=None, folder="/", **options):
        return self.lab.start(name, *self.inside(*argv, uid=uid, folder=folder), **options)

    def output_of(self, *argv, **options):
        return self.lab.output_of(*self.inside(*argv), **options)

    def end(self):
        self._holder.stop()
