"""Start and stop the local stack; both are safe to repeat, and `up` mends whatever was killed."""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from shared.local import (
    addresses,
    broker,
    ports,
    processes,
    readiness,
    services,
    stack_file,
    store,
    supervision,
    traces,
)
from shared.local.credentials import Credentials, load_or_create
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.runtime import topic_admin
from shared.runtime.kafka_config import base
from shared.runtime.settings import RuntimeSettings
from shared.storage import bucket
from shared.storage.settings import StorageSettings

DOWN_S = 8.0
PORTS_S = 3.0


def up(settings: LocalSettings, scale: Mapping[str, int] | None = None, services: bool = True) -> Stack:
    """Bring the stack up and return it once every part answers.

    ``scale`` is replicas by stage (default 1 each). ``services=False`` starts broker, store and trace receiver only and
    leaves services that run already alone. What KAFKA_BOOTSTRAP_SERVERS, AWS_ENDPOINT_URL_S3 or
    OTEL_EXPORTER_OTLP_ENDPOINT name is used instead of a local part. Raises StackError; a stack that was not running
    before and could not be brought up is stopped again.
    """
    with _lock(settings.state):
        try:
            return _up(settings, scale or {}, services)
        except OSError as error:
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                raise StackError(StackCode.DISK_FULL, f"no space left in {settings.state}") from error
            raise


def down(settings: LocalSettings, purge: bool = False) -> None:
    """End every process of the stack, orphans and grandchildren included; remove sockets and temporary files.

    Data, logs and port numbers stay; ``purge`` removes the whole state folder, fetched jars excepted.
    """
    with _lock(settings.state):
        stack = stack_file.load(settings.state) or stack_file.fresh(settings.state)
        _stop(stack)
        if purge:
            for entry in settings.state.iterdir():
                if entry.resolve() != settings.jars.resolve():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def running(settings: LocalSettings) -> Stack | None:
    """The stack as `up` left it, if its supervisor answers; None otherwise."""
    stack = stack_file.load(settings.state)
    return stack if stack and stack.running and stack.supervisor().responds() else None


def credentials_of(stack: Stack) -> Credentials | None:
    """The local store's credentials; None when another store is used, with the caller's own."""
    return None if stack.own_store else load_or_create(stack.state_dir)


def log_file(settings: LocalSettings, name: str) -> Path:
    """The log of a program of the stack. Raises FileNotFoundError, naming those that exist."""
    path = settings.logs / f"{name}.log"
    if not path.is_file():
        known = sorted(file.stem for file in settings.logs.glob("*.log")) if settings.logs.exists() else []
        raise FileNotFoundError(f"no log of {name!r}; there are {', '.join(known) or 'none'}")
    return path


def _up(settings: LocalSettings, scale: Mapping[str, int], with_services: bool) -> Stack:
    services.check_scale(scale)
    _check_disk(settings)
    stack = stack_file.load(settings.state) or stack_file.fresh(settings.state)
    keep = stack.running and stack.supervisor().responds()
    if not keep:
        _reset(settings, stack)
    try:
        try:
            _start(settings, stack, scale, with_services)
        except StackError as error:
            if error.code != StackCode.SUPERVISOR_FAILED:
                raise
            # Killed while everything was starting: that, too, is mended, once.
            keep = False
            _reset(settings, stack)
            _start(settings, stack, scale, with_services)
    except BaseException:
        if not keep:
            _stop(stack)
        raise
    return stack


def _reset(settings: LocalSettings, stack: Stack) -> None:
    """Sweep what is left of the stack; ports that somebody has taken meanwhile are replaced."""
    _stop(stack)
    stack.sockets = stack_file.socket_folder(settings.state)
    for record in stack.services:
        if not ports.is_free(record.health_port):
            (record.health_port,) = ports.pick(1, stack.ports.values())


def _start(settings: LocalSettings, stack: Stack, scale: Mapping[str, int], with_services: bool) -> None:
    addresses.assign(settings, stack)
    infra = _infrastructure(settings, stack)
    supervisor = stack.supervisor()
    kept = [services.program(settings, stack, record) for record in stack.services]
    supervisor.write([*infra, *kept])
    stack.scratch.mkdir(parents=True, exist_ok=True)
    if supervisor.responds():
        supervisor.apply()
    else:
        supervisor.start()
    stack.running = True
    stack.save()
    _await_infrastructure(settings, stack)
    if not with_services:
        return
    stack.services = services.records(settings, stack, scale)
    stack.save()
    supervisor.write([*infra, *(services.program(settings, stack, record) for record in stack.services)])
    supervisor.apply()
    for record in stack.services:
        _await_service(settings, supervisor, record)


def _await_service(
    settings: LocalSettings, supervisor: supervision.Supervisor, record: stack_file.ServiceRecord
) -> None:
    readiness.wait_until(
        supervisor,
        record.name,
        lambda: readiness.serves(record.health_port),
        StackCode.SERVICE_FAILED,
        settings.start_timeout_s,
    )


