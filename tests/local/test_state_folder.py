"""In its state folder the stack neither uses nor deletes what it did not create."""

from pathlib import Path

import pytest

from shared.local import stack as local
from shared.local import stack_file
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings(state_dir=tmp_path, kafka_bootstrap_servers="", s3_endpoint_url="", otlp_endpoint="")


def test_folder_with_entries_of_others_is_refused_and_unchanged(settings: LocalSettings) -> None:
    for name in ("logs", "tmp", "shared"):
        (settings.state / name).mkdir()
        (settings.state / name / "precious").write_text("data")
    with pytest.raises(StackError) as error:
        local.up(settings, services=False)
    assert (error.value.code, "logs, tmp" in error.value.message) == (StackCode.STATE_TAKEN, True)
    local.down(settings)
    local.down(settings, purge=True)
    assert {path.parent.name for path in settings.state.rglob("precious")} == {"logs", "tmp", "shared"}


def test_purge_deletes_only_what_the_stack_created(settings: LocalSettings) -> None:
    stack = stack_file.fresh(settings.state)
    stack.save()
    for name in ("kafka", "store", "logs", "run", "traces", "jars", "project"):
        (settings.state / name / "below").mkdir(parents=True)
    (settings.state / "notes.txt").touch()
    (settings.state / "tmp").symlink_to(settings.state / "project")
    local.down(settings)
    assert (settings.state / "kafka").is_dir(), "without --purge data are kept"
    local.down(settings, purge=True)
    assert {path.name for path in settings.state.iterdir()} == {"jars", "project", "notes.txt"}
