"""Variables in lower case have the same effect everywhere."""

from pathlib import Path

from shared.runtime.variable_names import to_upper_case
from tests.cli.conftest import alone


def test_a_name_in_upper_case_wins() -> None:
    environment = {"lipstage_slots": "3", "Aws_Region": "a", "aws_profile": "x", "AWS_PROFILE": "y", "path": "p"}
    to_upper_case(environment)
    assert environment == {"LIPSTAGE_SLOTS": "3", "AWS_REGION": "a", "AWS_PROFILE": "y", "path": "p"}


def test_a_name_that_no_shell_exports_is_left_alone() -> None:
    environment = {"LIPSTAGE_x;y": "1", "lipstage_ä": "2", "lipstage_": "3"}
    to_upper_case(environment)
    assert environment == {"LIPSTAGE_x;y": "1", "lipstage_ä": "2", "lipstage_": "3"}


def test_a_name_in_lower_case_is_shown_with_its_value_and_source(tmp_path: Path) -> None:
    found = alone("config", "--json", lipstage_slots="3", LIPSTAGE_STATE_DIR=tmp_path).json["settings"]
    assert found["LIPSTAGE_SLOTS"] == {"value": "3", "source": "environment"}
    assert "LIPSTAGE_SLOTS=abc: must be" in alone("config", lipstage_slots="abc", LIPSTAGE_STATE_DIR=tmp_path).err
