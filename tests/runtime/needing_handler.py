"""A handler that can't be loaded before a file exists."""

import os
from pathlib import Path

from shared.slot.api import Handler, Unavailable
from tests.runtime.trial_handler import handle


def load() -> Handler:
    if not Path(os.environ["TRIAL_NEEDS"]).exists():
        raise Unavailable("there are no weights; fetch them")
    return handle
