"""The dashboards are what their generator makes, and a person finds titles, units and descriptions on them."""

import re

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.deploy.dashboards import FILES, panels, queries
from tools.dashboards.__main__ import main, texts

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"


def test_dashboards_are_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["dashboards", "--check"])
    assert main() == 0, "run `python -m tools.dashboards`"
    assert set(texts()) == {"pipeline.json", "quality.json", "reliability.json", "audit.json"}


def test_every_panel_says_what_it_shows() -> None:
    for dashboard, panel in panels():
        name = f"{dashboard}/{panel['title']}"
        assert panel["description"].endswith((".", "?")), name
        assert panel["title"][0].isupper(), name
        assert panel["targets"], name
        if panel["type"] in ("timeseries", "stat"):
            assert panel["fieldConfig"]["defaults"]["unit"], name


def test_titles_are_unique_on_a_dashboard() -> None:
    for file in FILES:
        titles = [panel["title"] for dashboard, panel in panels() if dashboard == file.stem and panel["type"] != "stat"]
        assert len(titles) == len(set(titles)), file.stem


def test_panels_do_not_overlap_and_fit_the_width() -> None:
    for file in FILES:
        taken: set[tuple[int, int]] = set()
        for dashboard, panel in panels():
            if dashboard != file.stem:
                continue
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, panel["title"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert not cells & taken, panel["title"]
            taken |= cells


def test_data_sources_are_provisioned() -> None:
    sources = YAML(typ="safe").load((PROVISIONING / "datasources" / "datasources.yaml").read_text())["datasources"]
    provided = {(source["type"], source["uid"]) for source in sources}
    used = {(query.target["datasource"]["type"], query.target["datasource"]["uid"]) for query in queries()}
    assert used == provided
    by_type = {source["type"]: source["jsonData"] for source in sources}
    destinations = by_type["prometheus"]["exemplarTraceIdDestinations"]
    assert {one["datasourceUid"] for one in destinations} == {"lipstage-tempo"}
    assert by_type["tempo"]["serviceMap"]["datasourceUid"] == "lipstage-prometheus"
    assert by_type["tempo"]["tracesToMetrics"]["datasourceUid"] == "lipstage-prometheus"


def test_duration_graphs_lead_to_traces() -> None:
    """An exemplar is a dot that opens one render; Grafana asks for them where the query says so."""
    with_exemplars = {query.panel for query in queries() if query.target.get("exemplar")}
    assert {"Duration of tasks", "Wait in the queue", "Drift", "Quality", "From request to video"} <= with_exemplars


def test_traceql_compares_attributes_in_their_types() -> None:
    """A duration literal matches no attribute, and names without a scope are searched everywhere."""
    for query in queries():
        if query.datasource != "tempo":
            continue
        assert not re.search(r"span\.[\w.]+ *[<>=!]+ *\d+(ms|s|m|h)\b", query.text), str(query)
        unscoped = re.findall(r"(?<![\w.])\.[a-z][\w.]*", query.text)
        assert not unscoped, str(query)
