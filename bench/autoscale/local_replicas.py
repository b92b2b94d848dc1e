"""Real replicas of one service on this machine, created and removed as a ReplicaSet does it."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.autoscale.deletion_order import BUSY_COST, Pod, removal_order
from shared.local import ports
from shared.local.pdeathsig_launcher import set_pdeathsig

END_S = 120.0
"""Limit for the end of a replica after SIGTERM, seconds; then it is killed."""
BUSY = re.compile(rb"^lipstage_slots_busy\{[^}]*\} ([0-9.]+)", re.MULTILINE)


@dataclass(eq=False)
class LocalReplica:
    """One service process."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    created_at: float
    ready_at: float | None = None
    busy: bool = False
    removed_at: float | None = None
    was_busy: bool = False
    """Whether it worked when it was asked to end."""
    ended_at: float | None = None


class LocalReplicas:
    """Starts and ends replicas; used by one thread, which must be the process's main one. ``close`` ends all."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> None:
        """``arguments`` of ``python -m shared.runtime``; logs go to ``folder``."""
        self._command = [sys.executable, "-P", "-m", "shared.runtime", *arguments]
        self._environment = dict(environment)
        self._folder = folder
        self.all: list[LocalReplica] = []
        """Every replica that was created, the ended ones included."""

    @property
    def live(self) -> list[LocalReplica]:
        """Replicas that are not asked to end."""
        return [replica for replica in self.all if replica.removed_at is None]

    def scale(self, wanted: int) -> None:
        """Create replicas, or ask those to end that Kubernetes would."""
        for _ in range(wanted - len(self.live)):
            self._create()
        excess = len(self.live) - wanted
        if excess <= 0:
            return
        self.look()
        live = {replica.name: replica for replica in self.live}
        pods = [Pod(r.name, r.created_at, r.ready_at, BUSY_COST if r.busy else 0) for r in live.values()]
        for pod in removal_order(pods)[:excess]:
            replica = live[pod.name]
            replica.removed_at, replica.was_busy = time.monotonic(), replica.busy
            replica.process.send_signal(signal.SIGTERM)

    def look(self) -> None:
        """Note which replicas are ready, which are busy and which have ended. Raises RuntimeError for one that has
        ended by itself."""
        for replica in self.all:
            if replica.ended_at is not None:
                continue
            if replica.process.poll() is not None:
                replica.ended_at = time.monotonic()
                if replica.removed_at is None:
                    raise RuntimeError(f"replica {replica.name} ended with status {replica.process.returncode}")
                continue
            if replica.ready_at is None and self._get(replica, "readyz") is not None:
                replica.ready_at = time.monotonic()
            metrics = self._get(replica, "metrics") or b""
            replica.busy = any(float(value) > 0 for value in BUSY.findall(metrics))

    def close(self) -> None:
        """End every replica and wait for it."""
        for replica in self.live:
            replica.removed_at = time.monotonic()
            replica.process.terminate()
        for replica in self.all:
            try:
                replica.process.wait(END_S)
            except subprocess.TimeoutExpired:
                replica.process.kill()
                replica.process.wait()
            replica.ended_at = replica.ended_at or time.monotonic()

    def _create(self) -> None:
        (port,) = ports.pick(1, {replica.port for replica in self.live})
        name = f"replica-{len(self.all)}"
        variables = {"LIPSTAGE_HEALTH_HOST": ports.HOST, "LIPSTAGE_HEALTH_PORT": str(port)}
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self._command,
                env=self._environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=partial(set_pdeathsig, os.getpid()),  # A killed demo leaves no replica.
            )
        self.all.append(LocalReplica(name, port, process, time.monotonic()))

    @staticmethod
    def _get(replica: LocalReplica, path: str) -> bytes | None:
        with suppress(OSError), urllib.request.urlopen(f"http://{ports.HOST}:{replica.port}/{path}", timeout=5) as got:
            body: bytes = got.read()
            return body
        return None
