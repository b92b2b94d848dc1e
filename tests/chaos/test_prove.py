"""The checker finds deliberate breaks of the runtime: see `prove`."""

from pathlib import Path

import pytest

from tests.chaos import prove
from tests.chaos.mutations import BREAKS
from tests.conftest import Infrastructure


def test_every_break_has_a_row() -> None:
    assert prove.ROWS.keys() == {name for name, one in BREAKS.items() if one.check}
    assert len(prove.ROWS) == 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", prove.ROWS)
def test_break_is_found_by_its_check(name: str, stack: Infrastructure, tmp_path: Path) -> None:
    sound, broken = prove.prove(name, stack, tmp_path, 12)
    result = prove.verdict(name, sound, broken)
    if result.startswith("skipped"):
        pytest.skip(result)
    assert result == ""
