"""Keeps the deletion cost of the service's own pod up to date: a scale-down removes idle pods before busy ones.

Kubernetes removes the pods of a ReplicaSet with the lowest ``controller.kubernetes.io/pod-deletion-cost`` first, and
takes any where nothing is set. The cost is 0 where no task has run for 5 s, else the seconds that the longest task has
worked, which a removal may lose. It is a preference of the scale-down only; drains of nodes and spot notices ignore it.
"""

import http.client
import json
import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import structlog

from shared.telemetry import metrics

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Token and certificate authority of the pod's service account."""
POLL_S = 0.5
UPDATE_S = 15.0
"""Time between two updates while the same task runs, and after a failure, seconds: each is a write for the API."""
IDLE_S = 5.0
"""How long no task has run before the pod counts as idle, seconds: tasks of a second would make two writes each."""
TIMEOUT_S = 3.0
MAX_COST = 1_000_000
ROLE = "the service account needs a Role with apiGroups: [''], resources: [pods], verbs: [patch]"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pod:
    """This process's pod and the API server that knows it."""

    name: str
    namespace: str
    host: str
    port: int
    account: Path = ACCOUNT

    @classmethod
    def of(cls, name: str, namespace: str, environment: Mapping[str, str]) -> "Pod":
        """The pod of a process in a cluster. Raises ValueError outside of one, and without a name."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not (name and namespace):
            raise ValueError("needs POD_NAME and POD_NAMESPACE, from the downward API")
        if not (host and port.isdecimal()):
            raise ValueError("needs KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, as in every pod")
        return cls(name, namespace, host, int(port))

    def annotate(self, cost: int) -> None:
        """Set the deletion cost. Raises OSError, HTTPException, and Refused for an answer that is no success."""
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        # Read each time: the kubelet replaces the token before it expires.
        token = (self.account / "token").read_text().strip()
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT_S, context=context)
        try:
            connection.request(
                "PATCH",
                f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods/{quote(self.name, safe='')}",
                json.dumps({"metadata": {"annotations": {ANNOTATION: str(cost)}}}),
                {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"},
            )
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                raise Refused(answer.status)
        finally:
            connection.close()


class Refused(Exception):
    """The API server answered with another status than success."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


class PodDeletionCost:
    """Updates the annotation in a thread of its own. Nothing waits for it, and its failures fail nothing."""

    def __init__(self, stage: str, pod: Pod, busy_s: Callable[[], float]) -> None:
        """``busy_s`` returns how long the longest running task has worked, seconds; 0 when none runs."""
        self._pod = pod
        self._busy_s = busy_s
        self._failures = metrics.POD_DELETION_COST_FAILURES.labels(stage)
        self._written: int | None = None
        self._failing = False
        self._next_at = self._idle_at = -math.inf

    def run(self, stop: threading.Event) -> None:
        """Update until ``stop``."""
        while not stop.wait(POLL_S):
            self.update(time.monotonic())

    def update(self, now: float) -> None:
        """Write the cost where it is due: at once when the pod becomes busy, after 5 s when it becomes idle, and every
        15 s while it works. ``now`` is of ``time.monotonic``, seconds."""
        busy_s = self._busy_s()
        if busy_s > 0:
            self._idle_at = now + IDLE_S
        elif now < self._idle_at:
            return
        cost = 0 if busy_s <= 0 else min(MAX_COST, 1 + int(busy_s))
        changed = not self._failing and (self._written is None or (self._written > 0) != (cost > 0))
        if changed or (now >= self._next_at and cost != self._written):
            self._write(cost)
            self._next_at = now + UPDATE_S

    def _write(self, cost: int) -> None:
        try:
            self._pod.annotate(cost)
        except (OSError, http.client.HTTPException, Refused, ValueError) as error:
            self._failures.inc()
            if not self._failing:
                hint = ROLE if isinstance(error, Refused) and error.status in (401, 403) else None
                log.warning("pod_deletion_cost_not_set", error=type(error).__name__, reason=str(error), hint=hint)
            # Unknown: the server may have stored the cost, and its answer was lost.
            self._failing, self._written = True, None
        else:
            if self._failing:
                log.info("pod_deletion_cost_set_again")
            self._failing, self._written = False, cost
