"""Embeds a C2PA manifest into a finished mp4: made with a trained model from a portrait and a recording.

It names no person, file or place, and has no digest or thumbnail of what the user sent. The library draws a random salt
for each assertion, so that two manifests of one video differ; the rest of the file is the same bytes.
"""

import json
from collections.abc import Callable
from pathlib import Path

import c2pa

from shared import __version__
from shared.slot.marking import Signing
from stages.encode.labels import SOURCE_TYPE, TITLE

_FORMAT = "video/mp4"
_MEMORY_MB = 64
"""A file up to this size is copied in memory, a larger one in the folder of the target."""
_ACTIONS = "c2pa.actions.v2"
_INPUTS = {"portrait": "Portrait", "speech": "Speech recording"}
_SETTINGS = {
    "version": 1,
    "verify": {
        "verify_after_sign": False,  # Tests do; here it would read the whole file once more.
        "verify_trust": False,
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    },
    "builder": {"thumbnail": {"enabled": False}, "actions": {"auto_created_action": {"enabled": False}}},
    "core": {"backing_store_memory_threshold_in_mb": _MEMORY_MB},
}


def definition(engine: str, manifest: str) -> dict[str, object]:
    """The manifest as the library takes it; ``manifest`` is its label, ``urn:c2pa:<UUID>``."""
    tool = {"name": "lipstage", "version": __version__}
    created = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": tool,
        "description": f"A portrait was animated to a speech recording by the engine {engine}.",
        "parameters": {"ingredientIds": list(_INPUTS), "org.lipstage.engine": engine},
    }
    return {
        "label": manifest,
        "instance_id": manifest.replace("urn:c2pa:", "xmp:iid:"),
        "title": TITLE,
        "format": _FORMAT,
        "claim_generator_info": [tool],
        "ingredients": [
            {"label": label, "title": title, "relationship": "inputTo"} for label, title in _INPUTS.items()
        ],
        "assertions": [
            {"label": _ACTIONS, "created": True, "data": {"actions": [created], "allActionsIncluded": True}}
        ],
    }


def embed_manifest(source: Path, target: Path, engine: str, signing: Signing, sign: Callable[[bytes], bytes]) -> None:
    """Write ``source`` with a manifest as ``target``; its index stays in front.

    ``sign`` returns the signature of a claim, as COSE has it; what it raises is raised. Raises c2pa.C2paError for a
    file that is no mp4.
    """
    failures: list[Exception] = []

    def signed(data: bytes) -> bytes:
        try:
            return sign(data)
        except Exception as e:
            failures.append(e)  # The library would swallow it.
            raise

    algorithm = c2pa.C2paSigningAlg[signing.algorithm.upper()]
    context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))
    signer = c2pa.Signer.from_callback(signed, algorithm, signing.certificates)
    try:
        with (
            c2pa.Builder(json.dumps(definition(engine, signing.manifest)), context) as builder,
            source.open("rb") as read,
            target.open("w+b") as written,
        ):
            builder.sign(signer, _FORMAT, read, written)
    except c2pa.C2paError:
        if failures:
            raise failures[0] from None
        raise