def _infrastructure(settings: LocalSettings, stack: Stack) -> list[Program]:
    programs: list[Program] = []
    if not stack.own_broker:
        programs.append(broker.program(settings, stack.ports["kafka"], stack.ports["controller"], stack.scratch))
    if not stack.own_store:
        load_or_create(settings.state)
        programs.append(store.program(settings, stack.ports, stack.sockets))
    if not stack.own_traces:
        programs.append(traces.program(settings, stack.ports["traces"]))
    return programs


def _await_infrastructure(settings: LocalSettings, stack: Stack) -> None:
    supervisor, timeout = stack.supervisor(), settings.start_timeout_s
    if stack.own_broker:
        _once(StackCode.BROKER_FAILED, stack.bootstrap_servers, lambda: broker_answers(settings, stack, 5.0))
    else:
        readiness.wait_until(supervisor, broker.NAME, lambda: ports.answers(stack.ports["kafka"])
                             and broker_answers(settings, stack, 1.0), StackCode.BROKER_FAILED, timeout)  # fmt: skip
    s3 = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    if stack.own_store:
        _once(StackCode.STORE_FAILED, stack.s3_endpoint_url, lambda: store.answers(s3))
    else:
        readiness.wait_until(supervisor, store.NAME, lambda: ports.answers(stack.ports["s3"]) and store.answers(s3),
                             StackCode.STORE_FAILED, timeout)  # fmt: skip
    if not stack.own_traces:
        readiness.wait_until(supervisor, traces.NAME, lambda: readiness.serves(stack.ports["traces"], "/healthz"),
                             StackCode.TRACES_FAILED, timeout)  # fmt: skip
    try:
        topic_admin.apply(runtime_settings(settings, stack))
    except KafkaException as error:
        raise StackError(StackCode.TOPICS_FAILED, f"the topics could not be made: {error.args[0].str()}") from error
    bucket.ensure(s3, StorageSettings(bucket=stack.bucket))


def runtime_settings(settings: LocalSettings, stack: Stack) -> RuntimeSettings:
    """How a client of this stack reaches the broker."""
    return RuntimeSettings(
        bootstrap_servers=stack.bootstrap_servers,
        kafka_properties_file=settings.kafka_properties_file,
        topic_prefix=settings.topic_prefix,
        engines=settings.engines,
    )


def _once(code: StackCode, where: str, answers: Callable[[], bool]) -> None:
    """One look at a part that is somebody else's: it runs or it does not."""
    if not answers():
        raise StackError(code, f"{where} does not answer")


def broker_answers(settings: LocalSettings, stack: Stack, timeout: float) -> bool:
    """Whether the broker answers a metadata request within ``timeout`` seconds and names a live node."""
    client = AdminClient({**base(runtime_settings(settings, stack), "probe"), "log_level": 0})
    try:
        return bool(client.list_topics(timeout=timeout).brokers)
    except KafkaException:
        return False


def _check_disk(settings: LocalSettings) -> None:
    settings.state.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.state).free // (1 << 20)
    if free < settings.disk_min_mb:
        raise StackError(
            StackCode.DISK_FULL, f"{free} MiB are free where {settings.state} lies; {settings.disk_min_mb} are needed"
        )


def _stop(stack: Stack) -> None:
    """End everything that carries this stack's mark: politely through the supervisor, then by SIGKILL."""
    supervisor = stack.supervisor()
    if supervisor.responds():
        try:
            names = [program.name for program in supervisor.programs()]
            # Services first: they drain while broker and store still answer.
            infra = [name for name in names if name in (broker.NAME, store.NAME, traces.NAME)]
            supervisor.stop([name for name in names if name not in infra])
            supervisor.stop(infra)
            supervisor.shutdown()
        except supervision.FAULTS:
            pass  # It died meanwhile; the sweep below finds what it left.
    left = processes.end(stack.mark, DOWN_S)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise StackError(StackCode.STILL_RUNNING, f"could not end the processes {pids}")
    _await_ports(stack)
    stack.running = False
    if stack.sockets.exists() and stack.sockets != supervisor.run:
        shutil.rmtree(stack.sockets, ignore_errors=True)
    for path in (*supervisor.run.glob("*.sock"), *supervisor.run.glob("*.pid")):
        path.unlink(missing_ok=True)
    if "s3.grpc" in stack.ports:
        for path in store.stray_sockets(stack.ports):
            path.unlink(missing_ok=True)
    shutil.rmtree(stack.scratch, ignore_errors=True)
    if (stack.state_dir / stack_file.FILE).exists():
        stack.save()


def _await_ports(stack: Stack) -> None:
    """A killed process keeps its sockets for a moment after it counts as gone; clients should find the same ports."""
    until = time.monotonic() + PORTS_S
    while time.monotonic() < until and not all(ports.is_free(port) for port in stack.ports.values()):
        time.sleep(0.05)


@contextmanager
def _lock(state: Path) -> Iterator[None]:
    """One `up` or `down` at a time per state folder."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
