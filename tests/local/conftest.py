"""A stack of a test's own: one that may be broken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.local import stack as local
from shared.local.settings import LocalSettings
from tests.conftest import Infrastructure


@pytest.fixture
def own(stack: Infrastructure, tmp_path: Path) -> Iterator[LocalSettings]:
    """Settings of a stack that a test may break; the session's one only lends its jars."""
    settings = LocalSettings(
        state_dir=tmp_path / "state",
        jars_dir=stack.settings.jars,
        kafka_bootstrap_servers="",
        s3_endpoint_url="",
        otlp_endpoint="",
    )
    yield settings
    local.down(settings, purge=True)
