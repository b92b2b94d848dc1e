"""``lipstage weights`` where there is no torch: a program stands in for the one that opens the files."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from shared.cli import licence
from shared.local import engine_python
from shared.runtime.host import weights
from tests.cli.conftest import Lipstage
from tests.weights.conftest import Program

NOTICE = "The model's weights are for non-commercial use only."


ROW = {"part": "unet", "path": "Sonic/unet.pth", "bytes": 12, "size": "differs", "sha256": "-", "tensors": None,
       "state": "refused"}  # fmt: skip
FAULT = {"code": "SIZE_DIFFERS", "file": "Sonic/unet.pth", "key": "bytes", "expected": "6303636358", "found": "12"}


def report(*faults: dict[str, str]) -> dict[str, Any]:
    return {"report": {"layout": "official", "model": "official", "rows": [ROW], "faults": list(faults)}}


def test_ls_lists_missing_weights(lipstage: Lipstage) -> None:
    rows = {row["name"]: row for row in lipstage("weights", "ls", "--json").json}
    unet = rows["Sonic/unet.pth"]
    assert (unet["owner"], unet["size"], unet["licence"]) == ("infer/sonic", 6303636358, "CC BY-NC-SA 4.0")
    assert (unet["state"], unet["folder"]) == ("missing", "")
    assert unet["sha256"].startswith("2fb0b0b8fe07")
    assert rows["visemes.onnx"]["state"] == "ok"
    printed = lipstage("weights", "ls").out
    assert NOTICE in printed
    assert "LIPSTAGE_SONIC_WEIGHTS" in printed


def test_ls_reads_the_configured_folder(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Sonic").mkdir()
    (tmp_path / "Sonic" / "unet.pth").write_bytes(b"short")
    (tmp_path / "whisper-tiny").mkdir()
    (tmp_path / "whisper-tiny" / "model.safetensors").write_bytes(b"nothing is published of it")
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", str(tmp_path))
    rows = {row["name"]: row for row in lipstage("weights", "ls", "--json").json}
    assert (rows["Sonic/unet.pth"]["state"], rows["Sonic/unet.pth"]["folder"]) == ("other size", str(tmp_path))
    assert (rows["whisper-tiny/model.safetensors"]["state"], rows["whisper-tiny/model.safetensors"]["size"]) == (
        "found",
        26,
    )
    assert rows["RIFE/flownet.pkl"]["state"] == "missing"
    assert rows["yoloface_v5m.pt"]["state"] == "missing, optional"


@pytest.mark.parametrize("named", ["weights", "~/weights"])
def test_service_and_ls_resolve_the_same_folder(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    (tmp_path / "weights" / "RIFE").mkdir(parents=True)
    (tmp_path / "weights" / "RIFE" / "flownet.pkl").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", named)
    rows = {row["name"]: row for row in lipstage("weights", "ls", "--json").json}
    assert rows["RIFE/flownet.pkl"]["folder"] == str(tmp_path / "weights")
    assert rows["RIFE/flownet.pkl"]["state"] == "other size"
    fetch = weights.worker_variables("sonic")
    assert fetch is not None
    assert fetch() == {"LIPSTAGE_SONIC_WEIGHTS": str(tmp_path / "weights")}
    assert os.environ["LIPSTAGE_SONIC_WEIGHTS"] == named


def test_default_cache_is_in_the_state_folder_whatever_the_current_one_is(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LIPSTAGE_WEIGHTS_CACHE")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert weights.WeightsSettings().cache == tmp_path / "state" / "weights"


def test_ls_lists_a_converted_tree(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry = {"bytes": 3, "sha256": "ab" * 32, "origin": {"path": "Sonic/unet.pth"}}
    (tmp_path / "weights.json").write_text(json.dumps({"files": {"unet.safetensors": entry}}))
    (tmp_path / "unet.safetensors").write_bytes(b"abc")
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", str(tmp_path))
    (row,) = [row for row in lipstage("weights", "ls", "--json").json if row["owner"] == "infer/sonic"]
    assert (row["name"], row["state"], row["licence"]) == ("unet.safetensors", "found", "CC BY-NC-SA 4.0")


def test_invalid_location_is_bad_use(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", "s3://UPPER")
    ran = lipstage("weights", "ls")
    assert (ran.code, "LIPSTAGE_SONIC_WEIGHTS" in ran.err) == (2, True)
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", "~nobody-of-that-name/weights")
    ran = lipstage("weights", "ls")
    assert (ran.code, "LIPSTAGE_SONIC_WEIGHTS" in ran.err) == (2, True)
    monkeypatch.delenv("LIPSTAGE_SONIC_WEIGHTS")
    ran = lipstage("weights", "check", "s3://", "--accept-licence")
    assert (ran.code, "s3://BUCKET/PREFIX" in ran.err) == (2, True)


def test_check_without_torch_names_the_setup_command(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LIPSTAGE_SONIC_PYTHON", raising=False)
    monkeypatch.setattr(engine_python, "ROOT", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = lipstage("weights", "check", tmp_path, "--accept-licence")
    assert ran.code == 1
    assert "TORCH_MISSING" in ran.err
    assert "make setup-sonic" in ran.err


def test_licence_is_shown_once_and_remembered(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    program.says(report())
    ran = lipstage("weights", "check", tmp_path)
    assert (ran.code, NOTICE in ran.err, "LICENCE_NOT_ACCEPTED" in ran.err) == (2, True, True)
    assert not program.asked.exists()

    ran = lipstage("weights", "check", tmp_path, "--accept-licence")
    assert (ran.code, NOTICE in ran.err) == (0, True)
    assert "CC BY-NC-SA 4.0" in json.loads((tmp_path / "state" / licence.FILE).read_text())["sonic"]["licences"]

    ran = lipstage("weights", "check", tmp_path)
    assert (ran.code, NOTICE in ran.err) == (0, False)


def test_changed_licences_must_be_accepted_again(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    program.says(report())
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / licence.FILE).write_text(json.dumps({"sonic": {"accepted": "then", "licences": "MIT"}}))
    assert lipstage("weights", "check", tmp_path).code == 2


def test_faults_are_a_table_and_exit_with_2(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    program.says({"progress": {"part": "unet", "doing": "digest", "bytes": 1, "of": 100 << 20}}, report(FAULT), code=2)
    ran = lipstage("weights", "check", tmp_path, "--quick", "--accept-licence")
    assert ran.code == 2
    assert "unet: digest 100 MiB" in ran.err
    assert "refused  12     differs  -       -        Sonic/unet.pth" in ran.out
    assert "SIZE_DIFFERS  bytes  6303636358  12     Sonic/unet.pth" in ran.out
    assert "1 faults in 1 files" in ran.out
    assert program.arguments[5:] == ["check", str(tmp_path), "--quick"]
    assert lipstage("weights", "check", tmp_path, "--json").json["faults"] == [FAULT]


def test_many_faults_of_a_file_are_truncated(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    program.says(report(*[FAULT] * 40), code=2)
    ran = lipstage("weights", "check", tmp_path, "--accept-licence")
    assert ran.out.count("SIZE_DIFFERS") == 12
    assert "and 28 more of Sonic/unet.pth" in ran.out


def test_refusal_shows_its_code(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    refusal = {"code": "NO_SPACE", "message": "out: expected 9 MiB, found 3 MiB free", "faults": [FAULT]}
    program.says({"refused": refusal}, code=2)
    ran = lipstage("weights", "convert", tmp_path, tmp_path / "out", "--accept-licence")
    assert (ran.code, "NO_SPACE: out: expected 9 MiB" in ran.err) == (2, True)
    given = json.loads(program.arguments[-1])
    assert "CC BY-NC-SA 4.0" in given["licences"]


def test_crash_of_the_program_is_an_error_of_its_own(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    program.says(code=1, complains="Traceback\nMemoryError: 3 GB")
    ran = lipstage("weights", "check", tmp_path, "--accept-licence")
    assert (ran.code, "MemoryError: 3 GB" in ran.err) == (1, True)


def test_program_gets_no_credentials(
    lipstage: Lipstage, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    program.says(report())
    lipstage("weights", "check", tmp_path, "--accept-licence")
    assert not [name for name in program.environment if name.startswith("AWS_")]


def test_unknown_dtype_is_bad_use(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    program.says()
    ran = lipstage("weights", "convert", tmp_path, tmp_path / "out", "--dtype", "int4")
    assert (ran.code, "float16, bfloat16, float32" in ran.err) == (2, True)


def test_engine_with_shipped_weights_has_nothing_to_check(lipstage: Lipstage, program: Program, tmp_path: Path) -> None:
    program.says(report())
    ran = lipstage("weights", "check", tmp_path, "--engine", "puppet", "--accept-licence")
    assert (ran.code, "engines with weights of their own are sonic" in ran.err) == (2, True)
    assert lipstage("weights", "check", tmp_path, "--engine", "sonic", "--accept-licence").code == 0
