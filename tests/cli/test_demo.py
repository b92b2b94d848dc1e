"""`lipstage demo` in a process and a state folder of its own, as a newcomer runs it; then `down`."""

from pathlib import Path

import av
import pytest

from shared.local import ports, processes, stack_file
from shared.local import stack as local
from shared.local.jars import locked
from shared.local.settings import LocalSettings
from tests.cli.conftest import Ran, alone
from tests.conftest import Infrastructure

STAGES = ("audio", "face", "infer", "encode")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer") / "state"


@pytest.fixture(scope="module")
def demo_run(stack: Infrastructure, state: Path) -> Ran:
    """The session's stack is only needed for the jars."""
    (state.parent / "out").mkdir()
    return alone("demo", "-o", state.parent / "out" / "demo.mp4", LIPSTAGE_STATE_DIR=state)


def test_the_demo_succeeds_and_prints_its_figures(demo_run: Ran) -> None:
    assert demo_run.code == 0, demo_run.err
    rows = {line.split()[0]: line for line in demo_run.out.split("\n\n")[0].splitlines()}
    assert len(rows["job"].split()[1]) == 32
    assert all(f"{stage} " in rows["stages"] for stage in STAGES)
    assert "x real time" in rows["render"]
    assert rows["drift"].split()[2] == "ms"
    assert "infer started" in demo_run.err, "live progress"
    for part in ("broker 127.0.0.1:", "object store http://", "trace receiver http://", "audio-0", "encode-0"):
        assert [line for line in demo_run.err.splitlines() if line.startswith(part) and line.endswith(": ready")], part


def test_the_demo_prints_one_complete_trace(demo_run: Ran) -> None:
    tree = demo_run.out.split("\n\n")[1].splitlines()
    assert tree[0].startswith("trace ")
    assert "submit render.requests" in tree[1]
    for name in ("load_audio", "preprocess_image", "run_inference", "encode_video", "process render.encode"):
        assert [line for line in tree if name in line and ("├─" in line or "└─" in line)], name
    assert "ERROR" not in demo_run.out


def test_the_demo_writes_a_video_with_sound(demo_run: Ran, state: Path) -> None:
    with av.open(str(state.parent / "out" / "demo.mp4")) as file:
        picture, sound = file.streams.video[0], file.streams.audio[0]
        assert (picture.codec_context.name, picture.average_rate, sound.codec_context.name) == ("h264", 25, "aac")
        frames = sum(1 for _ in file.decode(picture))
    assert abs(frames / 25 - 10.09) < 0.05, "as long as the bundled speech"


def test_the_demo_stops_what_it_started(demo_run: Ran, state: Path) -> None:
    stack = stack_file.load(state)
    assert stack is not None
    assert not processes.stack_processes(stack.mark)
    health = [record.health_port for record in stack.services]
    assert len(health) == len(STAGES) + 1, "and the relay"
    assert [port for port in (*stack.ports.values(), *health) if not ports.is_free(port)] == []
    assert alone("status", LIPSTAGE_STATE_DIR=state).code == 3


def test_jars_that_are_present_are_not_fetched_again(demo_run: Ran, stack: Infrastructure, state: Path) -> None:
    assert "fetching" not in demo_run.err
    assert not (state / "jars").exists(), "they are found wherever the state lies"
    assert {path.name for path in stack.settings.jars.glob("*.jar")} >= {jar.filename for jar in locked()}


def test_down_keeps_data_and_purge_deletes_it(demo_run: Ran, state: Path) -> None:
    started = local.up(LocalSettings(state_dir=state, kafka_bootstrap_servers="", s3_endpoint_url="", otlp_endpoint=""),
                       services=False)  # fmt: skip
    running = alone("status", "--json", LIPSTAGE_STATE_DIR=state)
    assert {part["name"] for part in running.json} == {"broker", "store", "traces"}, "recorded services stay stopped"
    (state / "mine.txt").write_text("not the stack's")
    ran = alone("down", LIPSTAGE_STATE_DIR=state)
    assert (ran.code, ran.out) == (0, "stopped\n")
    assert not processes.stack_processes(started.mark)
    assert (state / "kafka" / "data").is_dir()
    purged = alone("down", "--purge", LIPSTAGE_STATE_DIR=state)
    assert (purged.code, purged.out.splitlines()[0]) == (0, "stopped")
    deleted = "stack.json, secrets.json, lock, run, logs, traces, kafka, store, store-security, c2pa, prometheus"
    assert f"deleted {deleted} in {state}" in purged.out
    assert f"kept mine.txt in {state}" in purged.out
    assert "kept the broker's files in " in purged.out
    assert [path.name for path in state.iterdir()] == ["mine.txt"]
    again = alone("down", LIPSTAGE_STATE_DIR=state)
    assert (again.code, again.out) == (0, "stopped\n")
