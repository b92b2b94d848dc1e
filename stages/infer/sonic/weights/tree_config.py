"""The configuration of a tree's networks: from its JSON files, and from tensor shapes where no file has it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.infer.sonic.config import (
    BucketConfig,
    ClipConfig,
    ConfigInvalid,
    SonicConfig,
    TokenConfig,
    UNetConfig,
    VaeConfig,
    WhisperConfig,
)
from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.weights.layout import Layout, Part

ConfigType = type[UNetConfig] | type[VaeConfig] | type[ClipConfig] | type[WhisperConfig]
Shapes = Mapping[str, tuple[int, ...]]
_CONFIG_TYPES: dict[Part, ConfigType] = {
    Part.UNET: UNetConfig,
    Part.VAE: VaeConfig,
    Part.IMAGE_ENCODER: ClipConfig,
    Part.WHISPER: WhisperConfig,
}


def read_config(folder: Path, layout: Layout, token: Shapes, bucket: Shapes) -> SonicConfig:
    """Configuration from the JSON files of ``folder`` and the shapes of audio2token's and audio2bucket's tensors.

    Raises WeightsRefused: FILE_MISSING, CONFIG_INVALID, KEY_MISSING, SHAPE_DIFFERS, SIZES_CONFLICT.
    """
    config = read_json_config(folder, layout)
    config = with_token_config(config, token, layout.files[Part.AUDIO2TOKEN].path)
    config = with_bucket_config(config, bucket, layout.files[Part.AUDIO2BUCKET].path)
    check_widths(config, layout)
    return config


def read_json_config(folder: Path, layout: Layout) -> SonicConfig:
    """The configuration in the JSON files; audio2token and audio2bucket, which have none, get the official one.

    Raises WeightsRefused (FILE_MISSING, CONFIG_INVALID) with the faults of every file.
    """
    configs: dict[Part, Any] = {}
    faults: list[Fault] = []
    for part, config_type in _CONFIG_TYPES.items():
        try:
            configs[part] = _read(folder, layout.configs[part], config_type)
        except WeightsRefused as refused:
            faults += refused.faults
    if faults:
        raise WeightsRefused(faults)
    return SonicConfig(configs[Part.UNET], configs[Part.VAE], configs[Part.IMAGE_ENCODER], configs[Part.WHISPER])


def _read(folder: Path, name: str, config_type: ConfigType) -> UNetConfig | VaeConfig | ClipConfig | WhisperConfig:
    try:
        document: Any = json.loads((folder / name).read_text(encoding="utf-8"))
        return config_type.from_json(document)
    except FileNotFoundError:
        raise WeightsRefused([Fault(WeightsCode.FILE_MISSING, name, found="no such file")]) from None
    except ConfigInvalid as error:
        raise WeightsRefused([Fault(WeightsCode.CONFIG_INVALID, name, found=str(error))]) from None
    except (ValueError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        reason = f"not this network's configuration ({error})"
        raise WeightsRefused([Fault(WeightsCode.CONFIG_INVALID, name, found=reason)]) from None


def with_token_config(config: SonicConfig, shapes: Shapes, file: str) -> SonicConfig:
    """Add audio2token's. Its input is every layer's states of a window: ``seq_len * (n_layer + 1) * n_state`` columns.

    Raises WeightsRefused (KEY_MISSING, SHAPE_DIFFERS, SIZES_CONFLICT).
    """
    whisper = config.whisper
    hidden_dim, columns = _matrix(shapes, file, "proj1.weight")
    rows, _ = _matrix(shapes, file, "proj3.weight")
    output_dim = _shape(shapes, file, "norm.weight", 1)[0]
    n_blocks = whisper.n_layer + 1
    token = TokenConfig(
        seq_len=_divided(columns, n_blocks * whisper.n_state, file, "proj1.weight columns", "Whisper's states"),
        n_blocks=n_blocks,
        channels=whisper.n_state,
        hidden_dim=hidden_dim,
        output_dim=output_dim,
        n_tokens=_divided(rows, output_dim, file, "proj3.weight rows", "the width of a token"),
    )
    return replace(config, token=token)


def with_bucket_config(config: SonicConfig, shapes: Shapes, file: str) -> SonicConfig:
    """Add audio2bucket's. Its input is the last layer's states of a second and the image embedding.

    Raises WeightsRefused (KEY_MISSING, SHAPE_DIFFERS, SIZES_CONFLICT).
    """
    whisper, clip = config.whisper, config.clip
    hidden_dim, columns = _matrix(shapes, file, "proj1.weight")
    rows, _ = _matrix(shapes, file, "proj3.weight")
    audio_columns = columns - clip.projection_dim
    what = "proj1.weight columns less the picture's"
    bucket = BucketConfig(
        seq_len=_divided(audio_columns, whisper.n_state, file, what, "Whisper's width"),
        n_blocks=1,
        channels=whisper.n_state,
        clip_dim=clip.projection_dim,
        hidden_dim=hidden_dim,
        output_dim=1,
        n_tokens=rows,
    )
    return replace(config, bucket=bucket)


def check_widths(config: SonicConfig, layout: Layout) -> None:
    """Raise WeightsRefused (SIZES_CONFLICT) when the networks' widths do not fit together."""
    wanted = config.unet.context_dim
    for width, part, field in (
        (config.token.output_dim, Part.AUDIO2TOKEN, "width of the tokens"),
        (config.clip.projection_dim, Part.IMAGE_ENCODER, "projection_dim"),
    ):
        if width != wanted:
            expected = f"{wanted}, the UNet's cross_attention_dim"
            fault = Fault(WeightsCode.SIZES_CONFLICT, layout.files[part].path, field, expected, str(width))
            raise WeightsRefused([fault])


def _matrix(shapes: Shapes, file: str, key: str) -> tuple[int, int]:
    rows, columns = _shape(shapes, file, key, 2)
    return rows, columns


def _shape(shapes: Shapes, file: str, key: str, dimensions: int) -> tuple[int, ...]:
    if key not in shapes:
        raise WeightsRefused([Fault(WeightsCode.KEY_MISSING, file, key, f"{dimensions} dimensions", "no such key")])
    if len(shapes[key]) != dimensions or not all(shapes[key]):
        fault = Fault(WeightsCode.SHAPE_DIFFERS, file, key, f"{dimensions} dimensions", str(shapes[key]))
        raise WeightsRefused([fault])
    return shapes[key]


def _divided(total: int, divisor: int, file: str, what: str, divisor_name: str) -> int:
    if total <= 0 or total % divisor:
        expected = f"a multiple of {divisor} ({divisor_name})"
        raise WeightsRefused([Fault(WeightsCode.SIZES_CONFLICT, file, what, expected, str(total))])
    return total // divisor
