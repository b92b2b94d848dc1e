import hashlib
import json
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.infer.sonic import catalogue
from stages.infer.sonic.derived import described
from stages.infer.sonic.faults import WeightsCode
from stages.infer.sonic.layout import OFFICIAL, TENSOR_PARTS, Part
from stages.infer.sonic.weights import check
from stages.infer.sonic.weights.check import Report
from tests.sonic.weights.conftest import replace, respoken, shapes_of, untold

UNET, VAE = OFFICIAL.files[Part.UNET].path, OFFICIAL.files[Part.VAE].path


def checked(folder: Path, **options: Any) -> Report:
    return check.check(folder, untold, **options)


def row(report: Report, part: Part) -> check.Row:
    return next(one for one in report.rows if one.part is part)


@pytest.fixture
def published(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Part, catalogue.Entry]:
    """Takes the tiny model for the official one, with bytes and SHA-256 published for what they are of that."""
    entries = {}
    for part, entry in catalogue.entries().items():
        if entry.sha256 is not None and (pristine / entry.path).is_file():
            content = (pristine / entry.path).read_bytes()
            entry = changed(entry, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        entries[part] = entry
    sizes = described(pristine, OFFICIAL)
    monkeypatch.setattr(check, "SonicSizes", lambda: sizes)
    monkeypatch.setattr(catalogue, "entries", lambda: entries)
    return entries


def test_a_whole_tree_of_reduced_sizes_has_no_faults_and_nothing_published(pristine: Path) -> None:
    report = checked(pristine)
    assert (report.layout, report.model, report.faults) == ("official", "reduced", [])
    assert {one.part: one.tensors for one in report.rows} == {
        part: len(shapes_of(part)) if part in TENSOR_PARTS else None for part in Part
    }
    assert {(one.size, one.sha256) for one in report.rows} == {("-", "-")}
    assert row(report, Part.DETECTOR).state == "absent"


def test_the_official_sizes_are_held_to_what_is_published(
    pristine: Path, published: dict[Part, catalogue.Entry]
) -> None:
    report = checked(pristine)
    assert (report.model, report.faults) == ("official", [])
    assert (row(report, Part.UNET).size, row(report, Part.UNET).sha256) == ("ok", "ok")
    assert (row(report, Part.VAE).size, row(report, Part.VAE).sha256) == ("unpublished", "unpublished")
    assert row(checked(pristine, quick=True), Part.UNET).sha256 == "unread"


def test_a_file_that_is_not_the_published_one_is_found(tree: Path, published: dict[Part, catalogue.Entry]) -> None:
    content = bytearray((tree / UNET).read_bytes())
    content[len(content) // 2] ^= 1
    replace(tree / UNET, bytes(content))
    report = checked(tree)
    assert (report.faults[0].code, report.faults[0].file) == (WeightsCode.DIGEST_DIFFERS, UNET)
    assert row(report, Part.UNET).state == "refused"
    assert checked(tree, quick=True).faults == []

    respoken(tree / UNET, lambda state: state.update({"conv_in.bias": torch.zeros(65)}))
    report = checked(tree)
    assert {fault.code for fault in report.faults} == {WeightsCode.SIZE_DIFFERS, WeightsCode.SHAPE_DIFFERS}


def test_every_fault_of_every_file_is_in_the_table(tree: Path) -> None:
    respoken(tree / UNET, lambda state: [state.pop("conv_in.bias"), state.update(extra=torch.zeros(2))])
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


def test_an_unreadable_audio_network_does_not_hide_the_others(tree: Path) -> None:
    replace(tree / OFFICIAL.files[Part.AUDIO2TOKEN].path, b"")
    respoken(tree / OFFICIAL.files[Part.AUDIO2BUCKET].path, lambda state: state.pop("proj2.bias"))
    report = checked(tree)
    assert report.model == "reduced"
    assert {(fault.code, fault.key) for fault in report.faults} == {
        (WeightsCode.TRUNCATED, ""),
        (WeightsCode.KEY_MISSING, "proj2.bias"),
    }


def test_sizes_that_cannot_be_read_do_not_end_the_check(tree: Path) -> None:
    replace(tree / OFFICIAL.configs[Part.VAE], b"{")
    replace(tree / VAE, b"<html>")
    report = checked(tree)
    assert report.model == "unknown"
    assert {WeightsCode.CONFIG_INVALID, WeightsCode.WEB_PAGE} <= {fault.code for fault in report.faults}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_found(tree: Path, value: float) -> None:
    respoken(tree / VAE, lambda state: state["decoder.conv_in.bias"].fill_(value))
    (fault,) = checked(tree).faults
    assert (fault.code, fault.key) == (WeightsCode.NOT_FINITE, "decoder.conv_in.bias")


def test_a_flipped_bit_in_an_archive_without_a_published_digest_is_found(tree: Path) -> None:
    content = bytearray((tree / UNET).read_bytes())
    content[len(content) // 2] ^= 1
    replace(tree / UNET, bytes(content))
    assert [fault.code for fault in checked(tree).faults] == [WeightsCode.DAMAGED]


def test_what_is_published_is_what_the_catalogue_says() -> None:
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
