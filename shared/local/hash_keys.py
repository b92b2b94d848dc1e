"""The keys of the hashes that stand for owners in telemetry, as the services of a deployment have them."""

import os

from shared.local.credentials import load_or_create
from shared.local.stack_file import Stack
from shared.telemetry import pseudonyms
from shared.telemetry.pseudonyms import Pseudonyms


def pseudonyms_of(running: Stack | None) -> Pseudonyms:
    """The keys of LIPSTAGE_HASH_KEY, else those that the running local stack generated.

    Without either nobody can be looked up: raises LookupError. Raises ValueError for a variable that can't be read.
    """
    if os.environ.get(pseudonyms.VARIABLE):
        return pseudonyms.of_environment()
    if running is None:
        raise LookupError(f"{pseudonyms.VARIABLE} is not set: owners are known by their keyed hash only")
    return pseudonyms.parse(load_or_create(running.state_dir).hash_key)
