"""Context of the cross-attentions: image and audio tokens, projected at every call or once per render."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from stages.infer.sonic.nets.unet.attention import CrossAttention, ProjectedContext


class Context(Protocol):
    """The tokens of one call, for B items of F frames."""

    @property
    def scale(self) -> float:
        """Weight of the audio attention."""

    def spatial(self, layer: CrossAttention) -> ProjectedContext:
        """Keys and values with one row per frame: B * F."""

    def temporal(self, layer: CrossAttention, pixels: int) -> ProjectedContext:
        """The same of the mean over an item's frames: one row per item, or per item and pixel."""

    def mask(self, height: int, width: int) -> Tensor | None:
        """Weight of the audio at each pixel [height * width, 1]; None: 1 everywhere."""


class FaceMask:
    """The face mask [1, 1, H, W], resized to a level's size at first use."""

    def __init__(self, mask: Tensor | None) -> None:
        self._mask = mask
        self._levels: dict[tuple[int, int], Tensor] = {}

    def resized(self, height: int, width: int) -> Tensor | None:
        """[height * width, 1] by bicubic interpolation without antialiasing; overshoots are kept, as published."""
        if self._mask is None:
            return None
        if (height, width) not in self._levels:
            mask = interpolate(self._mask, (height, width), mode="bicubic", align_corners=False)
            self._levels[height, width] = mask.reshape(height * width, 1)
        return self._levels[height, width]


class TokenContext:
    """Tokens that every layer projects at every call.

    image [B, F, 1, D], audio [B, F, n, D]. ``shared`` off repeats the temporal tokens for every pixel before they are
    projected, as published.
    """

    def __init__(
        self, image: Tensor, audio: Tensor, mask: FaceMask, *, scale: float = 1.0, shared: bool = True
    ) -> None:
        self._image, self._audio, self._mask, self._shared = image, audio, mask, shared
        self.scale = scale

    def spatial(self, layer: CrossAttention) -> ProjectedContext:
        return _projected(layer, self._image.flatten(0, 1), self._audio.flatten(0, 1))

    def temporal(self, layer: CrossAttention, pixels: int) -> ProjectedContext:
        image, audio = self._image.mean(1), self._audio.mean(1)
        if not self._shared:
            image, audio = image.repeat_interleave(pixels, 0), audio.repeat_interleave(pixels, 0)
        return _projected(layer, image, audio)

    def mask(self, height: int, width: int) -> Tensor | None:
        return self._mask.resized(height, width)


def _projected(layer: CrossAttention, image: Tensor, audio: Tensor) -> ProjectedContext:
    value, key = layer.image(image)
    keys, values = layer.audio(audio)
    return ProjectedContext(value, key, keys, values)


class ProjectedSpeech:
    """Keys and values of all frames of a render, projected once for all steps and windows.

    tokens [T + 1, n, D]: the audio tokens of every frame, then those of silence; images [k, 1, D]: the image tokens
    that branches refer to. Projection is linear, so a window's mean of keys is the key of the mean.
    """

    def __init__(self, layers: Sequence[CrossAttention], tokens: Tensor, images: Tensor) -> None:
        self._audio = {layer: layer.audio(tokens) for layer in layers}
        self._images = {layer: layer.image(images) for layer in layers}

    def window(self, rows: Tensor, images: Sequence[int], mask: FaceMask, scale: float) -> Context:
        """Context of B items. rows [B, F]: each frame's row of ``tokens``; images: each item's row of ``images``."""
        return _Window(self._audio, self._images, rows, images, mask, scale)


class _Window:
    def __init__(
        self,
        audio: dict[CrossAttention, tuple[Tensor, Tensor]],
        images: dict[CrossAttention, tuple[Tensor, Tensor | None]],
        rows: Tensor,
        image_rows: Sequence[int],
        mask: FaceMask,
        scale: float,
    ) -> None:
        self._audio, self._images, self._rows, self._mask = audio, images, rows, mask
        self._image_rows = torch.tensor(list(image_rows), device=rows.device)
        self.scale = scale

    def spatial(self, layer: CrossAttention) -> ProjectedContext:
        keys, values = self._audio[layer]
        rows = self._rows.flatten()
        image, key = self._image(layer, self._rows.shape[1])
        return ProjectedContext(image, key, keys[rows], values[rows])

    def temporal(self, layer: CrossAttention, pixels: int) -> ProjectedContext:  # noqa: ARG002 - the same for every pixel
        keys, values = self._audio[layer]
        image, key = self._image(layer, 1)
        return ProjectedContext(image, key, keys[self._rows].mean(1), values[self._rows].mean(1))

    def mask(self, height: int, width: int) -> Tensor | None:
        return self._mask.resized(height, width)

    def _image(self, layer: CrossAttention, frames: int) -> tuple[Tensor, Tensor | None]:
        value, key = self._images[layer]
        rows = self._image_rows.repeat_interleave(frames)
        return value[rows], None if key is None else key[rows]
