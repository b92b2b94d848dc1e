"""A request's parameters as the settings of the loop and of the way from latents to frames."""

from dataclasses import dataclass, replace

from shared.messages.engines import SonicParams
from stages.infer.engine import Direction
from stages.infer.sonic.denoise import BRANCHES, Loop
from stages.infer.sonic.nets.unet.switches import Switches
from stages.infer.sonic.sizes import SonicSizes
from stages.infer.sonic.video import Rounding


@dataclass(frozen=True, slots=True)
class Preset:
    """strength: part of the steps that run; decode_overlap: frames that decoded chunks share, blended; published: noise
    and bytes as the published program makes them."""

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
    """How one render goes.

    loop: the denoising; motion: factors on the two motion figures, translation and expression; chunk, chunk_overlap:
    frames decoded together; rounding: of pixels; interpolate: draw the frames between; mask_area: in face boxes; name:
    the preset's.
    """

    name: str
    loop: Loop
    motion: tuple[float, float]
    chunk: int
    chunk_overlap: int
    rounding: Rounding
    interpolate: bool
    mask_area: float

    def denoising(self) -> tuple["Plan", ...]:
        """Ways to denoise the same clip, the fastest first: as it is, by single branches, audio not kept."""
        one = self.one_branch()
        lean = replace(one, loop=replace(one.loop, switches=one.loop.switches.but(cached_audio=False)))
        return tuple(dict.fromkeys((self, one, lean)))

    def decoding(self) -> tuple["Plan", ...]:
        """Ways to decode it: as it is, then half the frames together, down to two."""
        ways = [self]
        while ways[-1].chunk > SMALLEST_CHUNK:
            chunk = max(SMALLEST_CHUNK, ways[-1].chunk // 2)
            ways.append(replace(self, chunk=chunk, chunk_overlap=min(self.chunk_overlap, chunk // 2)))
        return tuple(ways)

    def one_branch(self) -> "Plan":
        """The same with one guidance branch at a time."""
        return replace(self, loop=replace(self.loop, rows=1))


def plan(params: SonicParams, direction: Direction, sizes: SonicSizes, switches: Switches) -> Plan:
    """The request's parameters over those of its preset; ``switches`` are the machine's."""
    preset = PRESETS[params.preset]
    overlap = preset.decode_overlap if params.decode_overlap is None else params.decode_overlap
    strength = preset.strength if params.strength is None else params.strength
    window = sizes.unet.frames
    return Plan(
        name=params.preset,
        loop=Loop(
            steps=direction.steps,
            # A request for few steps must not end with none.
            strength=max(strength, 1.0 / direction.steps),
            window=window,
            # A smaller model's window may be shorter than what the request allows.
            overlap=min(params.overlap, window // 2),
            shift=params.shift,
            image_guidance=(params.image_guidance, params.image_guidance),
            audio_guidance=(params.audio_guidance, params.audio_guidance),
            audio_scale=params.audio_scale,
            # A compiled network is as fast by single branches, in a third of the memory.
            rows=1 if switches.compiled else BRANCHES,
            switches=switches,
        ),
        motion=(
            direction.dynamic_scale * params.translation_scale,
            direction.dynamic_scale * params.expression_scale,
        ),
        chunk=params.decode_chunk,
        chunk_overlap=min(overlap, params.decode_chunk // 2),
        rounding=preset.rounding,
        interpolate=params.interpolate,
        mask_area=params.mask_area,
    )
