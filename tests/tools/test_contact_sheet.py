"""The contact sheet: a row of faces for a portrait, a code for a picture without a face."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import ROOT
from tools.contact_sheet import POSES

SIDE = 48


def test_sheet_has_a_row_for_each_portrait(tmp_path: Path) -> None:
    folder = tmp_path / "portraits"
    folder.mkdir()
    shutil.copy(ROOT / "samples" / "portrait.png", folder / "a.png")
    Image.new("RGB", (200, 200), "gray").save(folder / "b.png")
    (folder / "notes.txt").write_text("no portrait")
    command = [sys.executable, "-m", "tools.contact_sheet", str(folder), str(tmp_path / "s.png"), "--side", str(SIDE)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    sheet = np.asarray(Image.open(tmp_path / "s.png").convert("RGB")).astype(int)
    assert sheet.shape[1] == SIDE * (1 + len(POSES))
    assert sheet.shape[0] % 2 == 0
    row = sheet.shape[0] // 2
    cells = [sheet[row - SIDE : row, x * SIDE : (x + 1) * SIDE] for x in range(1 + len(POSES))]
    assert all(np.abs(a - b).mean() > 0.3 for i, a in enumerate(cells) for b in cells[:i]), "all cells differ"
    assert (sheet[2 * row - SIDE :] == 255).all(), "a rejected picture has no cells"
