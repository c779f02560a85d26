"""Certificates, callers, and the app behind the gateway."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab import Authority

HOST = "edge.example"

WAYS = {"h2": ["--http2"], "http/1.1": ["--http1.1"], "no ALPN": ["--http1.1", "--no-alpn"], "plain text": []}
"""What a caller offers in the handshake, or no TLS at all."""

CLOSED_BY_CURL = {7: "refused", 28: "silence"}
"""Exit codes of curl that say more than that the connection was closed."""


class People:
    """`client` has a rule. Nobody else has."""

    def __init__(self, lab):
        folder = lab.folder / "people"
        folder.mkdir()
        self.own, partner, stranger = (Authority(lab, f"{name}.example", folder) for name in ("prod", "partner", "stranger"))
        client, other = "URI:spiffe://prod.example/ns/edge/sa/client", "URI:spiffe://prod.example/ns/edge/sa/other"
        self.server = self.own.leaf("server", "URI:spiffe://prod.example/ns/edge/sa/gateway", f"DNS:{HOST}")
        self.client = self.own.leaf("client", client)
        self.strangers = {
            "other": self.own.leaf("other", other),
            "two URI SANs": self.own.leaf("two", client, other),
            "no URI SAN": self.own.leaf("none", f"DNS:{HOST}"),
            "partner": partner.leaf("partner", "URI:spiffe://partner.example/ns/billing/sa/reports"),
            "stranger": stranger.leaf("stranger", "URI:spiffe://stranger.example/ns/edge/sa/client"),
            "forged": stranger.leaf("forged", client),
            "no certificate": None,
        }
        self.other = self.strangers["other"]


def ask(who, path="/orders/1", port=10443, way="http/1.1", *more, host=HOST):
    """The status of one request on a connection of its own, or `closed`, `refused` (nothing listens) or `silence`."""
    scheme = "http" if way == "plain text" else "https"
    certificate = ("--cert", f"{who}.pem", "--key", f"{who}.key") if who and scheme == "https" else ()
    ended = subprocess.run(
        ["curl", "-sk", "--path-as-is", "--max-time", "6", "--resolve", f"{host}:{port}:127.0.0.1", *certificate, *WAYS[way], "-o", "/dev/null",
         "-w", "%{http_code}", *more, f"{scheme}://{host}:{port}{path}"], stdout=subprocess.PIPE, text=True, timeout=20)
    return ended.stdout if ended.returncode == 0 else CLOSED_BY_CURL.get(ended.returncode, "closed")


class App:
    """Answers every request with 200, and notes what reached it."""

    def __init__(self):
        self.reached = reached = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                reached.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = do_OPTIONS = do_PUT = do_DELETE = do_HEAD = answer

            def log_message(self, *_):
                pass

        self.port = served(Handler)


class Files:
    """Serves the module over HTTP."""

    def __init__(self, path):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = path.read_bytes() if self.path == f"/{path.name}" else b""
                self.send_response(200 if body else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.url = f"http://127.0.0.1:{served(Handler)}/{path.name}"


def served(handler):
    """The port of a server in a thread of this process, which ends with it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
