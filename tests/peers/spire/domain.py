"""One trust domain of real SPIRE: a server, an agent, and what an operator does with them."""

import base64
import json
import shutil
import textwrap

from lab import TARGET, free_port, until

SERVER, AGENT = TARGET / "bin" / "spire-server", TARGET / "bin" / "spire-agent"

SERVER_CONFIGURATION = """
server {{
  bind_address = "127.0.0.1"
  bind_port = {port}
  socket_path = "{home}/server.sock"
  trust_domain = "{name}"
  data_dir = "{home}/data"
  log_level = "INFO"
  ca_ttl = "{ca_ttl}"
  default_x509_svid_ttl = "{svid_ttl}"
  default_jwt_svid_ttl = "{svid_ttl}"
  agent_ttl = "{agent_ttl}"
  experimental {{ cache_reload_interval = "1s" }}
  federation {{
    bundle_endpoint {{ address = "127.0.0.1" port = {endpoint_port} refresh_hint = "10s" {profile} }}
    {federates}
  }}
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{home}/data/db.sqlite3" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ keys_path = "{home}/data/keys.json" }} }}
  {plugins}
}}
"""

# Asked every second, so that what an operator does arrives soon.
AGENT_CONFIGURATION = """
agent {{
  data_dir = "{home}/agent"
  log_level = "INFO"
  server_address = "127.0.0.1"
  server_port = {port}
  socket_path = "{home}/agent.sock"
  trust_domain = "{name}"
  trust_bundle_path = "{home}/bootstrap.pem"
  experimental {{ sync_interval = "1s" }}
  {more}
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{home}/agent" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""

WEB, SPIFFE = "https_web", "https_spiffe"


class WebAuthority:
    """An authority of the web PKI, and what it issued for `localhost`."""

    def __init__(self, lab):
        self.folder = lab.folder / "web"
        self.folder.mkdir()
        self.pem, self.certificate, self.key = (self.folder / name for name in ("ca.pem", "endpoint.pem", "endpoint.key"))
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        call = lambda *argv: lab.output_of("openssl", *argv, folder=self.folder)
        call("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=web authority")
        call("req", *new_key, "-keyout", "endpoint.key", "-out", "endpoint.csr", "-subj", "/CN=localhost")
        (self.folder / "extensions").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
        call("x509", "-req", "-in", "endpoint.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
             "-out", "endpoint.pem", "-extfile", "extensions")


class TrustDomain:
    """A server and an agent of one trust domain. `profile` is that of its bundle endpoint, `agent` more of its agent's settings."""

    def __init__(self, lab, name, profile, web, folder=None, ca_ttl="24h", svid_ttl="60s", agent_ttl="1h", plugins="",
                 agent=""):
        self.lab, self.name, self.profile, self.web = lab, name, profile, web
        self.home = lab.folder / (folder or name.partition(".")[0])
        self.home.mkdir()
        self.port, self.endpoint_port = free_port(), free_port()
        self.socket = self.home / "agent.sock"
        self._settings = {"ca_ttl": ca_ttl, "svid_ttl": svid_ttl, "agent_ttl": agent_ttl, "plugins": plugins}
        self.server = self.agent = None
        self._agent = agent

    def id(self, path=""):
        return f"spiffe://{self.name}{path}"

    def start_server(self, partner=None):
        """Starts the server, and the federation with a partner's bundle endpoint, whose profile it knows."""
        (self.home / "data").mkdir(exist_ok=True)
        profile = f'profile "{self.profile}" {{}}' if self.profile == SPIFFE else (
            f'profile "{WEB}" {{ serving_cert_file {{ cert_file_path = "{self.web.certificate}" '
            f'key_file_path = "{self.web.key}" file_sync_interval = "5s" }} }}')
        federates = self._federates_with(partner) if partner else ""
        (self.home / "server.conf").write_text(SERVER_CONFIGURATION.format(
            home=self.home, name=self.name, port=self.port, endpoint_port=self.endpoint_port, profile=profile,
            federates=federates, **self._settings))
        self.server = self.lab.start(f"{self.home.name}-server", SERVER, "run", "-config", self.home / "server.conf",
                                     environment={"SSL_CERT_FILE": str(self.web.pem)})
        until(f"the server of {self.name} is healthy", lambda: self._ask("healthcheck")[0] == 0, 60, 0.2)

    @staticmethod
    def _federates_with(partner):
        theirs = f'endpoint_spiffe_id = "{partner.id("/spire/server")}"' if partner.profile == SPIFFE else ""
        return (f'federates_with "{partner.name}" {{ bundle_endpoint_url = "https://localhost:{partner.endpoint_port}/" '
                f'bundle_endpoint_profile "{partner.profile}" {{ {theirs} }} }}')

    def start_agent(self, *arguments):
        self.agent = self.lab.start(f"{self.home.name}-agent", AGENT, "run", "-config", self.home / "agent.conf", *arguments)
        healthy = lambda: self.lab.call(AGENT, "healthcheck", "-socketPath", self.socket)[0] == 0
        until(f"the agent of {self.name} is healthy", healthy, 60, 0.2)

    def join_agent(self):
        """Starts an agent that this server has not met before."""
        shutil.rmtree(self.home / "agent", ignore_errors=True)
        (self.home / "agent").mkdir()
        (self.home / "bootstrap.pem").write_text(self.ask("bundle", "show"))
        (self.home / "agent.conf").write_text(AGENT_CONFIGURATION.format(home=self.home, name=self.name, port=self.port, more=self._agent))
        token = self.ask("token", "generate", "-spiffeID", self.id("/agent")).split()[-1]
        self.start_agent("-joinToken", token)

    def _ask(self, *arguments):
        return self.lab.call(SERVER, *arguments, "-socketPath", self.home / "server.sock")

    def ask(self, *arguments):
        """The server's command line: what it says."""
        code, output = self._ask(*arguments)
        if code != 0:
            raise RuntimeError(f"{self.name}: spire-server {' '.join(map(str, arguments))}: {output}")
        return output

    def learn(self, trust_domain, bundle):
        """Sets the bundle of a foreign trust domain by hand (SPIFFE format), as an operator does who begins to federate."""
        path = self.home / "learnt.json"
        path.write_text(bundle)
        self.ask("bundle", "set", "-format", "spiffe", "-id", f"spiffe://{trust_domain}", "-path", path)

    def bundle(self):
        """Our own, in the SPIFFE format."""
        return self.ask("bundle", "show", "-format", "spiffe")

    def register(self, path, uid, *federates_with, ttl=None, jwt_ttl=None, downstream=False):
        """An entry for whoever runs as `uid` on the agent's host, or for a server there that is to sign below this one. Its id."""
        more = [word for name in federates_with for word in ("-federatesWith", f"spiffe://{name}")]
        if downstream:
            more.append("-downstream")
        if ttl:
            more += ["-x509SVIDTTL", str(ttl)]
        if jwt_ttl:
            more += ["-jwtSVIDTTL", str(jwt_ttl)]
        said = self.ask("entry", "create", "-parentID", self.id("/agent"), "-spiffeID", self.id(path),
                        "-selector", f"unix:uid:{uid}", *more)
        return next(line.split()[-1] for line in said.splitlines() if line.startswith("Entry ID"))

    def update(self, entry, path, uid, *federates_with):
        """The entry, with other trust domains that it federates with."""
        more = [word for name in federates_with for word in ("-federatesWith", f"spiffe://{name}")]
        self.ask("entry", "update", "-entryID", entry, "-parentID", self.id("/agent"), "-spiffeID", self.id(path),
                 "-selector", f"unix:uid:{uid}", *more)

    def forget(self, entry):
        self.ask("entry", "delete", "-entryID", entry)

    def fetch(self, uid, name):
        """Has the agent write the SVID of `uid` into files: the path without `.pem` and `.key`."""
        folder = self.lab.folder / "svids" / name
        folder.mkdir(parents=True, exist_ok=True)
        (self.lab.folder / "svids").chmod(0o755)
        shutil.chown(folder, uid, uid)

        def fetched():
            return self.lab.call(AGENT, "api", "fetch", "x509", "-socketPath", self.socket, "-write", folder, uid=uid)[0] == 0

        until(f"an SVID of {self.name} for uid {uid}", fetched, 30, 0.3)
        return folder / "svid.0"

    def fetch_token(self, uid, audience):
        """A JWT-SVID of `uid` for an audience, and the JWT bundles by trust domain, as the agent gives them to it."""
        call = lambda: self.lab.call(AGENT, "api", "fetch", "jwt", "-audience", audience, "-socketPath", self.socket, "-output", "json", uid=uid)
        said = until(f"a token of {self.name} for uid {uid}", lambda: (one := call())[0] == 0 and one[1], 30, 0.3)
        tokens, bundles = json.loads(said)
        return tokens["svids"][0]["svid"], {name: json.loads(base64.b64decode(keys)) for name, keys in bundles["bundles"].items()}

    def authorities(self, what="x509"):
        """Its signing authorities by their state: `active`, `prepared`, `old`."""
        shown = json.loads(self.ask("localauthority", what, "show", "-output", "json"))
        return {state: (shown.get(state) or {}).get("authority_id") for state in ("active", "prepared", "old")}

    def certificates(self):
        """The authorities in its bundle: DER in base64."""
        return [key["x5c"][0] for key in json.loads(self.bundle())["keys"] if key.get("use") == "x509-svid"]

    def signing_key(self, lab):
        """Steals the key that the server signs with, and its certificate: paths. For attacks."""
        active = self.authorities()["active"]
        keys = self._keys()
        certificates = self.certificates()
        stolen = lab.folder / f"stolen-{self.home.name}"
        stolen.mkdir(exist_ok=True)
        for certificate in certificates:
            pem = pem_of("CERTIFICATE", certificate)
            (stolen / "ca.pem").write_text(pem)
            public = lab.output_of("openssl", "x509", "-in", stolen / "ca.pem", "-noout", "-pubkey")
            for key in keys.values():
                (stolen / "ca.key").write_text(pem_of("PRIVATE KEY", key))
                if lab.output_of("openssl", "pkey", "-in", stolen / "ca.key", "-pubout") == public:
                    return stolen / "ca.pem", stolen / "ca.key"
        raise LookupError(f"{self.name}: no key for one of {len(certificates)} authorities (active: {active})")

    def jwt_key(self, lab):
        """Steals the key that the server signs tokens with: what tokens call it, and its path. For attacks."""
        active = self.authorities("jwt")["active"]
        listed = next(key for key in json.loads(self.bundle())["keys"] if key.get("kid") == active)
        path = lab.folder / f"stolen-{self.home.name}.jwt.key"
        for key in self._keys().values():
            path.write_text(pem_of("PRIVATE KEY", key))
            public = pem_body(lab.output_of("openssl", "pkey", "-in", path, "-pubout"))
            # The point is the last of what there is: x and y, 32 bytes each on P-256.
            if public[-64:-32] == decoded(listed["x"]) and public[-32:] == decoded(listed["y"]):
                return active, path
        raise LookupError(f"{self.name}: no key for the JWT authority {active}")

    def _keys(self):
        return json.loads((self.home / "data" / "keys.json").read_text())["keys"]


def pem_of(label, der_in_base64):
    lines = "\n".join(textwrap.wrap(der_in_base64, 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def pem_body(pem):
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))


def decoded(text):
    """Base64 as JWTs have it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def federated(lab, web, folder="", **settings):
    """shop.example (`https_spiffe`) and partner.example (`https_web`), each with the bundle of the other. `settings` are of
    both, or with `shop_` or `partner_` before of one."""
    def mine(name):
        own = {key.removeprefix(f"{name}_"): value for key, value in settings.items() if key.startswith(f"{name}_")}
        both = {key: value for key, value in settings.items() if not key.startswith(("shop_", "partner_"))}
        return {**both, **own, "folder": f"{folder}{name}"}

    shop = TrustDomain(lab, "shop.example", SPIFFE, web, **mine("shop"))
    partner = TrustDomain(lab, "partner.example", WEB, web, **mine("partner"))
    shop.start_server(partner)
    partner.start_server(shop)
    shop.learn(partner.name, partner.bundle())
    partner.learn(shop.name, shop.bundle())
    shop.join_agent()
    partner.join_agent()
    return shop, partner
