"""Starts and stops the local stack. Both can be repeated; `up` restarts whatever was killed."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shared.local import (
    access_files,
    addresses,
    broker,
    infrastructure,
    observability,
    ports,
    preflight,
    processes,
    prometheus,
    readiness,
    services,
    signing_certificate,
    stack_file,
    store,
    supervision,
    trace_receiver,
)
from shared.local.credentials import load_or_create
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack, credentials_of, with_engines
from shared.local.variables import passed_on
from shared.storage.settings import StorageSettings

__all__ = ["credentials_of", "down", "not_ready", "running", "up", "with_engines"]
DOWN_S = 8.0
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
PORTS_S = 3.0


def up(
    settings: LocalSettings,
    scale: Mapping[str, int] | None = None,
    services: bool = True,
    note: Callable[[str], None] = lambda _: None,
    engines: Collection[str] | None = None,
    with_observability: bool | None = None,
    secure: bool | None = None,
) -> Stack:
    """Start the stack and return it once every part answers.

    ``scale`` maps stages to replicas; a stage that it omits keeps its last number, at first 1. ``engines`` run beside
    those of the settings; None keeps those of the last call. ``up`` does not wait for an engine's service that misses
    something, such as weights: see ``not_ready``. ``with_observability`` runs Tempo, Prometheus and Grafana as well,
    where their programs are found: see ``observability.missing``; False stops them, None keeps what the last call
    asked for. ``secure`` gives each service a credential of its own, and the local broker and object store refuse what
    a service has no right to; None keeps what the last call asked for. ``services=False`` starts only broker, object
    store and trace receiver, and leaves running services as they are. A part that KAFKA_BOOTSTRAP_SERVERS,
    AWS_ENDPOINT_URL_S3 or OTEL_EXPORTER_OTLP_ENDPOINT names replaces the local one. ``note`` gets a line before a long
    step and for each part that is ready.

    Raises InvalidSettings and StackError. All that can be checked is checked first: a call that is refused changes
    nothing. A stack that did not run before the call and fails to start is stopped again.
    """
    with _lock(settings.state):
        try:
            return _up(settings, scale or {}, services, note, engines, with_observability, secure)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise StackError(StackCode.DISK_FULL, f"no space left in {settings.state}") from error
            raise


def down(settings: LocalSettings, purge: bool = False) -> list[str]:
    """End every process of the stack, orphans and grandchildren included; remove sockets and temporary files.

    Busy services get their drain time. Data, logs and port numbers stay. ``purge`` removes them as well, but neither
    downloaded jars nor anything in the state folder that the stack did not create. Returns the names of what it
    deleted.
    """
    with _lock(settings.state):
        stack = stack_file.load(settings.state) or stack_file.fresh(settings.state)
        exists = stack_file.exists(settings.state)
        _stop(stack)
        deleted = [name for name in stack_file.NAMES if os.path.lexists(settings.state / name)]
        if not (purge and exists):
            return []
        for entry in (settings.state / name for name in deleted):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return deleted


def not_ready(stack: Stack) -> dict[str, str]:
    """Services that run and can't work yet, each with what is missing."""
    services = {record.name: readiness.missing(record.health_port) for record in stack.services if record.engine}
    return {name: reason for name, reason in services.items() if reason is not None}


def running(settings: LocalSettings) -> Stack | None:
    """The stack that `up` started, if its supervisor answers; None otherwise."""
    return stack_file.running(settings.state)


def _up(
    settings: LocalSettings,
    scale: Mapping[str, int],
    with_services: bool,
    note: Callable[[str], None],
    engines: Collection[str] | None,
    with_observability: bool | None,
    secure: bool | None,
) -> Stack:
    stack = stack_file.load(settings.state) or stack_file.fresh(settings.state)
    if engines is not None:
        stack.engines = tuple(dict.fromkeys(engines))
    if with_observability is not None:
        stack.observability = with_observability
    if secure is not None:
        stack.secure = secure
    settings = with_engines(settings, stack)
    preflight.check_request(settings, scale, with_services)
    preflight.check_folder(settings)
    if with_services:
        preflight.check_gateway(settings, stack, scale)
    preflight.check_machine(settings, stack, with_services, note)
    load_or_create(settings.state)
    keep = stack.running and stack.supervisor().responds()
    if not keep:
        _reset(settings, stack)
    try:
        try:
            _start(settings, stack, scale, with_services, note)
        except StackError as error:
            if error.code != StackCode.SUPERVISOR_FAILED:
                raise
            # The supervisor was killed during the start: start once more.
            keep = False
            _reset(settings, stack)
            _start(settings, stack, scale, with_services, note)
    except BaseException:
        if not keep:
            _stop(stack)
        raise
    return stack


def _reset(settings: LocalSettings, stack: Stack) -> None:
    """End what is left of the stack, and replace ports that another program uses now."""
    _stop(stack)
    stack.sockets = stack_file.socket_folder(settings.state)
    for record in stack.services:
        taken = {*stack.ports.values(), *(port for other in stack.services for port in (other.health_port, other.port))}
        if not ports.is_free(record.health_port):
            (record.health_port,) = ports.pick(1, taken)
        if record.port and not ports.is_free(record.port):
            (record.port,) = ports.pick(1, taken | {record.health_port})


