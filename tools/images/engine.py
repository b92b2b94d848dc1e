"""The program that builds and inspects images: docker or podman, with one set of calls."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("docker", "podman")
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


class EngineError(Exception):
    """There is no engine, or it refused a call; the text is for the command line."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine; every call raises EngineError when it fails."""

    name: str
    global_options: Sequence[str] = field(default_factory=tuple)

    def run(self, *arguments: str | Path, quiet: bool = True, stdin: Any = None) -> str:
        """Run the engine with ``arguments``; returns what it printed. Without ``quiet`` that goes to the terminal."""
        command = [self.name, *self.global_options, *map(str, arguments)]
        pipe = subprocess.PIPE if quiet else None
        result = subprocess.run(command, stdout=pipe, stderr=pipe, stdin=stdin, text=True, check=False)
        if result.returncode != 0:
            reason = (result.stderr or "").strip() or f"exit code {result.returncode}"
            raise EngineError(f"{' '.join(command[:4])} ...: {reason}")
        return (result.stdout or "").strip()

    def build(
        self,
        context: Path,
        dockerfile: Path,
        tag: str,
        target: str | None = None,
        arguments: Mapping[str, str] | None = None,
        ca_bundle: Path | None = None,
    ) -> None:
        """Build an image. ``ca_bundle`` is given to the steps that download, as the secret ``ca``."""
        options = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
        if target is not None:
            options += ["--target", target]
        if ca_bundle is not None:
            options += ["--secret", f"id=ca,src={ca_bundle}"]
        if self.name == "podman":
            # chroot needs no more rights than the caller has, even inside of a container; local tags are not looked up
            # in a registry.
            options += ["--isolation=chroot", "--network=host", "--layers", "--pull=missing"]
        self.run("build", *options, "--tag", tag, "--file", dockerfile, context, quiet=False)

    def inspect(self, image: str) -> dict[str, Any]:
        """What the engine knows of a local image."""
        (found,) = json.loads(self.run("image", "inspect", image))
        assert isinstance(found, dict)
        return found

    def has(self, image: str) -> bool:
        """Whether the image is in the local store."""
        try:
            self.run("image", "inspect", image)
        except EngineError:
            return False
        return True

    def size(self, image: str) -> int:
        """Bytes of all layers of an image, unpacked."""
        return int(self.inspect(image)["Size"])

    def copy_out(self, image: str, path: str, to: Path) -> None:
        """Copy a file of an image to this machine; nothing of the image runs."""
        container = self.run("create", image)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            self.run("cp", f"{container}:{path}", to)
        finally:
            self.run("rm", "--force", container)


def find(name: str | None = None) -> Engine:
    """The engine of this name, or the first that is installed. Raises EngineError when there is none."""
    for candidate in (name,) if name else NAMES:
        if shutil.which(candidate):
            return Engine(candidate)
    raise EngineError(f"{name or ' or '.join(NAMES)} is not installed")
