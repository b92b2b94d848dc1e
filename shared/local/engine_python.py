"""Chooses the Python that runs an engine: an engine that needs torch (5 GB) has an environment of its own."""

import importlib.util
import sys
from pathlib import Path

from shared.local.errors import StackCode, StackError
from shared.local.settings import CHECKOUT, LocalSettings

SONIC_ENVIRONMENT = CHECKOUT / ".venv-sonic"


def engine_python(engine: str, settings: LocalSettings | None = None) -> Path:
    """Interpreter of an engine's infer service and of its programs; this process's own for all but ``sonic``.

    ``sonic``: LIPSTAGE_SONIC_PYTHON, else the checkout's ``.venv-sonic``, else this interpreter where it has torch.
    Raises StackError (TORCH_MISSING) when there is none.
    """
    own = Path(sys.executable)
    if engine != "sonic":
        return own
    named = (settings or LocalSettings()).sonic_python
    if named is not None:
        if named.is_file():
            return named
        raise StackError(StackCode.TORCH_MISSING, f"LIPSTAGE_SONIC_PYTHON={named} is not a file: name an interpreter")
    # Not resolved: the target of the link is the system's Python, without the environment's packages.
    made = SONIC_ENVIRONMENT / "bin" / "python"
    if made.is_file():
        return made
    if importlib.util.find_spec("torch") is not None:
        return own
    message = f"the engine sonic needs torch: `make setup-sonic` makes {SONIC_ENVIRONMENT.name}"
    raise StackError(StackCode.TORCH_MISSING, f"{message}, LIPSTAGE_SONIC_PYTHON names another interpreter")
