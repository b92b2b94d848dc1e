"""The check of `doctor` reads the topics and the buckets as they are, and names what repairs a rule."""

import math

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from shared.local import retention_check
from shared.local.retention_check import fix, retention_checks, topic_retention
from shared.runtime.settings import RuntimeSettings
from shared.storage.retention import Retention, TooShort
from tests.conftest import Infrastructure, apply_topics


def configure(settings: RuntimeSettings, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, settings.topic(topic), incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_retention_is_that_of_the_broker(stack: Infrastructure, topic_prefix: str) -> None:
    settings = RuntimeSettings(topic_prefix=topic_prefix)
    apply_topics(settings)
    assert topic_retention(settings) == Retention(14, 37, 37)
    configure(settings, "render.dlq", "retention.ms", str(90 * 24 * 3600 * 1000))
    configure(settings, "render.parked", "retention.ms", "-1")
    assert topic_retention(settings) == Retention(14, 97, math.inf)
    of_tenants = settings.model_copy(update={"tenancy": "topic"})
    apply_topics(of_tenants, ["acme"])
    configure(settings, "render.requests.acme.bulk", "retention.ms", str(30 * 24 * 3600 * 1000))
    assert topic_retention(of_tenants).tasks == 37


def test_dead_letters_that_outlive_their_artifacts_are_reported(
    stack: Infrastructure, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_topics(RuntimeSettings())
    (good,) = retention_checks(stack.settings, stack.stack)
    assert (good.level, "37 days" in good.result) == ("ok", True)
    monkeypatch.setattr(retention_check, "topic_retention", lambda _: Retention(14, 67, 37))
    checks = retention_checks(stack.settings, stack.stack)
    assert {check.level for check in checks} == {"fail"}
    frames = next(check for check in checks if "frames of jobs" in check.result)
    assert "deletes frames of jobs after 60 days; dead letters need them for 81 days" in frames.result
    assert frames.fix == "LIPSTAGE_RETENTION_FRAMES_DAYS=81 lipstage up"


def test_rule_of_somebody_else_is_named_in_the_fix() -> None:
    fault = TooShort("bucket", "inputs", "theirs", 7, 50.5, "LIPSTAGE_RETENTION_INPUTS_DAYS")
    assert fix(fault) == "change the rule theirs of the bucket bucket to at least 51 days"
    assert "retention.ms" in fix(TooShort("b", "inputs", "lipstage-inputs", 7, math.inf, "X"))
