"""Weights from the real store."""

import errno
import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shared.runtime.failures import HandlerUnavailable
from shared.runtime.host.weights import catalogue, worker_variables
from shared.storage import weights
from shared.storage.client import connect
from shared.storage.errors import ArtifactAltered, ArtifactMissing, NoSpace
from shared.storage.settings import StorageSettings
from shared.storage.weights import WeightsFile
from tests.cli.conftest import NAMED, Lipstage
from tests.conftest import Infrastructure
from tests.weights.conftest import Program

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGE = bytes(range(256)) * (20 << 10)
"""Five blocks."""


def wanted(content: dict[str, bytes]) -> list[WeightsFile]:
    return [WeightsFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()]


class Progress:
    """What was fetched; runs something when a file is as far as that."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.at: tuple[int, Callable[[], object]] | None = None

    def __call__(self, name: str, done: int, whole: int) -> None:
        self.names.add(name)
        if self.at is not None and done >= self.at[0]:
            act, self.at = self.at[1], None
            act()


class Bucket:
    """A prefix of its own."""

    def __init__(self, client: "S3Client", name: str) -> None:
        self.client, self.name = client, name
        self.prefix = f"weights-{uuid.uuid4().hex[:8]}"
        self.url = f"s3://{name}/{self.prefix}/"

    def put(self, content: dict[str, bytes]) -> None:
        for name, data in content.items():
            self.client.put_object(Bucket=self.name, Key=f"{self.prefix}/{name}", Body=data)


@pytest.fixture
def bucket(stack: Infrastructure) -> Bucket:
    return Bucket(connect(StorageSettings()), stack.stack.bucket)


OFFICIAL = {"Sonic/unet.pth": LARGE, "whisper-tiny/config.json": b"{}", "RIFE/flownet.pkl": b"flow"}


def test_tree_is_fetched_once(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put({**OFFICIAL, "stable-video/unet.safetensors": b"never asked for"})
    progress = Progress()
    assert weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, progress) == sum(
        map(len, OFFICIAL.values())
    )
    assert {name: (tmp_path / name).read_bytes() for name in OFFICIAL} == OFFICIAL
    assert not (tmp_path / "stable-video").exists()
    assert progress.names == set(OFFICIAL)

    again = Progress()
    assert weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, again) == 0
    assert again.names == set()

    bucket.put({"RIFE/flownet.pkl": b"another"})
    assert weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, again) == len(b"another")
    assert (again.names, (tmp_path / "RIFE/flownet.pkl").read_bytes()) == ({"RIFE/flownet.pkl"}, b"another")


def test_partial_file_is_resumed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(OFFICIAL)

    class Interrupted(Exception):
        pass

    def stop() -> None:
        raise Interrupted

    progress = Progress()
    progress.at = (2 << 20, stop)
    with pytest.raises(Interrupted):
        weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, progress)
    partial = tmp_path / "Sonic" / ".unet.pth.partial"
    assert not (tmp_path / "Sonic" / "unet.pth").exists()
    partial_size = partial.stat().st_size
    assert partial_size >= 2 << 20

    starts: list[int] = []
    weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, lambda name, done, of: starts.append(done))
    assert starts[0] == partial_size
    assert (tmp_path / "Sonic" / "unet.pth").read_bytes() == LARGE


def test_partial_file_of_another_version_is_not_resumed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(OFFICIAL)
    progress = Progress()
    progress.at = (2 << 20, lambda: bucket.put({"Sonic/unet.pth": LARGE[::-1]}))
    new = {**OFFICIAL, "Sonic/unet.pth": LARGE[::-1]}
    # One GET reads one version, whatever is put meanwhile; its digest is then the old one's.
    with pytest.raises(ArtifactAltered, match="SHA-256"):
        weights.fetch(bucket.client, bucket.url, wanted(new), tmp_path, progress)
    weights.fetch(bucket.client, bucket.url, wanted(new), tmp_path, Progress())
    assert (tmp_path / "Sonic" / "unet.pth").read_bytes() == LARGE[::-1]


def test_partial_file_of_a_replaced_object_is_discarded(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(OFFICIAL)
    unknown = [WeightsFile(name, None, None) for name in OFFICIAL]

    class Interrupted(Exception):
        pass

    def stop() -> None:
        raise Interrupted

    progress = Progress()
    progress.at = (2 << 20, stop)
    with pytest.raises(Interrupted):
        weights.fetch(bucket.client, bucket.url, unknown, tmp_path, progress)
    bucket.put({"Sonic/unet.pth": LARGE[::-1]})
    weights.fetch(bucket.client, bucket.url, unknown, tmp_path, Progress())
    assert (tmp_path / "Sonic" / "unet.pth").read_bytes() == LARGE[::-1]


def test_altered_file_does_not_get_its_final_name(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put({**OFFICIAL, "RIFE/flownet.pkl": b"wolf"})
    with pytest.raises(ArtifactAltered, match=r"flownet\.pkl"):
        weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, Progress())
    assert not (tmp_path / "RIFE" / "flownet.pkl").exists()


def test_reduced_model_is_fetched_without_digests(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put({**OFFICIAL, "RIFE/flownet.pkl": b"smaller"})
    weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, Progress())
    assert (tmp_path / "RIFE" / "flownet.pkl").read_bytes() == b"smaller"


def test_missing_objects_are_named(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put({"RIFE/flownet.pkl": b"flow"})
    asked = [*wanted(OFFICIAL), WeightsFile("yoloface_v5m.pt", 3, None, optional=True)]
    with pytest.raises(ArtifactMissing, match=r"missing at the source: Sonic/unet\.pth, whisper-tiny/config\.json$"):
        weights.fetch(bucket.client, bucket.url, asked, tmp_path, Progress())
    assert not (tmp_path / "RIFE").exists()


def test_too_little_disk_is_refused(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put(OFFICIAL)
    monkeypatch.setattr(weights, "RESERVE_MB", 1 << 40)
    with pytest.raises(NoSpace):
        weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, Progress())
    assert not list(tmp_path.rglob("*.pth"))


def manifest(content: dict[str, bytes]) -> bytes:
    files = {one.path: {"path": one.path, "bytes": one.bytes, "sha256": one.sha256} for one in wanted(content)}
    return json.dumps({"files": files}).encode()


CONVERTED = {"unet.safetensors": LARGE, "vae.safetensors": b"vae"}


def test_converted_tree_is_fetched_by_its_manifest_last(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put({**CONVERTED, "unet.json": b"{}", "weights.json": manifest(CONVERTED), "readme.txt": b"no"})
    names: list[str] = []
    weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, lambda name, *_: names.append(name))
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {
        *CONVERTED,
        "unet.json",
        "weights.json",
    }
    assert names[-1] == "weights.json"


def test_files_of_an_earlier_layout_are_removed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put({**CONVERTED, "weights.json": manifest(CONVERTED)})
    weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, Progress())
    for name in (*CONVERTED, "weights.json"):
        bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{name}")
    bucket.put(OFFICIAL)
    weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, Progress())
    assert not (tmp_path / "weights.json").exists()
    assert (tmp_path / "Sonic" / "unet.pth").is_file()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", ".hidden", ""])
def test_manifest_with_a_path_outside_is_refused(bucket: Bucket, tmp_path: Path, name: str) -> None:
    bucket.put({"weights.json": manifest({name: b"x"})})
    with pytest.raises(ArtifactAltered, match="not a manifest"):
        weights.fetch(bucket.client, bucket.url, [], tmp_path / "cache", Progress())
    assert not (tmp_path / "outside").exists()


def test_two_processes_fetch_one_folder_in_turn(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(OFFICIAL)
    fetched: list[int] = []

    def fetch() -> None:
        fetched.append(weights.fetch(bucket.client, bucket.url, wanted(OFFICIAL), tmp_path, Progress()))

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fetched) == [0, 0, sum(map(len, OFFICIAL.values()))]


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://UPPER/x", "http://a/b", "s3://a"])
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX"):
        weights.parse(url)


def test_url_is_parsed_into_bucket_and_prefix() -> None:
    assert weights.parse("s3://models/a/b//") == ("models", "a/b/")
    assert weights.parse("s3://models") == weights.parse("s3://models/") == ("models", "")


@pytest.fixture
def sonic_in_the_store(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, bytes]]:
    """A tree with every file that the catalogue names, each of a few bytes."""
    needed = catalogue("sonic")
    assert needed is not None
    content = {one.path: one.path.encode() for one in needed.required_files()}
    bucket.put(content)
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", bucket.url)
    monkeypatch.setenv("LIPSTAGE_WEIGHTS_CACHE", str(tmp_path))
    yield content


def sonic_fetch() -> Callable[[], Mapping[str, str]]:
    fetch = worker_variables("sonic")
    assert fetch is not None
    return fetch


def test_service_reads_fetched_weights_from_a_folder(
    sonic_in_the_store: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker_variables("puppet") is None
    before = dict(os.environ)
    folder = Path(sonic_fetch()()["LIPSTAGE_SONIC_WEIGHTS"])
    assert dict(os.environ) == before
    found: dict[str, Any] = {name: (folder / name).read_bytes() for name in sonic_in_the_store}
    assert found == sonic_in_the_store


def test_ls_reads_the_cache_of_the_running_service(
    lipstage: Lipstage,
    sonic_in_the_store: dict[str, bytes],
    bucket: Bucket,
    stack: Infrastructure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its terminal names no store: that is the stack's, as for the service."""
    sonic_fetch()()
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(stack.stack.state_dir))
    for name in NAMED[:4]:
        monkeypatch.delenv(name, raising=False)
    rows = {row["name"]: row for row in lipstage("weights", "ls", "--json").json}
    assert rows["Sonic/unet.pth"]["state"] == "other size"


