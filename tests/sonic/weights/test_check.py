import hashlib
import json
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.infer.sonic.weights import catalogue, check
from stages.infer.sonic.weights.check import Report
from stages.infer.sonic.weights.faults import WeightsCode
from stages.infer.sonic.weights.layout import OFFICIAL, TENSOR_PARTS, Part
from stages.infer.sonic.weights.tree_config import read_json_config
from tests.sonic.weights.conftest import no_progress, replace, save_changed, shapes_of

UNET, VAE = OFFICIAL.files[Part.UNET].path, OFFICIAL.files[Part.VAE].path


def checked(folder: Path, **options: Any) -> Report:
    return check.check(folder, no_progress, **options)


def row(report: Report, part: Part) -> check.Row:
    return next(one for one in report.rows if one.part is part)


@pytest.fixture
def published(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Part, catalogue.Entry]:
    """Treat the tiny model as the official one: publish bytes and SHA-256 of the files that have them."""
    entries = {}
    for part, entry in catalogue.entries().items():
        if entry.sha256 is not None and (pristine / entry.path).is_file():
            content = (pristine / entry.path).read_bytes()
            entry = changed(entry, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        entries[part] = entry
    config = read_json_config(pristine, OFFICIAL)
    monkeypatch.setattr(check, "SonicConfig", lambda: config)
    monkeypatch.setattr(catalogue, "entries", lambda: entries)
    return entries


def test_complete_reduced_tree_has_no_faults(pristine: Path) -> None:
    report = checked(pristine)
    assert (report.layout, report.model, report.faults) == ("official", "reduced", [])
    assert {one.part: one.tensors for one in report.rows} == {
        part: len(shapes_of(part)) if part in TENSOR_PARTS else None for part in Part
    }
    assert {(one.size, one.sha256) for one in report.rows} == {("-", "-")}
    assert row(report, Part.DETECTOR).state == "absent"


def test_official_model_is_compared_with_published_digests(
    pristine: Path, published: dict[Part, catalogue.Entry]
) -> None:
    report = checked(pristine)
    assert (report.model, report.faults) == ("official", [])
    assert (row(report, Part.UNET).size, row(report, Part.UNET).sha256) == ("ok", "ok")
    assert (row(report, Part.VAE).size, row(report, Part.VAE).sha256) == ("unpublished", "unpublished")
    assert row(checked(pristine, quick=True), Part.UNET).sha256 == "unread"


def test_altered_official_file_is_reported(tree: Path, published: dict[Part, catalogue.Entry]) -> None:
    content = bytearray((tree / UNET).read_bytes())
    content[len(content) // 2] ^= 1
    replace(tree / UNET, bytes(content))
    report = checked(tree)
    assert (report.faults[0].code, report.faults[0].file) == (WeightsCode.DIGEST_DIFFERS, UNET)
    assert row(report, Part.UNET).state == "refused"
    assert checked(tree, quick=True).faults == []

    save_changed(tree / UNET, lambda state: state.update({"conv_in.bias": torch.zeros(65)}))
    report = checked(tree)
    assert {fault.code for fault in report.faults} == {WeightsCode.SIZE_DIFFERS, WeightsCode.SHAPE_DIFFERS}


def test_every_fault_of_every_file_is_reported(tree: Path) -> None:
    save_changed(tree / UNET, lambda state: [state.pop("conv_in.bias"), state.update(extra=torch.zeros(2))])
    replace(tree / VAE, (tree / VAE).read_bytes()[:1000])
    (tree / OFFICIAL.files[Part.RIFE].path).unlink()
    report = checked(tree)
    assert {(fault.code, fault.file, fault.key) for fault in report.faults} == {
        (WeightsCode.KEY_MISSING, UNET, "conv_in.bias"),
        (WeightsCode.KEY_UNEXPECTED, UNET, "extra"),
        (WeightsCode.TRUNCATED, VAE, ""),
        (WeightsCode.FILE_MISSING, OFFICIAL.files[Part.RIFE].path, ""),
    }
    assert {one.part for one in report.rows if one.state == "refused"} == {Part.UNET, Part.VAE, Part.RIFE}


def test_unreadable_audio_network_does_not_hide_other_faults(tree: Path) -> None:
    replace(tree / OFFICIAL.files[Part.AUDIO2TOKEN].path, b"")
    save_changed(tree / OFFICIAL.files[Part.AUDIO2BUCKET].path, lambda state: state.pop("proj2.bias"))
    report = checked(tree)
    assert report.model == "reduced"
    assert {(fault.code, fault.key) for fault in report.faults} == {
        (WeightsCode.TRUNCATED, ""),
        (WeightsCode.KEY_MISSING, "proj2.bias"),
    }


def test_invalid_config_does_not_end_the_check(tree: Path) -> None:
    replace(tree / OFFICIAL.configs[Part.VAE], b"{")
    replace(tree / VAE, b"<html>")
    report = checked(tree)
    assert report.model == "unknown"
    assert {WeightsCode.CONFIG_INVALID, WeightsCode.WEB_PAGE} <= {fault.code for fault in report.faults}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_reported(tree: Path, value: float) -> None:
    save_changed(tree / VAE, lambda state: state["decoder.conv_in.bias"].fill_(value))
    (fault,) = checked(tree).faults
    assert (fault.code, fault.key) == (WeightsCode.NOT_FINITE, "decoder.conv_in.bias")


def test_flipped_bit_in_an_archive_is_reported_without_a_published_digest(tree: Path) -> None:
    content = bytearray((tree / UNET).read_bytes())
    content[len(content) // 2] ^= 1
    replace(tree / UNET, bytes(content))
    assert [fault.code for fault in checked(tree).faults] == [WeightsCode.DAMAGED]


def test_catalogue_is_complete_and_consistent() -> None:
    entries = catalogue.entries()
    assert set(entries) == set(Part)
    assert {part: entry.path for part, entry in entries.items()} == {p: f.path for p, f in OFFICIAL.files.items()}
    listed = json.loads(catalogue.FILE.read_text())
    assert set(listed["configs"]) == set(OFFICIAL.configs.values())
    for entry in entries.values():
        assert entry.licence in listed["licences"]
        if entry.bytes and entry.parameters:
            # float32, and for each of at most 1492 tensors an entry of an archive
            assert 0 < entry.bytes - 4 * entry.parameters < 1492 * 500
        assert entry.sha256 is None or len(entry.sha256) == 64
