"""A state folder that can't be made or written to is one sentence, with the variable that names another."""

from pathlib import Path

import pytest

from shared.local import machine
from shared.local import stack as local
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings


@pytest.fixture(params=["", "below"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> LocalSettings:
    """The state folder is a file, or lies below one."""
    file = tmp_path / "a file"
    file.touch()
    return LocalSettings(state_dir=file / request.param)


def test_up_and_down_report_an_unusable_state_folder(settings: LocalSettings) -> None:
    for command in (local.up, local.down):
        with pytest.raises(StackError, match=r"can't be the state folder \(.*\): set LIPSTAGE_STATE_DIR") as error:
            command(settings)
        assert error.value.code == StackCode.STATE_UNUSABLE


def test_doctor_reports_an_unusable_state_folder(settings: LocalSettings) -> None:
    check = machine.disk(settings)
    assert (check.level, "LIPSTAGE_STATE_DIR" in check.fix) == ("fail", True)
