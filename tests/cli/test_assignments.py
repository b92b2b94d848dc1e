"""``--set name=value``: short names, and an engine's own parameters."""

import pytest

from shared.cli.assignments import parse
from shared.client import InvalidRequest


def test_steps_is_short_for_inference_steps() -> None:
    assert parse(["steps=12"], "sonic") == {"params": {"inference_steps": 12}}


def test_parameters_are_resolved_for_the_engine_that_is_named() -> None:
    fields = parse(["audio_guidance=5.5", "preset=fast", "engine_params.shift=3"], "sonic")
    assert fields == {"engine_params": {"audio_guidance": 5.5, "preset": "fast", "shift": 3}}
    with pytest.raises(InvalidRequest, match="audio_guidance"):
        parse(["audio_guidance=5.5"], "puppet")
