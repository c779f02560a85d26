"""One GET and one POST with PyPI's `spiffe`: its statuses. python_client.py SOCKET PORT"""

import http.client
import os
import ssl
import sys
import tempfile

from cryptography.hazmat.primitives import serialization
from spiffe import X509Source

socket, port = sys.argv[1], int(sys.argv[2])
with X509Source(socket_path=f"unix://{socket}") as source, tempfile.TemporaryDirectory() as folder:
    svid = source.get_x509_context().default_svid
    chain, key, bundle = (os.path.join(folder, name) for name in ("chain.pem", "key.pem", "bundle.pem"))
    pem = serialization.Encoding.PEM
    with open(chain, "wb") as file:
        file.write(b"".join(certificate.public_bytes(pem) for certificate in svid.cert_chain))
    with open(key, "wb") as file:
        file.write(svid.private_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.create_default_context()
    # The server is another's to verify: this asks what the server makes of the client.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(chain, key)
    statuses = []
    for method in ("GET", "POST"):
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
        connection.request(method, "/")
        statuses.append(str(connection.getresponse().status))
        connection.close()
print(*statuses)
