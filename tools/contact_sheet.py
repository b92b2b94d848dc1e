"""Draws portraits x mouth shapes as one picture: ``python -m tools.contact_sheet FOLDER OUT.jpg``.

Every portrait of the folder passes the face stage's handler and the puppet's renderer, as in a render at the default
size; a row shows its face, or with ``--crop mouth`` its mouth. A rejected portrait shows its code instead.
"""

import argparse
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

import stages.face.handler
from shared.messages.codes import Rejected
from shared.messages.refs import InputRef
from shared.messages.request import Params, RenderRequest
from shared.messages.task import RenderTask
from shared.slot.api import Handler, Task
from stages.infer.puppet.head import MOTIONS, PITCH, ROLL, SHIFT_Y, YAW
from stages.infer.puppet.landmarks import CORNER_LEFT, CORNER_RIGHT
from stages.infer.puppet.renderer import MouthPose, Pose, Renderer
from tests.stage_harness import StageHarness

Picture = npt.NDArray[np.uint8]

_TURNED = np.zeros(len(MOTIONS), np.float32)
# Three standard deviations of the idle motion at once.
_TURNED[[YAW, ROLL, PITCH, SHIFT_Y]] = 0.13, 0.03, 0.07, 0.015
CLOSED = MouthPose(close=1.0)
POSES = {
    "closed": Pose(CLOSED),
    "open vowel": Pose(MouthPose(open=1.2, teeth=0.3, tongue=0.1)),
    "half open": Pose(MouthPose(open=0.6, wide=0.2, teeth=0.5, tongue=0.1)),
    "spread": Pose(MouthPose(open=0.38, wide=0.7, teeth=0.8, tongue=0.1)),
    "rounded": Pose(MouthPose(open=0.55, wide=-0.5, round=0.9, teeth=0.1)),
    "f, v": Pose(MouthPose(open=0.12, wide=0.1, tuck=1.0, teeth=0.6)),
    "blink": Pose(CLOSED, blink=1.0),
    "turned": Pose(MouthPose(open=0.5, teeth=0.4), head=_TURNED),
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".gif", ".bmp"}


@dataclass(frozen=True)
class Prepared:
    """The face stage's output for a portrait: image uint8 [H, W, 3], landmarks float32 [478, 3]; note: warnings."""

    image: Picture
    landmarks: npt.NDArray[np.float32]
    note: str


def prepared(handler: Handler, portrait: Path, scratch: Path, resolution: int) -> Prepared:
    """Run the face stage. Raises shared.messages.codes.Rejected."""
    ref = InputRef(bucket="inputs", key="default/x")
    request = RenderRequest(portrait=ref, speech=ref, params=Params(min_resolution=resolution))
    job = RenderTask(job_id="sheet", request_id="sheet", request=request, submitted_ms=0, outputs={})
    context = StageHarness(scratch)
    files = handler(context, Task(job, {"portrait": portrait})).files
    note = " ".join(code for code, _ in context.warnings)
    return Prepared(np.load(files["image"]), np.load(files["landmarks"]), note)


def cropper(landmarks: npt.NDArray[np.float32], crop: str, side: int) -> npt.NDArray[np.float64]:
    """Matrix [2, 3] from cell pixels to picture pixels, for an upright square around the face or the mouth."""
    points = landmarks[:, :2].astype(float)
    if crop == "mouth":
        corners = points[[CORNER_LEFT, CORNER_RIGHT]]
        centre, reach = corners.mean(axis=0), 1.0 * float(np.linalg.norm(corners[1] - corners[0]))
        centre = centre + 0.2 * reach * (points[152] - centre) / np.linalg.norm(points[152] - centre)
    else:
        low, high = points.min(axis=0), points.max(axis=0)
        centre, reach = (low + high) / 2, 0.68 * float((high - low).max())
    scale = 2 * reach / side
    return np.column_stack([np.eye(2) * scale, centre - reach + scale / 2 - 0.5])


def row(portrait: Prepared, crop: str, side: int) -> list[Image.Image]:
    """A cell with the portrait itself and one for each pose."""
    renderer = Renderer(portrait.image, portrait.landmarks)
    matrix = cropper(portrait.landmarks, crop, side)
    method = cv2.INTER_AREA if matrix[0, 0] > 1 else cv2.INTER_CUBIC
    cells = []
    for frame in (portrait.image, *(renderer.frame(pose) for pose in POSES.values())):
        if matrix[0, 0] > 2:  # sampling further apart than two pixels would alias
            frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), float(matrix[0, 0]) / 3), np.uint8)
        cell = cv2.warpAffine(
            frame, matrix, (side, side), flags=method | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        cells.append(Image.fromarray(np.asarray(cell, np.uint8)))
    return cells


def main() -> None:
    """Draw the sheets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--crop", choices=("face", "mouth"), default="face")
    parser.add_argument("--side", type=int, default=200, help="pixels of a cell")
    parser.add_argument("--resolution", type=int, default=512, help="short side of the video")
    parser.add_argument("--rows", type=int, default=0, help="portraits per sheet; further sheets are OUT-2 and so on")
    options = parser.parse_args()
    portraits = sorted(p for p in options.folder.iterdir() if p.suffix.lower() in SUFFIXES)
    handler = stages.face.handler.load()
    per_sheet = options.rows or max(1, len(portraits))
    for number in range(math.ceil(len(portraits) / per_sheet)):
        part = portraits[number * per_sheet : (number + 1) * per_sheet]
        side, head = options.side, 14
        sheet = Image.new("RGB", (side * (1 + len(POSES)), (side + head) * len(part)), "white")
        draw = ImageDraw.Draw(sheet)
        for line, path in enumerate(part):
            top = line * (side + head)
            label, cells = path.stem, []
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    portrait = prepared(handler, path, Path(scratch), options.resolution)
                    label, cells = f"{path.stem}  {portrait.note}", row(portrait, options.crop, side)
                except Rejected as e:
                    label = f"{path.stem}  rejected: {e.code}"
            draw.text((2, top + 1), label, fill="black")
            for column, cell in enumerate(cells):
                sheet.paste(cell, (column * side, top + head))
            for column, name in enumerate(("", *POSES)) if cells else ():
                draw.text((column * side + side - 7 * len(name), top + 1), name, fill="gray")
        out = options.out.with_stem(options.out.stem + (f"-{number + 1}" if number else ""))
        sheet.save(out, quality=82)
        print(out, sheet.size)


if __name__ == "__main__":
    main()
