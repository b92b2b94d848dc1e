"""Groups of real members, one of each protocol."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bench.group import Group, group
from tests.conftest import Infrastructure


@pytest.fixture
def groups(stack: Infrastructure) -> Iterator[list[Group]]:
    """A group of each protocol. Tests that wait for time-outs start both, then look at both."""
    with ExitStack() as opened:
        servers = stack.bootstrap_servers
        # 6 s, the least that a broker accepts by default; KIP-848's session is the local broker's: 6 s, too.
        classic = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000"}
        yield [
            opened.enter_context(group(servers, "consumer")),
            opened.enter_context(group(servers, "classic", properties=classic)),
        ]
