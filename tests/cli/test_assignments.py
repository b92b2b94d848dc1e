"""``--set name=value``: short names, and an engine's own parameters."""

import pytest

from shared.cli.assignments import parse
from shared.cli.errors import BadUse


def test_steps_are_the_inference_steps() -> None:
    assert parse(["steps=12"], "sonic") == {"params": {"inference_steps": 12}}


def test_an_engines_parameters_are_known_by_its_name() -> None:
    found = parse(["audio_guidance=5.5", "preset=fast", "engine_params.shift=3"], "sonic")
    assert found == {"engine_params": {"audio_guidance": 5.5, "preset": "fast", "shift": 3}}
    with pytest.raises(BadUse, match="audio_guidance"):
        parse(["audio_guidance=5.5"], "puppet")
