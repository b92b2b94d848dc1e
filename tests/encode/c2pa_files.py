"""Signed mp4 files in tests: a signer, what C2PA's own reader says, and a file without its manifest."""

import io
import json
from pathlib import Path
from typing import Any

import c2pa

from shared.local import signing_certificate
from shared.runtime.execute.claim_signer import ClaimSigner

C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
MANIFEST = "urn:c2pa:6b1b36f5-0d2a-4bb1-9d2a-1c7a4c3e2f10"


def local_signer(folder: Path) -> tuple[ClaimSigner, str]:
    """A signer as the local stack has one, and its authority as PEM."""
    made = signing_certificate.load_or_create(folder)
    signer = ClaimSigner.load(made / "certificates.pem", made / "private_key.pem")
    return signer, (made / signing_certificate.AUTHORITY).read_text()


def read(video: bytes, anchor: str | None = None) -> tuple[str, list[str], dict[str, Any]]:
    """State and failures of the file's manifest as c2pa's reader reports them, and the manifest; ``anchor`` is trusted.

    The state is Invalid, Valid (the signature is right, the certificate unknown) or Trusted."""
    trust = {"trust": {"trust_anchors": anchor}} if anchor else {}
    context = c2pa.Context(c2pa.Settings.from_dict({"version": 1, "verify": {"verify_trust": True}, **trust}))
    with c2pa.Reader("video/mp4", io.BytesIO(video), context=context) as reader:
        results = reader.get_validation_results() or {}
        failures = [one["code"] for one in results["activeManifest"]["failure"]]
        whole = json.loads(reader.json())
        return reader.get_validation_state() or "", failures, whole["manifests"][whole["active_manifest"]]


def boxes(video: bytes) -> list[tuple[str, bytes]]:
    """Top-level boxes in order, with their names."""
    at, found = 0, []
    while at < len(video):
        size = int.from_bytes(video[at : at + 4], "big")
        found.append((video[at + 4 : at + 8].decode("latin-1"), video[at : at + size]))
        at += size
    return found


def without_manifest(video: bytes) -> bytes:
    """The file without its C2PA box: the same for two renders of one request, whose manifests have random salts."""
    return b"".join(box for name, box in boxes(video) if not (name == "uuid" and box[8:24] == C2PA_BOX))
