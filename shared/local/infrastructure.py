"""Broker, object store and trace receiver: their programs, and the wait until they are ready for clients."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from shared.access.names import OPERATOR
from shared.local import access_files, broker, ports, readiness, store, trace_receiver
from shared.local.credentials import Credentials
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack, credentials_of
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
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
        result.append(broker.program(settings, port, controller_port, stack.scratch, note, _security(settings, stack)))
    if not stack.own_store:
        folder, identities = None, None
        if stack.secure:
            folder, identities = access_files.folder(settings.state), access_files.store_file(settings.state)
        result.append(store.program(settings, stack.ports, stack.sockets, identities, folder))
    if not stack.own_traces:
        result.append(trace_receiver.program(settings, stack.ports["traces"]))
    return result


def _security(settings: LocalSettings, stack: Stack) -> broker.Security | None:
    if not stack.secure:
        return None
    from shared.access.rights import all_rights  # Too slow for a stack without credentials.
    from shared.local import access

    names = access.names_of(settings, StorageSettings())
    principal = all_rights(names)[OPERATOR].principal
    return broker.Security(
        access_files.folder(settings.state), principal, access.passwords(settings.state, names)[principal]
    )


def _grant(settings: LocalSettings, stack: Stack) -> None:
    """Store the services' passwords and ACLs in the local broker; ACLs of earlier settings are removed."""
    from confluent_kafka import KafkaException

    from shared.access.rights import all_rights
    from shared.local import access

    names = access.names_of(settings, StorageSettings())
    operator = all_rights(names)[OPERATOR].principal
    found = access.passwords(settings.state, names)
    acls = [asdict(acl) for acl in access.all_acls(names)]
    passwords = {name: password for name, password in found.items() if name != operator}
    try:
        admin_process.ask(runtime_settings(settings, stack), "grant", APPLY_S, passwords=passwords, acls=acls)
    except KafkaException as error:
        raise StackError(
            StackCode.BROKER_FAILED, f"the broker did not store the services' rights: {error.args[0].str()}"
        ) from error


def await_ready(settings: LocalSettings, stack: Stack, note: Callable[[str], None] = lambda _: None) -> None:
    """Return once every part answers requests, the buckets exist and every partition has a leader that serves.

    ``note`` gets a line for each part that is ready.

    Raises StackError: PORT_TAKEN, DISK_FULL, SUPERVISOR_FAILED, or <PART>_FAILED with the reason.
    """
    from shared.storage import bucket
    from shared.storage.errors import StoreUnavailable

    supervisor, timeout = stack.supervisor(), settings.start_timeout_s
    if not stack.own_broker:

        def answers() -> bool:
            return ports.answers(stack.ports["kafka"]) and broker_fault(settings, stack, readiness.ANSWER_S) is None

        readiness.wait_until(supervisor, broker.NAME, answers, StackCode.BROKER_FAILED, timeout)
    if stack.kafka_properties_file is not None:
        _grant(settings, stack)
    note(f"broker {stack.bootstrap_servers}: ready")
    s3 = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    if not stack.own_store:
        readiness.wait_until(supervisor, store.NAME, lambda: ports.answers(stack.ports["s3"]) and store.answers(s3),
                             StackCode.STORE_FAILED, timeout)  # fmt: skip
    note(f"object store {stack.s3_endpoint_url}: ready")
    if not stack.own_traces:
        receives = partial(readiness.serves, stack.ports["traces"], "/healthz")
        readiness.wait_until(supervisor, trace_receiver.NAME, receives, StackCode.TRACES_FAILED, timeout)
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
    if fault := broker_fault(settings, stack, ANSWER_S):
        raise StackError(StackCode.BROKER_FAILED, f"the broker {stack.bootstrap_servers}, named by"
                         f" KAFKA_BOOTSTRAP_SERVERS, {fault}; unset it for a local one")  # fmt: skip


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
    from confluent_kafka import KafkaException

    limit = settings.start_timeout_s
    try:
        admin_process.ask(runtime_settings(settings, stack), "make_topics", limit + APPLY_S, timeout_s=limit)
    except KafkaException as error:
        raise StackError(StackCode.TOPICS_FAILED, f"the topics are not ready: {error.args[0].str()}") from error


def broker_fault(settings: LocalSettings, stack: Stack, timeout: float) -> str | None:
    """Why the broker can't be used, as the end of a sentence; None when it answers within ``timeout`` seconds."""
    from confluent_kafka import KafkaError, KafkaException

    runtime = runtime_settings(settings, stack)
    try:
        admin_process.ask(runtime, "answers", timeout + admin_process.START_S, timeout_s=timeout)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            return f"refuses the connection: {error.args[0].str()}"
        return "does not answer"
    return None


def runtime_settings(settings: LocalSettings, stack: Stack) -> RuntimeSettings:
    """Settings with which a client of this stack reaches the broker."""
    return RuntimeSettings(
        bootstrap_servers=stack.bootstrap_servers,
        kafka_properties_file=stack.kafka_properties_file or settings.kafka_properties_file,
        topic_prefix=settings.topic_prefix,
        engines=settings.engines,
    )
