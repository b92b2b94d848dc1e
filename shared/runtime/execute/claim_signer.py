"""Signs C2PA claims for worker processes, which never get the key.

A worker that hostile media has taken over could ask for any signature. So what is signed must be a COSE structure of a
claim, name this signer's certificate and the manifest of the very job; and there is one signature an attempt.
"""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from shared.runtime.failures import WorkerDied
from shared.slot.marking import MAX_SIGNED_BYTES, Algorithm, Signing

_SIG_STRUCTURE = b"\x84\x6aSignature1"
"""CBOR: an array of four members, of which the first is COSE's context of a single signature (RFC 9052, 4.4)."""
_CURVES: dict[int, tuple[Algorithm, hashes.HashAlgorithm]] = {
    256: ("es256", hashes.SHA256()),
    384: ("es384", hashes.SHA384()),
    521: ("es512", hashes.SHA512()),
}


class ClaimSigner:
    """One key and its certificate chain. Thread-safe."""

    def __init__(self, chain: list[x509.Certificate], algorithm: Algorithm, sign: Callable[[bytes], bytes]) -> None:
        self.expires = chain[0].not_valid_after_utc
        self._algorithm = algorithm
        self._sign = sign
        self._own = chain[0].public_bytes(Encoding.DER)
        self._certificates = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)

    @classmethod
    def load(cls, certificates: Path, private_key: Path) -> Self:
        """Read both files. Raises OSError, and ValueError for a key or chain that can't sign claims now."""
        try:
            chain = x509.load_pem_x509_certificates(certificates.read_bytes())
        except ValueError:
            raise ValueError(f"{certificates} has no PEM certificate that can be read") from None
        try:
            key = load_pem_private_key(private_key.read_bytes(), None)
        except (ValueError, TypeError):
            raise ValueError(f"{private_key} has no PEM private key without a password") from None
        own = chain[0]
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*form) != own.public_key().public_bytes(*form):
            raise ValueError("the private key is not the key of the first certificate")
        now = datetime.datetime.now(datetime.UTC)
        if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
            days = f"{own.not_valid_before_utc:%Y-%m-%d} to {own.not_valid_after_utc:%Y-%m-%d}"
            raise ValueError(f"the certificate is valid from {days}")
        algorithm, sign = _signature(key)
        return cls(chain, algorithm, sign)

    def signing(self, manifest: str) -> Signing:
        """What a worker needs to build the manifest of that label."""
        return Signing(algorithm=self._algorithm, certificates=self._certificates, manifest=manifest)

    def sign(self, data: bytes, manifest: str) -> bytes:
        """COSE's signature of a claim. Raises WorkerDied for data that are no claim of this manifest."""
        is_claim = data.startswith(_SIG_STRUCTURE) and len(data) <= MAX_SIGNED_BYTES and self._own in data
        if not is_claim or f"self#jumbf=/c2pa/{manifest}/c2pa.signature".encode() not in data:
            raise WorkerDied("the worker asked for a signature of something else than its manifest")
        return self._sign(data)


def _signature(key: object) -> tuple[Algorithm, Callable[[bytes], bytes]]:
    """Algorithm and function of a private key. Raises ValueError for a key that C2PA does not allow."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return "ed25519", key.sign
        case ec.EllipticCurvePrivateKey() if key.curve.name in ("secp256r1", "secp384r1", "secp521r1"):
            curve = key
            algorithm, digest = _CURVES[key.key_size]
            size = (key.key_size + 7) // 8

            def ecdsa(data: bytes) -> bytes:
                r, s = utils.decode_dss_signature(curve.sign(data, ec.ECDSA(digest)))
                return r.to_bytes(size, "big") + s.to_bytes(size, "big")

            return algorithm, ecdsa
        case rsa.RSAPrivateKey() if key.key_size >= 2048:
            private = key
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
            return "ps256", lambda data: private.sign(data, pss, hashes.SHA256())
    raise ValueError("the key is none of P-256, P-384, P-521, Ed25519, RSA of 2048 bits or more")
