"""The log of a service, as the lines that it would write to stdout."""

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from shared.telemetry import logs

Lines = Callable[[], list[dict[str, Any]]]


@contextmanager
def captured(service: str) -> Iterator[Lines]:
    """The lines logged in the block; what `logs.setup` changes in the process is restored."""
    root, out = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    with pytest.MonkeyPatch.context() as patch:
        for holder, name in ((sys, "excepthook"), (sys, "unraisablehook"), (sys, "stderr"), (threading, "excepthook")):
            patch.setattr(holder, name, getattr(holder, name))
        patch.setattr(sys, "stdout", out)
        logs.setup(service)
        try:
            yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
        finally:
            logging.captureWarnings(False)
            structlog.reset_defaults()
            structlog.contextvars.clear_contextvars()
            root.handlers[:] = handlers
            root.setLevel(level)
