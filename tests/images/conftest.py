"""Podman, for the tests that are marked `images`."""

from pathlib import Path

import pytest

from tests.images import containers


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> containers.Podman:
    """The engine. `make images-test` is asked for by name, so a machine that can't run it fails the tests."""
    reason = containers.missing()
    assert reason is None, reason
    configuration: Path = tmp_path_factory.mktemp("podman") / "containers.conf"
    configuration.write_text(containers.CONFIGURATION)
    return containers.Podman(configuration)
