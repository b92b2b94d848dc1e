"""Derives the glyphs of the visible label: ``python -m tools.label_glyphs`` (apt-get on Debian, Pillow).

The result is committed, so that the encode stage needs no font and no Pillow. It is a coverage mask of every character
in Noto Sans CJK SC Bold.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shared.slot.marking import LABEL_CHARACTERS

GLYPHS = Path(__file__).resolve().parents[1] / "stages" / "encode" / "provenance" / "glyphs.npz"
PACKAGE = "fonts-noto-cjk=1:20220127+repack1-1"
PACKAGE_SHA256 = "4a2515eb6db3978b897fef9709ed0d2b1f4c6c4df4d83d6c4ef65f71f1b1f502"
FONT = "usr/share/fonts/opentype/noto/NotoSansCJK-Bold.ttc"
SIMPLIFIED_CHINESE = 2
"""Index of the face in the collection."""
SIZE = 96
"""Pixels of the em: the text of a video of two megapixels is smaller."""
ASCENT, DESCENT = 84, 24


def derive(font_file: Path, target: Path) -> None:
    """Write the glyphs of all characters side by side, each as wide as its advance, on one baseline."""
    font = ImageFont.truetype(str(font_file), SIZE, index=SIMPLIFIED_CHINESE)
    cells, edges = [], [0]
    for character in LABEL_CHARACTERS:
        width = max(1, round(font.getlength(character)))
        cell = Image.new("L", (width, ASCENT + DESCENT))
        ImageDraw.Draw(cell).text((0, ASCENT), character, 255, font, anchor="ls")
        cells.append(np.asarray(cell, np.uint8))
        edges.append(edges[-1] + width)
    _, top, _, bottom = font.getbbox("A", anchor="ls")
    np.savez_compressed(
        target,
        characters=np.array(LABEL_CHARACTERS),
        coverage=np.concatenate(cells, axis=1),
        edges=np.array(edges, np.int32),
        capital_height=np.int32(bottom - top),
    )


def main() -> None:
    """Download the font and write the glyphs."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SystemExit("the font comes from a Debian package: apt-get and dpkg-deb are needed")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.deb")
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        if digest != PACKAGE_SHA256:
            raise SystemExit(f"{package.name}: sha256 {digest} instead of {PACKAGE_SHA256}")
        subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)
        derive(Path(folder) / FONT, GLYPHS)


if __name__ == "__main__":
    main()