def _start(
    settings: LocalSettings,
    stack: Stack,
    scale: Mapping[str, int],
    with_services: bool,
    note: Callable[[str], None],
) -> None:
    addresses.assign(settings, stack)
    if stack.secure:
        from shared.local import access  # Too slow for a stack without credentials.

        access.prepare(settings.state, access.names_of(settings, StorageSettings()))
    else:
        access_files.remove(settings.state)
    infra = infrastructure.programs(settings, stack, note)
    observers = observability.programs(settings, stack)
    supervisor = stack.supervisor()
    running = supervisor.responds()
    if not running and not with_services:
        stack.services = []
    kept = [services.program(settings, stack, record) for record in stack.services if running]
    # Tempo ends without its bucket: those that do not run yet start once the object store answers.
    known = {program.name for program in supervisor.programs()} if running else set()
    supervisor.write([*infra, *(program for program in observers if program.name in known), *kept])
    stack.scratch.mkdir(parents=True, exist_ok=True)
    if running:
        supervisor.apply()
    else:
        supervisor.start()
    stack.running = True
    stack.save()
    infrastructure.await_ready(settings, stack, note)
    supervisor.write([*infra, *observers, *kept])
    observability.start(settings, stack, note)
    if not with_services:
        return
    replicas = {**stack.scale, **scale}
    stack.topic_prefix = settings.topic_prefix
    stack.variables = {name: value for name, value in os.environ.items()
                       if value and name.startswith("LIPSTAGE_") and passed_on(name)}  # fmt: skip
    if signing_certificate.prepare(settings.state):
        note("videos are signed with a test certificate of this stack; readers of C2PA show it as untrusted")
    stack.services = services.records(settings, stack, replicas)
    stack.save()
    supervisor.write([*infra, *observers, *(services.program(settings, stack, record) for record in stack.services)])
    supervisor.apply()
    prometheus.write_targets(stack)
    for record in stack.services:
        _await_service(settings, supervisor, record)
        note(f"{record.name}: {'not ready' if readiness.missing(record.health_port) else 'ready'}")
    stack.scale = replicas
    stack.save()


def _await_service(
    settings: LocalSettings, supervisor: supervision.Supervisor, record: stack_file.ServiceRecord
) -> None:
    from shared.runtime.execute.worker_process import LOAD_TIMEOUT_S

    readiness.wait_until(
        supervisor,
        record.name,
        lambda: readiness.serves(record.health_port) or readiness.missing(record.health_port) is not None,
        StackCode.SERVICE_FAILED,
        # An engine may read gigabytes of weights from a cold disk; a service that keeps ending is reported at once.
        LOAD_TIMEOUT_S if record.engine else settings.start_timeout_s,
    )


def _stop(stack: Stack) -> None:
    """End every process with this stack's mark: by SIGTERM through the supervisor, then by SIGKILL."""
    supervisor = stack.supervisor()
    if supervisor.responds():
        try:
            names = [program.name for program in supervisor.programs()]
            # Services first: they drain while broker and object store still answer.
            infra = [name for name in names if name in (broker.NAME, store.NAME, trace_receiver.NAME)]
            observers = [name for name in names if name in observability.PARTS]
            supervisor.stop([name for name in names if name not in (*infra, *observers)])
            # Tempo takes the services' last spans.
            supervisor.stop(observers)
            supervisor.stop(infra)
            supervisor.shutdown()
        except supervision.FAULTS:
            pass  # The supervisor ended meanwhile; its programs are ended below.
    remaining = processes.end(stack.mark, DOWN_S)
    if remaining:
        pids = ", ".join(str(process.pid) for process in remaining)
        raise StackError(StackCode.STILL_RUNNING, f"could not end the processes {pids}")
    _await_ports(stack)
    stack.running = False
    if stack.sockets.exists() and stack.sockets != supervisor.run:
        shutil.rmtree(stack.sockets, ignore_errors=True)
    if "s3.grpc" in stack.ports:
        for path in store.stray_sockets(stack.ports):
            path.unlink(missing_ok=True)
    if stack_file.exists(stack.state_dir):
        for path in (*supervisor.run.glob("*.sock"), *supervisor.run.glob("*.pid")):
            path.unlink(missing_ok=True)
        shutil.rmtree(stack.scratch, ignore_errors=True)
        stack.save()


def _await_ports(stack: Stack) -> None:
    """Wait until the ports are free: the sockets of a killed process outlive it for a moment, and ports are kept."""
    until = time.monotonic() + PORTS_S
    while time.monotonic() < until and not all(ports.is_free(port) for port in stack.ports.values()):
        time.sleep(0.05)


@contextmanager
def _lock(state: Path) -> Iterator[None]:
    """Allow one `up` or `down` at a time per state folder. Raises StackError (STATE_UNUSABLE, DISK_FULL)."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / "lock").open("w")
    except OSError as error:
        code = StackCode.DISK_FULL if error.errno in NO_SPACE else StackCode.STATE_UNUSABLE
        message = f"{state} can't be the state folder ({error.strerror}): set LIPSTAGE_STATE_DIR to another one"
        raise StackError(code, message) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
