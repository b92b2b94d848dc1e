"""What every committed file must be: small, free of hosts and machine paths, and importable without torch."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FILE_BYTES = 12 * 1024 * 1024
INDEX_LINE = re.compile(r"^--(?:extra-)?(?:index-url|find-links)|https?://", re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.~>-])/(?:work|root|Users|home/\w+)/[\w.]")
INDEX_URL = re.compile(r"https?://\S*(?:pypi|/simple\b|artifactory|nexus)|--(?:extra-)?index-url[= ]\S", re.IGNORECASE)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", ["demo", "dev", "bench", "sonic", "sonic-dev"])
def test_requirements_are_hashed_and_name_no_host(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not INDEX_LINE.search(text)
    pinned = re.findall(r"^[a-z0-9].*==.*$", text, re.MULTILINE)
    assert pinned
    assert all(line.endswith("\\") for line in pinned), "every pin goes on with its hashes"


@pytest.mark.parametrize("pattern", [MACHINE_PATH, INDEX_URL])
def test_no_file_names_a_machine_or_an_index(pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" in data[:8192]:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            # A canary is what the redaction of paths is tested with.
            if pattern.search(line) and "canary" not in line:
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "see /~work/main/README.md"),
        (MACHINE_PATH, "#!/~home/somebody/.venv/bin/python"),
        (INDEX_URL, "https:/~/pypi.example/packages"),
        (INDEX_URL, "--index~-url https:/~/host"),
    ],
)
def test_such_names_are_found(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text.replace("~", "")), "written with a sign between, so that this file passes"


def test_the_main_environment_has_no_torch() -> None:
    for name in ("demo", "dev"):
        assert not re.search(
            r"^(torch|nvidia-|triton)", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE
        )


def test_torch_is_not_installed_here() -> None:
    heavy = re.compile(r"^(torch|nvidia-|triton|cuda-)")
    assert [d.name for d in importlib.metadata.distributions() if heavy.match(d.name.lower())] == []
    assert importlib.util.find_spec("torch") is None


def test_what_both_environments_hold_is_the_same_release() -> None:
    """The service of the sonic engine speaks to the others: one pydantic, one client of Kafka, one of OpenTelemetry."""
    pins = {name: pinned(name) for name in ("demo", "dev", "sonic", "sonic-dev")}
    here = pins["demo"] | pins["dev"]
    there = pins["sonic"] | pins["sonic-dev"]
    assert "pydantic" in there
    assert {name: (here[name], there[name]) for name in here.keys() & there.keys() if here[name] != there[name]} == {}


def pinned(name: str) -> dict[str, set[str]]:
    """Releases by package; there are several where the release depends on Python's."""
    found: dict[str, set[str]] = {}
    for package, release in re.findall(
        r"^([a-z0-9-]+)(?:\[.*?\])?==([^ ]+)", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE
    ):
        found.setdefault(package, set()).add(release)
    return found


@pytest.mark.parametrize("stage", ["audio", "face", "infer", "encode"])
def test_no_stage_but_the_sonic_engine_asks_for_torch(stage: str) -> None:
    """Loading the handler (infer: with the puppet) does not even try to import it, on a machine that has it or not."""
    program = (
        "import importlib, sys\n"
        "asked = []\n"
        "class Spy:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'safetensors') or name.startswith('stages.infer.sonic'):\n"
        "            asked.append(name)\n"
        "sys.meta_path.insert(0, Spy())\n"
        f"importlib.import_module('stages.{stage}.handler').load()\n"
        "print(asked)"
    )
    environment = {**os.environ, "LIPSTAGE_ENGINE": "puppet"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_one_release_of_opentelemetry() -> None:
    text = (ROOT / "requirements" / "demo.txt").read_text()
    found = dict(re.findall(r"^(opentelemetry-[a-z-]+)==([^ ]+)", text, re.MULTILINE))
    assert found["opentelemetry-sdk"] == found["opentelemetry-exporter-otlp-proto-http"] == "1.45.1"
    assert found["opentelemetry-instrumentation-confluent-kafka"] == "0.66b1"


def test_no_file_is_too_large() -> None:
    large = {path.name: path.stat().st_size for path in tracked() if path.stat().st_size > MAX_FILE_BYTES}
    assert not large
    assert sum(path.stat().st_size for path in tracked() if path.suffix == ".onnx") < 20 * 1024 * 1024


@pytest.mark.parametrize("stage", ["audio", "face", "infer", "encode"])
def test_a_stage_declares_itself_without_its_libraries(stage: str) -> None:
    """The service's parent reads the declaration; media and model libraries belong into the child."""
    program = (
        f"import sys; from stages.{stage} import STAGE; assert STAGE.name == {stage!r};"
        " print([m for m in ('av', 'cv2', 'onnxruntime', 'torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_source_file_that_a_page_names_exists() -> None:
    """A newcomer follows these names."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    named = {(page.name, name) for page in pages for name in re.findall(r"`((?:\w+/)+\w+\.py)\b", page.read_text())}
    assert len(named) > 50
    assert [(page, name) for page, name in sorted(named) if not (ROOT / name).is_file()] == []


def attributes(*names: str) -> dict[str, dict[str, str]]:
    """What .gitattributes says of each file: attribute -> value."""
    command = ["git", "check-attr", "-z", "text", "eol", "--", *names]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    for name, attribute, value in zip(answer[0::3], answer[1::3], answer[2::3], strict=False):
        found[name][attribute] = value
    return found


def test_every_checkout_has_the_line_ends_of_the_repository() -> None:
    """Git on Windows converts them otherwise, and the shell of an image then finds no `sh\\r`."""
    binary = {path for path in tracked() if b"\0" in path.read_bytes()[:8192]}
    assert binary
    names = {str(path.relative_to(ROOT)): path for path in tracked()}
    for name, found in attributes(*names).items():
        if names[name] in binary:
            assert found["text"] == "unset", f"{name}: name its ending in .gitattributes"
        elif found["text"] != "unset":
            assert found["eol"] == "lf", name
            assert b"\r\n" not in names[name].read_bytes(), name
    scripts = [name for name, path in names.items() if name.startswith("deploy/") and path.read_bytes()[:2] == b"#!"]
    assert {"deploy/images/install.sh", "deploy/images/lipstage"} <= set(scripts)
