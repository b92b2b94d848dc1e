"""A whole tiny tree, made once; a test spoils a copy of it whose files are links until they are replaced."""

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

from stages.infer.sonic.layout import OFFICIAL, Part

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
        at = root
        for step in path:
            if step not in dict(at.named_children()):
                at.add_module(step, nn.Module())
            at = at.get_submodule(step)
        at.register_parameter(name, nn.Parameter(torch.empty(shape, device="meta")))
    return root


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny tree in the official layout. Nobody may change it."""
    folder = tmp_path_factory.mktemp("tiny")
    make = [sys.executable, str(GOLDEN / "make_tiny_checkpoint.py"), "--config", str(GOLDEN / "A.json")]
    subprocess.run(
        [*make, "--out", str(folder), "--skip-unused"], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return folder


@pytest.fixture
def tree(pristine: Path, tmp_path: Path) -> Path:
    """A copy to spoil: a file has to be replaced, not written into."""
    folder = tmp_path / "tree"
    shutil.copytree(pristine, folder, copy_function=os.link)
    return folder


def replace(path: Path, content: bytes) -> None:
    """Put other bytes in place of a linked file."""
    path.unlink()
    path.write_bytes(content)


def respoken(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Save a file's tensors again, after a change of the dictionary."""
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


def untold(part: Part, doing: str, more: int, of: int) -> None:
    """Nobody listens."""
