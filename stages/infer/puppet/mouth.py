"""Paints the inside of the open mouth into a frame."""

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet import teeth
from stages.infer.puppet.bases import Field
from stages.infer.puppet.displacement import CLOSING_UPPER_SHARE
from stages.infer.puppet.geometry import FaceGeometry, Points
from stages.infer.puppet.palette import filled, palette_of

_SUPERSAMPLING = 4
_MAX_DENSITY = 384.0
_MARGIN = 3
_SHADOW_TINT = np.array([0.80, 1.06, 1.10], np.float32)
"""Light that the lips reflect into the mouth makes shadows redder; without this tint shaded teeth look blue."""
_LOWER_TEETH_RISE = 0.035
"""Rise of the lower teeth from behind the lip, in mouth widths."""

Affine = npt.NDArray[np.float64]


def similarity(source: Points, target: Points) -> Affine:
    """Least-squares rotation, scale and shift [2, 3] from source points [n, 2] to target points [n, 2]."""
    s, t = source @ (1, 1j), target @ (1, 1j)
    s0, t0 = s.mean(), t.mean()
    spread = float((np.abs(s - s0) ** 2).sum())
    rotation = (np.conj(s - s0) * (t - t0)).sum() / spread if spread > 0 else 1.0
    shift = t0 - rotation * s0
    return np.array([[rotation.real, -rotation.imag, shift.real], [rotation.imag, rotation.real, shift.imag]])


