"""The cache of stage outputs."""

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from shared.messages.task import StageOutput
from shared.storage import keys
from shared.storage.artifacts import ArtifactStore
from shared.storage.cache import StageCache
from shared.storage.documents import Document, DocumentStore
from shared.storage.settings import StorageSettings

INPUTS = {"portrait": "a" * 64}


@pytest.fixture
def digest(cache: StageCache) -> str:
    return cache.digest("default", "face", uuid4().hex, INPUTS, {"expand_ratio": 0.18})


@pytest.fixture
def output(artifacts: ArtifactStore, file: Path, digest: str) -> StageOutput:
    ref = artifacts.put(file, keys.within(keys.cache_prefix("default", "face", digest, "a1"), "image.npy"))
    return StageOutput(attempt="a1", artifacts={"image": ref}, metadata={"width": 512})


def test_hit_names_the_same_objects(cache: StageCache, digest: str, output: StageOutput) -> None:
    assert cache.lookup("default", "face", digest) is None
    cache.store("default", "face", digest, output)
    assert cache.lookup("default", "face", digest) == output.model_copy(update={"cached": True})


def test_digest_depends_on_every_part(cache: StageCache) -> None:
    base = ("default", "face", "1", INPUTS, {"a": 1, "b": 2})
    others = [
        ("other", *base[1:]),
        ("default", "audio", *base[2:]),
        (*base[:2], "2", *base[3:]),
        (*base[:3], {"portrait": "b" * 64}, base[4]),
        (*base[:4], {"a": 1, "b": 3}),
    ]
    assert len({cache.digest(*subject) for subject in (base, *others)}) == 6
    assert cache.digest(*base) == cache.digest(*base[:4], {"b": 2, "a": 1})


def test_digest_is_keyed(cache: StageCache, artifacts, documents) -> None:
    other = StageCache(artifacts, documents, StorageSettings(cache_key="another-secret-of-16"))
    subject = ("default", "face", "1", INPUTS, {})
    assert cache.digest(*subject) != other.digest(*subject)


def test_entry_whose_objects_are_gone_is_a_miss(
    cache: StageCache, artifacts: ArtifactStore, digest: str, output: StageOutput
) -> None:
    cache.store("default", "face", digest, output)
    artifacts.delete([output.artifacts["image"].key])
    assert cache.lookup("default", "face", digest) is None


def test_entry_in_the_second_half_of_its_life_is_a_miss(
    cache: StageCache,
    documents: DocumentStore,
    digest: str,
    output: StageOutput,
    settings: StorageSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache.store("default", "face", digest, output)
    value = documents.get(keys.cache_entry("default", "face", digest))
    half = settings.retention_cache_days / 2
    for days, hit in ((half - 0.1, True), (half + 0.1, False)):
        document = Document(value, days * 86_400)
        monkeypatch.setattr(documents, "read", lambda _, document=document: document)
        assert (cache.lookup("default", "face", digest) is not None) is hit


def test_malformed_entry_is_a_miss_and_can_be_replaced(
    cache: StageCache, documents: DocumentStore, digest: str, output: StageOutput
) -> None:
    documents.put(keys.cache_entry("default", "face", digest), {"old": "form"})
    assert cache.lookup("default", "face", digest) is None
    cache.store("default", "face", digest, output)
    assert cache.lookup("default", "face", digest) is not None


def test_secret_is_read_from_a_file_and_a_short_one_is_refused(
    tmp_path: Path, settings: StorageSettings, monkeypatch
) -> None:
    monkeypatch.delenv("LIPSTAGE_CACHE_KEY")
    secret = tmp_path / "key"
    secret.write_text("sixteen-bytes-or-more\n")
    assert StorageSettings(cache_key_file=secret).cache_secret == b"sixteen-bytes-or-more"
    secret.write_text("short")
    with pytest.raises(ValueError, match="16 bytes"):
        _ = StorageSettings(cache_key_file=secret).cache_secret


def test_each_process_has_a_random_secret_when_none_is_set(
    settings, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("LIPSTAGE_CACHE_KEY")
    assert StorageSettings().cache_secret != StorageSettings().cache_secret
    assert "LIPSTAGE_CACHE_KEY" in caplog.text


@pytest.mark.parametrize(
    "environment",
    [
        {"LIPSTAGE_INPUT_BUCKETS": '{"inputs": "lipstage"}'},
        {"LIPSTAGE_INPUT_BUCKETS": '{"artifacts": "elsewhere"}'},
        {"LIPSTAGE_OUTPUT_BUCKETS": '{"artifacts": "elsewhere"}'},
        {"LIPSTAGE_OUTPUT_BUCKETS": '{"results": "lipstage-inputs"}'},
        {"LIPSTAGE_BUCKET": "Not_A_Bucket"},
    ],
)
def test_settings_that_mix_inputs_and_artifacts_are_refused(environment: dict[str, str], settings, monkeypatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        StorageSettings()
