"""The certificate that a sandbox trusts for its own loopback: made when it is first needed, kept nowhere, gone with the server.

Its key never leaves this process. It is good for 127.0.0.1 and localhost, where only the platform listens for a sandbox.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from threading import Lock
from typing import NamedTuple

from stratolite.clock import World

_VALID_DAYS = 3_650


class Made(NamedTuple):
    certificate: str
    """PEM."""
    context: ssl.SSLContext


class InnerTls:
    def __init__(self, world: World) -> None:
        self._world, self._lock = world, Lock()
        self._made: Made | None = None

    @property
    def made(self) -> Made:
        """Takes some milliseconds the first time; may be asked for in any thread."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Made:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stratolite sandbox")])
        now = dt.datetime.fromtimestamp(self._world.wall(), dt.UTC)
        where = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=_VALID_DAYS))
            .add_extension(x509.SubjectAlternativeName(where), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        certificate = built.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        kept = os.memfd_create("key", os.MFD_CLOEXEC)  # ssl reads keys from files only
        try:
            os.write(kept, secret + certificate)
            context.load_cert_chain(f"/proc/self/fd/{kept}")
        finally:
            os.close(kept)
        return Made(certificate.decode(), context)
