"""``lipstage topics``: compares the topics of the broker with the wanted ones, and changes them."""

from confluent_kafka import KafkaException

from shared.cli import console
from shared.cli.connection import connect
from shared.cli.errors import CliError, ExitCode
from shared.runtime import admin_process

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


def _request(name: str) -> list[dict[str, str]]:
    """The changes that the admin request of that name returns. Raises CliError when the broker refuses or stops."""
    client = connect()
    try:
        changes: list[dict[str, str]] = admin_process.ask(client.settings, name, ADMIN_S)
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
