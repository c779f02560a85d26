"""What a proxy says of who has connected to it, as anybody can write it who has a certificate: they are public."""

import hashlib
import re
import ssl
import urllib.parse
from pathlib import Path


def element(certificate, uri, by=None):
    """One element of `x-forwarded-client-cert`, of the first certificate of a file."""
    pem = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", Path(certificate).read_text(), re.S)[0]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    return f'{f"By={by};" if by else ""}Hash={digest};Cert="{urllib.parse.quote(pem, safe="")}";Subject="";URI={uri}'
