"""The chart's files/: rules and dashboards of deploy/, and the topics. Templates read no file outside their chart."""

from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

from shared.messages.tiers import Tier
from shared.messages.topics import DLQ, EVENTS, PARKED, WORK_PARTITIONS, Topic, topics, work_topics

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "lipstage"
COPIED = {"rules": ROOT / "deploy" / "prometheus" / "rules", "dashboards": ROOT / "deploy" / "grafana" / "dashboards"}
"""Folder of files/ -> folder of deploy/."""
ENGINE, TIER = "{engine}", "{tier}"
"""Placeholders in names: the template repeats such a topic for each."""
DAYS = {EVENTS: "eventsDays", DLQ: "deadLettersDays", PARKED: "deadLettersDays"}
"""Topics whose retention is a value of kafka.retention."""
HEAD = """# Written by `make chart` from shared/messages/topics.py for `topics.mode: strimzi`. A template repeats
# {engine} and {tier}; `work` are the topics of kafka.workPartitions,
# `days` names the value of kafka.retention.
"""


def files() -> dict[Path, str]:
    """Every file of the folder: path -> text."""
    found = {CHART / "files" / "topics.yaml": topics_file()}
    for folder, source in COPIED.items():
        for file in sorted(source.iterdir()):
            found[CHART / "files" / folder / file.name] = file.read_text()
    return found


def topics_file() -> str:
    """All topics of a deployment, with placeholders for engines and tiers."""
    placeholder = Tier(TIER, 1)
    work = work_topics([ENGINE])
    text = StringIO()
    YAML().dump([_entry(topic, topic.name in work) for topic in topics("", [ENGINE], [placeholder])], text)
    return HEAD + text.getvalue()


def _entry(topic: Topic, work: bool) -> dict[str, object]:
    if work and topic.partitions != WORK_PARTITIONS:
        raise ValueError(f"{topic.name}: the chart gives every work topic the same partitions")
    days = {"days": DAYS[topic.name]} if topic.name in DAYS else {}
    entry: dict[str, object] = {"name": topic.name, "work": work, "partitions": topic.partitions}
    return entry | {"config": dict(topic.config)} | days
