"""The committed dashboards: their panels, and each panel's queries as a real Prometheus and a real Tempo get them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
VARIABLES = {"$__rate_interval": "1m", "$department": ".*", "$owner": ".*"}
"""What Grafana puts in, for a run that takes a minute."""


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    dashboard: str
    panel: str
    datasource: str
    text: str
    target: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.dashboard}/{self.panel}: {self.text}"


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel but the rows, with the name of its dashboard."""
    for file in FILES:
        for panel in json.loads(file.read_text())["panels"]:
            if panel["type"] != "row":
                yield file.stem, panel


def queries() -> list[Query]:
    """Every query of every panel, with the variables replaced."""
    found = []
    for dashboard, panel in panels():
        for target in panel["targets"]:
            text = target.get("expr") or target["query"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            found.append(Query(dashboard, panel["title"], target["datasource"]["type"], text, target))
    return found
