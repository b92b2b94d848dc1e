import json
from pathlib import Path

import pytest

from shared.local import shipped_weights
from tests.cli.conftest import Lipstage


def test_shipped_weights_are_as_committed(lipstage: Lipstage) -> None:
    ran = lipstage("weights", "check", "--json")
    assert ran.code == 0
    assert {(entry["owner"], entry["fault"]) for entry in ran.json} == {
        ("audio", None),
        ("encode/evaluation", None),
        ("face", None),
        ("infer/puppet", None),
        ("shared", None),
    }
    listed = [row for row in lipstage("weights", "ls", "--json").json if row["owner"] != "infer/sonic"]
    assert [(row["name"], row["state"]) for row in listed] == [(entry["name"], "ok") for entry in ran.json]


@pytest.mark.parametrize(
    ("content", "fault"), [(b"ab", "2 bytes instead of 3"), (b"abd", "SHA-256"), (None, "missing")]
)
def test_damage_is_found(tmp_path: Path, content: bytes | None, fault: str) -> None:
    folder = tmp_path / "face" / "weights"
    folder.mkdir(parents=True)
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc", FIPS 180-2
    (folder / "weights.json").write_text(json.dumps({"a.onnx": {"size": 3, "sha256": sha256}}))
    if content is not None:
        (folder / "a.onnx").write_bytes(content)
    (found,) = shipped_weights.shipped(tmp_path)
    assert found.owner == "face"
    assert fault in (found.fault() or "")


def test_weights_are_not_converted_into_a_file(lipstage: Lipstage, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    ran = lipstage("weights", "convert", tmp_path, tmp_path / "out")
    assert (ran.code, "is not a directory" in ran.err) == (2, True)
    assert (tmp_path / "out").read_bytes() == b"mine"
