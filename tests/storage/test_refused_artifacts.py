"""The artifact bucket: a refusal of one object or prefix is distinguished from a refusal of everything."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shared.messages.codes import Code
from shared.messages.refs import ArtifactRef
from shared.messages.task import StageOutput
from shared.storage import keys, markers
from shared.storage.artifacts import ArtifactStore, FileChanged
from shared.storage.bucket import ensure
from shared.storage.cache import StageCache
from shared.storage.documents import DocumentStore
from shared.storage.errors import ArtifactMissing, ArtifactRefused, OutputRefused, StoreUnavailable
from shared.storage.settings import StorageSettings
from tests.storage.faulty import FaultyStore, about

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROBE = keys.probe("jobs/rich/job")
Use = Callable[["Storage", str, Path], object]


class Storage:
    """The stores of a service that connects through the proxy."""

    def __init__(self, client: "S3Client", settings: StorageSettings) -> None:
        self.artifacts, self.documents = ArtifactStore(client, settings), DocumentStore(client, settings)
        self.cache = StageCache(self.artifacts, self.documents, settings)


@pytest.fixture
def through(faulty: FaultyStore, connecting, settings: StorageSettings) -> Storage:
    return Storage(connecting(settings), settings)


def _ref(tenant: str, job: str = "job") -> ArtifactRef:
    return ArtifactRef(key=f"jobs/{tenant}/{job}/face/a1/image.npy", sha256="0" * 64, size=5)


WRITES: dict[str, Use] = {
    "an artifact": lambda s, tenant, file: s.artifacts.put(file, _ref(tenant).key),
    "a manifest": lambda s, tenant, _: s.artifacts.put_bytes(b"{}", _ref(tenant).key),
    "a document": lambda s, tenant, _: s.documents.put(keys.end(tenant, uuid4().hex), {}),
    "a claim": lambda s, tenant, _: s.documents.put_once(keys.end(tenant, uuid4().hex), {}),
}
READS: dict[str, Use] = {
    "an artifact": lambda s, tenant, file: s.artifacts.get(_ref(tenant, "none"), file.with_name("back")),
    "a manifest": lambda s, tenant, _: s.artifacts.get_bytes(_ref(tenant, "none"), 100),
    "a look": lambda s, tenant, _: s.artifacts.exists(_ref(tenant, "none")),
    "a document": lambda s, tenant, _: markers.read_end(s.documents, tenant, "job"),
    "a list": lambda s, tenant, _: list(s.artifacts.list_prefix(f"jobs/{tenant}/")),
}
ALL = [("PUT", name, use) for name, use in WRITES.items()] + [("GET HEAD", name, use) for name, use in READS.items()]
REFUSALS = [(403, "AccessDenied"), (400, "InvalidRequest"), (400, "KMS.DisabledException"), (405, "MethodNotAllowed")]


def used(use: Use, storage: Storage, tenant: str, file: Path) -> None:
    """Run the operation; a missing object counts as success."""
    try:
        use(storage, tenant, file)
    except ArtifactMissing:
        return


@pytest.mark.parametrize(("methods", "name", "use"), ALL, ids=[f"{m} {n}" for m, n, _ in ALL])
@pytest.mark.parametrize(("status", "code"), REFUSALS, ids=[code for _, code in REFUSALS])
def test_refusal_of_one_tenant_is_no_outage(
    through: Storage, faulty: FaultyStore, file: Path, methods: str, name: str, use: Use, status: int, code: str
) -> None:
    faulty.refuse(about("jobs/poor", *methods.split()), status, code)
    with pytest.raises(ArtifactRefused) as caught:
        use(through, "poor", file)
    assert caught.value.code is Code.ARTIFACT_REFUSED
    used(use, through, "rich", file)


@pytest.mark.parametrize(("methods", "name", "use"), ALL, ids=[f"{m} {n}" for m, n, _ in ALL])
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (403, "InvalidAccessKeyId")])
def test_refusal_of_everything_is_an_outage(
    through: Storage, faulty: FaultyStore, file: Path, methods: str, name: str, use: Use, status: int, code: str
) -> None:
    faulty.refuse(about("/lipstage", *methods.split()), status, code)
    with pytest.raises(StoreUnavailable):
        use(through, "rich", file)


def test_missing_artifact_bucket_is_an_outage(through: Storage, faulty: FaultyStore, file: Path) -> None:
    faulty.refuse(about("/lipstage"), 404, "NoSuchBucket")
    for use in (*WRITES.values(), READS["an artifact"], READS["a document"]):
        with pytest.raises(StoreUnavailable):
            use(through, "rich", file)


def test_missing_list_permission_is_an_outage(through: Storage, faulty: FaultyStore, client, file: Path) -> None:
    """Without it a missing object is answered with 403: every marker that does not exist yet would fail its job."""
    client.delete_object(Bucket="lipstage", Key=PROBE)
    present: list[bool] = []

    def missing(method: str, path: str) -> bool:
        present.extend([True] if method == "PUT" and PROBE in path else [])
        return method in ("GET", "HEAD") and (PROBE not in path or not present)

    faulty.refuse(missing, 403, "AccessDenied")
    with pytest.raises(StoreUnavailable):
        through.documents.get(keys.marker("rich", "job", "face"))


@pytest.mark.parametrize("closed", ["frames/", "cache/", "jobs/"])
def test_policy_without_one_of_our_prefixes_is_an_outage(through: Storage, faulty: FaultyStore, closed: str) -> None:
    faulty.refuse(about(f"/lipstage/{closed}"), 403, "AccessDenied")
    with pytest.raises(StoreUnavailable):
        through.artifacts.put_bytes(b"x", f"{closed}rich/job/face/a1")


def test_probe_result_is_cached(through: Storage, faulty: FaultyStore) -> None:
    faulty.refuse(about("jobs/poor"), 403, "AccessDenied")
    for _ in range(10):
        with pytest.raises(ArtifactRefused):
            through.documents.put(keys.end("poor", "job"), {})
    assert sum(PROBE in path for _, path in faulty.requests) == 1


def test_probe_during_an_outage_is_an_outage(through: Storage, faulty: FaultyStore) -> None:
    faulty.refuse(about("jobs/poor"), 403, "AccessDenied")
    faulty.refuse(about(PROBE), 503, "SlowDown")
    with pytest.raises(StoreUnavailable):
        through.documents.put(keys.end("poor", "job"), {})


def test_missing_delete_permission_is_no_outage(through: Storage, faulty: FaultyStore) -> None:
    faulty.refuse(about("delete", "POST"), 403, "AccessDenied")
    with pytest.raises(ArtifactRefused):
        through.artifacts.delete(["jobs/rich/job/a"])


def test_refused_cached_output_is_a_miss(through: Storage, faulty: FaultyStore, file: Path) -> None:
    ref = through.artifacts.put(file, keys.within(keys.cache_prefix("rich", "face", "d1", "a1"), "image.npy"))
    through.cache.store("rich", "face", "d1", StageOutput(attempt="a1", artifacts={"image": ref}))
    assert through.cache.lookup("rich", "face", "d1") is not None
    faulty.refuse(about("image.npy", "HEAD", "GET"), 403, "AccessDenied")
    assert through.cache.lookup("rich", "face", "d1") is None


@pytest.fixture
def outputs(client, settings: StorageSettings, faulty: FaultyStore, connecting) -> ArtifactStore:
    named = settings.model_copy(update={"output_buckets": {"films": "films-bucket"}})
    ensure(client, named)
    return ArtifactStore(connecting(named), named)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDenied", OutputRefused),
        (404, "NoSuchBucket", OutputRefused),
        (400, "KMS.DisabledException", OutputRefused),
        (403, "SignatureDoesNotMatch", StoreUnavailable),
        (400, "ExpiredToken", StoreUnavailable),
        (503, "SlowDown", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
    ],
)
def test_copy_refused_by_the_output_bucket_raises_output_refused(
    outputs: ArtifactStore, faulty: FaultyStore, file: Path, status: int, code: str, error: type[Exception]
) -> None:
    ref = outputs.put(file, _ref("rich").key)
    faulty.refuse(about("films-bucket/", "PUT"), status, code)
    with pytest.raises(error):
        outputs.copy(ref, "films", "rich/a/video.mp4")


def test_copy_with_a_refused_source_raises_artifact_refused(
    outputs: ArtifactStore, faulty: FaultyStore, file: Path
) -> None:
    ref = outputs.put(file, _ref("poor").key)
    faulty.refuse(lambda method, path: "films-bucket/" in path or ("jobs/poor" in path), 403, "AccessDenied")
    with pytest.raises(ArtifactRefused):
        outputs.copy(ref, "films", "poor/a/video.mp4")


@pytest.mark.parametrize("code", ["QuotaExceeded", "XMinioAdminBucketQuotaExceeded"])
def test_full_output_bucket_raises_output_refused(
    outputs: ArtifactStore, faulty: FaultyStore, file: Path, code: str
) -> None:
    ref = outputs.put(file, _ref("rich").key)
    faulty.refuse(about("films-bucket/", "PUT"), 403, code)
    with pytest.raises(OutputRefused, match=code):
        outputs.copy(ref, "films", "rich/a/video.mp4")


def test_copy_to_an_unknown_alias_raises_output_refused(outputs: ArtifactStore, file: Path) -> None:
    with pytest.raises(OutputRefused, match="alias"):
        outputs.copy(outputs.put(file, _ref("rich").key), "elsewhere", "rich/a/video.mp4")


def test_file_that_shrinks_during_upload_raises_file_changed(
    through: Storage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(**_: object) -> None:
        file.write_bytes(b"less")
        raise StoreUnavailable("the body ended too soon")

    monkeypatch.setattr(through.artifacts.client, "put_object", cut_off)
    with pytest.raises(FileChanged):
        through.artifacts.put(file, _ref("rich").key)
