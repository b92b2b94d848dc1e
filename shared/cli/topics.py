"""``lipstage topics``: compares the topics of the broker with the wanted ones, and changes them."""

from typing import Any

from confluent_kafka import KafkaException

from shared.cli import console
from shared.cli.connection import connect
from shared.cli.errors import BadUse, CliError, ExitCode
from shared.messages.tenant_topics import name_fault
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings

ADMIN_S = 120.0
"""Time limit of a request to create or change topics."""


def diff(as_json: bool) -> ExitCode:
    """Print the differences between wanted and existing topics; failed when there is one."""
    changes = _request("diff")
    _print(changes, as_json, "the topics are as they should be")
    return ExitCode.FAILED if changes else ExitCode.DONE


def apply(as_json: bool) -> None:
    """Change the broker's topics to the wanted ones, and print what changed."""
    _print(_request("apply"), as_json, "nothing to change")


def create(tenants: list[str], as_json: bool) -> None:
    """Create the topics of these tenants, and print what changed. Raises BadUse, CliError."""
    for tenant in tenants:
        if (fault := name_fault(tenant)) is not None:
            raise BadUse(f"{tenant!r} can't be a tenant with topics of its own", fault)
    if RuntimeSettings().tenancy != "topic":
        raise BadUse("tenants have topics of their own with LIPSTAGE_TENANCY=topic only", "see docs/tenants.md")
    _print(_request("apply", tenants=tenants), as_json, "nothing to change")


def _request(name: str, **arguments: Any) -> list[dict[str, str]]:
    """The changes that the admin request of that name returns. Raises CliError when the broker refuses or stops."""
    client = connect(store=False)
    try:
        changes: list[dict[str, str]] = admin_process.ask(client.settings, name, ADMIN_S, **arguments)
    except KafkaException as e:
        raise CliError(f"the broker refuses: {e.args[0].str()}") from None
    return changes


def _print(changes: list[dict[str, str]], as_json: bool, if_none: str) -> None:
    if as_json:
        console.emit_json(changes)
    elif not changes:
        console.say(if_none)
    else:
        console.table(("TOPIC", "CHANGE", "WANTED", "FOUND"), [tuple(change.values()) for change in changes])
