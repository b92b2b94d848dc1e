"""A worker process with an accelerator keeps files and programs; the network and other processes are denied."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.runtime.execute import worker_process
from shared.slot.confinement.confine import level
from tests.confinement import conftest
from tests.confinement.attempts import ATTEMPTS, BY_TITLE
from tests.confinement.conftest import Escaping, escaping

DENIED = (
    "connect to the broker or the object store",
    "listen on a port",
    "read another process's memory by process_vm_readv",
    "trace another process",
    "leave a symbolic link that the service would follow",
    "change the mode of a file of the state folder",
    "set its user",
)


@pytest.fixture(scope="module")
def accelerated(targets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Escaping]:
    """A worker of a stage with an accelerator, on a machine that has one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_process, "ACCELERATORS", ("/dev/null",))
        patch.setattr(conftest, "SPEC", replace(conftest.SPEC, accelerator=True))
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        with escaping("auto", targets, tmp_path_factory.mktemp("accelerated")) as one:
            yield one


def test_level_is_partial(accelerated: Escaping) -> None:
    assert [line.partition(":")[0] for line in accelerated.missing] == ["files", "programs"]
    assert level(accelerated.missing) == "partial"


@pytest.mark.parametrize("title", DENIED)
def test_attempt_is_denied(accelerated: Escaping, title: str) -> None:
    found = accelerated.ask(do=str(ATTEMPTS.index(BY_TITLE[title]))).metadata
    assert found["evidence"] == ""
    assert str(found["denied"]).startswith("PermissionError"), found


def test_driver_and_compiler_keep_what_they_need(accelerated: Escaping) -> None:
    assert accelerated.ask(do=str(ATTEMPTS.index(BY_TITLE["run a program"]))).metadata["evidence"] == "ran\n"
    details = accelerated.ask(do="describe").metadata["details"]
    assert isinstance(details, dict)
    assert accelerated.process.folder is not None
    assert not str(details["temporary"]).startswith(str(accelerated.process.folder.path)), "compiled kernels are kept"
