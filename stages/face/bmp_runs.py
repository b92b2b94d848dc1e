"""Checks the size of a run-length coded BMP: Pillow decodes its runs in Python, a microsecond each."""

MAX_BYTES = 4 * 1024 * 1024
"""Of such a file: two million runs. It is a format for icons and drawings of 16 or 256 colours."""
_RLE8, _RLE4 = 1, 2


def require_short_runs(data: bytes) -> None:
    """Check the BMP file ``data``. Raises ValueError."""
    has_compression = int.from_bytes(data[14:18], "little") >= 40
    if has_compression and int.from_bytes(data[30:34], "little") in (_RLE8, _RLE4) and len(data) > MAX_BYTES:
        raise ValueError(f"run-length coded, and more than {MAX_BYTES} bytes")
