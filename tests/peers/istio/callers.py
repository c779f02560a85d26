"""What a caller can try at a port: each ALPN, plain text, HTTP/2; and what came of it, in a word."""

import socket
import ssl

WAYS = ("istio-h2", "istio-http/1.1", "h2", "http/1.1", "istio-peer-exchange", "istio", "no ALPN", "foo", "plain text")
"""ALPNs that Istio's chains tell apart, ones that it does not know, and no TLS at all."""

OFFERED = {"istio-h2": ["istio-h2", "h2"], "istio-http/1.1": ["istio-http/1.1", "http/1.1"], "no ALPN": []}
"""What a way offers in the handshake, where that is not its name. Istio's own proxies offer these two pairs."""

SECONDS = 6
"""How long a caller waits for an answer. Longer than anything here takes but `first_bytes_timeout`."""


def head(path, method, host):
    """A request in HTTP/2: preface, SETTINGS, and a HEADERS frame of literals without Huffman's code."""
    fields = ((":method", method), (":scheme", "https"), (":authority", host), (":path", path))
    block = b"".join(bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields)
    return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
            + len(block).to_bytes(3, "big") + b"\1\5\0\0\0\1" + block)


STATUSES = {b"\x88": "200", b"\x8c": "400", b"\x8d": "404", b"\x48\x83\x68\x0c\xff": "403", b"\x48\x03403": "403"}
"""How HPACK begins an answer with them."""


def http2_status(connection, payload):
    """The status of the first answer over HTTP/2, or what came of it."""
    data = b""
    try:
        connection.settimeout(SECONDS)
        connection.sendall(payload)
        while True:
            while len(data) >= 9 and len(data) >= 9 + (length := int.from_bytes(data[:3], "big")):
                kind, body, data = data[3], data[9:9 + length], data[9 + length:]
                if kind == 1:
                    return next((status for begin, status in STATUSES.items() if body.startswith(begin)), body[:6].hex())
                if kind in (3, 7):
                    return "closed"
            more = connection.recv(65536)
            if not more:
                return "closed"
            data += more
            if not data.startswith(b"\0"):
                return in_a_word(data)
    except socket.timeout:
        return "silence"
    except OSError:
        return "closed"


def in_a_word(data):
    """Of what came back."""
    if data.startswith(b"HTTP/1.1 "):
        return data[9:12].decode()
    return repr(data[:30].decode("latin-1"))


def exchange(connection, payload):
    connection.settimeout(SECONDS)
    try:
        if payload:
            connection.sendall(payload)
        data = connection.recv(65536)
        return in_a_word(data) if data else "closed"
    except socket.timeout:
        return "silence"
    except OSError:  # an alert, too: TLS 1.3 tells a client what the server thinks of its certificate after the handshake
        return "closed"


def ask(address, port, identity=None, way="http/1.1", path="/orders/1", method="GET", headers=(), payload=None, host="orders"):
    """The status, or `closed` (in the handshake or after it), `refused` (no such port), `silence`, or else the bytes that came."""
    http2 = way in ("h2", "istio-h2") and payload is None
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", "connection: close", *headers]
    payload = "\r\n".join([*lines, "", ""]).encode() if payload is None else payload
    try:
        plain = socket.create_connection((address, port), SECONDS)
    except socket.timeout:
        return "silence"
    except OSError:
        return "refused"
    with plain:
        if way == "plain text":
            return exchange(plain, payload)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity:
            context.load_cert_chain(identity.certificate, identity.key)
        if OFFERED.get(way, [way]):
            context.set_alpn_protocols(OFFERED.get(way, [way]))
        try:
            with context.wrap_socket(plain) as secured:
                return http2_status(secured, head(path, method, host)) if http2 else exchange(secured, payload)
        except socket.timeout:
            return "silence"
        except OSError:
            return "closed"

