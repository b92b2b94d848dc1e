"""The registry of engines: name, typed parameters and package of each. An engine is registered here and nowhere else.

Its name is also in the request's ``engine`` field. Everything else about an engine is in its package, which declares an
``ENGINE`` (shared.slot.engines.EngineSpec).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.messages.numbers import INTEGRAL


class _EngineParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PuppetParams(_EngineParams):
    """Parameters of the embedded engine."""

    blinks: bool = Field(True, description="Let the eyes blink.")
    head_motion: float = Field(1.0, ge=0.0, le=2.0, description="Scale of idle head motion; 0 keeps it still.")


class SonicParams(_EngineParams):
    """Parameters of the official diffusion model. Steps, motion amplitude and seed are the request's own."""

    preset: Literal["quality", "balanced", "fast", "official"] = Field(
        "quality",
        description="quality blends decoded chunks; balanced runs 80 % of the steps, fast 60 %; official computes as "
        "the published program, with its rounding and seams.",
    )
    audio_guidance: float = Field(
        7.5, ge=1.0, le=12.0, description="How much lips and face follow the speech; 5 to 6 calms an exaggerated mouth."
    )
    image_guidance: float = Field(
        2.0,
        ge=1.0,
        le=4.0,
        description="How much the picture is kept; more holds the likeness and stiffens.",
    )
    audio_scale: float = Field(1.0, ge=0.0, le=2.0, description="Weight of the audio attention inside the network.")
    translation_scale: float = Field(
        1.0, ge=0.25, le=3.0, description="Scale of the head's motion, beside params.dynamic_scale."
    )
    expression_scale: float = Field(
        1.0, ge=0.25, le=3.0, description="Scale of the expression, beside params.dynamic_scale."
    )
    shift: Annotated[int, Field(ge=0, le=24), INTEGRAL] = Field(
        7, description="Frames by which windows move at every step; 0 shows seams."
    )
    overlap: Annotated[int, Field(ge=0, le=12), INTEGRAL] = Field(
        0, description="Frames that neighbouring windows share; 5 costs a quarter more time."
    )
    strength: float | None = Field(
        None, ge=0.3, le=1.0, description="Part of the steps that run, the last ones; default: the preset's."
    )
    interpolate: bool = Field(True, description="Draw the frames between those of the model; else each is held twice.")
    decode_chunk: Annotated[int, Field(ge=2, le=32), INTEGRAL] = Field(
        8, description="Frames decoded together; fewer take less memory."
    )
    decode_overlap: Annotated[int, Field(ge=0, le=16), INTEGRAL] | None = Field(
        None, description="Frames that decoded chunks share, at most half of one; default: the preset's."
    )
    mask_area: float = Field(
        1.1, ge=0.5, le=3.0, description="Size of the face's rectangle in which the speech acts, in face boxes."
    )


@dataclass(frozen=True, slots=True)
class RegisteredEngine:
    """One engine of this build."""

    params: type[BaseModel]
    """Model of the request's ``engine_params``; the front stage validates them before the task reaches the engine."""
    package: str
    """Dotted name of the package with ``ENGINE``; imported only by processes that run or prepare the engine."""
    progress_is_frames: bool
    """Whether its progress counts frames alone; else it counts its preparation too, in units of its own."""
    modules: tuple[str, ...] = ()
    """Top-level modules that the package's extra of the engine's name brings; none: the extra of the stage suffices."""


ENGINES: Mapping[str, RegisteredEngine] = {
    "puppet": RegisteredEngine(PuppetParams, "stages.infer.puppet", progress_is_frames=True),
    "sonic": RegisteredEngine(
        SonicParams, "stages.infer.sonic", progress_is_frames=False, modules=("safetensors", "torch")
    ),
}
"""Every engine by name. An engine runs when the deployment enables it (LIPSTAGE_ENGINES)."""
DEFAULT_ENGINE = "puppet"
FPS = 25
"""Frames a second of every video, whatever its engine."""
ENGINE_PARAMS: Mapping[str, type[BaseModel]] = {name: engine.params for name, engine in ENGINES.items()}
