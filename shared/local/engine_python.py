"""Which Python runs an engine: an engine with large libraries has an environment of its own."""

import importlib.util
import sys
from pathlib import Path

from shared.local.errors import StackCode, StackError
from shared.local.extras import install
from shared.local.installation import ROOT, is_checkout
from shared.runtime.engine_settings import engine_settings, variable
from shared.slot.engines import engine_spec


def engine_python(engine: str) -> Path:
    """Interpreter of an engine's infer service and of its programs.

    For an engine with an environment of its own: the one that LIPSTAGE_<ENGINE>_PYTHON names, else that of the
    environment in the checkout, else this interpreter where it has the engine's libraries. For any other engine: this
    interpreter. Raises StackError (TORCH_MISSING) when there is none.
    """
    own, environment = Path(sys.executable), engine_spec(engine).environment
    if environment is None:
        return own
    setting, named = variable(engine, "python"), engine_settings(engine).python
    if named is not None:
        if named.is_file():
            return named
        raise StackError(StackCode.TORCH_MISSING, f"{setting}={named} is not a file: name an interpreter")
    # Not resolved: the link's target would be the system's Python without the environment's packages.
    python = ROOT / environment.folder / "bin" / "python"
    if python.is_file():
        return python
    if importlib.util.find_spec(environment.module) is not None:
        return own
    remedy = f"`{environment.setup}` makes {environment.folder}" if is_checkout() else install(engine)
    message = f"the engine {engine} needs {environment.module}: {remedy}, {setting} names another interpreter"
    raise StackError(StackCode.TORCH_MISSING, message)
