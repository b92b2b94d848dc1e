"""The committed renders: ``python -m tests.helm.golden`` writes them again, for a reviewer to read the difference."""

import sys
from pathlib import Path

import yaml

from tests.helm.cases import CASES, values
from tests.helm.chart import Object, notes, render

FOLDER = Path(__file__).parent / "golden"
LONG = 4000
"""Texts of more characters are files of deploy/, which another test compares."""


def text(case: str) -> str:
    """The whole render of a case, without long texts, in a form that does not depend on the order of the templates."""
    objects = sorted(render(values(case)), key=lambda one: (one["kind"], one["metadata"]["name"]))
    shown = yaml.dump_all(
        [_short(one) for one in objects], Dumper=yaml.CSafeDumper, default_flow_style=None, sort_keys=False, width=120
    )
    return str(shown) + "".join(f"# {line}".rstrip() + "\n" for line in notes(values(case)).splitlines())


def _short(one: Object) -> Object:
    if one["kind"] == "PrometheusRule":
        return {**one, "spec": {"groups": [group["name"] for group in one["spec"]["groups"]]}}
    if one["kind"] == "ConfigMap":
        return {**one, "data": {name: value if len(value) < LONG else "..." for name, value in one["data"].items()}}
    return one


def main() -> int:
    for stale in {file.stem for file in FOLDER.glob("*.yaml")} - set(CASES):
        (FOLDER / f"{stale}.yaml").unlink()
    for case in CASES:
        (FOLDER / f"{case}.yaml").write_text(text(case))
    return 0


if __name__ == "__main__":
    sys.exit(main())
