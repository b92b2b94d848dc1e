"""Admin requests in a separate process, with a time limit.

librdkafka's admin client can abort its process when the broker dies during a request (an assertion on a request that is
answered twice, known upstream and not fixed as of 2.16), and no thread or exception handler survives that.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.runtime.kafka_config import base

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

    from shared.runtime.settings import RuntimeSettings

START_S = 15.0
"""Time that the start of the process may take on a busy machine with a cold disk, beside the request, seconds."""
TRIES = 3
"""On a machine with ten times the work that it can do, the client has died twice in a row."""
_ROOT = str(Path(__file__).resolve().parents[2])


def module_command(module: str) -> list[str]:
    """The command that runs a module of this project in a process of its own."""
    return [sys.executable, "-P", "-m", module]  # -P: do not import a package `shared` from the current folder.


def module_environment() -> dict[str, str]:
    """The environment in which ``module_command`` finds the module, wherever this process runs."""
    path = os.pathsep.join(path for path in (_ROOT, os.environ.get("PYTHONPATH")) if path)
    return {**os.environ, "PYTHONPATH": path}


class AdminProcess:
    """One running request. ``result`` or ``close`` ends it."""

    def __init__(self, settings: "RuntimeSettings", name: str, limit_s: float, **arguments: Any) -> None:
        """Start the request: ``name`` is a function of `admin_requests`, ``arguments`` its arguments.

        After ``limit_s`` seconds the process is killed. Raises OSError, and ValueError for properties that can't be
        read.
        """
        base(settings, "admin")
        self._limit_s = limit_s
        self._request = {
            "parent": os.getpid(),
            "settings": settings.model_dump(mode="json"),
            "name": name,
            "arguments": arguments,
        }
        self._process = subprocess.Popen(
            module_command("shared.runtime.admin_requests"),
            env=module_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def result(self) -> Any:
        """The answer. Raises KafkaException: the broker's error, _TIMED_OUT, or _FAIL for a process that died."""
        try:
            out, err = self._process.communicate(json.dumps(self._request), timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            raise _failed("_TIMED_OUT", f"no answer within {self._limit_s:.0f} s") from None
        finally:
            self.close()
        status = self._process.returncode
        if status < 0:
            raise _failed("_FAIL", f"the Kafka client died of {_signal(-status)} during the request")
        try:
            answer = json.loads(out)
        except ValueError:
            last = (err.strip().splitlines() or [f"exit status {status}"])[-1][:300]
            raise _failed("_FAIL", f"the Kafka client failed: {last}") from None
        if "error" in answer:
            code, text = answer["error"]
            raise _failed("_TIMED_OUT" if code is None else code, text)
        return answer["value"]

    def close(self) -> None:
        """Kill the process, if it still runs."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def ask(settings: "RuntimeSettings", name: str, limit_s: float, **arguments: Any) -> Any:
    """Make a request and wait for the answer; repeat it when the process died. Raises KafkaException as
    ``AdminProcess.result`` does."""
    for _ in range(TRIES - 1):
        try:
            return AdminProcess(settings, name, limit_s, **arguments).result()
        except Exception as e:
            from confluent_kafka import KafkaError, KafkaException

            if not isinstance(e, KafkaException) or e.args[0].code() != KafkaError._FAIL:
                raise
    return AdminProcess(settings, name, limit_s, **arguments).result()


def _failed(code: int | str, text: str) -> "KafkaException":
    """The exception for a code of librdkafka, or the name of one."""
    from confluent_kafka import KafkaError, KafkaException  # Too slow for a request that succeeds.

    return KafkaException(KafkaError(getattr(KafkaError, code) if isinstance(code, str) else code, text))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
