"""A broker that does not answer: the relay waits for it, says so, and does not end."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.local import broker, processes
from shared.local import stack as local
from shared.local.processes import ProcessId
from shared.local.settings import LocalSettings
from tests.conftest import Infrastructure
from tests.relay.harness import Retries, until
from tests.relay.test_faults import values
from tests.relay.test_relay import early

AWAY = "the broker does not answer"


@pytest.fixture
def frozen(stack: Infrastructure, topic_prefix: str, tmp_path: Path) -> Iterator[tuple[Retries, ProcessId]]:
    """Retry topics on a broker of the test's own, and its process."""
    settings = LocalSettings(
        state_dir=tmp_path / "state",
        jars_dir=stack.settings.jars,
        kafka_bootstrap_servers="",
        s3_endpoint_url="",
        otlp_endpoint="",
    )
    started = local.up(settings, services=False)
    pid = next(program.pid for program in started.supervisor().programs() if program.name == broker.NAME)
    process = processes.identify(pid)
    assert process is not None
    retries = Retries(started.bootstrap_servers, topic_prefix, tmp_path)
    yield retries, process
    processes.kill(process, signal.SIGCONT)
    retries.close()
    local.down(settings, purge=True)


@pytest.mark.parametrize("tier", ["2s", "1s"])
def test_relay_waits_for_a_broker_that_is_away(frozen: tuple[Retries, ProcessId], tier: str) -> None:
    """The broker freezes while records of 2s wait, or once one of 1s was sent: then the relay waits for a commit."""
    retries, process = frozen
    relay = retries.started()
    reader = retries.reader("render.face")
    for value in values(200):
        retries.put(tier, value)
    retries.flush()
    if tier == "1s":
        until(reader.read, "a record returned")
    processes.kill(process, signal.SIGSTOP)
    until(lambda: relay.probe() == AWAY, "the relay says that the broker is away")
    until(lambda: relay.probe("/livez") == "", "it lives")
    late = retries.start()
    until(lambda: late.probe() == AWAY, "so does one that starts now")
    processes.kill(process, signal.SIGCONT)
    until(lambda: len({one.value for one in reader.read()}) == 200, "every record returned")
    until(relay.is_ready, "the relay is ready again")
    until(late.is_ready, "so is the one that was started meanwhile")
    assert early(retries.reader(f"render.retry.{tier}").wait(200), reader.records) == []
    assert "service_failed" not in relay.log.read_text() + late.log.read_text()
