"""What the chart takes from elsewhere is current: versions, topics, alerts, dashboards, README."""

import json
import re
import tomllib

import pytest
import yaml

from shared.messages.tiers import parse_tiers
from shared.messages.topics import topics
from tests.conftest import ROOT
from tests.helm.cases import CI, SIZES, values, with_defaults
from tests.helm.chart import CHART, notes, render
from tests.helm.objects import named, of_kind
from tools.chart.files import COPIED, files
from tools.chart.readme import Undocumented, _tables, readme

CHART_FILE = yaml.safe_load((CHART / "Chart.yaml").read_text())


def test_versions_are_those_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (CHART_FILE["version"], CHART_FILE["appVersion"]) == (version, version)


def test_files_are_current() -> None:
    committed = {path: path.read_text() for path in (CHART / "files").rglob("*") if path.is_file()}
    assert committed == files(), "run make chart"


def test_every_rule_and_dashboard_of_deploy_is_in_the_chart() -> None:
    for folder, source in COPIED.items():
        assert {one.name for one in source.iterdir()} == {one.name for one in (CHART / "files" / folder).iterdir()}


def test_readme_is_current() -> None:
    assert (CHART / "README.md").read_text() == readme(), "run make chart"


def test_every_value_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from tools.chart import readme as page

    lines = "\n".join(_tables())
    for value in ("kafka.sasl.passwordKey", "defaults.autoscaling.hpa.lagMetric", "stages.infer.sonic", "extraObjects"):
        assert f"| `{value}` |" in lines
    bare = CHART.parent / "no-such-values.yaml"
    monkeypatch.setattr(page, "VALUES", _Text("# About a.\na:\n  # About b.\n  b: 1\n  c: 2\n", bare))
    with pytest.raises(Undocumented, match=r"a\.c"):
        list(page._tables())


class _Text:
    """A file that is not on disk."""

    def __init__(self, text: str, path: object) -> None:
        self._text = text

    def read_text(self) -> str:
        return self._text


def test_alerts_are_those_of_deploy() -> None:
    (rule,) = of_kind(render(values("observability")), "PrometheusRule")
    groups = [
        group for file in sorted(COPIED["rules"].glob("*.yaml")) for group in yaml.safe_load(file.read_text())["groups"]
    ]
    assert rule["spec"]["groups"] == groups


def test_dashboards_are_those_of_deploy() -> None:
    config = named(render(values("observability")), "ConfigMap", "demo-dashboards")
    assert {name: json.loads(text) for name, text in config["data"].items()} == {
        f"lipstage-{file.name}": json.loads(file.read_text()) for file in COPIED["dashboards"].glob("*.json")
    }
    assert sum(map(len, config["data"].values())) < 1 << 20, "a ConfigMap takes one MiB"


def test_pods_are_scraped_under_the_job_that_the_alerts_expect() -> None:
    found = render(values("observability"))
    (monitor,) = of_kind(found, "PodMonitor")
    jobs = set(re.findall(r'job="([^"]+)"', "".join(file.read_text() for file in COPIED["rules"].glob("*.yaml"))))
    for deployment in of_kind(found, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert {labels[monitor["spec"]["jobLabel"]]} == jobs
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_strimzi_topics_are_those_of_the_product() -> None:
    mode = {"mode": "strimzi", "strimzi": {"cluster": "main"}}
    kafka = {"topicPrefix": "staging.", "workPartitions": 16, "retryTiers": ["5s", "2h"]}
    found = of_kind(render(with_defaults(kafka=kafka, topics=mode, extraEngines=["sonic"])), "KafkaTopic")
    expected = topics("staging.", ["puppet", "sonic"], parse_tiers(["5s", "2h"]))
    assert {one["spec"]["topicName"]: (one["spec"]["partitions"], one["spec"]["config"]) for one in found} == {
        topic.name: (topic.partitions, dict(topic.config)) for topic in expected
    }


def test_work_partitions_are_those_of_the_setting() -> None:
    mode = {"mode": "strimzi", "strimzi": {"cluster": "main"}}
    found = of_kind(render(with_defaults(kafka={"workPartitions": 64}, topics=mode)), "KafkaTopic")
    partitions = {one["spec"]["topicName"]: one["spec"]["partitions"] for one in found}
    assert {name for name, count in partitions.items() if count == 64} == {
        *("render.requests", "render.face", "render.infer.puppet", "render.encode"),
        *("render.requests.bulk", "render.face.bulk", "render.infer.puppet.bulk", "render.encode.bulk"),
    }


@pytest.mark.parametrize("prefix", ["", "-", ".", "_.", "Team_A-.", "a..b", "a.-b.", "_" * 64])
def test_names_of_topic_objects_are_legal(prefix: str) -> None:
    mode = {"mode": "strimzi", "strimzi": {"cluster": "main"}}
    found = of_kind(render(with_defaults(kafka={"topicPrefix": prefix}, topics=mode)), "KafkaTopic")
    names = [one["metadata"]["name"] for one in found]
    assert len(set(names)) == len(names) == len({one["spec"]["topicName"] for one in found})
    for name in names:
        assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part) for part in name.split(".")), name


def test_topics_are_applied_again_on_a_schedule() -> None:
    assert not of_kind(render(values("default")), "CronJob")
    found = render(with_defaults(topics={"schedule": "@daily"}))
    (job,) = of_kind(found, "CronJob")
    assert job["spec"]["schedule"] == "@daily"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]
    hook = named(found, "Job", "demo-topics")["spec"]["template"]
    assert pod["spec"]["containers"] == hook["spec"]["containers"]
    for case in ("gpu", "large"):
        assert of_kind(render(values(case)), "CronJob")


def test_pod_of_helm_test_is_kept_for_its_log() -> None:
    (pod,) = of_kind(render(values("default")), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_notes_wake_deployments_of_an_autoscaler_that_does_nothing_at_zero() -> None:
    text = notes(values("hpa"))
    assert "for one in demo-audio demo-encode demo-face demo-infer-puppet; do" in text
    assert "kubectl scale deploy --current-replicas=0 --replicas=1 -n video $one" in text
    for case in ("default", "none"):
        assert "kubectl scale" not in notes(values(case))


def test_notes_name_commands_that_exist() -> None:
    from shared.cli.main import app  # noqa: F401 - the commands register themselves

    text = notes(values("default"))
    for command in re.findall(r"(?:lip|/opt/lipstage/bin/lipstage) ([a-z]+)", text):
        assert command in (ROOT / "docs" / "cli.md").read_text(), command
    assert "deploy/demo-relay" in text


def test_cases_say_what_they_are_about() -> None:
    for file in (*CI.values(), *SIZES.values()):
        assert file.read_text().startswith("# "), file.name