def test_fixed_bucket_is_used_at_the_next_attempt(sonic_in_the_store: dict[str, bytes], bucket: Bucket) -> None:
    fetch = sonic_fetch()
    fetch()
    bucket.put({"RIFE/flownet.pkl": b"repaired"})
    folder = Path(fetch()["LIPSTAGE_SONIC_WEIGHTS"])
    assert (folder / "RIFE/flownet.pkl").read_bytes() == b"repaired"


def test_reason_of_an_unready_service_names_no_location(
    sonic_in_the_store: dict[str, bytes], bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Anybody may read it on the health port."""
    fetch = sonic_fetch()
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}/Sonic/unet.pth")
    with pytest.raises(HandlerUnavailable, match=r"missing at the source: Sonic/unet\.pth") as incomplete:
        fetch()
    bucket.put({"weights.json": b"?"})
    with pytest.raises(HandlerUnavailable, match=r"weights\.json is not a manifest") as no_manifest:
        fetch()
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIPSTAGE_WEIGHTS_CACHE", str(tmp_path / "file"))
    with pytest.raises(HandlerUnavailable, match="LIPSTAGE_WEIGHTS_CACHE: Not a directory") as unwritable:
        sonic_fetch()()
    for reason in (incomplete, no_manifest, unwritable):
        assert not [word for word in (bucket.name, bucket.prefix, str(tmp_path)) if word in str(reason.value)]


def test_full_disk_is_waited_for(sonic_in_the_store: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HandlerUnavailable, match="No space left"):
        sonic_fetch()()


def test_check_reads_the_fetched_files(
    sonic_in_the_store: dict[str, bytes],
    bucket: Bucket,
    lipstage: Lipstage,
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program.says({"report": {"layout": "official", "model": "reduced", "rows": [], "faults": []}})
    ran = lipstage("weights", "check", bucket.url, "--accept-licence")
    assert (ran.code, f"{bucket.url}: official layout" in ran.out) == (0, True)
    folder = Path(program.arguments[-1])
    assert folder.is_relative_to(tmp_path)
    assert {name: (folder / name).read_bytes() for name in sonic_in_the_store} == sonic_in_the_store

    bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}/Sonic/unet.pth")
    ran = lipstage("weights", "check", bucket.url)
    assert (ran.code, "ARTIFACT_MISSING" in ran.err, "Sonic/unet.pth" in ran.err) == (2, True, True)
    ran = lipstage("weights", "check", f"s3://no-such-bucket-{bucket.prefix}/x")
    assert (ran.code, "STORE_UNAVAILABLE" in ran.err) == (3, True)
    (tmp_path / "cache-of-another").touch()
    monkeypatch.setenv("LIPSTAGE_WEIGHTS_CACHE", str(tmp_path / "cache-of-another"))
    ran = lipstage("weights", "check", bucket.url)
    assert (ran.code, "LIPSTAGE_WEIGHTS_CACHE" in ran.err) == (1, True)


def test_check_fetches_from_the_store_of_the_running_stack(
    sonic_in_the_store: dict[str, bytes],
    bucket: Bucket,
    lipstage: Lipstage,
    program: Program,
    stack: Infrastructure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The terminal names no object store and has the credentials of another one."""
    program.says({"report": {"layout": "official", "model": "reduced", "rows": [], "faults": []}})
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(stack.stack.state_dir))
    monkeypatch.setenv("AWS_PROFILE", "of-another-store")
    for name in (*NAMED[:4], "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert lipstage("weights", "check", bucket.url, "--accept-licence").code == 0
    folder = Path(program.arguments[-1])
    assert {name: (folder / name).read_bytes() for name in sonic_in_the_store} == sonic_in_the_store
