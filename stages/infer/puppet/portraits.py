"""Keeps what the puppet measures of a portrait for the next jobs with the same one: one presenter, many texts."""

import hashlib
from collections import OrderedDict

from stages.infer.engine import Portrait
from stages.infer.puppet.renderer import Renderer

MAX_PIXELS = 2_100_000
"""Pixels of all kept portraits together, as many as the largest output has: 8 at 512 x 512. What is kept takes no more
memory than one such render, and the worker's limit has room for two."""


class Renderers:
    """The renderers of the portraits that were used last; for one thread. A renderer keeps no state of a render."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[Renderer, int]] = OrderedDict()

    def of(self, portrait: Portrait) -> Renderer:
        """The renderer of a portrait; one with the same pixels and landmarks is measured once."""
        digest = hashlib.sha256(repr(portrait.image.shape).encode())
        digest.update(portrait.image.tobytes())
        digest.update(portrait.landmarks.tobytes())
        key = digest.digest()
        found = self._kept.get(key)
        if found is None:
            height, width = portrait.image.shape[:2]
            found = Renderer(portrait.image, portrait.landmarks), height * width
            self._kept[key] = found
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(pixels for _, pixels in self._kept.values()) > MAX_PIXELS:
            self._kept.popitem(last=False)
        return found[0]
