"""A handler that never gets ready: it says into a FIFO that it is being loaded."""

import os
import signal
from pathlib import Path

from shared.slot.api import Handler
from tests.runtime.trial_handler import handle


def load() -> Handler:
    Path(os.environ["TRIAL_LOADING"]).write_text("loading")
    signal.pause()
    return handle
