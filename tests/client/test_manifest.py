from pathlib import Path

import pytest

from shared.client import Client, InvalidManifest, InvalidRequest, JobSpec, manifest
from shared.client.request_fields import Fields
from shared.messages.refs import InputRef


def check(portrait: Path, speech: Path, fields: Fields) -> JobSpec:
    return JobSpec.checked(portrait, speech, fields, max_portrait_mb=1, max_speech_mb=1)


def test_csv_lines_become_requests(portrait: Path, speech: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(
        "portrait,speech,job_id,dynamic_scale,labels.take,blinks,params.face\n"
        'portrait.png,speech.wav,a,1.5,7,false,"[0, 0, 10, 10]"\n'
        "portrait.png,speech.wav,,,,,\n"
    )
    first, second = manifest.read(path, {"lane": "bulk"}, check)
    ref = InputRef(key="default/x")
    request = first.request(ref, ref)
    assert request.job_id == "a"
    assert request.params.dynamic_scale == 1.5
    assert request.params.face == (0, 0, 10, 10)
    assert request.labels == {"take": "7"}, "a label is text, whatever it looks like"
    assert request.engine_params == {"blinks": False}
    assert request.lane == "bulk"
    assert request.batch is not None
    assert (request.batch.index, request.batch.total) == (0, 2)
    other = second.request(ref, ref)
    assert other.batch is not None
    assert other.batch.id == request.batch.id
    assert other.job_id != request.job_id
    assert other.params.dynamic_scale == 1.0


def test_a_line_overrides_the_defaults(portrait: Path, speech: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"portrait": "portrait.png", "speech": "speech.wav", "params": {"seed": 3}}\n')
    (one,) = manifest.read(path, {"params": {"seed": 1, "inference_steps": 30}}, check)
    request = one.request(InputRef(key="default/x"), InputRef(key="default/x"))
    assert (request.params.seed, request.params.inference_steps) == (3, 30)


def test_a_field_of_any_name_is_judged_as_a_request_field(portrait: Path, speech: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"portrait": "portrait.png", "speech": "speech.wav", "self": 1}\n')
    with pytest.raises(InvalidManifest, match="line 1: self"):
        Client().batch(path)


def test_a_manifest_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes("portrait,speech\nM\u00fcller.png,a.wav\n".encode("latin-1"))
    with pytest.raises(InvalidRequest, match="UTF-8"):
        manifest.read(path, {}, check)
