"""Programs of others that tests run where they are found: see CONTRIBUTING.md."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """Path of a program, by LIPSTAGE_<NAME>_BIN or on PATH. Skips the test where there is none."""
    variable = f"LIPSTAGE_{name.upper()}_BIN"
    found = os.environ.get(variable) or shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on PATH, and {variable} names none: `make test` unpacks Debian's package where it can")
    return found
