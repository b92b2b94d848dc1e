import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.infer.sonic.checkpoint import Loaded, Part, WeightsCode, WeightsRefused, open_tree
from stages.infer.sonic.layout import OFFICIAL, TENSOR_PARTS
from stages.infer.sonic.sizes import BucketSizes, TokenSizes
from tests.sonic.weights.conftest import CONFIG, module_of, replace, respoken, shapes_of

SVD = "stable-video-diffusion-img2vid-xt"
UNET = OFFICIAL.files[Part.UNET].path


def load(folder: Path, part: Part) -> Loaded:
    return open_tree(folder).load(part, module_of(shapes_of(part)))


def refused(folder: Path, part: Part) -> WeightsRefused:
    with pytest.raises(WeightsRefused) as caught:
        load(folder, part)
    return caught.value


class RunsWhenUnpickled:
    """Writes a file when a pickle of it is read without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("part", TENSOR_PARTS)
def test_every_part_of_the_official_layout_loads(pristine: Path, part: Part) -> None:
    from tests.sonic.golden import make_tiny_checkpoint as rule

    module, steps = module_of(shapes_of(part)), []
    loaded = open_tree(pristine).load(part, module, progress=lambda done, whole: steps.append((done, whole)))
    file = OFFICIAL.files[part]
    stored = CONFIG["tensor_files"][file.path]
    for name, tensor in module.state_dict().items():
        key = file.prefix + name
        expected = rule.make_tensor(CONFIG, file.path, key, stored["tensors"][key], stored["dtype"])
        assert torch.equal(tensor, torch.from_numpy(expected)), key
    assert loaded.bytes == sum(t.nbytes for t in module.state_dict().values())
    assert loaded.tensors == len(steps) == len(shapes_of(part))
    assert steps[-1] == (loaded.bytes, loaded.bytes)
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())


def test_half_precision_files_can_be_used_in_others(pristine: Path) -> None:
    module = module_of(shapes_of(Part.VAE))
    open_tree(pristine).load(Part.VAE, module, dtype=torch.float64)
    assert {p.dtype for p in module.parameters()} == {torch.float64}


def test_sizes_come_from_the_json_files_and_the_tensors(pristine: Path) -> None:
    sizes = open_tree(pristine).sizes
    token, bucket = CONFIG["module_kwargs"]["audio2token"], CONFIG["module_kwargs"]["audio2bucket"]
    assert sizes.token == TokenSizes(
        token["seq_len"],
        token["blocks"],
        token["channels"],
        token["intermediate_dim"],
        token["output_dim"],
        token["context_tokens"],
    )
    assert sizes.bucket == BucketSizes(
        bucket["seq_len"],
        bucket["blocks"],
        bucket["channels"],
        bucket["clip_channels"],
        bucket["intermediate_dim"],
        bucket["output_dim"],
        bucket["context_tokens"],
    )
    assert sizes.unet.channels == (64, 64, 128, 128)
    assert sizes.vae.scaling == 0.18215


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state[new] = state.pop(old)

    return change


SPOILED = {
    "missing": (
        lambda state: state.pop("conv_in.bias"),
        WeightsCode.KEY_MISSING,
        f"{UNET}: conv_in.bias: expected (64,), found no such key",
    ),
    "unexpected": (
        lambda state: state.update(extra=torch.zeros(3)),
        WeightsCode.KEY_UNEXPECTED,
        f"{UNET}: extra: expected no such key, found (3,)",
    ),
    "renamed": (
        rename("conv_in.weight", "conv_in_2.weight"),
        WeightsCode.KEY_RENAMED,
        f"{UNET}: conv_in_2.weight: expected conv_in.weight, found conv_in_2.weight",
    ),
    "shape": (
        lambda state: state.update({"conv_out.weight": torch.zeros(4, 64, 3, 1)}),
        WeightsCode.SHAPE_DIFFERS,
        f"{UNET}: conv_out.weight: expected (4, 64, 3, 3), found (4, 64, 3, 1)",
    ),
    "integers": (
        lambda state: state.update({"conv_in.bias": torch.zeros(64, dtype=torch.int8)}),
        WeightsCode.DTYPE_UNKNOWN,
        f"{UNET}: conv_in.bias: expected float16, bfloat16, float32, float64, found int8",
    ),
    "two adapters": (
        lambda state: state.update({"mid.attn2.processor.to_k_ip.1.weight": torch.zeros(3)}),
        WeightsCode.DICE_TALK,
        "DICE-Talk",
    ),
    "no tensor": (
        lambda state: state.update(epoch=3),
        WeightsCode.NOT_WEIGHTS,
        f"{UNET}: epoch: expected a tensor, found int",
    ),
    "prefixed": (
        lambda state: [state.update({f"unet.{key}": state.pop(key)}) for key in list(state)],
        WeightsCode.PREFIX_DIFFERS,
        "expected '' before every key, found 'unet.'",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_spoiled_tensors_are_refused_with_file_key_expected_and_found(tree: Path, case: str) -> None:
    change, code, told = SPOILED[case]
    respoken(tree / UNET, change)
    fault = refused(tree, Part.UNET)
    assert (fault.code, told in fault.message) == (code, True), fault


def test_nothing_is_assigned_of_a_refused_file(tree: Path) -> None:
    respoken(tree / UNET, lambda state: state.pop("conv_in.bias"))
    module = module_of(shapes_of(Part.UNET))
    with pytest.raises(WeightsRefused):
        open_tree(tree).load(Part.UNET, module)
    assert all(p.is_meta for p in module.parameters())


@pytest.mark.parametrize("part", TENSOR_PARTS)
def test_a_truncated_file_is_refused(tree: Path, part: Part) -> None:
    path = tree / OFFICIAL.files[part].path
    replace(path, path.read_bytes()[: path.stat().st_size // 2])
    fault = refused(tree, part)
    assert fault.code is WeightsCode.TRUNCATED
    assert OFFICIAL.files[part].path in fault.message


@pytest.mark.parametrize("old_format", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(tree: Path, tmp_path: Path, old_format: bool) -> None:
    marker = tmp_path / "ran"
    state = {"conv_in.weight": torch.zeros(3), "x": RunsWhenUnpickled(marker)}
    (tree / UNET).unlink()
    torch.save(state, tree / UNET, _use_new_zipfile_serialization=not old_format)
    fault = refused(tree, Part.UNET)
    assert not marker.exists()
    assert fault.code is WeightsCode.PICKLE_WITH_CODE
    assert "mkdir" in fault.message


def test_a_bare_pickle_with_code_is_refused_and_not_run(tree: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    replace(tree / UNET, pickle.dumps(RunsWhenUnpickled(marker), protocol=2))
    assert refused(tree, Part.UNET).code is WeightsCode.PICKLE_WITH_CODE
    assert not marker.exists()


def test_the_pickle_of_this_test_would_run(tmp_path: Path) -> None:
    """Else the two tests above would prove nothing."""
    pickle.loads(pickle.dumps(RunsWhenUnpickled(tmp_path / "ran")))
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 6303636358\n", WeightsCode.LFS_POINTER),
        (b"<!doctype html><title>Sign in</title>", WeightsCode.WEB_PAGE),
        (b"", WeightsCode.TRUNCATED),
        (b"no weights at all, only text of some length" * 9, WeightsCode.NOT_WEIGHTS),
    ],
)
@pytest.mark.parametrize("part", [Part.UNET, Part.VAE])
def test_what_is_no_checkpoint_is_told_apart(tree: Path, part: Part, content: bytes, code: WeightsCode) -> None:
    replace(tree / OFFICIAL.files[part].path, content)
    assert refused(tree, part).code is code


def test_a_missing_file_is_named(tree: Path) -> None:
    (tree / UNET).unlink()
    fault = refused(tree, Part.UNET)
    assert (fault.code, fault.message) == (WeightsCode.FILE_MISSING, f"{UNET}: no such file")


def test_files_of_before_torch_1_6_load(tree: Path) -> None:
    path = tree / OFFICIAL.files[Part.RIFE].path
    state = torch.load(path, weights_only=True)
    path.unlink()
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert load(tree, Part.RIFE).tensors == len(shapes_of(Part.RIFE))


def test_the_stock_unet_is_never_read(tree: Path) -> None:
    (tree / SVD / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not even weights")
    assert load(tree, Part.UNET).tensors == len(shapes_of(Part.UNET))


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (lambda config: config.pop("block_out_channels"), WeightsCode.CONFIG_INVALID, "block_out_channels: missing"),
        (lambda config: config.update(block_out_channels=3), WeightsCode.CONFIG_INVALID, "configuration"),
        (lambda config: config.update(cross_attention_dim=64), WeightsCode.SIZES_CONFLICT, "expected 64"),
    ],
)
def test_a_configuration_of_something_else_is_refused(
    tree: Path, change: Callable[[dict[str, Any]], object], code: WeightsCode, told: str
) -> None:
    path = tree / SVD / "unet" / "config.json"
    config = json.loads(path.read_text())
    change(config)
    replace(path, json.dumps(config).encode())
    with pytest.raises(WeightsRefused) as caught:
        open_tree(tree)
    assert caught.value.code is code
    assert told in caught.value.message


def test_folders_that_are_no_tree(tmp_path: Path, pristine: Path) -> None:
    with pytest.raises(WeightsRefused, match="FOLDER_MISSING"):
        open_tree(tmp_path / "nothing")
    comfy = tmp_path / "models" / "sonic"
    comfy.mkdir(parents=True)
    os.link(pristine / UNET, comfy / "unet.pth")
    for folder in (tmp_path, tmp_path / "models", comfy):
        with pytest.raises(WeightsRefused, match="COMFY_LAYOUT"):
            open_tree(folder)


def test_only_the_published_detector_is_run(tree: Path) -> None:
    opened = open_tree(tree)
    assert opened.detector() is None
    (tree / "yoloface_v5m.pt").write_bytes(b"a program of somebody")
    with pytest.raises(WeightsRefused, match="DIGEST_DIFFERS"):
        opened.detector()
    assert opened.detector(any_program=True) == tree / "yoloface_v5m.pt"
