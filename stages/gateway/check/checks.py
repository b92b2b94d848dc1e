"""The checks of both files of a request."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.messages.codes import Rejected
from shared.messages.metadata import AudioMetadata, FaceMetadata
from shared.messages.request import Params
from shared.slot.confinement.confine import Mode
from stages.gateway.check.checker import Checked, Checker

STAGE_OF = {"portrait": "face", "speech": "audio"}
"""The stage that reads each file."""


class Checks:
    """A checker for each role, made when it is first asked."""

    def __init__(self, scratch: Path, confinement: Mode) -> None:
        """``scratch`` holds the files that arrive and those of the workers: it is one file system."""
        self._checkers: dict[str, Checker] = {}
        self._scratch = scratch
        self._confinement = confinement

    def check(self, role: str, tenant: str, file: Path, params: Params) -> dict[str, Any]:
        """What the stage found, or its ``error``, and its ``warnings``; blocks. The file is gone afterwards.

        Raises CheckUnavailable, TooManyChecks.
        """
        checker = self._checkers.get(role)
        if checker is None:
            checker = self._checkers[role] = Checker(STAGE_OF[role], role, self._scratch, self._confinement)
        try:
            found = checker.check(tenant, file, params)
        except Rejected as e:
            error = {"code": str(e.code), "detail": e.message, "field": e.field, "allowed": e.allowed}
            return {"error": {name: value for name, value in error.items() if value is not None}, "warnings": []}
        answer = _portrait(found.metadata) if role == "portrait" else _speech(found.metadata)
        return answer | {"warnings": _warnings(found)}

    def close(self) -> None:
        """End the workers."""
        for checker in self._checkers.values():
            checker.close()


def _warnings(found: Checked) -> list[dict[str, str]]:
    return [{"code": str(code), "message": message} for code, message in found.warnings]


def _portrait(metadata: Mapping[str, Any]) -> dict[str, Any]:
    face = FaceMetadata.model_validate(metadata)
    width, height = face.portrait_size or (face.width, face.height)
    return {
        "width": width,
        "height": height,
        "faces": [one.model_dump(include={"box", "score"}) for one in face.faces],
        "crop": face.crop,
        "video": {"width": face.width, "height": face.height},
    }


def _speech(metadata: Mapping[str, Any]) -> dict[str, Any]:
    speech = AudioMetadata.model_validate(metadata)
    return {
        "duration_s": speech.duration_s,
        "codec": speech.codec,
        "sample_rate": speech.sample_rate,
        "channels": speech.channels,
        "silent": speech.silent,
        "speech": speech.speech,
    }
