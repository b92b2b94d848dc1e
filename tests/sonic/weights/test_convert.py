import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.infer.sonic.weights import check, convert
from stages.infer.sonic.weights.convert import LARGE
from stages.infer.sonic.weights.faults import WeightsCode, WeightsRefused
from stages.infer.sonic.weights.layout import CONVERTED, JOURNAL, MANIFEST, OFFICIAL, TENSOR_PARTS, Part
from stages.infer.sonic.weights.manifest import Manifest
from stages.infer.sonic.weights.tree import open_tree
from tests.sonic.weights.conftest import module_of, no_progress, replace, save_changed, shapes_of

LICENCE = {"accepted": "2026-01-01", "licences": "CC BY-NC-SA 4.0"}
ROOT = Path(__file__).parents[3]


def converted(
    source: Path, target: Path, dtype: str = "float16", on_progress: Callable[[Part, str, int, int], None] = no_progress
) -> Manifest:
    return convert.convert(source, target, dtype, LICENCE, on_progress)


def refused(source: Path, target: Path, dtype: str = "float16") -> WeightsRefused:
    with pytest.raises(WeightsRefused) as caught:
        converted(source, target, dtype)
    return caught.value


class RecordedProgress:
    """Parts by operation: written or only verified."""

    def __init__(self) -> None:
        self.parts: dict[str, set[Part]] = {"digest": set(), "write": set(), "verify": set()}

    def __call__(self, part: Part, operation: str, more: int, total: int) -> None:
        self.parts[operation].add(part)


