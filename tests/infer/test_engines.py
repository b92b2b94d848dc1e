"""The registry of engines: complete, consistent with the request, and the only place that names an engine."""

from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

from shared.messages.engines import DEFAULT_ENGINE, ENGINE_PARAMS, ENGINES
from shared.messages.request import RenderRequest
from shared.slot.engines import engine_spec

ROOT = Path(__file__).parents[2]
REGISTRATION = {"shared/messages/engines.py", "shared/messages/request.py"}
"""The registry and the request's enum."""
DEPLOYMENTS = ("tools/images/", "bench/autoscale/", "bench/catalogue.py", "tools/licences/")
"""Each engine has an image, scales by itself and has benchmarks of its own: what builds, simulates and lists these."""


def test_request_accepts_exactly_the_registered_engines() -> None:
    assert set(get_args(RenderRequest.model_fields["engine"].annotation)) == set(ENGINES) == set(ENGINE_PARAMS)
    assert RenderRequest.model_fields["engine"].default == DEFAULT_ENGINE


@pytest.mark.parametrize("name", ENGINES)
def test_declared_modules_and_files_exist(name: str) -> None:
    spec = engine_spec(name)
    modules = [spec.factory.partition(":")[0]]
    modules += [spec.settings.partition(":")[0]] if spec.settings else []
    if spec.weights is not None:
        modules.append(spec.weights.program)
        assert spec.weights.catalogue.is_file()
    assert all(find_spec(module) is not None for module in modules)


def test_unknown_engine_is_refused_with_the_registered_names() -> None:
    with pytest.raises(ValueError, match="no engine 'nobody'; engines are puppet, sonic"):
        engine_spec("nobody")


@pytest.mark.parametrize("name", [name for name in ENGINES if name != DEFAULT_ENGINE])
def test_engine_is_named_only_in_its_registration_and_its_package(name: str) -> None:
    named = set()
    for folder in ("shared", "stages", "tools", "bench", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            relative = path.relative_to(ROOT).as_posix()
            own = relative.startswith((f"stages/infer/{name}/", f"bench/{name}/", *DEPLOYMENTS))
            if not own and name in path.read_text(encoding="utf-8").lower():
                named.add(relative)
    assert named == REGISTRATION
