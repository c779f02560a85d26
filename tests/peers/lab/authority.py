"""The authority of a trust domain that no peer has, by openssl."""

import base64
import re
import subprocess


class Authority:
    """The authority of a trust domain, and leaves of it: `FILE.pem`, `FILE.key`."""

    def __init__(self, lab, name, folder):
        self.lab, self.folder, self.name = lab, folder, name
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self._key, "-out",
                      self.certificate, "-days", "30", "-subj", f"/O=SPIFFE/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext", f"subjectAltName=URI:spiffe://{name}")

    def _openssl(self, *argv):
        self.lab.output_of("openssl", *argv, folder=self.folder)

    def leaf(self, file, *sans):
        """A leaf with these SANs (`URI:spiffe://…`, `DNS:…`)."""
        names = ("-addext", f"subjectAltName={','.join(sans)}") if sans else ()
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{file}.key", "-out", f"{file}.csr",
                      "-subj", "/O=SPIFFE", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature",
                      "-addext", "extendedKeyUsage=serverAuth,clientAuth", *names)
        self._openssl("x509", "-req", "-in", f"{file}.csr", "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", "1",
                      "-out", f"{file}.pem", "-copy_extensions", "copy")
        return self.folder / file

    def bundle(self):
        """As SPIFFE wants it."""
        pem = self.certificate.read_text()
        said = subprocess.run(["openssl", "x509", "-noout", "-pubkey"], input=pem, check=True, stdout=subprocess.PIPE, text=True, timeout=10)
        der = base64.b64decode("".join(said.stdout.splitlines()[1:-1]))
        x, y = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (der[-64:-32], der[-32:]))
        return {"spiffe_sequence": 1, "keys": [{"use": "x509-svid", "kty": "EC", "crv": "P-256", "x": x, "y": y,
                                                "x5c": ["".join(re.sub("-----.*-----", "", pem).split())]}]}
