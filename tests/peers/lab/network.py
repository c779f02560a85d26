"""A port that is free, and a network where all of them are."""

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def free_port(address="127.0.0.1"):
    """A TCP port that nobody has at this moment."""
    with socket.socket() as listener:
        listener.bind((address, 0))
        return listener.getsockname()[1]


def own_network():
    """Moves this process, and so all that it starts, into a network namespace of its own, with loopback up.

    For peers that want fixed ports, or set up the machine's packet filter. Needs root, and to be called before any thread is
    started: a namespace is the thread's.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a network namespace of its own cannot be had (run as root): {os.strerror(number)}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
