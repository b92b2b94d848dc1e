"""Broker, object store and trace receiver: their programs, and the wait until they are ready for clients."""

from collections.abc import Callable

from confluent_kafka import KafkaException

from shared.local import broker, ports, readiness, store, traces
from shared.local.credentials import Credentials, load_or_create
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
from shared.storage import bucket
from shared.storage.errors import StoreUnavailable
from shared.storage.settings import StorageSettings

ANSWER_S = 5.0
APPLY_S = 60.0
"""Time limit for creating the topics, in addition to that for the start of the broker."""


def programs(settings: LocalSettings, stack: Stack, note: Callable[[str], None]) -> list[Program]:
    """The programs of the parts that are not the user's own. Raises StackError as `broker.program` and `store.program`.

    ``note`` gets a line before a long step.
    """
    result: list[Program] = []
    if not stack.own_broker:
        port, controller_port = stack.ports["kafka"], stack.ports["controller"]
        result.append(broker.program(settings, port, controller_port, stack.scratch, note))
    if not stack.own_store:
        result.append(store.program(settings, stack.ports, stack.sockets))
    if not stack.own_traces:
        result.append(traces.program(settings, stack.ports["traces"]))
    return result


def await_ready(settings: LocalSettings, stack: Stack, note: Callable[[str], None] = lambda _: None) -> None:
    """Return once every part answers requests, the buckets exist and every partition has a leader that serves.

    ``note`` gets a line for each part that is ready.

    Raises StackError: PORT_TAKEN, DISK_FULL, SUPERVISOR_FAILED, or <PART>_FAILED with the reason.
    """
    supervisor, timeout = stack.supervisor(), settings.start_timeout_s
    if not stack.own_broker:
        readiness.wait_until(supervisor, broker.NAME, lambda: ports.answers(stack.ports["kafka"])
                             and broker_answers(settings, stack, 2.0), StackCode.BROKER_FAILED, timeout)  # fmt: skip
    note(f"broker {stack.bootstrap_servers}: ready")
    s3 = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    if not stack.own_store:
        readiness.wait_until(supervisor, store.NAME, lambda: ports.answers(stack.ports["s3"]) and store.answers(s3),
                             StackCode.STORE_FAILED, timeout)  # fmt: skip
    note(f"object store {stack.s3_endpoint_url}: ready")
    if not stack.own_traces:
        readiness.wait_until(supervisor, traces.NAME, lambda: readiness.serves(stack.ports["traces"], "/healthz"),
                             StackCode.TRACES_FAILED, timeout)  # fmt: skip
        note(f"trace receiver {stack.traces_url}: ready")
    try:
        bucket.ensure(s3, StorageSettings(bucket=stack.bucket))
    except StoreUnavailable as error:
        hint = "; the credentials must be allowed to create buckets and to set their lifecycle" * stack.own_store
        raise StackError(StackCode.STORE_FAILED, f"{error}{hint}") from error
    if not stack.own_store:
        readiness.wait_until(supervisor, store.NAME, lambda: store.is_writable(s3, stack.bucket),
                             StackCode.STORE_FAILED, timeout)  # fmt: skip
    _make_topics(settings, stack)
    note("buckets and topics: ready")


def check_own_broker(settings: LocalSettings, stack: Stack) -> None:
    """Raises StackError (BROKER_FAILED) when the user's own broker does not answer."""
    if not broker_answers(settings, stack, ANSWER_S):
        raise StackError(StackCode.BROKER_FAILED, f"the broker {stack.bootstrap_servers}, named by"
                         " KAFKA_BOOTSTRAP_SERVERS, does not answer; unset it for a local one")  # fmt: skip


def check_own_store(stack: Stack) -> None:
    """Raises StackError (STORE_FAILED) when the user's own object store can't be used."""
    s3 = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    if refusal := store.refusal(s3, stack.bucket):
        raise StackError(StackCode.STORE_FAILED, f"the object store {stack.s3_endpoint_url}, named by"
                         f" AWS_ENDPOINT_URL_S3, {refusal}; unset it for a local one")  # fmt: skip


def check_client(stack: Stack) -> None:
    """Raises BotoCoreError or ValueError when a variable or file of boto3 keeps it from making any client."""
    store.client(stack.s3_endpoint_url, Credentials("any", "any"), stack.region)


def _make_topics(settings: LocalSettings, stack: Stack) -> None:
    """Create the topics, and wait for their leaders."""
    limit = settings.start_timeout_s
    try:
        admin_process.ask(runtime_settings(settings, stack), "make_topics", limit + APPLY_S, timeout_s=limit)
    except KafkaException as error:
        raise StackError(StackCode.TOPICS_FAILED, f"the topics are not ready: {error.args[0].str()}") from error


def broker_answers(settings: LocalSettings, stack: Stack, timeout: float) -> bool:
    """Whether the broker answers a metadata request within ``timeout`` seconds and names a live node."""
    runtime = runtime_settings(settings, stack)
    try:
        return bool(admin_process.ask(runtime, "answers", timeout + admin_process.START_S, timeout_s=timeout))
    except KafkaException:
        return False


def runtime_settings(settings: LocalSettings, stack: Stack) -> RuntimeSettings:
    """Settings with which a client of this stack reaches the broker."""
    return RuntimeSettings(
        bootstrap_servers=stack.bootstrap_servers,
        kafka_properties_file=settings.kafka_properties_file,
        topic_prefix=settings.topic_prefix,
        engines=settings.engines,
    )


def credentials_of(stack: Stack) -> Credentials | None:
    """The local object store's credentials; None for an external store, which takes the caller's."""
    return None if stack.own_store else load_or_create(stack.state_dir)
