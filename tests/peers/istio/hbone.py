"""A caller that speaks HBONE: tunnels of HTTP/2 CONNECT in one connection of mutual TLS."""

import socket
import ssl

from .callers import SECONDS, STATUSES, exchange, head, http2_status

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACKNOWLEDGED, END_HEADERS = 1, 1, 4
OK = b"\x88"
"""How HPACK begins an answer of 200."""


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Refused(Exception):
    """No tunnel: a status, or `closed`."""


class Outer:
    """The connection in which the tunnels are. Without an identity the caller shows no certificate."""

    def __init__(self, address, identity=None, port=15008):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity:
            context.load_cert_chain(identity.certificate, identity.key)
        context.set_alpn_protocols(["h2"])
        try:
            plain = socket.create_connection((address, port), SECONDS)
        except OSError:
            raise Refused("refused") from None
        try:
            self._connection = context.wrap_socket(plain)
            self._connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
        except OSError:
            plain.close()
            raise Refused("closed") from None
        self._data, self._last, self._came, self._ended, self._status = b"", -1, {}, set(), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def tunnel(self, authority, headers=()):
        """A tunnel to an address and a port, or a host and a port."""
        self._last += 2
        stream, fields = self._last, ((":method", "CONNECT"), (":authority", authority), *headers)
        block = b"".join(bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields)
        self._came[stream] = b""
        try:
            self._connection.settimeout(SECONDS)
            self._connection.sendall(frame(HEADERS, END_HEADERS, stream, block))
            while stream not in self._status and stream not in self._ended:
                self._read()
        except TimeoutError:
            raise Refused("silence") from None
        except OSError:
            raise Refused("closed") from None
        answer = self._status.get(stream, b"")
        if not answer.startswith(OK):
            raise Refused(next((status for begin, status in STATUSES.items() if answer.startswith(begin)), answer[:6].hex() or "closed"))
        return Tunnel(self, stream)

    def _read(self):
        more = self._connection.recv(65536)
        if not more:
            raise ConnectionError
        self._data += more
        while len(self._data) >= 9 and len(self._data) >= 9 + (length := int.from_bytes(self._data[:3], "big")):
            kind, flags, stream = self._data[3], self._data[4], int.from_bytes(self._data[5:9], "big")
            body, self._data = self._data[9:9 + length], self._data[9 + length:]
            if kind == SETTINGS and not flags & ACKNOWLEDGED:
                self._connection.sendall(frame(SETTINGS, ACKNOWLEDGED, 0))
            elif kind == PING and not flags & ACKNOWLEDGED:
                self._connection.sendall(frame(PING, ACKNOWLEDGED, 0, body))
            elif kind == HEADERS:
                self._status.setdefault(stream, body)
            elif kind == DATA:
                self._came[stream] += body
                if body:
                    window = len(body).to_bytes(4, "big")
                    self._connection.sendall(frame(WINDOW, 0, 0, window) + frame(WINDOW, 0, stream, window))
            elif kind == GOAWAY:
                raise ConnectionError
            if kind == RESET or kind in (DATA, HEADERS) and flags & END_STREAM:
                self._ended.add(stream)


class Tunnel:
    """What `exchange` and `http2_status` take for a connection."""

    def __init__(self, outer, stream):
        self._outer, self._stream = outer, stream

    def settimeout(self, seconds):
        self._outer._connection.settimeout(seconds)

    def sendall(self, payload):
        self._outer._connection.sendall(frame(DATA, 0, self._stream, payload))

    def recv(self, _):
        came = self._outer._came
        while not came[self._stream] and self._stream not in self._outer._ended:
            self._outer._read()
        data, came[self._stream] = came[self._stream], b""
        return data

    def get(self, path="/orders/1", host="stock", close=False):
        """The status of a request over HTTP/1.1, on the tunnel as it is."""
        lines = [f"GET {path} HTTP/1.1", f"host: {host}", *(["connection: close"] if close else []), "", ""]
        return exchange(self, "\r\n".join(lines).encode())


INNER = ("http/1.1", "h2", "tcp", "silent")
"""What a caller can say in a tunnel."""


def ask(address, identity, authority, inner="http/1.1", path="/orders/1", headers=(), port=15008):
    """What came of a tunnel of its own, in a word."""
    try:
        with Outer(address, identity, port) as outer:
            tunnel = outer.tunnel(authority, headers)
            if inner == "h2":
                return http2_status(tunnel, head(path, "GET", "stock"))
            if inner == "http/1.1":
                return tunnel.get(path, close=True)
            return exchange(tunnel, b"ledger?" if inner == "tcp" else b"")
    except Refused as why:
        return str(why)
