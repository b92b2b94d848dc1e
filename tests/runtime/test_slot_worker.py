"""The processes that follow one another in a slot: no process serves two tenants, and a spare hides the start."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime import fault_injection
from shared.runtime.execute.slot_worker import Reuse, SlotWorker
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.failures import HandlerUnavailable, WorkerDied
from shared.runtime.fault_rules import parse
from shared.slot import records
from shared.slot.confinement.confine import Mode
from shared.slot.spec import StageSpec
from shared.telemetry import metrics
from tests.runtime import real_stage, remembering_handler
from tests.runtime.test_worker_process import ignore, never

VARIABLES = ("REMEMBERING_*", "TRIAL_*")
SPEC = StageSpec(
    name="face", handler="tests.runtime.remembering_handler", inputs={}, memory_mb=2048, variables=VARIABLES
)

Make = Callable[..., SlotWorker]


def make_worker(reuse: Reuse, handler: str = SPEC.handler, confinement: Mode = "auto") -> SlotWorker:
    """A worker that is not started."""
    spec = StageSpec(name="face", handler=handler, inputs={}, memory_mb=2048, variables=VARIABLES)
    return SlotWorker("face", handler, partial(WorkerProcess, spec, "puppet", confinement=confinement), reuse)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    made = []

    def started(reuse: Reuse) -> SlotWorker:
        worker = make_worker(reuse)
        made.append(worker)
        worker.start()
        return worker

    yield started
    for worker in made:
        worker.stop()


def run(worker: SlotWorker, folder: Path, tenant: str, do: str = "nothing") -> dict[str, Any]:
    """Run a task of the tenant; what its process remembers."""
    ref = InputRef(key=f"{tenant}/x")
    request = RenderRequest(tenant=tenant, portrait=ref, speech=ref, labels={"do": do})
    job = RenderTask(job_id="job", request_id="r", request=request, submitted_ms=1)
    result = worker.run(records.Work(job=job, inputs={}, scratch=str(folder)), ignore, never, 60)
    assert isinstance(result, records.Finished), result
    return result.metadata


def starts() -> dict[str, int]:
    """Starts of worker processes so far, by reason."""
    return {
        reason: int(metrics.WORKER_PROCESS_STARTS.labels("face", reason)._value.get())
        for reason in ("first", "died", "tenant", "task", "spare")
    }


def since(before: dict[str, int]) -> dict[str, int]:
    """Starts since then, without reasons of which there are none."""
    return {reason: n - before[reason] for reason, n in starts().items() if n != before[reason]}


def spare_of(worker: SlotWorker) -> int:
    """Process id of the loaded spare."""
    assert worker._spare is not None
    pid = worker._spare.result(30).pid
    assert pid is not None
    return pid


def ended(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def until_ended(pid: int) -> None:
    """Wait for the end of a process that is not this one's child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        end = select.poll()
        end.register(descriptor)
        assert end.poll(30_000), f"the process {pid} still runs"
    finally:
        os.close(descriptor)


def test_tenants_that_alternate_never_share_a_process(make: Make, tmp_path: Path) -> None:
    worker, before = make("tenant"), starts()
    runs = [run(worker, tmp_path, tenant) for tenant in ("a", "a", "b", "a", "b", "c")]
    assert [one["seen"] for one in runs] == [[], ["a"], [], [], [], []]
    pids = [one["pid"] for one in runs]
    assert pids[0] == pids[1], "the same tenant keeps its process"
    assert len(set(pids)) == 5
    assert since(before)["tenant"] == 1, "the other changes had a spare"


def test_process_of_the_tenant_before_is_dead_before_the_next_task_is_fetched(make: Make, tmp_path: Path) -> None:
    worker = make("tenant")
    for tenant, other in (("a", "b"), ("b", "c")):
        old = run(worker, tmp_path, tenant)["pid"]
        process = worker._current
        worker.prepare(other)
        assert process is not None
        until_ended(old)
        assert worker.pid != old


def test_single_tenant_has_no_spare_and_no_template(make: Make, tmp_path: Path) -> None:
    worker, before = make("tenant"), starts()
    assert len({run(worker, tmp_path, "a")["pid"] for _ in range(3)}) == 1
    assert worker._spare is None
    assert worker._template.pid is None
    assert since(before) == {}


def test_every_task_has_its_own_process_without_reuse(make: Make, tmp_path: Path) -> None:
    worker, before = make("never"), starts()
    runs = [run(worker, tmp_path, "a") for _ in range(4)]
    assert [one["seen"] for one in runs] == [[]] * 4
    assert len({one["pid"] for one in runs}) == 4
    assert "task" not in since(before), "every change had a spare"


def test_all_tenants_share_a_process_where_that_is_configured(make: Make, tmp_path: Path) -> None:
    worker = make("always")
    runs = [run(worker, tmp_path, tenant) for tenant in ("a", "b", "a")]
    assert len({one["pid"] for one in runs}) == 1
    assert runs[-1]["seen"] == ["a", "b"]


def test_spare_takes_over_and_the_next_one_is_started(make: Make, tmp_path: Path) -> None:
    worker = make("never")
    run(worker, tmp_path, "a")
    spare = spare_of(worker)
    assert run(worker, tmp_path, "a")["pid"] == spare
    assert spare_of(worker) != spare


