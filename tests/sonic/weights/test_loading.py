import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.infer.sonic.config import BucketConfig, TokenConfig
from stages.infer.sonic.weights.faults import WeightsCode, WeightsRefused
from stages.infer.sonic.weights.layout import OFFICIAL, TENSOR_PARTS, Part
from stages.infer.sonic.weights.tree import LoadedPart, open_tree
from tests.sonic.weights.conftest import CONFIG, module_of, replace, save_changed, shapes_of

SVD = "stable-video-diffusion-img2vid-xt"
UNET = OFFICIAL.files[Part.UNET].path


def load(folder: Path, part: Part) -> LoadedPart:
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


def test_half_precision_files_load_into_other_dtypes(pristine: Path) -> None:
    module = module_of(shapes_of(Part.VAE))
    open_tree(pristine).load(Part.VAE, module, dtype=torch.float64)
    assert {p.dtype for p in module.parameters()} == {torch.float64}


def test_config_comes_from_the_json_files_and_the_tensors(pristine: Path) -> None:
    config = open_tree(pristine).config
    token, bucket = CONFIG["module_kwargs"]["audio2token"], CONFIG["module_kwargs"]["audio2bucket"]
    assert config.token == TokenConfig(
        token["seq_len"],
        token["blocks"],
        token["channels"],
        token["intermediate_dim"],
        token["output_dim"],
        token["context_tokens"],
    )
    assert config.bucket == BucketConfig(
        bucket["seq_len"],
        bucket["blocks"],
        bucket["channels"],
        bucket["clip_channels"],
        bucket["intermediate_dim"],
        bucket["output_dim"],
        bucket["context_tokens"],
    )
    assert config.unet.channels == (64, 64, 128, 128)
    assert config.vae.scaling_factor == 0.18215


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
def test_refusal_names_file_key_expected_and_found(tree: Path, case: str) -> None:
    change, code, message = SPOILED[case]
    save_changed(tree / UNET, change)
    fault = refused(tree, Part.UNET)
    assert (fault.code, message in fault.message) == (code, True), fault


def test_refused_file_assigns_nothing(tree: Path) -> None:
    save_changed(tree / UNET, lambda state: state.pop("conv_in.bias"))
    module = module_of(shapes_of(Part.UNET))
    with pytest.raises(WeightsRefused):
        open_tree(tree).load(Part.UNET, module)
    assert all(p.is_meta for p in module.parameters())


@pytest.mark.parametrize("part", TENSOR_PARTS)
def test_truncated_file_is_refused(tree: Path, part: Part) -> None:
    path = tree / OFFICIAL.files[part].path
    replace(path, path.read_bytes()[: path.stat().st_size // 2])
    fault = refused(tree, part)
    assert fault.code is WeightsCode.TRUNCATED
    assert OFFICIAL.files[part].path in fault.message


@pytest.mark.parametrize("old_format", [False, True])
def test_pickle_with_code_is_refused_and_not_run(tree: Path, tmp_path: Path, old_format: bool) -> None:
    marker = tmp_path / "ran"
    state = {"conv_in.weight": torch.zeros(3), "x": RunsWhenUnpickled(marker)}
    (tree / UNET).unlink()
    torch.save(state, tree / UNET, _use_new_zipfile_serialization=not old_format)
    fault = refused(tree, Part.UNET)
    assert not marker.exists()
    assert fault.code is WeightsCode.PICKLE_WITH_CODE
    assert "mkdir" in fault.message


def test_bare_pickle_with_code_is_refused_and_not_run(tree: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    replace(tree / UNET, pickle.dumps(RunsWhenUnpickled(marker), protocol=2))
    assert refused(tree, Part.UNET).code is WeightsCode.PICKLE_WITH_CODE
    assert not marker.exists()


def test_pickle_of_these_tests_runs_without_the_restriction(tmp_path: Path) -> None:
    """Otherwise the two tests above could not fail."""
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
def test_other_file_types_have_codes_of_their_own(tree: Path, part: Part, content: bytes, code: WeightsCode) -> None:
    replace(tree / OFFICIAL.files[part].path, content)
    assert refused(tree, part).code is code


def test_missing_file_is_named(tree: Path) -> None:
    (tree / UNET).unlink()
    fault = refused(tree, Part.UNET)
    assert (fault.code, fault.message) == (WeightsCode.FILE_MISSING, f"{UNET}: no such file")


def test_file_from_before_torch_1_6_loads(tree: Path) -> None:
    path = tree / OFFICIAL.files[Part.RIFE].path
    state = torch.load(path, weights_only=True)
    path.unlink()
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert load(tree, Part.RIFE).tensors == len(shapes_of(Part.RIFE))


def test_stock_svd_unet_is_not_read(tree: Path) -> None:
    (tree / SVD / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not even weights")
    assert load(tree, Part.UNET).tensors == len(shapes_of(Part.UNET))


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda config: config.pop("block_out_channels"), WeightsCode.CONFIG_INVALID, "block_out_channels: missing"),
        (lambda config: config.update(block_out_channels=3), WeightsCode.CONFIG_INVALID, "configuration"),
        (lambda config: config.update(cross_attention_dim=64), WeightsCode.SIZES_CONFLICT, "expected 64"),
    ],
)
def test_config_of_another_model_is_refused(
    tree: Path, change: Callable[[dict[str, Any]], object], code: WeightsCode, message: str
) -> None:
    path = tree / SVD / "unet" / "config.json"
    config = json.loads(path.read_text())
    change(config)
    replace(path, json.dumps(config).encode())
    with pytest.raises(WeightsRefused) as caught:
        open_tree(tree)
    assert caught.value.code is code
    assert message in caught.value.message


def test_folder_with_another_layout_is_refused(tmp_path: Path, pristine: Path) -> None:
    with pytest.raises(WeightsRefused, match="FOLDER_MISSING"):
        open_tree(tmp_path / "nothing")
    comfy = tmp_path / "models" / "sonic"
    comfy.mkdir(parents=True)
    os.link(pristine / UNET, comfy / "unet.pth")
    for folder in (tmp_path, tmp_path / "models", comfy):
        with pytest.raises(WeightsRefused, match="COMFY_LAYOUT"):
            open_tree(folder)
