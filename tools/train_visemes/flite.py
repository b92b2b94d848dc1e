"""Synthesises speech by flite's voices, made from recordings of people (CMU Arctic), from Debian packages."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

from tools.train_visemes.signal import RATE, Signal, from_pcm, resample
from tools.train_visemes.sounds import Sound

PACKAGES = {
    "flite=2.2-5": "f4ce03470bf9974c2cb9cacd981e6be29339ef4c97cf994dd6fa3f90e6544db9",
    "libflite1=2.2-5": "bfa8c591f1b47730b30b372ec38e02918a1c9795eada67684e1746390ad2f061",
    "libasound2=1.2.8-1+b1": "44c77b076a7b11ae99712439022d822245b1994c435da564ebd320bb676faf4c",
}
VOICES = ("awb", "kal16", "rms", "slt")
_IPA = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "ay": "aɪ", "b": "b", "ch": "tʃ", "d": "d",
    "dh": "ð", "dx": "ɾ", "eh": "ɛ", "el": "l", "em": "m", "en": "n", "er": "ɚ", "ey": "eɪ", "f": "f", "g": "ɡ",
    "hh": "h", "hv": "h", "ih": "ɪ", "iy": "i", "jh": "dʒ", "k": "k", "l": "l", "m": "m", "n": "n", "nx": "n",
    "ng": "ŋ", "ow": "oʊ", "oy": "ɔɪ", "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "uh": "ʊ",
    "uw": "u", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ", "pau": "",
}  # fmt: skip


class Flite:
    """The program, unpacked into ``folder``. Raises SystemExit without Debian's tools or with other packages."""

    def __init__(self, folder: Path) -> None:
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise SystemExit("flite comes from Debian packages: apt-get and dpkg-deb are needed")
        folder.mkdir(parents=True, exist_ok=True)
        for package, digest in PACKAGES.items():
            name, version = package.split("=")
            if not (files := list(folder.glob(f"{name}_{version}_*.deb"))):
                subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
                files = list(folder.glob(f"{name}_{version}_*.deb"))
            if hashlib.sha256(files[0].read_bytes()).hexdigest() != digest:
                raise SystemExit(f"{files[0].name} is not the expected package")
            subprocess.run(["dpkg-deb", "-x", str(files[0]), str(folder / "root")], check=True)
        self._program = folder / "root/usr/bin/flite"
        (library,) = (folder / "root/usr/lib").glob("*/libflite.so.1")
        self._environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}

    def speak(self, text: str, voice: str, stretch: float) -> tuple[Signal, list[Sound]]:
        """The speech at 16 kHz and its sounds; stretch: factor of all durations, 1 is natural."""
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            options = ["-voice", voice, "-psdur", "--setf", f"duration_stretch={stretch:.2f}"]
            command = [str(self._program), *options, "-t", text, "-o", file.name]
            output = subprocess.run(command, capture_output=True, text=True, check=True, env=self._environment).stdout
            with wave.open(file.name) as recording:
                rate = recording.getframerate()
                signal = from_pcm(recording.readframes(recording.getnframes()))
        sounds, start = [], 0.0
        for name, end in (entry.rsplit(":", 1) for entry in output.split()):
            sounds.append(Sound(_IPA[name], start, float(end)))
            start = float(end)
        return resample(signal, rate, RATE), sounds
