"""The script that fills an image's environment: our code in it can be read by the image's user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from shared import __version__
from tests.conftest import ROOT

SCRIPTS = ROOT / "deploy" / "images"


def test_files_of_a_private_checkout_can_be_read_by_everybody(tmp_path: Path) -> None:
    environment, build = tmp_path / "environment", tmp_path / "build"
    (environment / "share" / "licenses").mkdir(parents=True)
    (build / "source" / "stages").mkdir(parents=True)
    bill = environment / "share" / "sbom.cdx.json"
    bill.write_text('{"version": "0+unset"}')
    (environment / "share" / "licenses" / "LICENSE").touch()
    shutil.copytree(ROOT / "shared" / "messages", build / "source" / "shared" / "messages")
    shutil.copy(ROOT / "shared" / "__init__.py", build / "source" / "shared")
    shutil.copy(SCRIPTS / "lipstage", build)
    (build / "install.sh").write_text((SCRIPTS / "install.sh").read_text().replace("/opt/lipstage", str(environment)))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    for folder in (build / "source", environment / "share"):
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
    command = ["sh", "install.sh", "--sources"]
    subprocess.run(command, cwd=build, check=True, env={"PATH": os.environ["PATH"]}, umask=0o022)
    (site,) = environment.glob("lib/python3*/site-packages")
    found = [*(site / "shared").rglob("*"), *(environment / "share").rglob("*"), site / "shared", site / "stages"]
    assert {path.suffix for path in found} >= {"", ".py", ".pyc", ".json"}
    for path in (*found, environment / "bin" / "lipstage"):
        wanted = 0o5 if path.is_dir() or path.name == "lipstage" else 0o4
        assert path.stat().st_mode & wanted == wanted, path
    assert __version__ in bill.read_text()
