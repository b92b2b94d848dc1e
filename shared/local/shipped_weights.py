"""The model weights that are shipped, and whether each file is the committed one."""

import json
from dataclasses import dataclass
from pathlib import Path

from shared.local.installation import ROOT
from shared.local.jars import sha256_of

STAGES, SHARED = ROOT / "stages", ROOT / "shared"
MANIFEST = "weights.json"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of a manifest."""

    owner: str
    """Stage, stage/engine, or ``shared`` for what several stages read."""
    name: str
    path: Path
    size: int
    sha256: str

    def fault(self) -> str | None:
        """What is wrong with the file on disk: missing, wrong size or wrong content; None when it is right."""
        if not self.path.is_file():
            return "missing"
        size = self.path.stat().st_size
        if size != self.size:
            return f"{size} bytes instead of {self.size}"
        return None if sha256_of(self.path) == self.sha256 else "SHA-256 differs"


def shipped(*roots: Path) -> list[WeightsFile]:
    """Every file that a ``weights.json`` under one of the roots names, in order of root, owner and name."""
    files: list[WeightsFile] = []
    for root in roots or (STAGES, SHARED):
        for manifest in sorted(root.rglob(MANIFEST)):
            owner = "shared" if root == SHARED else manifest.parent.parent.relative_to(root).as_posix()
            for name, entry in sorted(json.loads(manifest.read_text(encoding="utf-8")).items()):
                files.append(WeightsFile(owner, name, manifest.parent / name, entry["size"], entry["sha256"]))
    return files