def test_spare_that_has_died_is_replaced_and_no_task_notices(make: Make, tmp_path: Path) -> None:
    worker = make("never")
    run(worker, tmp_path, "a")
    spare = spare_of(worker)
    os.kill(spare, signal.SIGKILL)
    until_ended(spare)
    before = starts()
    assert run(worker, tmp_path, "a")["pid"] not in (None, spare)
    spare_of(worker)
    assert since(before) == {"task": 1, "spare": 1}


def test_spare_that_could_not_load_is_started_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that starts threads can't be forked, so each process loads it."""
    missing = tmp_path / "missing"
    monkeypatch.setenv(remembering_handler.THREAD, "1")
    monkeypatch.setenv(remembering_handler.UNAVAILABLE, str(missing))
    worker = make("never")
    assert worker._template.pid is None
    missing.touch()
    run(worker, tmp_path, "a")
    assert worker._spare is not None
    assert isinstance(worker._spare.exception(30), HandlerUnavailable)
    with pytest.raises(HandlerUnavailable, match="there are no weights"):
        worker.prepare("b")
    missing.unlink()
    assert run(worker, tmp_path, "b")["seen"] == []


def test_death_in_a_task_is_reported_once_and_the_spare_takes_over(make: Make, tmp_path: Path) -> None:
    worker = make("never")
    run(worker, tmp_path, "a")
    spare, before = spare_of(worker), starts()
    with pytest.raises(WorkerDied, match="-9"):
        run(worker, tmp_path, "a", "die")
    assert worker.pid is None
    following = worker._spare
    assert following is not None
    worker.prepare("a")
    assert worker.pid == following.result(30).pid != spare
    assert run(worker, tmp_path, "a")["seen"] == []
    assert "died" not in since(before)


def test_template_that_dies_takes_its_workers_along_and_is_started_again(make: Make, tmp_path: Path) -> None:
    worker = make("never")
    run(worker, tmp_path, "a")
    template, spare, current = worker._template.pid, spare_of(worker), worker.pid
    assert None not in (template, current)
    os.kill(template, signal.SIGKILL)  # type: ignore[arg-type]
    for pid in (spare, current):
        until_ended(pid)  # type: ignore[arg-type]
    assert worker.pid is None
    assert run(worker, tmp_path, "a")["seen"] == []
    assert worker._template.pid not in (None, template)


def test_worker_outlives_the_thread_that_asked_for_it(make: Make, tmp_path: Path) -> None:
    """The kernel kills a process with the thread that started it: an early attempt's thread ends with the attempt."""
    worker = make("tenant")
    for tenant in ("a", "b", "c"):  # A program, the first fork, and the spare.
        thread = threading.Thread(target=worker.prepare, args=(tenant,))
        thread.start()
        thread.join()
        asked = worker.pid
        assert run(worker, tmp_path, tenant)["pid"] == asked


def test_limits_hold_in_forked_workers(make: Make, tmp_path: Path) -> None:
    worker = make("tenant")
    for tenant in ("a", "b"):
        with pytest.raises(AssertionError, match="MemoryError"):
            run(worker, tmp_path, tenant, "take much memory")
        pid = worker.pid
        assert pid is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        assert run(worker, tmp_path, tenant)["pid"] == pid, "only the service ends a worker"


def test_forked_worker_has_nothing_of_template_and_siblings_open(make: Make, tmp_path: Path) -> None:
    worker = make("never")
    run(worker, tmp_path, "a")
    spare_of(worker)
    (program, forked) = (run(make("tenant"), tmp_path, "a"), run(worker, tmp_path, "a"))
    kinds = [sorted(link.partition(":")[0] for link in one["descriptors"]) for one in (program, forked)]
    assert kinds[0] == kinds[1]
    assert kinds[1].count("socket") == 1, "its own pipe to the service"


def test_stop_while_the_handler_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loading = tmp_path / "loading"
    os.mkfifo(loading)
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    monkeypatch.setenv("TRIAL_LOADING", str(loading))
    reuses: tuple[Reuse, ...] = ("never", "tenant")  # In the template, and in a worker, which must write to the FIFO.
    for reuse in reuses:
        worker = make_worker(reuse, "tests.runtime.loading_handler", confinement="off")
        failures: list[BaseException] = []

        def start(worker: SlotWorker = worker, failures: list[BaseException] = failures) -> None:
            try:
                worker.start()
            except WorkerDied as e:
                failures.append(e)

        thread = threading.Thread(target=start)
        thread.start()
        assert loading.read_text() == "loading"
        worker.kill()
        thread.join(30)
        assert len(failures) == 1
        worker.stop()


def test_processes_die_with_their_service(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from tests.runtime.test_slot_worker import make_worker, run, spare_of
worker = make_worker("never")
worker.start()
run(worker, Path(sys.argv[1]), "a")
print(worker._template.pid, spare_of(worker), worker.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=real_stage.ROOT
    ) as service:
        assert service.stdout is not None
        pids = [int(pid) for pid in service.stdout.readline().split()]
        assert len(pids) == 3
        assert not any(map(ended, pids))
        service.kill()
        for pid in pids:
            until_ended(pid)


@pytest.mark.parametrize("reuse", ["tenant", "never"])
def test_fault_kills_the_process_that_the_slot_uses_whichever_thread_has_started_it(make: Make, reuse: Reuse) -> None:
    worker = make(reuse)
    first = worker.pid
    fault_injection.has_worker(lambda: worker.pid)
    fault_injection.Faults(parse("*.work=kill-worker"), 0).reached("work", "face", "a1")
    fault_injection.has_worker(lambda: None)
    while worker.pid is not None:
        time.sleep(0.01)
    worker.prepare("acme")
    assert worker.pid not in (None, first)
