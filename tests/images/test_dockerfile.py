"""The Dockerfile: lint, what each target copies, and that its stage needs no other folder. No container runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools.images.targets import DOCKERFILE, TARGETS

NAMES = [target.name for target in TARGETS]
FOLDERS = {
    "audio": {"stages/audio"},
    "face": {"stages/face"},
    "encode": {"stages/encode"},
    "infer-puppet": {"stages/infer/*.py", "stages/infer/puppet"},
    "infer-sonic": {"stages/infer/*.py", "stages/infer/puppet/__init__.py", "stages/infer/sonic"},
    "relay": set(),
    "projection": {"stages/gateway"},
    "gateway": {"stages/audio", "stages/face", "stages/gateway"},
    "ops": {"stages", "samples"},
}
"""What of the checkout is in an image, beside `shared` and the licences."""
SERVICES = {
    "audio": ("audio", None, "stages.audio.handler"),
    "face": ("face", None, "stages.face.handler"),
    "encode": ("encode", None, "stages.encode.handler"),
    "infer-puppet": ("infer", "puppet", "stages.infer.handler"),
    "infer-sonic": ("infer", "sonic", "stages.infer.sonic"),
    "relay": ("relay", None, "shared.runtime.host.relay_service"),
}
"""Stage, engine, and the module that the service or its worker starts with."""


def stages() -> dict[str, str]:
    """The text of each build stage of the Dockerfile by name, without comments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    parts = re.split(r"^FROM \S+ AS (\S+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def copied(target: str) -> set[str]:
    """Sources of the COPY lines of a target's builder that are in the checkout's code."""
    sources: set[str] = set()
    for line in re.findall(r"^COPY (.*)$", stages()[f"build-{target}"], re.MULTILINE):
        sources.update(line.split()[:-1])
    return {name for name in sources if not name.startswith("requirements/")}


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    files = [DOCKERFILE, *(ROOT / "tools" / "images" / "infra").glob("*.Dockerfile")]
    result = subprocess.run([hadolint, *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_image_is_a_target() -> None:
    found = stages()
    assert {name for name in found if f"build-{name}" in found} == set(NAMES)


@pytest.mark.parametrize("target", NAMES)
def test_a_target_copies_its_own_folders_only(target: str) -> None:
    ours = {"shared"} if target == "ops" else {"shared", "stages/__init__.py", "stages/py.typed"}
    assert copied(target) - ours == FOLDERS[target]


@pytest.mark.parametrize("target", NAMES)
def test_a_target_installs_its_own_pins_only(target: str) -> None:
    assert f"COPY requirements/images/{target}.txt ./requirements.txt" in stages()[f"build-{target}"]
    assert re.search(rf"sh install\.sh {target}$", stages()[f"build-{target}"], re.MULTILINE)
    assert f"COPY --from=build-{target} /opt/lipstage /opt/lipstage" in stages()[target]


def test_images_of_engines_name_theirs() -> None:
    for target, (_, engine, _) in SERVICES.items():
        assert re.findall(r"LIPSTAGE_ENGINE=(\w+)", stages()[target]) == ([engine] if engine else [])


def test_no_final_target_runs_as_root_or_in_a_shell() -> None:
    runtime = stages()["runtime"]
    assert "USER 10001:10001" in runtime
    assert 'ENTRYPOINT ["/opt/lipstage/bin/lipstage"]' in runtime
    for target in NAMES:
        assert not re.search(r"^(USER|RUN|ENTRYPOINT|ADD)\b", stages()[target], re.MULTILINE)
        assert re.search(r'^CMD \["', stages()[target], re.MULTILINE)


@pytest.mark.parametrize("target", sorted(SERVICES))
def test_the_copied_folders_suffice(target: str, tmp_path: Path) -> None:
    """In a folder with these files alone the service finds its settings, and its worker the handler."""
    stage, engine, module = SERVICES[target]
    program = (
        "import importlib\n"
        "import shared.runtime.__main__, shared.cli.main, shared.cli.stage\n"
        "from shared.runtime.host.stage_settings import stage_settings\n"
        f"stage_settings({stage!r}, {engine!r}, in_this_process=False)\n"
        f"module = importlib.import_module({module!r})\n"
        "getattr(module, 'load', lambda: None)()\n"  # A handler reads its weights.
        "print(module.__file__)"
    )
    run_alone(target, tmp_path, program, **({"LIPSTAGE_ENGINE": engine} if engine else {}))  # As in the image.


def test_the_gateway_has_the_handlers_that_check_files(tmp_path: Path) -> None:
    program = (
        "import importlib\n"
        "import stages.gateway.service\n"
        "from stages.gateway.check.checks import STAGE_OF\n"
        "from shared.messages.pipeline import step\n"
        "for stage in STAGE_OF.values():\n"
        "    stage = importlib.import_module(step(stage).module).STAGE\n"
        "    module = importlib.import_module(stage.handler.partition(':')[0])\n"
        "    getattr(module, 'load', lambda: None)()\n"
        "print(module.__file__)"
    )
    run_alone("gateway", tmp_path, program)


def run_alone(target: str, folder: Path, program: str, **variables: str) -> None:
    """Run a program that prints the file of a module in a folder with what the target copies."""
    for name in copied(target):
        for source in ROOT.glob(name):
            to = folder / source.relative_to(ROOT)
            to.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, to)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "HOME": str(folder), **variables}
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, env=environment, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(folder), "the checkout was not used"
