"""Retry topics of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Infrastructure
from tests.relay.harness import Retries


@pytest.fixture
def retries(stack: Infrastructure, topic_prefix: str, tmp_path: Path) -> Iterator[Retries]:
    made = Retries(stack.bootstrap_servers, topic_prefix, tmp_path)
    yield made
    made.close()
