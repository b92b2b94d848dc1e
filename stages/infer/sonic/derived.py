"""The sizes of all networks of a tree: from its JSON files, and from tensors where no file tells them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from stages.infer.sonic.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.layout import Layout, Part
from stages.infer.sonic.sizes import (
    BucketSizes,
    ClipSizes,
    SizesInvalid,
    SonicSizes,
    TokenSizes,
    UNetSizes,
    VaeSizes,
    WhisperSizes,
)

T = TypeVar("T", UNetSizes, VaeSizes, ClipSizes, WhisperSizes)
Shapes = Mapping[str, tuple[int, ...]]


def sizes_of(folder: Path, layout: Layout, token: Shapes, bucket: Shapes) -> SonicSizes:
    """Sizes from the JSON files of ``folder`` and the shapes of audio2token's and audio2bucket's tensors.

    Raises WeightsRefused: FILE_MISSING, CONFIG_INVALID, KEY_MISSING, SIZES_CONFLICT.
    """
    unet = _read(folder, layout.configs[Part.UNET], UNetSizes)
    vae = _read(folder, layout.configs[Part.VAE], VaeSizes)
    clip = _read(folder, layout.configs[Part.IMAGE_ENCODER], ClipSizes)
    whisper = _read(folder, layout.configs[Part.WHISPER], WhisperSizes)
    sizes = SonicSizes(
        unet,
        vae,
        clip,
        whisper,
        _token(token, layout.files[Part.AUDIO2TOKEN].path, whisper),
        _bucket(bucket, layout.files[Part.AUDIO2BUCKET].path, whisper, clip),
    )
    _agree(sizes, layout)
    return sizes


def _read(folder: Path, name: str, kind: type[T]) -> T:
    try:
        config: Any = json.loads((folder / name).read_text(encoding="utf-8"))
        return kind.of(config)
    except FileNotFoundError:
        raise WeightsRefused([Fault(WeightsCode.FILE_MISSING, name, found="no such file")]) from None
    except SizesInvalid as error:
        raise WeightsRefused([Fault(WeightsCode.CONFIG_INVALID, name, found=str(error))]) from None
    except (ValueError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        told = f"not this network's configuration ({error})"
        raise WeightsRefused([Fault(WeightsCode.CONFIG_INVALID, name, found=told)]) from None


def _token(shapes: Shapes, file: str, whisper: WhisperSizes) -> TokenSizes:
    """All layers' states of a window go in: ``seq_len * (layers + 1) * width`` columns; tokens of ``norm``'s width."""
    hidden, columns = _matrix(shapes, file, "proj1.weight")
    rows, _ = _matrix(shapes, file, "proj3.weight")
    output = _shape(shapes, file, "norm.weight", 1)[0]
    blocks = whisper.layers + 1
    return TokenSizes(
        seq_len=_divided(columns, blocks * whisper.width, file, "proj1.weight columns", "Whisper's states"),
        blocks=blocks,
        channels=whisper.width,
        hidden=hidden,
        output=output,
        tokens=_divided(rows, output, file, "proj3.weight rows", "the width of a token"),
    )


def _bucket(shapes: Shapes, file: str, whisper: WhisperSizes, clip: ClipSizes) -> BucketSizes:
    """The last layer's states of a second go in beside the picture's embedding; one figure a token comes out."""
    hidden, columns = _matrix(shapes, file, "proj1.weight")
    rows, _ = _matrix(shapes, file, "proj3.weight")
    heard = columns - clip.projection
    return BucketSizes(
        seq_len=_divided(heard, whisper.width, file, "proj1.weight columns less the picture's", "Whisper's width"),
        blocks=1,
        channels=whisper.width,
        clip=clip.projection,
        hidden=hidden,
        output=1,
        tokens=rows,
    )


def _agree(sizes: SonicSizes, layout: Layout) -> None:
    wanted = sizes.unet.context
    for found, part, field in (
        (sizes.token.output, Part.AUDIO2TOKEN, "width of the tokens"),
        (sizes.clip.projection, Part.IMAGE_ENCODER, "projection_dim"),
    ):
        if found != wanted:
            told = f"{wanted}, the UNet's cross_attention_dim"
            fault = Fault(WeightsCode.SIZES_CONFLICT, layout.files[part].path, field, told, str(found))
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


def _divided(whole: int, by: int, file: str, what: str, by_what: str) -> int:
    if whole <= 0 or whole % by:
        fault = Fault(WeightsCode.SIZES_CONFLICT, file, what, f"a multiple of {by} ({by_what})", str(whole))
        raise WeightsRefused([fault])
    return whole // by
