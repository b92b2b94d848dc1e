"""Optimizations of the UNet that keep its results."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class OptimizationFlags:
    """Which optimizations are on; with all off the UNet computes as published. Results are equal up to rounding.

    sdpa: fused attention instead of a materialised softmax.
    one_key: attention to the single image token is its value, because a softmax over one key is 1.
    shared_context: in temporal cross-attention all pixels attend to the same tokens: project them once, not per pixel.
    cached_audio: keys and values of audio tokens depend on neither step nor window: project each frame once.
    flat_convolution: the 3x1x1 temporal convolution as a 2-D one over (frame, pixel): no gain by itself.
    channels_last: activations and filters as NHWC, which tensor-core convolutions read without a transpose.
    compiled: torch.compile on the blocks: fewer passes over memory. Costs minutes at the start.
    """

    sdpa: bool = True
    one_key: bool = True
    shared_context: bool = True
    cached_audio: bool = True
    flat_convolution: bool = False
    channels_last: bool = False
    compiled: bool = False

    @classmethod
    def none(cls) -> "OptimizationFlags":
        """All off."""
        return cls(False, False, False, False, False, False, False)

    def replace(self, **changes: bool) -> "OptimizationFlags":
        """A copy with some flags changed."""
        return replace(self, **changes)
