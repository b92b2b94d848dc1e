"""An upgrade from the version before, under load: nothing is lost, and each job has one video."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import shared
from tests.pods import earlier_version
from tests.pods.client import Client
from tests.pods.conftest import Network, merged

pytestmark = pytest.mark.pods
PREFIX = "upgrade."
INTERVAL_S = 2.0
IMAGES = ("audio", "face", "infer-puppet", "encode")


@contextmanager
def load(client: Client) -> Iterator[list[str]]:
    """Submit a job every two seconds; yields the ids so far."""
    jobs: list[str] = []
    stop = threading.Event()

    def submit() -> None:
        while not stop.wait(INTERVAL_S):
            jobs.append(client.submit(seconds=2))

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield jobs
    finally:
        stop.set()
        thread.join()


def test_an_upgrade_from_the_version_before_loses_nothing(network: Network) -> None:
    ref = earlier_version.release_before()
    before, now = earlier_version.version_of(ref), shared.__version__
    print(f"from {before} ({ref}) to {now}")
    today = {f"localhost/lipstage/{name}": f"localhost/lipstage/{name}:{now}" for name in IMAGES}
    earlier_version.build(network.podman, ref, today)
    values = network.values(PREFIX)
    # Of this version are what the one before did not have: the relay, and the hooks' commands.
    today_s = {"image": {"tag": now}}
    own = {"defaults": {"image": {"tag": earlier_version.TAG}}, "ops": today_s, "stages": {"relay": today_s}}
    old = merged(values, own)
    release = network.release("upgrade")
    try:
        release.install(old)
        client = network.client(PREFIX)
        with load(client) as jobs:
            client.await_done([client.submit(seconds=2)])
            release.upgrade(values)
            client.await_done([client.submit(seconds=2)])
        client.await_done(jobs)
        report = client.report()
        print(f"{len(jobs) + 2} jobs", *report.lines(), sep="\n")
        assert not report.failed
        assert {pod.exit_code for pod in release.ended()} == {0}
    finally:
        release.uninstall()
