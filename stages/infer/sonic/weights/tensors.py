"""Opens files of tensors without running code in them, and reads only the tensors that are used."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused

Shape = tuple[int, ...]
KNOWN_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ZIP = b"PK\x03\x04"
_LFS = b"version https://git-lfs.github.com/spec/"
_HEAD = 64
_NO_DIRECTORY = "central directory"
_TRUNCATED = (
    _NO_DIRECTORY,
    "unexpected EOF",
    "EOFError",
    "not fully covered",
    "invalid header length",
    "header too small",
)
"""Parts of the messages of torch and safetensors for a file that ends too early."""


class TensorFile(Mapping[str, torch.Tensor]):
    """Tensors by name. They are views of the mapped file: pages are read at first use."""

    def __init__(self, path: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        self.path = path
        self.name = name
        self._tensors = tensors
        self.shapes: dict[str, Shape] = {key: tuple(tensor.shape) for key, tensor in tensors.items()}

    def __getitem__(self, key: str) -> torch.Tensor:
        return self._tensors[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def open_tensors(folder: Path, name: str) -> TensorFile:
    """Open the safetensors file or the state dict ``folder / name``.

    State dicts are read by torch's restricted unpickler (``weights_only``), which creates only tensors. Raises
    WeightsRefused: FILE_MISSING, LFS_POINTER, WEB_PAGE, TRUNCATED, PICKLE_WITH_CODE, NOT_WEIGHTS.
    """
    path = folder / name
    if not path.is_file():
        raise WeightsRefused([Fault(WeightsCode.FILE_MISSING, name, found="no such file")])
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_LFS):
        reason = "a Git LFS pointer instead of the file: `git lfs pull` fetches it"
        raise WeightsRefused([Fault(WeightsCode.LFS_POINTER, name, found=reason)])
    if head.lstrip()[:1] == b"<":
        raise WeightsRefused([Fault(WeightsCode.WEB_PAGE, name, found="a web page instead of the file")])
    if name.endswith(".safetensors"):
        return TensorFile(path, name, _safetensors(path, name))
    return TensorFile(path, name, _state_dict(path, name, zipped=head.startswith(_ZIP)))


def dtype_faults(file: TensorFile, keys: Iterable[str]) -> list[Fault]:
    """Faults of tensors with another dtype than plain floating point, such as quantised weights."""
    return [
        Fault(WeightsCode.DTYPE_UNKNOWN, file.name, key, "float16, bfloat16, float32, float64", _dtype(file[key]))
        for key in keys
        if file[key].dtype not in KNOWN_DTYPES
    ]


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _safetensors(path: Path, name: str) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise WeightsRefused([_unreadable(name, str(error))]) from None


def _state_dict(path: Path, name: str, *, zipped: bool) -> dict[str, torch.Tensor]:
    # A zip archive has its directory at the end.
    if zipped and not zipfile.is_zipfile(path):
        raise WeightsRefused([_unreadable(name, _NO_DIRECTORY)])
    with _load_errors(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About other pickle protocols: unreadable files are refused below.
        # Files from before torch 1.6 are not archives and can't be mapped; they are read whole.
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    return _only_tensors(loaded, name)


@contextmanager
def _load_errors(name: str) -> Iterator[None]:
    try:
        yield
    except pickle.UnpicklingError as error:
        requested = re.search(r"GLOBAL ([\w.]+)", str(error))
        if requested is None:
            raise WeightsRefused([_unreadable(name, str(error))]) from None
        reason = f"a pickle that calls {requested[1]}: weights need no code, and none was run"
        raise WeightsRefused([Fault(WeightsCode.PICKLE_WITH_CODE, name, found=reason)]) from None
    except Exception as error:  # noqa: BLE001 - a hostile pickle can raise anything
        raise WeightsRefused([_unreadable(name, str(error) or type(error).__name__)]) from None


def _unreadable(name: str, message: str) -> Fault:
    if any(part in message for part in _TRUNCATED):
        return Fault(WeightsCode.TRUNCATED, name, found="the file ends too early: fetch it again")
    # The other lines suggest to turn the restricted unpickler off.
    line = re.search(r"WeightsUnpickler error:\s*(.+)", message) or re.search(r"(.+)", message)
    return Fault(WeightsCode.NOT_WEIGHTS, name, found=f"no file of tensors ({line[1][:100] if line else 'empty'})")


def _only_tensors(loaded: Any, name: str) -> dict[str, torch.Tensor]:
    if not isinstance(loaded, dict):
        reason = f"a {type(loaded).__name__} instead of tensors by name"
        raise WeightsRefused([Fault(WeightsCode.NOT_WEIGHTS, name, found=reason)])
    faults = [
        Fault(WeightsCode.NOT_WEIGHTS, name, str(key), "a tensor", type(value).__name__)
        for key, value in loaded.items()
        if not (isinstance(key, str) and isinstance(value, torch.Tensor))
    ]
    if faults:
        raise WeightsRefused(faults)
    return loaded
