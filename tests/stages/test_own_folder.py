"""A stage loads where no other stage is installed, as in the image of that stage: it opens no file of another one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LOAD = """
import importlib, pkgutil, sys
from pathlib import Path

stage, repository = sys.argv[1], sys.argv[2]
foreign = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(repository):
        foreign.append(arguments[0])

sys.addaudithook(watch)
package = importlib.import_module(f"stages.{stage}")
modules = [one.name for one in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
modules = [name for name in modules if ".sonic" not in name and not name.endswith("__main__")]
for name in modules:
    importlib.import_module(name)
importlib.import_module(f"stages.{stage}.handler").load()
print(len(modules), sorted(name for name in sys.modules if name.count(".") == 1 and name.startswith("stages.")))
assert not foreign, foreign
"""


@pytest.mark.parametrize("stage", ["audio", "face", "infer", "encode"])
def test_stage_loads_without_the_folders_of_the_others(stage: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "stages/__init__.py", tmp_path / "stages")
    shutil.copytree(
        ROOT / "stages" / stage, tmp_path / "stages" / stage, ignore=shutil.ignore_patterns("__pycache__", "sonic")
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIPSTAGE_")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, stage, f"{ROOT}{os.sep}stages"],
        # Before this checkout, which the environment has installed.
        env=environment | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"['stages.{stage}']\n")
