"""Renders and lints the chart: the one place that knows which Helm the tests use, the SDK's as a library."""

import json
import pickle
from functools import cache
from typing import Any

import helm_python
import yaml

from tests.conftest import ROOT

CHART = ROOT / "helm" / "lipstage"
Object = dict[str, Any]
INFO = 1
"""Severity of advice, as on a chart without a picture."""
Failed = (helm_python.HelmRenderError, helm_python.HelmValuesError)
"""What a refused render raises."""


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(str(CHART))


def render(values: Object, name: str = "demo", namespace: str = "video") -> list[Object]:
    """Every object of a release, hooks included. Raises Failed."""
    return list(pickle.loads(_rendered(json.dumps(values), name, namespace)))


@cache
def _rendered(values: str, name: str, namespace: str) -> bytes:
    """The objects, pickled: each caller gets its own, without reading YAML again."""
    files = _chart().render(json.loads(values), name=name, namespace=namespace)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    # YAML 1.1, as Kubernetes reads it.
    return pickle.dumps([one for text in texts for one in yaml.load_all(text, yaml.CSafeLoader) if one])


def notes(values: Object, name: str = "demo", namespace: str = "video") -> str:
    """The text that an install prints."""
    return str(_chart().render(values, name=name, namespace=namespace)["lipstage/templates/NOTES.txt"])


def lint(values: Object) -> list[str]:
    """Messages of a strict lint; empty when there is nothing to say."""
    result = helm_python.lint(str(CHART), values, strict=True, namespace="video", kube_version="1.29")
    return [f"{one['path']}: {one['error']}" for one in result["messages"] if one["severity"] > INFO]
