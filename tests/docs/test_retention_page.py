"""docs/retention.md lists every setting of retention with its default, and every class has a rule or a topic."""

import re

from pydantic_settings import BaseSettings

from shared.messages.topics import COMPACTION_DAYS, WORK_DAYS, topics
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import variable
from shared.storage.bucket import OWN_RULES, _artifact_rules
from shared.storage.settings import StorageSettings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "retention.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


def defaults(model: type[BaseSettings]) -> dict[str, str]:
    """Variable and default of each setting of retention."""
    fields = {name: field for name, field in model.model_fields.items() if name.startswith("retention_")}
    return {variable(model, name): str(field.default) for name, field in fields.items()}


def test_every_setting_is_in_the_table_with_its_default() -> None:
    table = {row[2].strip("`"): row[3] for row in ROWS if len(row) == 5 and row[2].startswith("`LIPSTAGE_")}
    assert table == defaults(StorageSettings) | defaults(RuntimeSettings)


def test_every_topic_and_every_rule_is_named() -> None:
    assert f"within {COMPACTION_DAYS} days" in PAGE
    assert any(row[:1] == ["requests, tasks, retries"] and row[3] == str(WORK_DAYS) for row in ROWS)
    for topic in topics("", ("puppet",)):
        family = re.match(r"render\.(requests|face|infer|encode|retry|clock)", topic.name)
        assert family or f"`{topic.name}`" in PAGE, topic.name
    rules = {str(rule["ID"]).removeprefix(OWN_RULES) for rule in _artifact_rules(StorageSettings())}
    known = {"frames", "frames-index", "checkpoints", "jobs", "cache", "dead-letters", "erased", "erasures", "quotas",
             "uploads"}  # fmt: skip
    assert rules == known, "a new rule needs a row in the table"
