"""Pictures that are too large are refused by their header: no pixel is decoded and no memory is taken."""

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from shared.messages.codes import Code
from tests.conftest import ROOT
from tests.face.pictures import cut_out, encoded, exif, png_bomb
from tests.face.test_face_decode import Decode, decode, refused

__all__ = ["decode"]

SIDE = 60_000
MAX_GROWTH_MB = 60
"""A picture of 60 000 x 60 000 has ten gigabytes; the smallest that is refused has 195 megabytes."""
HEIC = (Path(__file__).parent / "data" / "portrait.heic").read_bytes()


def with_extents(data: bytes) -> bytes:
    """The HEIF or AVIF file with that size in each of its `ispe` boxes (ISO/IEC 23008-12, 6.5.3)."""
    assert b"ispe" in data
    parts = data.split(b"ispe")
    size = SIDE.to_bytes(4, "big") * 2
    return b"ispe".join([parts[0], *(part[:4] + size + part[12:] for part in parts[1:])])


def bombs() -> dict[str, bytes]:
    """Small files that state a huge picture, in every format."""
    small = cut_out()
    jpeg = bytearray(encoded(small, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = SIDE.to_bytes(2, "big") * 2
    gif = bytearray(encoded(small.quantize(16), "GIF"))
    gif[6:10] = SIDE.to_bytes(2, "little") * 2
    bmp = bytearray(encoded(small, "BMP"))
    bmp[18:26] = SIDE.to_bytes(4, "little") * 2
    webp = bytearray(encoded(small.convert("RGBA"), "WEBP", exif=exif(6), lossless=True))
    assert webp[12:16] == b"VP8X"
    webp[24:30] = (16_382).to_bytes(3, "little") * 2
    return {
        "png": png_bomb(SIDE, SIDE),
        "jpeg": bytes(jpeg),
        "gif": bytes(gif),
        "bmp": bytes(bmp),
        "webp": bytes(webp),
        "avif": with_extents(encoded(small, "AVIF")),
        "heic": with_extents(HEIC),
    }


def test_pictures_that_are_too_large_take_no_memory(tmp_path: Path) -> None:
    """In a process of its own, to see its peak."""
    paths = []
    for name, data in bombs().items():
        assert len(data) < 100_000
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from shared.messages.codes import Rejected; from stages.face.decode import decode_portrait\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "for path in sys.argv[1:]:\n"
        "    before = peak()\n"
        "    try: decode_portrait(Path(path)); print('pixels', 0)\n"
        "    except Rejected as e: print(e.code, peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    ends = dict(zip(bombs(), [line.split() for line in done.stdout.splitlines()], strict=True))
    # libavif refuses so large a size itself, as it refuses damage.
    codes = {name: Code(code) for name, (code, _) in ends.items()}
    assert codes == dict.fromkeys(codes, Code.IMAGE_TOO_LARGE) | {"avif": Code.IMAGE_UNREADABLE}
    assert max(int(grown) for _, grown in ends.values()) < MAX_GROWTH_MB, ends


def archive() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("run.sh", "#!/bin/sh\nid\n")
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize(
    "tail", [archive(), b"<script>alert(1)</script>", b"%PDF-1.7\n%%EOF"], ids=["zip", "html", "pdf"]
)
def test_polyglot_is_its_picture_alone(decode: Decode, file_format: str, tail: bytes) -> None:
    """What follows a picture is neither read nor passed on: the next stage gets pixels."""
    image = cut_out().quantize(64) if file_format == "GIF" else cut_out()
    plain = encoded(image, file_format)
    assert np.array_equal(decode(plain + tail), decode(plain))


@pytest.mark.parametrize("head", [b"%PDF-1.7\n", b"PK\x03\x04", b"<html>", b"#!/bin/sh\n", b"MZ"])
def test_picture_behind_another_format_is_refused(decode: Decode, head: bytes) -> None:
    assert refused(decode, head + encoded(cut_out(), "JPEG")).code == Code.IMAGE_UNREADABLE
