"""The sizes of all networks of a tree: from its JSON files, and from tensors where no file tells them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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

Kind = type[UNetSizes] | type[VaeSizes] | type[ClipSizes] | type[WhisperSizes]
Shapes = Mapping[str, tuple[int, ...]]
_KINDS: dict[Part, Kind] = {
    Part.UNET: UNetSizes,
    Part.VAE: VaeSizes,
    Part.IMAGE_ENCODER: ClipSizes,
    Part.WHISPER: WhisperSizes,
}


def sizes_of(folder: Path, layout: Layout, token: Shapes, bucket: Shapes) -> SonicSizes:
    """Sizes from the JSON files of ``folder`` and the shapes of audio2token's and audio2bucket's tensors.

    Raises WeightsRefused: FILE_MISSING, CONFIG_INVALID, KEY_MISSING, SIZES_CONFLICT.
    """
    sizes = described(folder, layout)
    sizes = with_token(sizes, token, layout.files[Part.AUDIO2TOKEN].path)
    sizes = with_bucket(sizes, bucket, layout.files[Part.AUDIO2BUCKET].path)
    agree(sizes, layout)
    return sizes


def described(folder: Path, layout: Layout) -> SonicSizes:
    """The sizes that the JSON files tell; audio2token and audio2bucket are the official ones.

    Raises WeightsRefused (FILE_MISSING, CONFIG_INVALID) with what is wrong of all of them.
    """
    found: dict[Part, Any] = {}
    faults: list[Fault] = []
    for part, kind in _KINDS.items():
        try:
            found[part] = _read(folder, layout.configs[part], kind)
        except WeightsRefused as refused:
            faults += refused.faults
    if faults:
        raise WeightsRefused(faults)
    return SonicSizes(found[Part.UNET], found[Part.VAE], found[Part.IMAGE_ENCODER], found[Part.WHISPER])


def _read(folder: Path, name: str, kind: Kind) -> UNetSizes | VaeSizes | ClipSizes | WhisperSizes:
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


def with_token(sizes: SonicSizes, shapes: Shapes, file: str) -> SonicSizes:
    """All layers' states of a window go in: ``seq_len * (layers + 1) * width`` columns; tokens of ``norm``'s width.

    Raises WeightsRefused (KEY_MISSING, SHAPE_DIFFERS, SIZES_CONFLICT).
    """
    whisper = sizes.whisper
    hidden, columns = _matrix(shapes, file, "proj1.weight")
    rows, _ = _matrix(shapes, file, "proj3.weight")
    output = _shape(shapes, file, "norm.weight", 1)[0]
    blocks = whisper.layers + 1
    token = TokenSizes(
        seq_len=_divided(columns, blocks * whisper.width, file, "proj1.weight columns", "Whisper's states"),
        blocks=blocks,
        channels=whisper.width,
        hidden=hidden,
        output=output,
        tokens=_divided(rows, output, file, "proj3.weight rows", "the width of a token"),
    )
    return replace(sizes, token=token)


def with_bucket(sizes: SonicSizes, shapes: Shapes, file: str) -> SonicSizes:
    """The last layer's states of a second go in beside the picture's embedding; one figure a token comes out.

    Raises WeightsRefused (KEY_MISSING, SHAPE_DIFFERS, SIZES_CONFLICT).
    """
    whisper, clip = sizes.whisper, sizes.clip
    hidden, columns = _matrix(shapes, file, "proj1.weight")
    rows, _ = _matrix(shapes, file, "proj3.weight")
    heard = columns - clip.projection
    bucket = BucketSizes(
        seq_len=_divided(heard, whisper.width, file, "proj1.weight columns less the picture's", "Whisper's width"),
        blocks=1,
        channels=whisper.width,
        clip=clip.projection,
        hidden=hidden,
        output=1,
        tokens=rows,
    )
    return replace(sizes, bucket=bucket)


def agree(sizes: SonicSizes, layout: Layout) -> None:
    """Raises WeightsRefused (SIZES_CONFLICT) when the networks' widths do not fit together."""
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
