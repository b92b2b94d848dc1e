"""A complete tiny tree, created once; tests change a copy whose files are hard links until they are replaced."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stages.infer.sonic.weights.layout import OFFICIAL, Part

GOLDEN = Path(__file__).parents[1] / "golden"
CONFIG: dict[str, Any] = json.loads((GOLDEN / "A.json").read_text())


def shapes_of(part: Part) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a part's module: the file's without what is never used, and without the prefix."""
    file = OFFICIAL.files[part]
    listed = CONFIG["tensor_files"][file.path]["tensors"]
    return {
        key.removeprefix(file.prefix): tuple(shape)
        for key, shape in listed.items()
        if not key.startswith(file.unused or ("-",))
    }


def module_of(shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """A module on the meta device with exactly these parameters."""
    root = nn.Module()
    for key, shape in shapes.items():
        *path, name = key.split(".")
        module = root
        for step in path:
            if step not in dict(module.named_children()):
                module.add_module(step, nn.Module())
            module = module.get_submodule(step)
        module.register_parameter(name, nn.Parameter(torch.empty(shape, device="meta")))
    return root


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny tree in the official layout; read only."""
    folder = tmp_path_factory.mktemp("tiny")
    make = [sys.executable, str(GOLDEN / "make_tiny_checkpoint.py"), "--config", str(GOLDEN / "A.json")]
    subprocess.run(
        [*make, "--out", str(folder), "--skip-unused"], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return folder


@pytest.fixture
def tree(pristine: Path, tmp_path: Path) -> Path:
    """A copy to change: a file must be replaced, not written in place."""
    folder = tmp_path / "tree"
    shutil.copytree(pristine, folder, copy_function=os.link)
    return folder


def replace(path: Path, content: bytes) -> None:
    """Put other bytes in place of a linked file."""
    path.unlink()
    path.write_bytes(content)


def save_changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a file's dictionary of tensors and save it again."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file, save_file

        state: dict[str, Any] = load_file(path)
        change(state)
        path.unlink()
        save_file(state, path)
    else:
        state = torch.load(path, weights_only=True)
        change(state)
        path.unlink()
        torch.save(state, path)


def no_progress(part: Part, operation: str, more: int, total: int) -> None:
    """Ignore progress."""
