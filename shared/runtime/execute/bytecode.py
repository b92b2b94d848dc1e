"""Compiles a stage's modules once in the service: a confined worker process can't keep the bytecode that it makes.

Without this, every worker process of a fresh checkout would compile its handler again.
"""

import compileall
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path


@cache
def compile_stage(handler: str) -> None:
    """Write what is missing of the bytecode beside a stage's modules; ``handler`` is one of them.

    Nothing where that is not possible or not wanted, as in an image, which has all of it.
    """
    top, _, rest = handler.partition(".")
    spec = importlib.util.find_spec(top)
    if top != "stages" or sys.dont_write_bytecode or spec is None:
        return
    for place in spec.submodule_search_locations or ():
        folder = Path(place) / rest.partition(".")[0]
        if os.access(folder, os.W_OK):
            compileall.compile_dir(folder, quiet=2)
