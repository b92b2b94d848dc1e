"""A request's parameters as the plan of one render: denoising, then decoding into frames."""

from dataclasses import dataclass, replace

from shared.messages.engines import SonicParams
from stages.infer.engine import RenderParams
from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.denoise import BRANCHES, DenoiseParams
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.video import Rounding


@dataclass(frozen=True, slots=True)
class Preset:
    """Defaults of a preset.

    strength: share of the steps that run; decode_overlap: frames that decoded chunks share and blend; rounding: of
    pixel values.
    """

    strength: float
    decode_overlap: int
    rounding: Rounding = "nearest"


SMALLEST_CHUNK = 2

PRESETS = {
    "quality": Preset(1.0, 2),
    "balanced": Preset(0.8, 2),
    "fast": Preset(0.6, 0),
    "official": Preset(1.0, 0, "truncate"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How one render is computed.

    preset: its name; denoise: the loop; motion_scale: factors on the two motion buckets, translation and expression;
    decode_chunk, decode_overlap: frames decoded together, and shared by two chunks; rounding: of pixel values;
    interpolate: compute the frames between; mask_area: in face boxes.
    """

    preset: str
    denoise: DenoiseParams
    motion_scale: tuple[float, float]
    decode_chunk: int
    decode_overlap: int
    rounding: Rounding
    interpolate: bool
    mask_area: float

    def denoise_fallbacks(self) -> tuple["Plan", ...]:
        """Plans that denoise the same clip in less and less memory: this one, one branch a call, no cached audio."""
        one = self.one_branch()
        optimization = one.denoise.optimization.replace(cached_audio=False)
        uncached = replace(one, denoise=replace(one.denoise, optimization=optimization))
        return tuple(dict.fromkeys((self, one, uncached)))

    def decode_fallbacks(self) -> tuple["Plan", ...]:
        """Plans that decode it in less and less memory: this one, then half the frames together, down to two."""
        plans = [self]
        while plans[-1].decode_chunk > SMALLEST_CHUNK:
            chunk = max(SMALLEST_CHUNK, plans[-1].decode_chunk // 2)
            plans.append(replace(self, decode_chunk=chunk, decode_overlap=min(self.decode_overlap, chunk // 2)))
        return tuple(plans)

    def one_branch(self) -> "Plan":
        """The same with one guidance branch in a call."""
        return replace(self, denoise=replace(self.denoise, batch_size=1))


def make_plan(params: SonicParams, render: RenderParams, config: SonicConfig, optimization: OptimizationFlags) -> Plan:
    """The request's parameters over the defaults of its preset; ``optimization`` is the machine's."""
    preset = PRESETS[params.preset]
    overlap = preset.decode_overlap if params.decode_overlap is None else params.decode_overlap
    strength = preset.strength if params.strength is None else params.strength
    window = config.unet.num_frames
    return Plan(
        preset=params.preset,
        denoise=DenoiseParams(
            steps=render.steps,
            # At least one step runs, however few are requested.
            strength=max(strength, 1.0 / render.steps),
            window=window,
            # A reduced model's window may be shorter than what the request allows.
            overlap=min(params.overlap, window // 2),
            shift=params.shift,
            image_guidance=(params.image_guidance, params.image_guidance),
            audio_guidance=(params.audio_guidance, params.audio_guidance),
            audio_scale=params.audio_scale,
            # A compiled network is as fast with single branches, in a third of the memory.
            batch_size=1 if optimization.compiled else BRANCHES,
            optimization=optimization,
        ),
        motion_scale=(
            render.dynamic_scale * params.translation_scale,
            render.dynamic_scale * params.expression_scale,
        ),
        decode_chunk=params.decode_chunk,
        decode_overlap=min(overlap, params.decode_chunk // 2),
        rounding=preset.rounding,
        interpolate=params.interpolate,
        mask_area=params.mask_area,
    )
