"""Removes from an image's packages what no service opens: ``prune.py SITE_PACKAGES``. Needs ``strip``.

Every rule has its reason. `make images-test` renders a video with what is left and imports every module of each image.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PYTHON = "/opt/lipstage/bin/python"
WORTH_STRIPPING = 200_000
"""Bytes."""
RULES: tuple[tuple[str, str], ...] = (
    # For compilers and type checkers.
    ("**/*.pyi", "types, for a type checker"),
    ("**/*.pxd", "declarations, for Cython"),
    ("**/*.pyx", "sources of modules that are compiled already"),
    ("**/*.h", "headers"),
    ("**/*.hpp", "headers"),
    ("**/*.c", "sources of modules that are compiled already"),
    ("**/*.a", "static libraries"),
    # Tests of the packages themselves.
    ("**/tests", "the package's tests; no module outside of them imports one"),
    ("numpy/_core/_*_tests*.so", "modules that only numpy's tests import"),
    ("numpy/_core/_simd*.so", "only numpy's tests import it; the library has its own copy"),
    ("numpy/f2py", "generates bindings to Fortran"),
    ("numpy/distutils", "builds extensions"),
    ("numpy/_pyinstaller", "hooks of a packager"),
    # The wheel has the runtime twice. Python's module contains it; this library is for programs in C that link to it.
    ("onnxruntime/capi/libonnxruntime.so.*", "nothing links to it"),
    # ONNX Runtime's tools that make and change models. `onnxruntime/__init__.py` imports only `capi`.
    ("onnxruntime/transformers", "optimises models before they are shipped"),
    ("onnxruntime/quantization", "quantises models before they are shipped"),
    ("onnxruntime/tools", "converts models before they are shipped"),
    ("onnxruntime/datasets", "sample models"),
    # Confluent's client of a schema registry.
    ("confluent_kafka/schema_registry", "no schema registry is used"),
    # Pillow: text is drawn by `lipstage eval` alone, which is in no image.
    ("PIL/_imagingft*.so", "draws text"),
    ("PIL/_imagingtk*.so", "shows windows"),
    ("pillow.libs/libfreetype-*", "only _imagingft needs it"),
    ("pillow.libs/libharfbuzz-*", "only _imagingft needs it"),
    ("pillow.libs/libbrotli*", "only libfreetype needs it"),
    ("pillow.libs/libpng16-*", "only libfreetype needs it; Pillow reads PNG itself"),
    # Colours for source code in tracebacks, which the command line does not print. Rich imports the package's front.
    ("pygments/lexers/[a-z]*.py", "grammar of a programming language"),
    ("pygments/lexers/__pycache__/[a-z]*.pyc", "grammar of a programming language"),
)
COMPILES = {"triton": ("**/*.c", "**/*.h", "**/*.hpp")}
"""Packages that compile at run time, and the patterns that do not hold for them: LIPSTAGE_SONIC_COMPILED=true."""
SCRIPTS = ("python*", "lipstage")
"""What stays in the environment's bin folder: no package's own programs."""
SERVICES = {"s3", "sts", "sso", "sso-oidc", "signin"}
"""Services of AWS whose descriptions stay: the store, and those that credentials come from."""


def matches(site: Path) -> Iterator[tuple[Path, str]]:
    """What the rules find under ``site``, with the reason why nothing needs it."""
    for pattern, reason in RULES:
        for path in sorted(site.glob(pattern)):
            if pattern not in COMPILES.get(path.relative_to(site).parts[0], ()):
                yield path, reason
    for package in ("botocore", "boto3"):
        for folder in sorted((site / package / "data").glob("*/")):
            if folder.name not in SERVICES:
                yield folder, "the description of a service that is not called"


def loads(library: Path) -> bool:
    """Whether the loader accepts the library, in a process of its own."""
    program = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    return subprocess.run([PYTHON, "-c", program, library], capture_output=True, check=False).returncode == 0


def strip(site: Path) -> int:
    """Remove symbols that only debuggers read from large shared libraries; returns the bytes freed.

    Libraries that the maker of a wheel has edited may be broken by it: what does not load afterwards stays as it was.
    """
    freed = 0
    for library in site.rglob("*.so*"):
        if not library.is_file() or size(library) < WORTH_STRIPPING or not loads(library):
            continue
        smaller = library.with_name(f"{library.name}.stripped")  # Beside its neighbours, which it may need.
        subprocess.run(["strip", "--strip-unneeded", "-o", smaller, library], check=True)
        if loads(smaller):
            freed += size(library) - size(smaller)
            smaller.replace(library)
        else:
            smaller.unlink()
    return freed


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def prune(site: Path) -> int:
    """Remove every match; returns the bytes freed."""
    freed = 0
    for path, _ in matches(site):
        if not path.exists():
            continue  # In a folder that an earlier rule has removed.
        freed += size(path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return freed


def main(site: Path) -> None:
    """Prune and strip the packages in ``site``, and remove their programs."""
    freed, stripped = prune(site), strip(site)
    for script in (site.parents[2] / "bin").iterdir():
        if not any(script.match(pattern) for pattern in SCRIPTS):
            shutil.rmtree(script) if script.is_dir() else script.unlink()
    sys.stdout.write(f"pruned {freed / 1e6:.0f} MB, stripped {stripped / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
