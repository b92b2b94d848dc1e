"""Checks of this machine: each can fail, and has a fix."""

import sys
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from shared.local import doctor, machine
from shared.local.doctor import conditional_put
from shared.local.stack_file import ServiceRecord, Stack
from shared.local.status import PartStatus
from shared.local.topic_check import topic_check
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings


def test_a_variable_unlike_the_stacks_is_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_BUCKET", "mine")
    (check,) = doctor._variables(Stack(state_dir=tmp_path, sockets=tmp_path, bucket="theirs"))
    assert (check.level, "LIPSTAGE_BUCKET=mine: the running stack uses theirs" in check.result) == ("fail", True)


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("missing weights unet.safetensors", "lipstage weights ls; lipstage logs infer-sonic-0"),
        (
            "circuit breaker open: 8 jobs failed, the last with INTERNAL; a probe runs next",
            "lipstage logs infer-sonic-0",
        ),
        ("missing disk space: 12 MiB are free", "lipstage logs infer-sonic-0"),
    ],
)
def test_weights_are_the_fix_only_where_they_are_missing(tmp_path: Path, reason: str, fix: str) -> None:
    part = PartStatus("infer-sonic-0", "service", 1, 1, False, f"not ready: {reason}", 0, 0, None)
    record = ServiceRecord(name=part.name, stage="infer", engine="sonic", topic="t", group="g", health_port=1)
    check = doctor._faulty_service(part, Stack(state_dir=tmp_path, sockets=tmp_path, services=[record]))
    assert (check.level, check.fix) == ("fail", fix)


def change(topic: str, kind: str, wanted: str, found: str = "") -> dict[str, str]:
    return {"topic": topic, "kind": kind, "wanted": wanted, "found": found}


REFUSED = change("p.render.face", "no_group_rights", "p.lipstage.face", "GROUP_AUTHORIZATION_FAILED")
LARGE = change("p.render.face", "too_many_partitions", "16", "24")


@pytest.mark.parametrize(
    ("changes", "level", "result", "fix"),
    [
        ([], "ok", "as they should be", ""),
        ([REFUSED], "warn", "offsets of groups can't be checked: p.lipstage.face", "allow READ on the groups"),
        (
            [REFUSED, change("p.render.dlq", "create", "4 partitions")],
            "fail",
            "1 differ: p.render.dlq create 4 partitions",
            "lipstage topics apply",
        ),
        (
            [REFUSED, LARGE, change("p.render.encode", "too_many_partitions", "16", "32")],
            "fail",
            "2 differ: p.render.face too_many_partitions 16, found 24",
            "LIPSTAGE_WORK_PARTITIONS=32, or more",
        ),
        ([LARGE, change("p.render.dlq", "create", "4")], "fail", "2 differ: p.render.dlq", "lipstage topics apply"),
        (
            [change("p.render.events", "too_many_partitions", "16", "24")],
            "warn",
            "1 differ: p.render.events too_many_partitions 16, found 24",
            "nothing: ",
        ),
    ],
)
def test_fix_of_topics_is_one_that_helps(
    monkeypatch: pytest.MonkeyPatch, changes: list[dict[str, str]], level: str, result: str, fix: str
) -> None:
    monkeypatch.setattr(admin_process, "ask", lambda *_: changes)
    check = topic_check(RuntimeSettings(topic_prefix="p.", engines=("puppet",)))
    assert check.level == level
    assert check.result.startswith(result)
    assert check.fix.startswith(fix)


def test_old_python_and_other_systems_fail() -> None:
    assert machine.python((3, 10, 14)).level == "fail"
    assert machine.python((3, 11, 0)).level == "ok"
    assert machine.python((3, 13, 1), "darwin").level == "fail"


def test_package_that_differs_from_its_pin_fails(tmp_path: Path) -> None:
    pins = tmp_path / "demo.txt"
    pinned = ("boto3==0.1", "no-such-package==1.0", "colorama==9 ; sys_platform == 'win32'")
    pins.write_text("".join(f"{pin} \\\n    --hash=sha256:aa\n" for pin in pinned))
    check = machine.packages(pins)
    assert (check.level, "boto3" in check.result, "1 more" in check.result) == ("fail", True, True)
    assert "make setup" in check.fix
    assert machine.packages().level == "ok"


@pytest.mark.parametrize("layout", ["shared/__init__.py", "stages.py"])
def test_other_package_with_our_name_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    """Anywhere on the path: which package is imported depends on how a program was started."""
    file = tmp_path / layout
    file.parent.mkdir(exist_ok=True)
    file.touch()
    assert machine.names().level == "ok"
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    check = machine.names()
    assert (check.level, str(tmp_path) in check.result) == ("fail", True)
    assert check.fix.startswith("pip uninstall ")


class EveryoneWins:
    """An object store without If-None-Match."""

    def put_object(self, **_: object) -> None: ...
    def delete_object(self, **_: object) -> None: ...


class NobodyWins(EveryoneWins):
    def put_object(self, **_: object) -> None:
        raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 409}}, "PutObject")


@pytest.mark.parametrize("store", [EveryoneWins(), NobodyWins()])
def test_store_without_conditional_puts_fails(store: object) -> None:
    check = conditional_put(store, "bucket", "there")  # type: ignore[arg-type]
    assert (check.level, "If-None-Match" in check.fix) == ("fail", True)


class OneCreates(EveryoneWins):
    """An object store that knows If-None-Match and ignores If-Match."""

    def __init__(self) -> None:
        self.lock, self.keys = threading.Lock(), set[str]()

    def put_object(self, Key: str, IfNoneMatch: str | None = None, **_: object) -> None:  # noqa: N803 - boto3's names
        with self.lock:
            if IfNoneMatch and Key in self.keys:
                raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 412}}, "PutObject")
            self.keys.add(Key)

    def head_object(self, **_: object) -> dict[str, str]:
        return {"ETag": "e"}


def test_store_that_ignores_if_match_fails() -> None:
    check = conditional_put(OneCreates(), "bucket", "there")  # type: ignore[arg-type]
    assert (check.level, "supports If-Match " in check.fix) == ("fail", True)
