"""A release in real containers: renders, restarts in mid-render, infer from 1 to 3 to 1, limits."""

import io
from collections.abc import Iterator

import av
import pytest

from tests.pods.client import Client
from tests.pods.conftest import Network
from tests.pods.release import Release

pytestmark = pytest.mark.pods
PREFIX = "pods."
MIB = 1 << 20


@pytest.fixture(scope="module")
def release(network: Network) -> Iterator[Release]:
    release = network.release("demo")
    try:
        release.install(network.values(PREFIX))
        yield release
    finally:
        release.uninstall()


@pytest.fixture(scope="module")
def client(network: Network, release: Release) -> Client:
    return network.client(PREFIX)


def _check(client: Client, release: Release) -> None:
    """Nothing is lost, each job has one end and one video, and every pod that was told to end did so by itself."""
    report = client.report()
    print("\n".join(report.lines()))
    assert not report.failed
    codes = {pod.name: pod.exit_code for pod in release.ended()}
    assert set(codes.values()) <= {0}, codes


def test_the_hooks_have_prepared_what_helm_test_looks_for(network: Network, release: Release) -> None:
    assert release.test(network.values(PREFIX)) == 0


def test_a_render_goes_through_the_pods(client: Client, release: Release) -> None:
    job = client.submit(seconds=3, resolution=512)
    client.await_done([job])
    with av.open(io.BytesIO(client.video(job))) as video:
        assert video.duration is not None
        assert abs(video.duration / av.time_base - 3) < 0.1
        assert {stream.type for stream in video.streams} == {"video", "audio"}
    _check(client, release)


def test_the_root_is_read_only_and_the_user_is_nobody_special(release: Release) -> None:
    for pod in release.pods():
        assert not pod.run("touch", "/opt/lipstage/written"), pod.name
        assert not pod.run("touch", "/written"), pod.name
        assert pod.run("touch", "/scratch/written"), pod.name
        assert pod.run("sh", "-c", "test $(id -u) = 10001"), pod.name


def test_a_rolling_restart_in_mid_render_loses_nothing(network: Network, client: Client, release: Release) -> None:
    jobs = [client.submit(seconds=4, resolution=512) for _ in range(6)]
    client.await_stage(jobs[0], "infer")
    restarted = network.values(PREFIX, defaults={"podAnnotations": {"restarted-at": "now"}})
    before = {pod.name for pod in release.pods()}
    release.upgrade(restarted)
    assert before.isdisjoint(pod.name for pod in release.pods())
    client.await_done(jobs)
    _check(client, release)


def test_infer_scales_from_one_to_three_and_back(client: Client, release: Release) -> None:
    infer = release.deployment("infer-puppet")
    jobs = [client.submit() for _ in range(9)]
    infer.scale(3)
    jobs += [client.submit() for _ in range(3)]
    client.await_stage(jobs[9], "infer")
    infer.scale(1)
    client.await_done(jobs)
    infer.await_ended()
    _check(client, release)


def test_every_pod_stayed_below_its_memory_limit(release: Release) -> None:
    """``stop`` has checked that no container was killed for its memory; the page cache counts in the peak."""
    limits = {pod.name: pod.memory_limit_bytes for pod in release.pods()}
    assert all(limits.values()), limits
    for pod in release.ended():
        print(f"{pod.name:32} peak {pod.peak_bytes / MIB:6.0f} MiB of {pod.memory_limit_bytes / MIB:6.0f}")
        assert 0 < pod.peak_bytes <= pod.memory_limit_bytes
