"""The names of environment variables are read in upper case, whatever reads them."""

import re
from collections.abc import MutableMapping

NAME = re.compile(r"(?:LIPSTAGE|KAFKA|AWS|OTEL)_\w+", re.ASCII | re.IGNORECASE)


def to_upper_case(environment: MutableMapping[str, str]) -> None:
    """Rename our variables that are written in lower case: settings models would read them, and nothing else would,
    such as boto3, the services of the local stack, and messages that show a value. A name in upper case wins. What no
    shell could export is not ours."""
    for name in [name for name in environment if name != name.upper() and NAME.fullmatch(name)]:
        value = environment.pop(name)
        environment.setdefault(name.upper(), value)
