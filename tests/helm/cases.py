"""The values that the tests render: every ci file, and the values files with the addresses of the default case."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.helm.chart import CHART, Object

CI = {file.name.removesuffix("-values.yaml"): file for file in sorted((CHART / "ci").glob("*-values.yaml"))}
SIZES = {size: CHART / f"values-{size}.yaml" for size in ("small", "gpu", "large")}
CASES = [*CI, *SIZES]


def values(case: str) -> Object:
    """What `helm install` would be given."""
    return _read(CI[case]) if case in CI else merged(_read(CI["default"]), _read(SIZES[case]))


def merged(base: Object, more: Object) -> Object:
    """``more`` over ``base``, as Helm merges two files."""
    result: dict[str, Any] = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def with_defaults(**more: Any) -> Object:
    """The default case with ``more`` over it."""
    return merged(values("default"), more)


def stage(**values: Any) -> dict[str, Any]:
    """Values of one stage, audio."""
    return {"stages": {"audio": values}}


def _read(file: Path) -> Object:
    return dict(YAML(typ="safe").load(file.read_text()))
