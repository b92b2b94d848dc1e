"""Job ids that begin with a dash: taken for the job, not for an option, where nothing else can be meant."""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

from shared.messages.names import JOB_ID

JOB = "JOB"
"""The metavar of every argument that takes a job id."""


def protect(command: Any, ctx: Any, arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, with such an id moved behind ``--``.

    That is done for a command that needs a job and got none, when one argument has the form of a job id and is neither
    an option of the command nor nearly one. An id such as ``--json`` needs a ``--`` from the user.
    """
    if "--" in arguments or not any(param.metavar == JOB for param in command.params):
        return list(arguments)
    takes_value: dict[str, bool] = dict.fromkeys(command.get_help_option_names(ctx), False)
    for param in command.params:
        if param.param_type_name == "option":
            takes_value |= dict.fromkeys((*param.opts, *param.secondary_opts), not param.is_flag)
    candidates: list[int] = []
    is_value = False
    for place, text in enumerate(arguments):
        if is_value:
            is_value = False
        elif text in takes_value:
            is_value = takes_value[text]
        elif not text.startswith("-") or text == "-":
            return list(arguments)  # The job.
        elif _is_job_id(text, takes_value):
            candidates.append(place)
    if len(candidates) != 1:
        return list(arguments)
    (place,) = candidates
    return [*arguments[:place], *arguments[place + 1 :], "--", arguments[place]]


def _is_job_id(text: str, options: Collection[str]) -> bool:
    """Not for a misspelt option, and not for ``-oFILE``."""
    attached = not text.startswith("--") and text[:2] in options
    return not attached and re.fullmatch(JOB_ID, text) is not None and not difflib.get_close_matches(text, options, n=1)
