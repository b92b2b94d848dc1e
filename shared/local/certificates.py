"""TLS certificates of the local broker and object store: a certificate authority, and one certificate for both.

The authority's key is never stored: it signs one certificate and is forgotten, so that nobody can add a second one.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from shared.local.ports import HOST
from shared.local.private_file import write_private

if TYPE_CHECKING:
    from cryptography import x509

AUTHORITY, CERTIFICATE, KEY = "ca.crt", "server.crt", "server.key"
COMMON_NAME = "lipstage-local"
DAYS = 825
RENEW_BEFORE = timedelta(days=30)


def ensure(folder: Path) -> None:
    """Write the files where one is missing, unreadable or about to expire."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        if found.not_valid_after_utc - datetime.now(UTC) > RENEW_BEFORE and (folder / AUTHORITY).is_file():
            return
    except (OSError, ValueError):
        pass
    _make(folder)


def _make(folder: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)

    def builder(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{COMMON_NAME} authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            # A clock that was set back a little must not make it invalid.
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=DAYS))
        )

    authority = (
        builder(f"{COMMON_NAME} authority", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))])
    # The broker is a client of its own controller, the parts of the object store are clients of each other.
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    server = (
        builder(COMMON_NAME, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(names, critical=False)
        .add_extension(both, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(folder / KEY, private.decode())
    write_private(folder / CERTIFICATE, server.public_bytes(pem).decode())
    write_private(folder / AUTHORITY, authority.public_bytes(pem).decode())


def _usage(*, signs_certificates: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
