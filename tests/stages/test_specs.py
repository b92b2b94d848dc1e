"""What all stages have in common: their declarations fit each other, and their handlers have one shape."""

import dataclasses
import inspect
from importlib import import_module

import pytest

from shared.messages.pipeline import PIPELINE, STAGES
from shared.slot.artifacts import ArrayArtifact
from shared.slot.spec import StageSpec

SPECS: dict[str, StageSpec] = {step.name: import_module(step.module).STAGE for step in PIPELINE}


@pytest.mark.parametrize("stage", STAGES)
def test_every_input_is_an_output_of_an_earlier_stage(stage: str) -> None:
    spec = SPECS[stage]
    available = {"request.portrait": False, "request.speech": False}
    for earlier in STAGES[: STAGES.index(stage)]:
        for role, artifact in SPECS[earlier].outputs.items():
            available[f"{earlier}/{role}"] = isinstance(artifact, ArrayArtifact) and artifact.chunked
    assert {source: available.get(source) for source in spec.inputs.values()} == dict.fromkeys(
        spec.inputs.values(), False
    ), "a file of an earlier stage, or the request's"
    assert {source: available.get(source) for source in spec.streams.values()} == dict.fromkeys(
        spec.streams.values(), True
    ), "a chunked sequence of an earlier stage"


def test_every_artifact_is_read_by_a_later_stage_or_delivered() -> None:
    sources = {source for spec in SPECS.values() for source in (*spec.inputs.values(), *spec.streams.values())}
    written = {f"{name}/{role}" for name, spec in SPECS.items() for role in spec.outputs}
    assert written - sources == {"encode/video", "encode/poster"}


@pytest.mark.parametrize("stage", ["audio", "face", "infer", "encode"])
def test_load_returns_handle_of_a_frozen_class_named_after_the_stage(
    stage: str,
) -> None:
    handle = import_module(SPECS[stage].handler).load()
    assert inspect.ismethod(handle) and handle.__name__ == "handle"
    owner = type(handle.__self__)
    assert owner.__name__ == f"{stage.capitalize()}Handler"
    assert dataclasses.is_dataclass(owner) and owner.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert list(inspect.signature(handle).parameters) == ["context", "task"]
