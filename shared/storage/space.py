"""Free disk space of the scratch folder, checked before work that needs much of it."""

import shutil
from pathlib import Path

from shared.storage.errors import NoSpace

MIB = 1 << 20


def require_free(folder: Path, needed_bytes: int, reserve_mb: int) -> None:
    """Raise NoSpace unless ``folder``'s file system has ``needed_bytes`` and the reserve (MiB) free."""
    free = shutil.disk_usage(folder).free
    needed = needed_bytes + reserve_mb * MIB
    if free < needed:
        raise NoSpace(f"{free // MIB} MiB are free, {-(-needed // MIB)} MiB are needed with the reserve")
