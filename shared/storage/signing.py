"""Signs single requests to S3 (Signature Version 4), with the signing key of a day computed once."""

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
ALGORITHM = "AWS4-HMAC-SHA256"


class Keys(NamedTuple):
    """A key pair in the form of botocore's frozen credentials."""

    access_key: str
    secret_key: str
    token: str | None = None


class Signer:
    """Signatures for one host and region. Thread-safe."""

    def __init__(self, host: str, region: str) -> None:
        """``host`` as in the header of that name, with the port where the URL has one."""
        self._host = host
        self._region = region
        self._key = ("", "", b"")
        """Secret and day, and the key derived from both: four of the five HMACs of a signature."""

    def sign(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        credentials: "Keys | ReadOnlyCredentials",
        payload_sha256: str = UNSIGNED_PAYLOAD,
        now: float | None = None,
    ) -> dict[str, str]:
        """The headers with those of the signature. ``path`` is percent-encoded and has no query; names in ``headers``
        are lower case; ``now`` is in seconds since the epoch, by default the present."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        signed = {**headers, "host": self._host, "x-amz-content-sha256": payload_sha256, "x-amz-date": stamp}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = sorted(signed)
        listed = ";".join(names)
        lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in names)
        request = f"{method}\n{path}\n\n{lines}\n{listed}\n{payload_sha256}"
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        text = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(
            self._signing_key(str(credentials.secret_key), stamp[:8]), text.encode(), "sha256"
        ).hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
        )
        return signed

    def _signing_key(self, secret: str, day: str) -> bytes:
        known = self._key  # Replaced as a whole: another thread may compute the same one.
        if known[:2] == (secret, day):
            return known[2]
        key = f"AWS4{secret}".encode()
        for part in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = (secret, day, key)
        return key
