"""The check of `doctor` that nothing which a dead letter refers to is deleted before the dead letter."""

import math

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException

from shared.local import store
from shared.local.infrastructure import runtime_settings
from shared.local.machine import Check
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack, credentials_of
from shared.messages.tenant_topics import request_topics
from shared.messages.topics import DLQ, PARKED, work_topics
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import OWN_RULES
from shared.storage.retention import Retention, TooShort, too_short, topic_days
from shared.storage.settings import StorageSettings

NAME = "retention"
ADMIN_S = 45.0
"""Time limit of the request to the broker, the start of its process included."""
KEYS = ["retention.ms", "segment.ms"]


def retention_checks(settings: LocalSettings, stack: Stack) -> list[Check]:
    """One check for each lifecycle rule that deletes too early, or one that all is well.

    None when broker or object store can't be asked: the checks of both report that.
    """
    client = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    try:
        retention = topic_retention(runtime_settings(settings, stack))
        faults = too_short(client, StorageSettings(bucket=stack.bucket), retention)
    except KafkaException:
        return []
    except ClientError as error:
        return [Check(NAME, "warn", f"the lifecycle rules can't be read: {error}", "allow GetLifecycleConfiguration")]
    except BotoCoreError:
        return []
    if faults:
        command = "lipstage buckets apply" if stack.own_store else "lipstage up"
        return [Check(NAME, "fail", _result(fault), fix(fault, command)) for fault in faults]
    days = _days(retention.dead_letters)
    return [Check(NAME, "ok", f"dead letters are kept for {days}, and what they refer to for longer")]


def topic_retention(runtime: RuntimeSettings) -> Retention:
    """The retention of the topics as the broker has it, those of tenants too. Raises KafkaException."""
    tasks, dead_letters, parked = list(work_topics(runtime.engines)), DLQ, PARKED
    if runtime.tenancy == "topic":
        tasks += [name for tenant in admin_process.ask(runtime, "tenants", ADMIN_S) for name in request_topics(tenant)]
    names = [runtime.topic(name) for name in (*tasks, dead_letters, parked)]
    configs = admin_process.ask(runtime, "configs", ADMIN_S, names=names, keys=KEYS)
    days = {name: topic_days(configs[runtime.topic(name)]) for name in (*tasks, dead_letters, parked)}
    return Retention(max(days[name] for name in tasks), days[dead_letters], days[parked])


def _result(fault: TooShort) -> str:
    return (
        f"{fault.bucket}: the rule {fault.rule} deletes {fault.what} after {_days(fault.days)}; "
        f"dead letters need them for {_days(fault.needed_days)}"
    )


def fix(fault: TooShort, command: str = "lipstage up") -> str:
    """What repairs a rule: the setting of lipstage's own, the rule itself where it is somebody else's.

    ``command`` sets lipstage's own rules.
    """
    if math.isinf(fault.needed_days):
        return "set a retention.ms on render.dlq and render.parked: lipstage topics apply"
    days = math.ceil(fault.needed_days)
    if fault.rule.startswith(OWN_RULES):
        return f"{fault.variable}={days} {command}"
    return f"change the rule {fault.rule} of the bucket {fault.bucket} to at least {days} days"


def _days(days: float) -> str:
    return "ever" if math.isinf(days) else f"{math.ceil(days)} days"