class MouthInterior:
    """Layers of one portrait's mouth, composited per frame."""

    def __init__(self, image: npt.NDArray[np.uint8], face: FaceGeometry) -> None:
        palette = palette_of(image, face)
        self._density = float(np.clip(1.5 * face.mouth_width, 64, _MAX_DENSITY))
        self._mouth_width = face.mouth_width
        self._shadow = np.asarray(1 + palette.warmth * (_SHADOW_TINT - 1), np.float32)
        self._centre, self._down = face.mouth_centre, face.down
        # From texture pixels to picture pixels: the mouth's axes, made orthogonal.
        right = np.array([face.down[1], -face.down[0]])
        scale = face.mouth_width / self._density
        origin = face.mouth_centre - face.mouth_width * (teeth.HALF_WIDTH * right + teeth.ABOVE * face.down)
        self._to_picture: Affine = np.column_stack([right * scale, face.down * scale, origin])
        u, v = teeth.grid(self._density)
        upper_rest = (face.contour(lm.UPPER_INNER[3:8]) - face.mouth_centre) @ face.down
        seal = float(np.median(upper_rest)) / face.mouth_width
        photo = None
        if palette.shows_teeth:
            pixels, opacity = self._photo_teeth(image, face, u.shape, float(palette.teeth[0]))
            photo = (pixels, opacity, float(face.lip_gap()[5]) / face.mouth_width)
        else:  # an open mouth without visible teeth: they hang below the closed lips' line
            seal += CLOSING_UPPER_SHARE * float(face.lip_gap()[5]) / face.mouth_width
        u = face.frontal(u.astype(np.float64)).astype(np.float32)
        self._cavity = teeth.cavity(palette, u)
        self._tongue = teeth.tongue(palette, u, v)
        self._lower = teeth.lower_teeth(palette, u, v)
        self._upper = teeth.upper_teeth(palette, u, v, seal, photo)

    def _photo_teeth(
        self, image: npt.NDArray[np.uint8], face: FaceGeometry, shape: tuple[int, ...], light: float
    ) -> tuple[Field, Field]:
        """The portrait's own teeth as texture, and their opacity 0..1; light: the teeth's lightness."""
        opening = np.vstack([face.contour(lm.UPPER_INNER), face.contour(lm.LOWER_INNER)[::-1]])
        mask = cv2.erode(filled(image.shape[:2], opening), np.ones((3, 3), np.uint8))
        size, flags = (shape[1], shape[0]), cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        pixels = cv2.warpAffine(image, self._to_picture, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.warpAffine(mask, self._to_picture, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        lightness = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB), np.float32)[..., 0]
        bright = np.clip((lightness / light - 0.5) / 0.25, 0, 1)  # excludes the dark corners of the opening
        return np.asarray(pixels, np.float32), (np.asarray(opacity, np.float32) / 255 * bright).astype(np.float32)

    def paint(
        self,
        frame: npt.NDArray[np.uint8],
        curves: tuple[Points, Points],
        moved: tuple[Points, Points],
        show_lower_teeth: float,
        tongue_height: float,
    ) -> None:
        """Paint between the lips of ``frame`` uint8 [H, W, 3], in place.

        curves: inner lip curves of the still head; moved: the same displaced by the head's pose, in the frame;
        show_lower_teeth, tongue_height: 0..1.
        """
        rows, columns = frame.shape[:2]
        contour = np.vstack([moved[0], moved[1]])
        x0, y0 = np.maximum(0, np.floor(contour.min(axis=0)).astype(int) - _MARGIN)
        x1, y1 = np.minimum((columns, rows), np.ceil(contour.max(axis=0)).astype(int) + _MARGIN + 1)
        if x1 - x0 < 3 or y1 - y0 < 3:
            return
        size = (int(x1 - x0), int(y1 - y0))
        opening = self._opening(np.vstack([moved[0], moved[1][::-1]]) - (x0, y0), size)
        to_still = similarity(contour, np.vstack([curves[0], curves[1]]))
        jaw = float((curves[1][len(curves[1]) // 2] - self._centre) @ self._down) / self._mouth_width

        def warped(layer: Field, drop: float) -> Field:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            matrix = self._to_texture(to_still, x0, y0, drop)
            return np.asarray(cv2.warpAffine(layer, matrix, size, flags=flags), np.float32)

        inside = warped(self._cavity, 0.0)[..., :3]
        hidden = _LOWER_TEETH_RISE * (1 - min(1.0, max(0.0, show_lower_teeth)))
        for layer, drop in (
            (self._tongue, jaw - 0.10 * tongue_height),
            (self._lower, jaw + hidden),
            (self._upper, 0.0),
        ):
            drawn = warped(layer, drop)
            inside = inside * (1 - drawn[..., 3:]) + drawn[..., :3]
        target = frame[y0:y1, x0:x1]
        alpha = cv2.GaussianBlur(opening, (0, 0), max(0.5, 0.008 * self._mouth_width))[..., None]
        shaded = inside * (1 - (1 - self._lip_shadow(opening)[..., None]) * self._shadow)
        target[:] = np.clip(target * (1 - alpha) + shaded * alpha + 0.5, 0, 255)

    def _to_texture(self, to_still: Affine, x0: int, y0: int, drop: float) -> Affine:
        """Map [2, 3] from the patch at (x0, y0) to texture pixels of a layer that is ``drop`` mouth widths lower."""
        inverse = np.linalg.inv(self._to_picture[:, :2])
        linear = inverse @ to_still[:, :2]
        offset = inverse @ (to_still @ (x0, y0, 1) - self._to_picture[:, 2]) - (0, drop * self._density)
        return np.column_stack([linear, offset])

    def _opening(self, polygon: Points, size: tuple[int, int]) -> Field:
        """Coverage [height, width] 0..1 of the space between the lips."""
        s = _SUPERSAMPLING
        mask = np.zeros((size[1] * s, size[0] * s), np.uint8)
        cv2.fillPoly(mask, [np.round((polygon + 0.5) * s - 0.5).astype(np.int32)], 255)
        coverage: Field = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
        return coverage

    def _lip_shadow(self, opening: Field) -> Field:
        """Light 0..1 inside the mouth: the lips, mainly the upper one, shade what is behind them."""
        spread = np.asarray(cv2.GaussianBlur(opening, (0, 0), 0.030 * self._mouth_width + 0.3), np.float32)
        shift = np.array([[1, 0, 0], [0, 1, 0.028 * self._mouth_width]])
        lowered = cv2.warpAffine(spread, shift, (opening.shape[1], opening.shape[0]), flags=cv2.INTER_LINEAR)
        result: Field = 0.60 + 0.40 * np.clip((np.asarray(lowered, np.float32) - 0.25) / 0.65, 0, 1)
        return result
