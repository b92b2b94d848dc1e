"""The file of quotas as it is now: read again when it changes, so that a limit changes without a restart."""

from pathlib import Path
from threading import Lock

import structlog

from shared.messages.quotas import InvalidQuotas, Quotas, read_quotas

log = structlog.get_logger()

_Stamp = tuple[int, int, int]
"""Time of the last change, bytes, inode: a ConfigMap replaces the file behind a link."""


class QuotaFile:
    """Quotas of all tenants. Thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """``path``: the file; None: no tenant has quotas."""
        self._path = path
        self._stamp: _Stamp | None = None
        self._fault = ""
        self._quotas = Quotas()
        self._lock = Lock()

    @property
    def quotas(self) -> Quotas:
        """What the file says; what it said last, while it can't be read. The service's settings check reads it first,
        so that a service does not start with a file that it can't read."""
        if self._path is None:
            return self._quotas
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                if stamp != self._stamp:
                    self._quotas = read_quotas(self._path)
                    self._stamp, self._fault = stamp, ""
                    log.info("quotas_read", tenants=len(self._quotas.tenants))
            except (OSError, InvalidQuotas) as e:
                if str(e) != self._fault:  # Once, and not for each record.
                    log.error("quotas_not_read", error=str(e))
                self._fault = str(e)
            return self._quotas
