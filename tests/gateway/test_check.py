"""The check before a submission, by the stages' own workers."""

from pathlib import Path

import httpx
import pytest

from stages.gateway.check.checker import Checker, CheckUnavailable
from tests.conftest import ROOT
from tests.gateway.conftest import Gateway, problem

PORTRAIT = (ROOT / "samples" / "portrait.png").read_bytes()
SPEECH = (ROOT / "samples" / "speech.wav").read_bytes()


def test_what_the_stages_find_is_answered_and_no_file_stays(acme: httpx.Client, gateway: Gateway) -> None:
    answer = acme.post("/v1/check", files={"portrait": PORTRAIT, "speech": SPEECH})
    assert answer.status_code == 200, answer.text
    portrait, speech = answer.json()["portrait"], answer.json()["speech"]
    width, height = portrait["width"], portrait["height"]
    (face,) = portrait["faces"]
    x0, y0, x1, y1 = face["box"]
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    assert 0.5 < face["score"] <= 1
    assert portrait["crop"] == [0, 0, width, height], "the whole picture is animated"
    assert 5 < speech["duration_s"] < 20
    assert speech["speech"] and not speech["silent"]
    assert answer.json()["warnings"] == []
    assert gateway.uploads == []
    assert [path for path in gateway.scratch.rglob("*") if path.is_file() and path.name != "lock"] == []


def test_parameters_of_the_request_count(acme: httpx.Client) -> None:
    form = {"request": '{"params": {"framing": "face", "expand_ratio": 0.1}}'}
    found = acme.post("/v1/check", files={"portrait": PORTRAIT}, data=form).json()["portrait"]
    x0, y0, x1, y1 = found["crop"]
    assert x1 - x0 == y1 - y0 < found["width"], "a square around the face"
    wrong = acme.post("/v1/check", files={"portrait": PORTRAIT}, data={"request": '{"params": {"seed": -1}}'})
    assert problem(wrong, 422, "INVALID_REQUEST")["field"] == "params.seed"


def test_what_a_render_would_be_refused_for_is_told(acme: httpx.Client) -> None:
    found = acme.post("/v1/check", files={"portrait": b"no picture", "speech": b"no sound"}).json()
    assert found["portrait"]["error"]["code"] == "IMAGE_UNREADABLE"
    assert found["speech"]["error"]["code"] == "AUDIO_UNREADABLE"
    assert found["portrait"]["error"]["detail"]


def test_nothing_to_check_is_refused(acme: httpx.Client) -> None:
    problem(acme.post("/v1/check", json={}), 422, "INVALID_REQUEST")


def test_tenants_share_no_process(acme: httpx.Client, beta: httpx.Client) -> None:
    for client in (acme, beta, acme):
        assert client.post("/v1/check", files={"portrait": PORTRAIT}).json()["portrait"]["faces"]


def test_a_stage_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("stages.gateway.check.checker.import_module", missing)
    with pytest.raises(CheckUnavailable, match="face stage is not installed"):
        Checker("face", "portrait", tmp_path, "auto")
