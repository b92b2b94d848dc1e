"""A handler that never becomes ready: it writes to a FIFO while it is loaded."""

import os
import signal
from pathlib import Path

from shared.slot.api import Handler
from tests.runtime.trial_handler import handle


def load() -> Handler:
    Path(os.environ["TRIAL_LOADING"]).write_text("loading")
    signal.pause()
    return handle
