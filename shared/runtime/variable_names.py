"""The names of environment variables are read in upper case, whatever reads them."""

from collections.abc import MutableMapping

PREFIXES = ("LIPSTAGE_", "KAFKA_", "AWS_", "OTEL_")


def to_upper_case(environment: MutableMapping[str, str]) -> None:
    """Rename our variables that are written in lower case: settings models would read them, and nothing else would,
    such as boto3, the services of the local stack, and messages that show a value. A name in upper case wins."""
    for name in [name for name in environment if name != name.upper() and name.upper().startswith(PREFIXES)]:
        value = environment.pop(name)
        environment.setdefault(name.upper(), value)
