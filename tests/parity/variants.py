"""Variants of the computation that must give equal results: as published, each optimization alone, all together."""

from dataclasses import dataclass

from stages.infer.sonic.nets.unet.optimization import OptimizationFlags


@dataclass(frozen=True)
class Variant:
    """Optimization flags and batch size."""

    name: str
    optimization: OptimizationFlags
    batch_size: int = 3


PLAIN = Variant("plain", OptimizationFlags.none())
ALL = Variant("all", OptimizationFlags(channels_last=True, flat_convolution=True))
VARIANTS = (
    PLAIN,
    Variant("sdpa", OptimizationFlags.none().replace(sdpa=True)),
    Variant("one_key", OptimizationFlags.none().replace(one_key=True)),
    Variant("shared_context", OptimizationFlags.none().replace(shared_context=True)),
    Variant("cached_audio", OptimizationFlags.none().replace(cached_audio=True)),
    Variant("flat_convolution", OptimizationFlags.none().replace(flat_convolution=True)),
    Variant("channels_last", OptimizationFlags.none().replace(channels_last=True)),
    Variant("branch by branch", OptimizationFlags.none(), batch_size=1),
    Variant("two windows", OptimizationFlags.none(), batch_size=6),
    ALL,
)
