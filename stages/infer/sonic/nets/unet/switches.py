"""What may be computed another way at the same numbers."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Switches:
    """Exact savings; all off is the loop as published. Each keeps the results, up to rounding.

    sdpa: fused attention instead of a materialised softmax.
    one_key: attention to the single image token is its value, for a softmax over one key is 1.
    shared_context: in temporal cross-attention all pixels attend the same tokens: project them once, not per pixel.
    cached_audio: keys and values of audio tokens depend on neither step nor window: project each frame once.
    flat_convolution: the 3x1x1 temporal convolution as a 2-D one over (frame, pixel): worth nothing by itself.
    channels_last: activations and filters as NHWC, which the tensor cores' convolutions read without a transpose.
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
    def none(cls) -> "Switches":
        """The loop as published."""
        return cls(False, False, False, False, False, False, False)

    def but(self, **changes: bool) -> "Switches":
        """The same with some changed."""
        return replace(self, **changes)
