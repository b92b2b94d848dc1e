"""Every setting is declared once, and nothing changes this process's environment."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from shared.runtime.engine_settings import EngineSettings
from shared.runtime.settings_variables import variable
from tools.configuration_page import SECTIONS, declared, engine_sections

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("setdefault", "update", "pop", "popitem", "clear")
CHANGES = {"os.putenv", "os.unsetenv", *(f"os.environ.{name}" for name in METHODS)}
EXCEPTIONS = {
    "bench/films.py": "numpy reads the variable when it is imported",
    "bench/frames.py": "numpy reads the variable when it is imported",
    "bench/checkout/handlers.py": "the process of one checkout's handlers, which read its variables",
    "bench/overlap.py": "the services of the benchmark's own stack read the variables",
    "bench/peers/work.py": "the process of a peer's worker, whose handlers read the variables",
    "bench/sonic/card.py": "the engine of the benchmark's own process reads the variables",
    "tools/train_visemes/__main__.py": "numpy reads the variable when it is imported",
    "shared/slot/template.py": "a forked process becomes a worker, with the environment that its service gives it",
    "shared/telemetry/otlp.py": "gRPC reads the variables when it is imported",
    "bench/hop.py": "the benchmark's own process and its services read the same variables",
}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def settings_models() -> set[type[BaseSettings]]:
    """Every settings model under shared and stages."""
    models: set[type[BaseSettings]] = set()
    for path in sources("shared", "stages"):
        if "BaseSettings" not in path.read_text() and "Settings(" not in path.read_text():
            continue
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Settings") for base in node.bases):
                module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
                models.add(getattr(module, node.name))
    return models


def test_no_setting_has_two_declarations() -> None:
    declarations: dict[str, list[str]] = {}
    for model in settings_models():
        for name in declared(model):
            declarations.setdefault(variable(model, name), []).append(f"{model.__name__}.{name}")
    assert "LIPSTAGE_DRAIN_S" in declarations
    repeated = {name: places for name, places in declarations.items() if len(places) > 1}
    # The local stack reads it to decide whether to start a broker of its own.
    assert set(repeated) <= {"KAFKA_BOOTSTRAP_SERVERS"}


def test_configuration_page_has_every_settings_model() -> None:
    on_page = {model for models in (SECTIONS | engine_sections()).values() for model in models}
    # Each engine has a model of its own, made from the same class.
    assert {EngineSettings if issubclass(model, EngineSettings) else model for model in on_page} == settings_models()


def environment_changes(source: str) -> list[int]:
    """Lines that change ``os.environ``."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in CHANGES:
            lines.append(node.lineno)
        for target in targets:
            place = target.value if isinstance(target, ast.Subscript) else target
            if ast.unparse(place) == "os.environ":
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    "change",
    [
        "os.environ['A'] = 'b'",
        "del os.environ['A']",
        "os.environ |= {}",
        "os.environ.update({})",
        "os.putenv('A', 'b')",
    ],
)
def test_changes_of_the_environment_are_found(change: str) -> None:
    assert environment_changes(change) == [1]
    assert environment_changes("os.environ.get('A'); {**os.environ}; environment.update({})") == []


def test_nothing_changes_the_environment_of_its_process() -> None:
    changed = {
        path.relative_to(ROOT).as_posix()
        for path in sources("shared", "tools", "bench", "examples")
        if environment_changes(path.read_text())
    }
    assert changed - EXCEPTIONS.keys() == set()
