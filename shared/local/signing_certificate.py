"""The local stack's own C2PA signer: a certificate that nobody trusts, to try manifests without a real one.

Made once in the folder `c2pa` of the state folder, and again before it expires. The key of its authority is not kept.
"""

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CERTIFICATE = "LIPSTAGE_C2PA_CERTIFICATE_FILE"
PRIVATE_KEY = "LIPSTAGE_C2PA_PRIVATE_KEY_FILE"
VARIABLES = (CERTIFICATE, PRIVATE_KEY)
FOLDER = "c2pa"
AUTHORITY = "ca.pem"
"""The anchor with which a reader trusts what this stack signs."""
_VALID = datetime.timedelta(days=365)
_RENEWED = datetime.timedelta(days=60)
"""So long before its end; the signer warns later."""


def prepare(state: Path) -> bool:
    """Make the certificate where the caller has none; True when it is new. Raises OSError."""
    if os.environ.get(CERTIFICATE) or (state / FOLDER).exists():
        return False
    return bool(variables(state))


def variables(state: Path) -> dict[str, str]:
    """The variables of the encode service: the caller's signer, else the stack's own; empty where the libraries of the
    encode stage are missing. Raises OSError."""
    if given := os.environ.get(CERTIFICATE):
        key = os.environ.get(PRIVATE_KEY)
        # Absolute: a service runs in another folder than its caller.
        return {CERTIFICATE: _absolute(given), **({PRIVATE_KEY: _absolute(key)} if key else {})}
    try:
        folder = load_or_create(state)
    except ModuleNotFoundError:
        return {}
    return {CERTIFICATE: str(folder / "certificates.pem"), PRIVATE_KEY: str(folder / "private_key.pem")}


def load_or_create(state: Path) -> Path:
    """The folder with `certificates.pem`, `private_key.pem` (mode 0600) and `ca.pem`. Raises OSError, and
    ModuleNotFoundError without the library `cryptography`."""
    from cryptography import x509

    folder = state / FOLDER
    try:
        own = x509.load_pem_x509_certificates((folder / "certificates.pem").read_bytes())[0]
        if own.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > _RENEWED:
            return folder
    except (FileNotFoundError, ValueError):
        pass
    _create(folder)
    return folder


def _create(folder: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("lipstage test authority", authority_key, None, authority_key)
    own = _certificate("lipstage test signer", key, authority, authority_key)
    folder.mkdir(parents=True, exist_ok=True)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    authority_pem = authority.public_bytes(Encoding.PEM)
    # The certificate is what is looked for: it is written last.
    for name, content in (
        ("private_key.pem", private),
        (AUTHORITY, authority_pem),
        ("certificates.pem", own.public_bytes(Encoding.PEM)),
    ):
        temporary = folder / f"{name}.{os.getpid()}"
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(folder / name)


def _certificate(
    name: str,
    key: "ec.EllipticCurvePrivateKey",
    issuer: "x509.Certificate | None",
    issuer_key: "ec.EllipticCurvePrivateKey",
) -> "x509.Certificate":
    """A certificate by C2PA's profile: an authority without ``issuer``, else a signer."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "lipstage, local stack: for tests only"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    is_authority = issuer is None
    usages = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
              "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    used = {"key_cert_sign", "crl_sign"} if is_authority else {"digital_signature"}
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(x509.KeyUsage(**{usage: usage in used for usage in usages}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_authority:
        # Of the purposes that C2PA allows the one that readers know without a configuration.
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
