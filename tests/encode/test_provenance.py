"""The marks in a finished file: C2PA's own reader accepts the manifest, and the metadata names the producer."""

import io
import json
from pathlib import Path

import av
import c2pa
import pytest
from PIL import Image

from shared.slot.api import Cancelled, Task
from shared.slot.marking import Marking
from stages.encode.handler import load
from stages.encode.labels import SOURCE_TYPE
from stages.encode.provenance.aigc import aigc_field
from stages.encode.provenance.manifest import embed_manifest
from tests.encode.c2pa_files import MANIFEST, boxes, local_signer, read, without_manifest
from tests.encode.test_handler import chunks, inputs, job
from tests.stage_harness import StageHarness

AIGC = {
    "Label": "1",
    "ContentProducer": "acme",
    "ProduceID": "j",
    "ReservedCode1": "",
    "ContentPropagator": "",
    "PropagateID": "",
    "ReservedCode2": "",
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], bytes, str]:
    """Two renders of one request with all marks, a poster, and the signer's authority."""
    folder = tmp_path_factory.mktemp("rendered")
    signer, anchor = local_signer(folder)
    marking = Marking(producer="acme", signing=signer.signing(MANIFEST))
    frames, handler, task = chunks(folder / "chunks"), load(), Task(job=job(), inputs=inputs(folder), marking=marking)
    videos, poster = [], b""
    for name in ("a", "b"):
        harness = StageHarness(folder / name, {"frames": frames}, signer=lambda data: signer.sign(data, MANIFEST))
        result = handler(harness, task)
        assert {path.name for path in (folder / name).iterdir()} == {"video.mp4", "poster.jpg"}
        videos.append(result.files["video"].read_bytes())
        poster = result.files["poster"].read_bytes()
        assert result.metadata.model_dump()["bytes"] == len(videos[-1])
    return videos, poster, anchor


def test_manifest_is_valid_and_trusted_with_its_authority_alone(rendered: tuple[list[bytes], bytes, str]) -> None:
    (video, _), _, anchor = rendered
    assert read(video)[:2] == ("Valid", ["signingCredential.untrusted"])
    assert read(video, anchor)[:2] == ("Trusted", [])


def test_manifest_says_how_the_video_was_made_and_nothing_of_the_user(
    rendered: tuple[list[bytes], bytes, str],
) -> None:
    manifest = read(rendered[0][0])[2]
    (actions,) = [one["data"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")]
    (action,) = actions["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", SOURCE_TYPE)
    assert action["softwareAgent"]["name"] == manifest["claim_generator_info"][0]["name"] == "lipstage"
    assert action["parameters"]["org.lipstage.engine"] == "puppet"
    assert manifest["label"] == MANIFEST
    kept = {"title", "relationship", "label"}
    assert [set(one) <= kept and one["title"] for one in manifest["ingredients"]] == ["Portrait", "Speech recording"]
    assert {one["relationship"] for one in manifest["ingredients"]} == {"inputTo"}
    request = job().request
    assert not [key for key in (request.portrait.key, request.speech.key, "thumbnail") if key in json.dumps(manifest)]


@pytest.mark.parametrize("box", ["moov", "mdat"])
def test_one_changed_byte_is_found(rendered: tuple[list[bytes], bytes, str], box: str) -> None:
    (video, _), _, anchor = rendered
    changed = bytearray(video)
    changed[video.index(box.encode()) + 100] ^= 1
    state, failures, _ = read(bytes(changed), anchor)
    assert (state, failures) == ("Invalid", ["assertion.bmffHash.mismatch"])


def test_index_is_in_front_and_the_media_are_the_same_again(rendered: tuple[list[bytes], bytes, str]) -> None:
    videos, _, _ = rendered
    names = [name for name, _ in boxes(videos[0])]
    assert names[:3] == ["ftyp", "uuid", "moov"]
    assert names.index("moov") < names.index("mdat")
    assert videos[0] != videos[1], "each assertion has a random salt"
    assert without_manifest(videos[0]) == without_manifest(videos[1])
    with av.open(io.BytesIO(videos[0])) as file:
        assert sum(1 for _ in file.decode(video=0)) == 60


def test_metadata_have_the_aigc_field_beside_title_and_comment(rendered: tuple[list[bytes], bytes, str]) -> None:
    videos, poster, _ = rendered
    with av.open(io.BytesIO(videos[0])) as file:
        tags = dict(file.metadata)
    assert json.loads(tags["AIGC"]) == AIGC
    assert tags["title"] == "Synthetic talking head"
    assert "did not say this" in tags["comment"]
    assert SOURCE_TYPE in tags["description"]
    with Image.open(io.BytesIO(poster)) as picture:
        packet = picture.info["xmp"].decode()
    assert b"did not say this" in poster
    assert f"<TC260:AIGC>{aigc_field('acme', 'j')}</TC260:AIGC>" in packet.replace("&quot;", '"')
    assert SOURCE_TYPE in packet


def test_cancel_while_the_signature_is_awaited_stops_the_work(tmp_path: Path) -> None:
    def cancelled(_: bytes) -> bytes:
        raise Cancelled

    signer, _ = local_signer(tmp_path)
    marking = Marking(signing=signer.signing(MANIFEST))
    harness = StageHarness(tmp_path / "scratch", {"frames": chunks(tmp_path / "chunks")}, signer=cancelled)
    with pytest.raises(Cancelled):
        load()(harness, Task(job=job(), inputs=inputs(tmp_path), marking=marking))


def test_file_that_is_no_mp4_is_an_error(tmp_path: Path) -> None:
    signer, _ = local_signer(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(c2pa.C2paError):
        embed_manifest(tmp_path / "v.mp4", tmp_path / "o.mp4", "puppet", signer.signing(MANIFEST), lambda _: b"")
