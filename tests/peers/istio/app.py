"""The workload: `app.py LOG PORT=KIND...`, on IPv4 and IPv6. It notes what reached it, one JSON object a line.

`http` answers every request, HTTP/1.1 or HTTP/2, with 200. `tcp` answers what it gets with `ledger`. `banner` speaks first.
"""

import json
import socket
import sys
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, ACKNOWLEDGED = b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0"
lock = threading.Lock()


def note(**what):
    with lock, open(sys.argv[1], "a") as log:
        log.write(json.dumps(what) + "\n")


def http2(connection, port, data):
    """Any request gets `:status: 200`, which is one byte of HPACK."""
    connection.sendall(SETTINGS)
    while True:
        while len(data) >= 9 and len(data) >= 9 + (length := int.from_bytes(data[:3], "big")):
            kind, flags, stream, data = data[3], data[4], data[5:9], data[9 + length:]
            if kind == 4 and not flags & 1:
                connection.sendall(ACKNOWLEDGED)
            if kind == 1:
                note(port=port, got="request", path="over HTTP/2")
                connection.sendall(b"\0\0\1\1\5" + stream + b"\x88")
        more = connection.recv(65536)
        if not more:
            return
        data += more


def http(connection, port):
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
            if data.startswith(PREFACE):
                return http2(connection, port, data[len(PREFACE):])
        head, _, data = data.partition(b"\r\n\r\n")
        line, *headers = head.decode("latin-1").split("\r\n")
        note(port=port, got="request", path=line.split(" ")[1], headers=headers)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def tcp(connection, port):
    while data := connection.recv(65536):
        note(port=port, got="bytes", path=data[:40].decode("latin-1"))
        connection.sendall(b"ledger")


def banner(connection, port):
    connection.sendall(b"banner")
    tcp(connection, port)


def serve(connection, port, kind):
    note(port=port, got="connection")
    with connection:
        try:
            kind(connection, port)
        except OSError:
            pass


def listen(port, kind):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, port, kind), daemon=True).start()


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        number, _, name = argument.partition("=")
        threading.Thread(target=listen, args=(int(number), {"http": http, "tcp": tcp, "banner": banner}[name])).start()
