"""The recording and alert rules: valid, documented, and each alert fires and resolves on given series."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.short_rules import read_yaml, shortened, write_yaml
from tests.conftest import ROOT
from tests.deploy.programs import program

RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))
TESTS = Path(__file__).parent / "alerts"
BY_FILE = pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)


def rules_of(path: Path) -> list[dict[str, Any]]:
    return [rule for group in read_yaml(path)["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for path in RULES for rule in rules_of(path) if "alert" in rule}
BY_ALERT = pytest.mark.parametrize("alert", ALERTS.values(), ids=list(ALERTS))


def test_rules_are_valid() -> None:
    checked = subprocess.run(
        [program("promtool"), "check", "rules", *RULES], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@BY_FILE
def test_alerts_fire_and_resolve_on_series(path: Path, tmp_path: Path) -> None:
    """Without annotations, whose text the tests would have to repeat; a real Prometheus fills them in below."""
    rules = read_yaml(path)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    write_yaml(rules, tmp_path / path.name)
    (tmp_path / "test.yaml").write_text((TESTS / path.name).read_text())
    command = [program("promtool"), "test", "rules", "test.yaml"]
    tested = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@BY_ALERT
def test_series_let_each_alert_fire_and_resolve(alert: dict[str, Any]) -> None:
    cases = [
        [case for case in block.get("alert_rule_test", ()) if case["alertname"] == alert["alert"]]
        for path in TESTS.glob("*.yaml")
        for block in read_yaml(path)["tests"]
    ]

    def resolves(block: list[dict[str, Any]]) -> bool:
        states = [bool(case["exp_alerts"]) for case in block]
        return True in states and not states[-1]

    assert any(resolves(block) for block in cases)


@BY_ALERT
def test_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    notes = alert["annotations"]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(notes) == {"summary", "description", "runbook_url"}
    page, _, anchor = notes["runbook_url"].partition("#")
    headings = re.findall(r"^#{2,4} (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert alert["alert"] in (ROOT / page).read_text()


def test_rules_name_no_host() -> None:
    assert not any(re.search(r"https?://", path.read_text()) for path in RULES)


RULE_FILE = {
    "groups": [
        {
            "name": "g",
            "rules": [
                {"record": "lipstage:x:ratio_rate1h", "expr": "sum(rate(a_total[1h])) / sum(rate(b_total[30s]))"},
                {"alert": "A", "expr": "max(x_seconds) > 600 and increase(c_total[10m]) > 4", "for": "5m"},
                {"alert": "B", "expr": 'up{job="seconds"} == 0', "labels": {"severity": "critical"}},
            ],
        }
    ]
}


def test_short_copy_changes_times_alone() -> None:
    short = shortened(RULE_FILE, 60)
    (group,) = short["groups"]
    assert (group["name"], group["interval"]) == ("g", "1s")
    recorded, first, second = group["rules"]
    assert recorded == {
        "record": "lipstage:x:ratio_rate1h",
        "expr": "sum(rate(a_total[60s])) / sum(rate(b_total[5s]))",
    }
    assert first == {"alert": "A", "expr": "max(x_seconds) > 10 and increase(c_total[10s]) > 4", "for": "5s"}
    assert second == RULE_FILE["groups"][0]["rules"][2]
    assert RULE_FILE["groups"][0]["rules"][1]["for"] == "5m"


def test_short_copy_refuses_a_duration_that_it_does_not_understand() -> None:
    with pytest.raises(ValueError, match="1h30m"):
        shortened({"groups": [{"rules": [{"alert": "A", "expr": "up", "for": "1h30m"}]}]}, 60)


@BY_FILE
def test_short_copy_of_our_rules_has_the_same_rules(path: Path) -> None:
    rules = read_yaml(path)
    short = shortened(rules, 300)
    digits = re.compile(r"[\d.]+[smhd]?")
    for before, after in zip(rules["groups"], short["groups"], strict=True):
        for rule, copy in zip(before["rules"], after["rules"], strict=True):
            assert digits.sub("", rule["expr"]) == digits.sub("", copy["expr"])
            assert {k: v for k, v in rule.items() if k not in ("expr", "for")} == {
                k: v for k, v in copy.items() if k not in ("expr", "for")
            }