@pytest.fixture(scope="module")
def made(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished conversion; read only."""
    folder = tmp_path_factory.mktemp("converted")
    converted(pristine, folder)
    return folder


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy of the finished conversion."""
    return Path(shutil.copytree(made, tmp_path / "out"))


@pytest.mark.parametrize("part", TENSOR_PARTS)
@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_converted_tree_loads_the_same_tensors(
    pristine: Path, made: Path, part: Part, dtype: torch.dtype | None
) -> None:
    before, after = module_of(shapes_of(part)), module_of(shapes_of(part))
    open_tree(pristine).load(part, before)
    tree = open_tree(made)
    tree.load(part, after, dtype=dtype)
    stored = torch.float16 if part in LARGE else torch.float32
    for (name, old), (other, new) in zip(before.state_dict().items(), after.state_dict().items(), strict=True):
        assert name == other
        assert new.dtype == (dtype or stored)
        assert torch.equal(old.to(stored).to(new.dtype), new), name
    assert tree.config == open_tree(pristine).config


def test_tensors_of_a_mapped_file_are_aligned(made: Path) -> None:
    for part in TENSOR_PARTS:
        for key, tensor in open_tree(made).tensors(part).items():
            assert tensor.data_ptr() % tensor.element_size() == 0, key


def test_manifest_records_the_source_of_each_file(pristine: Path, made: Path) -> None:
    manifest = json.loads((made / MANIFEST).read_text())
    assert manifest["licence"] == LICENCE
    assert (manifest["dtype"], manifest["official"]) == ("float16", False)
    assert set(manifest["files"]) == {CONVERTED.files[part].path for part in TENSOR_PARTS}
    unet = manifest["files"]["unet.safetensors"]
    assert unet["bytes"] == (made / "unet.safetensors").stat().st_size
    assert unet["origin"]["path"] == OFFICIAL.files[Part.UNET].path
    assert unet["origin"]["bytes"] == (pristine / OFFICIAL.files[Part.UNET].path).stat().st_size
    assert check.check(made, no_progress).faults == []


def test_dtype_of_large_networks_can_be_chosen(pristine: Path, tmp_path: Path) -> None:
    for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        module = module_of(shapes_of(Part.UNET))
        converted(pristine, tmp_path / name, name)
        open_tree(tmp_path / name).load(Part.UNET, module)
        assert {p.dtype for p in module.parameters()} == {dtype}


def test_altered_converted_file_is_reported(out: Path) -> None:
    content = bytearray((out / "vae.safetensors").read_bytes())
    content[-1] ^= 1
    replace(out / "vae.safetensors", bytes(content))
    (fault,) = check.check(out, no_progress).faults
    assert (fault.code, fault.file) == (WeightsCode.DIGEST_DIFFERS, "vae.safetensors")


def test_second_run_writes_nothing(pristine: Path, out: Path) -> None:
    progress = RecordedProgress()
    converted(pristine, out, on_progress=progress)
    assert (progress.parts["write"], progress.parts["verify"]) == (set(), set(TENSOR_PARTS))


def test_only_a_damaged_file_is_converted_again(pristine: Path, out: Path) -> None:
    content = bytearray((out / "rife.safetensors").read_bytes())
    content[-1] ^= 1
    replace(out / "rife.safetensors", bytes(content))
    progress = RecordedProgress()
    converted(pristine, out, on_progress=progress)
    assert progress.parts["write"] == {Part.RIFE}
    assert check.check(out, no_progress).faults == []


def test_changed_source_is_converted_again(tree: Path, out: Path) -> None:
    save_changed(tree / OFFICIAL.files[Part.RIFE].path, lambda state: state["module.block0.conv0.0.0.bias"].zero_())
    progress = RecordedProgress()
    converted(tree, out, on_progress=progress)
    assert progress.parts["write"] == {Part.RIFE}


KILLED = """
import os, signal, sys
from pathlib import Path
from stages.infer.sonic.weights.layout import Part
from stages.infer.sonic.weights import convert

written = 0

def on_progress(part, operation, more, total):
    global written
    if operation == "write" and part is Part.IMAGE_ENCODER:
        written += 1
        if written == 5:
            os.kill(os.getpid(), signal.SIGKILL)

convert.convert(Path(sys.argv[1]), Path(sys.argv[2]), "float16", {"accepted": "x"}, on_progress)
"""


def test_killed_conversion_is_resumed(pristine: Path, tmp_path: Path) -> None:
    """Killed in the third file: two files are finished and kept, and no partial file has a final name."""
    out = tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(pristine), str(out)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {path.name for path in out.glob("*.safetensors")} == {"unet.safetensors", "vae.safetensors"}
    assert (out / ".image_encoder.safetensors.partial").is_file()
    assert not (out / MANIFEST).exists()
    with pytest.raises(WeightsRefused, match="UNFINISHED"):
        open_tree(out)

    progress = RecordedProgress()
    converted(pristine, out, on_progress=progress)
    assert progress.parts["verify"] == {Part.UNET, Part.VAE}
    assert progress.parts["write"] == set(TENSOR_PARTS) - {Part.UNET, Part.VAE}
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == [".lock"]
    assert check.check(out, no_progress).faults == []


def test_damaged_source_is_refused_before_anything_is_written(tree: Path, tmp_path: Path) -> None:
    save_changed(tree / OFFICIAL.files[Part.UNET].path, lambda state: state.pop("conv_in.bias"))
    rife = tree / OFFICIAL.files[Part.RIFE].path
    replace(rife, rife.read_bytes()[:100])
    fault = refused(tree, tmp_path / "out")
    assert {one.code for one in fault.faults} == {WeightsCode.KEY_MISSING, WeightsCode.TRUNCATED}
    assert not (tmp_path / "out").exists()


def test_too_little_disk_is_refused_before_anything_is_written(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=convert.RESERVE + (30 << 20)))
    fault = refused(pristine, tmp_path / "out")
    assert fault.code is WeightsCode.NO_SPACE
    assert "30 MiB" not in fault.message
    assert "286 MiB free" in fault.message
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_number_beyond_half_precision_is_refused(tree: Path, tmp_path: Path) -> None:
    save_changed(tree / OFFICIAL.files[Part.UNET].path, lambda state: state["conv_in.bias"].fill_(70000.0))
    fault = refused(tree, tmp_path / "out")
    assert fault.code is WeightsCode.NOT_FINITE
    assert "conv_in.bias" in fault.message
    assert "70000" in fault.message
    assert not list((tmp_path / "out").glob("*.safetensors"))
    converted(tree, tmp_path / "wide", "float32")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda out: (out / "thesis.txt").touch(), "not empty"),
        (lambda out: (out / MANIFEST).write_text("{}"), "manifest"),
    ],
)
def test_folder_with_other_contents_is_refused(
    pristine: Path, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    spoil(out)
    fault = refused(pristine, out)
    assert fault.code in (WeightsCode.OUTPUT_TAKEN, WeightsCode.MANIFEST_INVALID)
    assert message in fault.message
    assert not list(out.glob("*.safetensors"))


def test_conversion_to_another_dtype_needs_another_folder(pristine: Path, out: Path) -> None:
    assert refused(pristine, out, "bfloat16").code is WeightsCode.OUTPUT_TAKEN


def test_second_conversion_into_the_same_folder_is_refused(pristine: Path, tmp_path: Path) -> None:
    inner: list[WeightsRefused] = []

    def on_progress(part: Part, operation: str, more: int, total: int) -> None:
        if not inner:
            inner.append(refused(pristine, tmp_path / "out"))

    converted(pristine, tmp_path / "out", on_progress=on_progress)
    assert inner[0].code is WeightsCode.OUTPUT_TAKEN
    assert "another conversion" in inner[0].message


def test_converted_tree_is_not_converted_again(made: Path, tmp_path: Path) -> None:
    assert refused(made, tmp_path / "out").code is WeightsCode.OUTPUT_TAKEN


def test_unfinished_conversion_has_a_journal(pristine: Path, tmp_path: Path) -> None:
    def on_progress(part: Part, operation: str, more: int, total: int) -> None:
        if part is Part.VAE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted(pristine, tmp_path, on_progress=on_progress)
    assert (tmp_path / JOURNAL).is_file()


def test_detector_is_copied(tree: Path, tmp_path: Path) -> None:
    (tree / "yoloface_v5m.pt").write_bytes(b"a program")
    converted(tree, tmp_path / "out")
    assert (tmp_path / "out" / "yoloface_v5m.pt").read_bytes() == b"a program"
    progress = RecordedProgress()
    converted(tree, tmp_path / "out", on_progress=progress)
    assert Part.DETECTOR in progress.parts["verify"]
