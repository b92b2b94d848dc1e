"""State of a killed attempt: found by the next one, by nobody else, and not when it was touched."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import Product, RenderTask
from shared.runtime import resume
from shared.runtime.attempt import Attempt
from shared.runtime.patience import Patience
from shared.runtime.reports import Reports
from shared.runtime.settings import RuntimeSettings
from shared.runtime.slot_process import ChildDied, SlotProcess
from shared.runtime.store import Store
from shared.slot.spec import StageSpec
from shared.storage import keys
from shared.storage.settings import StorageSettings
from tests.conftest import Infrastructure

SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={"image": "face/image"}, resumes=True)
ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., Product]


@pytest.fixture
def store(stack: Infrastructure, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "a-secret-of-the-tests")
    return Store.open(StorageSettings())


@pytest.fixture
def job() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def run(store: Store, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs one attempt at the job: with what differs from the others."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    child = SlotProcess(SPEC, "puppet")
    images = {name: store.artifacts.put_bytes(name.encode(), f"jobs/default/{job}/face/1/{name}") for name in "ab"}

    def attempt(image: ArtifactRef = images["a"], spec: StageSpec = SPEC, do: str = "go on", **fields: Any) -> Product:
        if child.pid is None:
            child.start()
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref, labels={"do": do}, **fields)
        task = RenderTask(
            job_id=job,
            request_id="r",
            request=request,
            submitted_ms=1,
            products={"face": Product(attempt="1", artifacts={"image": image})},
        )
        return Attempt(
            task=task,
            spec=spec,
            store=store,
            settings=RuntimeSettings(free_space_reserve_mb=0),
            patience=Patience(5.0),
            child=child,
            cancelled=lambda: False,
            progress=lambda done, total: None,
            reports=Reports("trial", TracerProvider().get_tracer("test")),
            scratch=tmp_path,
        ).run()

    attempt.images = images  # type: ignore[attr-defined]
    yield attempt
    child.stop()


def begins_anew(run: Run, **differences: Any) -> None:
    """Without state the handler saves some and dies."""
    with pytest.raises(ChildDied, match="-9"):
        run(**differences)


def objects(store: Store, job: str) -> list[str]:
    return [entry.key for entry in store.artifacts.list_prefix(keys.resume_prefix("default", job, "trial"))]


def test_a_killed_attempt_is_gone_on_from(run: Run, store: Store, job: str) -> None:
    begins_anew(run)
    assert len(objects(store, job)) == 2, "the newest state and the document that names it"
    assert run().facts["saved"] == "2"


def test_state_of_another_request_or_other_inputs_is_not(run: Run) -> None:
    begins_anew(run)
    begins_anew(run, engine_params={"blinks": False})
    begins_anew(run, image=run.images["b"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["object", "gone", "document", "forged"])
def test_touched_state_is_as_good_as_none(run: Run, store: Store, job: str, how: str) -> None:
    begins_anew(run)
    record_key = keys.resume_record("default", job, "trial")
    (data_key,) = (key for key in objects(store, job) if key != record_key)
    match how:
        case "object":
            store.artifacts.put_bytes(b"9", data_key)
        case "gone":
            store.artifacts.delete([data_key])
        case "document":
            store.documents.put(record_key, {"ref": "?"})
        case "forged":
            ref = store.artifacts.put_bytes(b"9", data_key)
            document = store.documents.get(record_key)
            assert isinstance(document, dict)
            store.documents.put(record_key, document | {"ref": ref.model_dump(mode="json")})
    begins_anew(run)


def test_all_of_it_is_deleted_when_the_stage_is_through(run: Run, store: Store, job: str) -> None:
    begins_anew(run)
    ref = InputRef(key="default/x")
    task = RenderTask(job_id=job, request_id="r", request=RenderRequest(portrait=ref, speech=ref), submitted_ms=1)
    resume.forget(store, Patience(5.0), task, "trial")
    assert objects(store, job) == []


def test_a_link_in_the_place_of_state_is_not_uploaded(run: Run, store: Store, job: str) -> None:
    run(do="hand over a link")
    assert objects(store, job) == []


def test_a_stage_that_does_not_resume_may_not_save(run: Run) -> None:
    spec = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})
    with pytest.raises(ChildDied, match="does not resume"):
        run(spec=spec)
