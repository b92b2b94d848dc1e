"""What an image's packages lose: files by the rules, symbols of libraries, and the packages' own programs."""

import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def prune() -> ModuleType:
    """deploy/ is no package: the file is copied into the builder."""
    spec = importlib.util.spec_from_file_location("prune", ROOT / "deploy" / "images" / "prune.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_descriptions_of_services_that_are_called_stay(prune: ModuleType, tmp_path: Path) -> None:
    for name in ("s3/2006-03-01", "sts/2011-06-15", "ec2/2016-11-15"):
        (tmp_path / "botocore" / "data" / name).mkdir(parents=True)
    (tmp_path / "botocore" / "data" / "endpoints.json.gz").write_text("kept")
    prune.prune(tmp_path)
    assert {path.name for path in (tmp_path / "botocore" / "data").iterdir()} == {"s3", "sts", "endpoints.json.gz"}


def test_sources_that_triton_compiles_at_run_time_stay(prune: ModuleType, tmp_path: Path) -> None:
    backend, other = tmp_path / "triton" / "backends" / "nvidia", tmp_path / "torch" / "include"
    for folder in (backend, other):
        folder.mkdir(parents=True)
        for name in ("driver.c", "cuda.h", "types.pyi", "kept.py"):
            (folder / name).touch()
    prune.prune(tmp_path)
    assert {path.name for path in backend.iterdir()} == {"driver.c", "cuda.h", "kept.py"}
    assert {path.name for path in other.iterdir()} == {"kept.py"}


def test_the_freed_bytes_count_each_file_once(prune: ModuleType, tmp_path: Path) -> None:
    tests = tmp_path / "package" / "tests"
    tests.mkdir(parents=True)
    (tests / "types.pyi").write_bytes(b"x" * 100)
    (tests / "test_a.py").write_bytes(b"x" * 50)
    (tmp_path / "package" / "kept.py").write_bytes(b"x" * 10)
    assert prune.prune(tmp_path) == 150
    assert [path.name for path in (tmp_path / "package").iterdir()] == ["kept.py"]


@pytest.mark.parametrize("package", ["botocore", "boto3", "onnxruntime", "numpy", "confluent_kafka", "PIL",
                                     "pillow.libs", "pygments"])  # fmt: skip
def test_every_rule_of_a_package_finds_something(prune: ModuleType, package: str) -> None:
    """A rule that finds nothing hides that the package has changed."""
    site = Path(sysconfig.get_path("purelib"))
    if package in ("botocore", "boto3"):
        assert any(f"/{package}/data/" in str(path) for path, _ in prune.matches(site))
    for pattern, _ in prune.RULES:
        if pattern.startswith(f"{package}/"):
            assert any(site.glob(pattern)), pattern


def test_only_files_that_nothing_links_to_go(prune: ModuleType) -> None:
    """No library that stays names one that goes."""
    if shutil.which("readelf") is None:
        pytest.skip("no readelf on this machine")
    site = Path(sysconfig.get_path("purelib"))
    folders = [site / name for name in ("onnxruntime", "PIL", "pillow.libs", "numpy", "cv2")]
    gone = [path for path, _ in prune.matches(site)]
    removed = {path.name for path in gone if ".so" in path.name}
    assert removed
    stays = [path for folder in folders for path in folder.rglob("*.so*") if path.name not in removed
             and not any(parent in gone for parent in path.parents)]  # fmt: skip
    for path in stays:
        needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
        assert not [name for name in removed if f"[{name}]" in needed], path
