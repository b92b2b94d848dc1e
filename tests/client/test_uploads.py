"""A file that many jobs of a batch use is sent once; every job has an object of its own."""

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.client import Client, JobSpec, Manifest, uploads
from shared.client.connection import Connection
from shared.client.local_files import FileLimits


@pytest.fixture
def calls(client: Client, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The requests with which the client makes objects."""
    counted, s3 = Counter[str](), client.connection.s3

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counted[name] += 1
            return real(*arguments, **options)

        return call

    for name in ("upload_fileobj", "copy_object"):
        monkeypatch.setattr(s3, name, counting(name, getattr(s3, name)))
    return counted


def manifest(folder: Path, speeches: int, rows: int) -> Path:
    for number in range(speeches):
        (folder / f"speech-{number}.wav").write_bytes(b"speech %d" % number)
    path = folder / "jobs.csv"
    lines = (f"portrait.png,speech-{number % speeches}.wav,{number}\n" for number in range(rows))
    path.write_text("portrait,speech,seed\n" + "".join(lines))
    return path


def inputs(connection: Connection, job: str) -> dict[str, bytes]:
    """The objects below a job's input prefix."""
    bucket = connection.storage_settings.input_buckets["inputs"]
    listed = connection.s3.list_objects_v2(Bucket=bucket, Prefix=f"default/{job}/").get("Contents", ())
    return {one["Key"]: connection.s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}


@pytest.mark.usefixtures("portrait")
def test_each_file_of_a_batch_is_sent_once_and_belongs_to_every_job(
    deployment: Connection, client: Client, tmp_path: Path, calls: Counter[str]
) -> None:
    specs = client.batch(manifest(tmp_path, 2, 6))
    jobs = [submission.job_id for submission in client.submit_batch(specs)]
    assert calls == {"upload_fileobj": 3, "copy_object": 9}
    for spec, job in zip(specs, jobs, strict=True):
        assert sorted(inputs(deployment, job).values()) == sorted(
            [spec.portrait.read_bytes(), spec.speech.read_bytes()]
        )
    client.purge(jobs[0], force=True)
    assert not inputs(deployment, jobs[0]), "copies carry the mark of an upload: a purge deletes them"
    assert len(inputs(deployment, jobs[2])) == 2, "the same files of another job stay"


@pytest.mark.usefixtures("portrait")
def test_a_file_is_sent_again_when_its_first_object_is_gone(
    deployment: Connection, client: Client, tmp_path: Path, calls: Counter[str]
) -> None:
    specs = client.batch(manifest(tmp_path, 1, 2))
    first = client.submit(specs[0])
    bucket = deployment.storage_settings.input_buckets["inputs"]
    for key in inputs(deployment, first.job_id):
        deployment.s3.delete_object(Bucket=bucket, Key=key)
    second = client.submit(specs[1])
    assert calls == {"upload_fileobj": 4, "copy_object": 2}
    assert len(inputs(deployment, second.job_id)) == 2


def test_a_file_that_changes_between_two_jobs_is_digested_again(client: Client, portrait: Path, tmp_path: Path) -> None:
    spec = client.job_spec(portrait, portrait)
    known = uploads.Uploads(client.connection)
    before = known.reference(spec.key, portrait)
    portrait.write_bytes(b"another picture")
    assert known.reference(spec.key, portrait).sha256 != before.sha256


def test_as_many_files_are_remembered_as_the_bound_says(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_KNOWN", 3)
    monkeypatch.setattr(uploads, "SETTLED_S", -1.0)
    known = uploads.Uploads(client.connection)
    (tmp_path / "portrait.png").write_bytes(b"p")
    for spec in client.batch(manifest(tmp_path, 8, 8)):
        known.reference(spec.key, spec.speech)
    assert len(known._digests) == 3


def test_a_manifest_keeps_no_specs(tmp_path: Path) -> None:
    """A batch of any size takes as much memory: one spec is alive at a time."""
    (tmp_path / "portrait.png").write_bytes(b"p")
    checked = Manifest(manifest(tmp_path, 1, 20), {}, FileLimits(1, 1), "b1")
    assert len(checked) == 20
    alive = [sum(type(one) is JobSpec for one in gc.get_objects()) for _ in checked]
    assert len(alive) == 20
    assert max(alive) <= 2


def test_a_manifest_that_changes_before_its_first_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "portrait.png").write_bytes(b"p")
    path = manifest(tmp_path, 1, 3)
    checked = Manifest(path, {}, FileLimits(1, 1), "b1")
    path.write_text(path.read_text() + "portrait.png,speech-0.wav,7\n")
    with pytest.raises(uploads.InvalidRequest, match="has changed since it was checked"):
        next(iter(checked))


def test_a_manifest_that_changes_after_its_first_job_is_submitted_as_it_was(tmp_path: Path) -> None:
    """Its text is in memory. To stop would leave half a batch, whose repetition is another one."""
    (tmp_path / "portrait.png").write_bytes(b"p")
    path = manifest(tmp_path, 1, 3)
    checked = iter(Manifest(path, {}, FileLimits(1, 1), "b1"))
    next(checked)
    path.write_text(path.read_text() + "portrait.png,speech-0.wav,7\n")
    assert len(list(checked)) == 2
