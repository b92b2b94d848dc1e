"""The check of `doctor` of the topics and the offsets of their groups."""

from shared.local.machine import Check
from shared.messages.topics import work_topics
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings

ADMIN_S = 45.0
"""Time limit of one request of the admin client, the start of its process included."""
INAPPLICABLE = ("no_group_rights", "too_many_partitions")
"""Kinds of differences that `topics apply` does not end."""


def topic_check(runtime: RuntimeSettings) -> Check:
    """What differs between the wanted topics and those of the broker, with a fix that helps. Raises KafkaException."""
    changes = admin_process.ask(runtime, "diff", ADMIN_S)
    if not changes:
        return Check("topics", "ok", "as they should be")
    refused, large = ([change for change in changes if change["kind"] == kind] for kind in INAPPLICABLE)
    missing = [change for change in changes if change["kind"] not in INAPPLICABLE]
    if not (missing or large):
        names = ", ".join(dict.fromkeys(change["wanted"] for change in refused))
        fix = "allow READ on the groups and READ, DESCRIBE on their topics, or run doctor as a user who may"
        return Check("topics", "warn", f"offsets of groups can't be checked: {names}", fix)
    differing_topics = [*missing, *large]
    first = differing_topics[0]
    result = f"{len(differing_topics)} differ: {first['topic']} {first['kind']} {first['wanted']}"
    if missing:
        return Check("topics", "fail", result, "lipstage topics apply")
    return _too_many_partitions(runtime, large, f"{result}, found {first['found']}")


def _too_many_partitions(runtime: RuntimeSettings, large: list[dict[str, str]], result: str) -> Check:
    """Kafka can't remove partitions. Topics of tasks have a setting; the others work with any number."""
    tasks = {runtime.topic(name) for name in work_topics(runtime.engines)}
    found = [int(change["found"]) for change in large if change["topic"] in tasks]
    if not found:
        return Check("topics", "warn", result, "nothing: more partitions do no harm, and Kafka can't remove them")
    fix = f"LIPSTAGE_WORK_PARTITIONS={max(found)}, or more and then lipstage topics apply"
    return Check("topics", "fail", result, fix)
