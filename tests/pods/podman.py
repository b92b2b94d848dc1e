"""The calls of podman that the tests of pods need."""

import json
from typing import Any

from tests.images import containers


class Podman(containers.Podman):
    """Each call but ``succeeds`` raises AssertionError when podman fails."""

    def output(self, *arguments: str) -> str:
        """What podman prints."""
        return self.run(*arguments).stdout.strip()

    def succeeds(self, *arguments: str) -> bool:
        """Whether podman exits with 0."""
        return self.run(*arguments, check=False).returncode == 0

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """What podman knows of a container, image or network."""
        (found,) = json.loads(self.output(kind, "inspect", name))
        assert isinstance(found, dict)
        return found

    def play(self, documents: str, network: str, address: str | None = None) -> None:
        """Start the pods of a file of Kubernetes objects; ``address`` is the IPv4 address of the only one."""
        options = ["--ip", address] if address else []
        self.run("play", "kube", "--network", network, *options, "-", stdin=documents)
